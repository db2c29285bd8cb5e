//! Running other programs: where the workspace is, who may do what, how long it took.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The directory of the root Cargo.toml.
pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// cargo's target directory, where this executable came from.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    crate::bpf::target_directory(&own)
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is in no target directory", own.display()))
}

/// The cargo that runs this task, in the workspace's directory.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).stdin(Stdio::null());
    cargo
}

/// Runs a command to its end.
///
/// # Errors
/// It cannot be started or fails; names the whole command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Whether a command succeeds; it may not even exist.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Finds a program on PATH or where only root's PATH leads.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// A command as root: as it is, or through sudo.
///
/// # Errors
/// Not root and no sudo that would do; the error names the command to run.
pub(crate) fn as_root(words: &[&str]) -> Result<Command> {
    let (program, rest) = words.split_first().context("an empty command")?;
    if is_root() {
        let mut command = Command::new(program);
        command.args(rest);
        return Ok(command);
    }
    ensure!(
        may_sudo(),
        "root is needed; run this yourself, then run the task again:\n  {}",
        words.join(" ")
    );
    let mut sudo = Command::new("sudo");
    sudo.args(words);
    Ok(sudo)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether sudo is there and either needs no password or has someone to ask.
pub(crate) fn may_sudo() -> bool {
    use std::io::IsTerminal;
    find("sudo").is_some()
        && (std::io::stdin().is_terminal() || succeeds(Command::new("sudo").args(["-n", "true"])))
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `0.4 s`, `1 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a task speaks to the person who called it"
)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[expect(
    clippy::print_stderr,
    reason = "a task speaks to the person who called it"
)]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (milliseconds, expected) in [(0, "0.0 s"), (59_400, "59.4 s"), (65_000, "1 min 05 s")] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
    }
}
