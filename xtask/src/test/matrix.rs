//! The floor that is run on each of Debian's kernels, on emulated machines: what there is to run, the runs one after the
//! other, and the table of what came of them.

mod choice;
mod table;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use metad_tests::image::{self, Cache, Reuse, SuiteKernel};
use metad_tests::machine::{self, Line};
use metad_tests::needs;
use metad_tests::progress::Progress;

use self::choice::Choice;
use self::table::Row;
use super::floor::Floor;
use super::report::Report;
use super::tally::Tally;
use super::{Outcome, Tests, conclude};
use crate::setup::{self, Purpose};
use crate::shell::{self, say};

/// Boots every kernel that the filter leaves and runs the tests that it leaves on it.
pub(super) fn run(filter: Option<&str>) -> Result<ExitCode> {
    setup::ensure(Purpose::Test)?;
    ensure!(
        shell::is_root(),
        "a kernel of Debian's is unpacked, and this machine's files are read, as root: run this again with sudo"
    );
    super::build_daemon()?;
    let tests = super::build_tests()?;
    let choice = Choice::read(filter, &tests.names)?;
    let directory = tempfile::tempdir().context("cannot make a directory for the machines")?;
    let programs = Programs::copy(&tests, directory.path())?;
    let (mut outcomes, mut reports, mut rows) = (Vec::new(), String::new(), Vec::new());
    for suite in &choice.suites {
        let kernel = image::suite_kernel(&Cache::open()?, *suite, Reuse::Yes, &Progress::new())?;
        say(&format!(
            "\n=== {} on Linux {}: {} tests",
            suite.name(),
            kernel.release,
            choice.tests.len()
        ));
        let started = Instant::now();
        let booted = Booted::run(&kernel, &programs, &choice.tests, directory.path())?;
        let report = Report::parse(&booted.report);
        rows.push(Row::new(&kernel, &booted.tally, booted.success, &report));
        reports.push_str(&booted.report);
        outcomes.push(Outcome {
            name: suite.name(),
            floor: Floor::Kernels,
            tally: booted.tally,
            time: started.elapsed(),
            success: booted.success,
        });
    }
    table::show(&rows, choice.usual)?;
    Ok(conclude(&outcomes, &Report::parse(&reports), !choice.usual))
}

/// What runs on the machines. They see this machine's files as they change, and a build may go on beside them: so copies.
struct Programs {
    xtask: PathBuf,
    tests: PathBuf,
    metad: PathBuf,
}

impl Programs {
    fn copy(tests: &Tests, directory: &Path) -> Result<Self> {
        let copy = |from: &Path, name: &str| {
            let to = directory.join(name);
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            anyhow::Ok(to)
        };
        let own = std::env::current_exe().context("cannot find this executable")?;
        Ok(Self {
            xtask: copy(&own, "xtask")?,
            tests: copy(&tests.binary, "it")?,
            metad: copy(&shell::target()?.join("debug/metad"), "metad")?,
        })
    }
}

/// What one machine came to.
struct Booted {
    tally: Tally,
    report: String,
    success: bool,
}

impl Booted {
    fn run(
        kernel: &SuiteKernel,
        programs: &Programs,
        names: &[&str],
        directory: &Path,
    ) -> Result<Self> {
        let mut command = Command::new(&programs.xtask);
        command.arg("sandbox").arg(&programs.tests);
        command.args(["--color", "never", "--test-threads", "1", "--exact"]);
        command.args(names);
        command.current_dir(shell::workspace().join("tests"));
        command.env("METAD_BIN", &programs.metad);
        command.env(needs::MODE, "require");
        command.env("RUST_LIB_BACKTRACE", "0");
        let payload = directory.join("payload.sh");
        fs::write(&payload, machine::payload(kernel, &command))
            .with_context(|| format!("cannot write {}", payload.display()))?;
        let console = directory.join(format!("{}.console", kernel.suite.name()));
        let mut qemu = machine::qemu(kernel, &payload, &console);
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `qemu-system-x86_64`")?;
        let Some(stdout) = child.stdout.take() else {
            bail!("the machine has no output");
        };
        let mut booted = Self {
            tally: Tally::default(),
            report: String::new(),
            success: false,
        };
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read what the machine says")?;
            match Line::read(line.trim_end_matches('\r')) {
                Line::Said(line) => {
                    booted.tally.read(line);
                    say(line);
                }
                Line::Report(line) => {
                    booted.report.push_str(line);
                    booted.report.push('\n');
                }
                Line::Ended(code) => booted.success = code == 0,
            }
        }
        child.wait()?;
        if !booted.success {
            let console = fs::read(&console).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<&str> = console.lines().collect();
            let last = lines
                .get(lines.len().saturating_sub(20)..)
                .unwrap_or_default();
            say(&format!("its console ends with:\n{}", last.join("\n")));
        }
        Ok(booted)
    }
}
