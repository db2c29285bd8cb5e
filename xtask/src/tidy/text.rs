//! Length, names, marks and paths: what a single file may contain.

use super::{File, Finding};

/// More lines than this are two rooms.
const LONGEST: usize = 400;

/// Module names that say nothing.
const BANNED: [&str; 7] = [
    "utils", "helpers", "common", "manager", "handler", "data", "info",
];

/// Words that mark unfinished work; in two halves, since this file is looked at as well.
const MARKS: [[&str; 2]; 7] = [
    ["TO", "DO"],
    ["FIX", "ME"],
    ["XX", "X"],
    ["HA", "CK"],
    ["dbg", "!("],
    ["unimple", "mented!("],
    ["to", "do!("],
];

/// Beginnings of paths that exist on somebody's machine alone.
const MACHINE_PATHS: [[&str; 2]; 4] = [
    ["/ho", "me/"],
    ["/Us", "ers/"],
    ["/var/", "tmp/"],
    ["/wo", "rk/"],
];

/// Lists what is wrong with one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_rust(file) {
        findings.extend(names(file));
        let lines = file.text.lines().count();
        if lines > LONGEST {
            let problem = format!("{lines} lines, {LONGEST} are allowed: these are two rooms");
            findings.push(Finding::new(file, 0, problem));
        }
        if !file.text.starts_with("//!") && !is_unit_tests(file) {
            findings.push(Finding::new(
                file,
                1,
                "no module doc: what comes in, what goes out, what must never happen",
            ));
        }
    }
    if !is_generated(file) && !is_input(file) {
        findings.extend(marks(file));
    }
    findings
}

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

/// The module above says what they test.
fn is_unit_tests(file: &File) -> bool {
    file.path.ends_with("/tests.rs") || file.path.contains("/tests/")
}

/// Licences and the lock file are not ours to word.
fn is_generated(file: &File) -> bool {
    file.path.ends_with(".lock") || file.path.starts_with("LICENSE")
}

/// What fuzzing starts from and has found is whatever it is.
fn is_input(file: &File) -> bool {
    ["fuzz/seeds/", "fuzz/corpus/"]
        .iter()
        .any(|place| file.path.starts_with(place))
}

fn names(file: &File) -> Option<Finding> {
    let name = file.path.rsplit('/').next()?.trim_end_matches(".rs");
    if name == "mod" {
        Some(Finding::new(
            file,
            0,
            "mod.rs: name the file after its module",
        ))
    } else if BANNED.contains(&name) {
        Some(Finding::new(
            file,
            0,
            format!("`{name}` says nothing: name the room"),
        ))
    } else {
        None
    }
}

fn marks(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in MARKS.map(|halves| halves.concat()) {
            if has_word(line, &mark) {
                findings.push(Finding::new(
                    file,
                    index + 1,
                    format!("`{mark}`: finish it"),
                ));
            }
        }
        for path in MACHINE_PATHS.map(|halves| halves.concat()) {
            if line.contains(&path) && !is_about_guests(&file.path) {
                let problem = format!("`{path}` is a path of somebody's machine");
                findings.push(Finding::new(file, index + 1, problem));
            }
        }
        if line.len() != line.trim_end().len() && !file.path.ends_with(".md") {
            findings.push(Finding::new(file, index + 1, "white space at the end"));
        }
    }
    findings
}

/// Installers' answers speak of the guest's own paths.
fn is_about_guests(path: &str) -> bool {
    path.starts_with("dist/install/") || path.starts_with("metad/src/install/")
}

/// Whether the mark stands there as a word of its own.
fn has_word(line: &str, mark: &str) -> bool {
    let wordy = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        let open = mark.ends_with('(') || !after.is_some_and(wordy);
        open && !before.is_some_and(wordy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> String {
        let file = File {
            path: path.into(),
            text: text.into(),
        };
        let found = check(&file);
        let texts: Vec<String> = found
            .iter()
            .map(|finding| finding.problem.clone())
            .collect();
        texts.join("; ")
    }

    #[test]
    fn every_rule_has_a_finding_and_a_twin_without() {
        let mark = MARKS[0].concat();
        let path = MACHINE_PATHS[0].concat();
        let long = format!("//! x\n{}", "\n".repeat(LONGEST));
        let full = format!("//! x\n{}", "\n".repeat(LONGEST - 1));
        for (case, path, text, expected) in [
            ("good", "a/b.rs", "//! x\n", ""),
            ("no doc", "a/b.rs", "fn a() {}\n", "no module doc"),
            ("unit tests without doc", "a/b/tests.rs", "fn a() {}\n", ""),
            ("mod.rs", "a/mod.rs", "//! x\n", "name the file"),
            ("banned", "a/utils.rs", "//! x\n", "says nothing"),
            ("banned as a part", "a/metadata.rs", "//! x\n", ""),
            ("long", "a/b.rs", long.as_str(), "401 lines"),
            ("full", "a/b.rs", full.as_str(), ""),
            ("mark", "README.md", &format!("a {mark}: b"), "finish it"),
            ("mark in a word", "README.md", &format!("{mark}S"), ""),
            (
                "path",
                "README.md",
                &format!("in {path}me"),
                "somebody's machine",
            ),
            (
                "path of a guest",
                "dist/install/preseed.cfg",
                &format!("in {path}me"),
                "",
            ),
            ("space", "a.toml", "a = 1 \n", "white space"),
        ] {
            let found = problems(path, text);
            assert_eq!(found.is_empty(), expected.is_empty(), "{case}: {found}");
            assert!(found.contains(expected), "{case}: {found}");
        }
    }
}
