//! What a privileged test asks before it starts. Without it a laptop skips loudly and CI fails: a test that could not
//! run never counts as passed.
//!
//! Every answer goes to the report file that `cargo xtask test` names in the environment; so do the notes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use crate::sandbox;

/// `require`: a test that cannot run is a failure.
pub const MODE: &str = "METAD_TESTS";
/// The file that `cargo xtask test` reads afterwards.
pub const REPORT: &str = "METAD_TESTS_REPORT";

/// Whether the test may go on: it runs as root inside a sandbox. Otherwise says loudly that it was skipped.
///
/// # Panics
/// Where it may not go on although `METAD_TESTS=require` is set.
#[must_use = "a test that goes on without its sandbox would change the machine"]
pub fn sandbox() -> bool {
    if sandbox::inside() {
        report("ran", "");
        return true;
    }
    refuse("no sandbox around it: run `cargo xtask test` as root");
    false
}

/// Whether a program that the test starts is there.
///
/// # Panics
/// Where it is not, although `METAD_TESTS=require` is set.
#[must_use = "without the program the test cannot say anything"]
pub fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    if !found {
        refuse(&format!(
            "`{name}` is not installed: run `cargo xtask setup`"
        ));
    }
    found
}

/// Whether Debian's own Python has a module. Whatever else is called `python3` here has others.
///
/// # Panics
/// Where it does not, although `METAD_TESTS=require` is set.
#[must_use = "without the module the test cannot say anything"]
pub fn python_module(name: &str) -> bool {
    let found = std::process::Command::new("/usr/bin/python3")
        .args(["-c", &format!("import {name}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        refuse(&format!(
            "Python's `{name}` is not installed: run `cargo xtask setup`"
        ));
    }
    found
}

/// Where a program of the laboratory's Python is, which `cargo xtask setup` makes.
///
/// # Panics
/// Where it is not there, although `METAD_TESTS=require` is set.
#[must_use = "without the program the test cannot say anything"]
pub fn python(name: &str) -> Option<PathBuf> {
    let place = crate::image::Cache::open().ok();
    let program = place.map(|place| place.directory().join("python/bin").join(name));
    if let Some(program) = program.filter(|program| program.is_file()) {
        return Some(program);
    }
    refuse(&format!(
        "`{name}` is not installed: run `cargo xtask setup`"
    ));
    None
}

/// Puts a sentence next to the test in the report: a count, a time.
pub fn note(text: &str) {
    report("note", text);
    say(&format!("{}: {text}", test_name()));
}

#[track_caller]
#[expect(clippy::panic, reason = "a test fails by panicking")]
fn refuse(why: &str) {
    if std::env::var_os(MODE).is_some_and(|mode| mode == "require") {
        panic!("cannot run, and {MODE}=require: {why}");
    }
    report("skipped", why);
    say(&format!("SKIPPED {}: {why}", test_name()));
}

/// One line, one write: tests of one run share the file.
fn report(what: &str, text: &str) {
    let Some(path) = std::env::var_os(REPORT) else {
        return;
    };
    let line = format!("{what}\t{}\t{}\n", test_name(), text.replace('\n', " "));
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        say(&format!("cannot write {}: {error}", path.display()));
    }
}

/// libtest names a test's thread after the test.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("main").to_owned()
}

#[expect(clippy::print_stderr, reason = "a skipped test must be heard")]
fn say(line: &str) {
    eprintln!("{line}");
}
