//! Documents and commands drift apart; every command that a document names must exist.

use clap::CommandFactory;

use super::{File, Finding};

/// Where the daemon's subcommands are declared.
const DAEMON_COMMANDS: &str = "metad/src/cli.rs";

/// Lists the `cargo xtask X` and `metad X` in documents that name no task and no subcommand, and those that no
/// document names.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let tasks = names_of(&crate::Arguments::command());
    let daemon = files.iter().find(|file| file.path == DAEMON_COMMANDS);
    let commands = daemon.map(|file| variants(&file.text, "Command"));
    let commands = commands.unwrap_or_default();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_document(&file.path)) {
        for (line, word) in called(&file.text, "cargo xtask ") {
            if !tasks.contains(&word) {
                findings.push(Finding::new(
                    file,
                    line,
                    format!("there is no task `{word}`"),
                ));
            }
        }
        for (line, word) in called(&file.text, "metad ") {
            if !commands.is_empty() && !commands.contains(&word) {
                let problem = format!("there is no command `metad {word}`");
                findings.push(Finding::new(file, line, problem));
            }
        }
    }
    findings.extend(undocumented(files, &tasks, &commands));
    findings.extend(untested(files));
    findings
}

/// Where each claim names the test that shows it.
const CLAIMS: [&str; 2] = ["docs/security.md", "docs/security-attacks.md"];

/// Lists the tests that documents name and that are not there.
fn untested(files: &[File]) -> Vec<Finding> {
    let is_there = |name: &str| {
        let declared = format!("fn {name}(");
        files
            .iter()
            .any(|file| file.path.ends_with(".rs") && file.text.contains(&declared))
    };
    let claims = files
        .iter()
        .filter(|file| CLAIMS.contains(&file.path.as_str()));
    let named = claims.flat_map(|file| tests_in(&file.text).map(move |it| (file, it)));
    named
        .filter(|(_, (_, name))| !is_there(name))
        .map(|(file, (line, name))| Finding::new(file, line, format!("there is no test `{name}`")))
        .collect()
}

/// Names of tests in backquotes, by line: sentences of at least three words, perhaps behind their module.
fn tests_in(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let odd = line.split('`').skip(1).step_by(2);
        odd.filter_map(move |word| {
            let name = word.rsplit("::").next()?;
            let is_name = name.chars().all(|letter| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
            });
            (is_name && name.matches('_').count() > 2).then_some((index + 1, name))
        })
    })
}

/// CHANGELOG is left out: it speaks of commands that were.
fn is_document(path: &str) -> bool {
    let text = [".md", ".service", ".8"]
        .iter()
        .any(|end| path.ends_with(end));
    (text && !path.starts_with("CHANGELOG"))
        || path.starts_with(".ci/")
        || path.starts_with(".github/")
}

fn undocumented(files: &[File], tasks: &[String], commands: &[String]) -> Vec<Finding> {
    let documents: Vec<&File> = files
        .iter()
        .filter(|file| is_document(&file.path))
        .collect();
    let Some(readme) = documents.iter().find(|file| file.path == "README.md") else {
        return Vec::new();
    };
    let named = |before: &str, word: &String| {
        let text = format!("{before}{word}");
        documents.iter().any(|file| file.text.contains(&text))
    };
    let tasks = tasks.iter().filter(|word| !named("cargo xtask ", word));
    let commands = commands.iter().filter(|word| !named("metad ", word));
    tasks
        .map(|word| Finding::new(readme, 0, format!("no document names `cargo xtask {word}`")))
        .chain(
            commands
                .map(|word| Finding::new(readme, 0, format!("no document names `metad {word}`"))),
        )
        .collect()
}

/// Words that follow a command in code: between backquotes, or on a line that is a command.
fn called(text: &str, command: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices(command) {
            let before = line[..at].trim_end_matches("sudo ").trim_end();
            let opens = before.is_empty()
                || before.ends_with(['`', '$', '#', '=', '/'])
                || before.ends_with("run:");
            let word: String = line[at + command.len()..]
                .chars()
                .take_while(|letter| letter.is_ascii_lowercase() || *letter == '-')
                .collect();
            // A sentence that begins with the name is no command.
            let code = before.ends_with('`')
                || line.starts_with("    ")
                || line.starts_with(['$', '#'])
                || !before.is_empty();
            if opens && code && !word.is_empty() && !word.starts_with('-') {
                words.push((index + 1, word));
            }
        }
    }
    words
}

fn names_of(command: &clap::Command) -> Vec<String> {
    let names = command.get_subcommands();
    names.map(|command| command.get_name().to_owned()).collect()
}

/// The names that clap gives the variants of an enum in a source text: `BuildEbpf` is `build-ebpf`.
fn variants(text: &str, name: &str) -> Vec<String> {
    let start = format!("enum {name} {{");
    let body = text
        .lines()
        .skip_while(|line| !line.contains(&start))
        .skip(1);
    body.take_while(|line| !line.starts_with('}'))
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .map(|line| {
            kebab(
                line.split(|letter: char| !letter.is_alphanumeric())
                    .next()
                    .unwrap_or_default(),
            )
        })
        .collect()
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_calls_commands_in_code_alone() {
        for (case, line, expected) in [
            ("backquotes", "run `metad check` first", vec!["check"]),
            ("a block", "    metad serve --config x", vec!["serve"]),
            ("a prompt", "$ sudo metad down", vec!["down"]),
            ("a sentence", "metad answers guests", vec![]),
            ("another sentence", "what metad does", vec![]),
            ("an option", "`metad --help`", vec![]),
        ] {
            let words: Vec<String> = called(line, "metad ").into_iter().map(|it| it.1).collect();
            assert_eq!(words, expected, "{case}");
        }
    }

    #[test]
    fn a_test_that_is_named_must_be_there() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let code = "#[test]\nfn a_guest_gets_its_own() {}\n";
        for (case, document, expected) in [
            ("there", "`a_guest_gets_its_own`", vec![]),
            (
                "behind its module",
                "| `net::path::a_guest_gets_its_own` |",
                vec![],
            ),
            (
                "not there",
                "x\n`a_guest_gets_anothers`",
                vec!["docs/security.md:2: there is no test `a_guest_gets_anothers`"],
            ),
            (
                "something else",
                "`http-tokens`, `x_y`, `a/b_c_d_e`",
                vec![],
            ),
        ] {
            let files = [file("docs/security.md", document), file("tests/x.rs", code)];
            let found: Vec<String> = untested(&files).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn variants_are_named_as_clap_names_them() {
        let text = "pub enum Command {\n    /// Serve\n    Serve(Serve),\n    BuildEbpf { a: u8 },\n    Down,\n}\nenum X {\n    No,\n}\n";
        assert_eq!(variants(text, "Command"), ["serve", "build-ebpf", "down"]);
    }
}
