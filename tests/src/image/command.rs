//! Runs a tool to its end. A failure carries the last lines of what the tool said.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// How much of a failed tool's words a person wants to read, in lines.
const LAST_LINES: usize = 15;

/// Runs a tool and returns what it wrote to standard output.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_command(&mut command)
}

/// Like [`run`], for a command with an environment or a directory of its own.
pub(crate) fn run_command(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output: Output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("cannot start `{name}`\n  help: `cargo xtask setup` installs what is missing")
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut words = String::from_utf8_lossy(&output.stderr).into_owned();
    if words.trim().is_empty() {
        words = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    let lines: Vec<&str> = words.trim_end().lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(LAST_LINES)..)
        .unwrap_or_default();
    bail!(
        "`{}` failed ({}): {}",
        spoken(command),
        output.status,
        last.join("\n  ")
    );
}

/// The command line as a person would type it, cut to a readable length.
fn spoken(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.chars().count() > 200 {
        line = line.chars().take(200).chain("…".chars()).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_which_tool_and_what_it_said() {
        let error = run("sh", ["-c", "echo it is broken >&2; exit 3"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("it is broken") && error.contains("exit status: 3"),
            "{error}"
        );
        assert_eq!(run("echo", ["hello"]).unwrap(), "hello\n");
        let error = run("no-such-tool-here", [""; 0]).unwrap_err().to_string();
        assert!(
            error.contains("no-such-tool-here") && error.contains("xtask setup"),
            "{error}"
        );
    }
}
