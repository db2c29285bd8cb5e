//! A daemon that is there and says nothing: every command says so, and whose it is, and `metad down` ends it.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Settings, Snapshot};
use metad_tests::needs;
use rustix::fs::{CWD, Mode};

use super::handover::load::unlimited;
use super::{gets_its_own, guest, host_with_bridge};

const COMMANDS: [&[&str]; 4] = [
    &["status"],
    &["query", "--as", "alice", "/latest/meta-data/"],
    &["set", "alice", "tags/instance/role", "web"],
    &["serve", "--take-over"],
];

#[test]
fn a_stopped_daemon_is_named_with_its_state_and_the_remedy() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let pid = daemon.pid().context("a running daemon")?;
    let expected = [
        "did not answer within 10 s".to_owned(),
        format!("its process, {pid}, is stopped"),
        format!("help: `kill -CONT {pid}` has it go on"),
    ];
    daemon.busy_while(|| {
        std::thread::scope(|scope| {
            let asked = COMMANDS.map(|words| scope.spawn(|| daemon.command(words)));
            for (words, asked) in COMMANDS.into_iter().zip(asked) {
                let output = asked.join().ok().context("a command panicked")??;
                let told = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.code() == Some(1), "{words:?}: {told}");
                for part in &expected {
                    ensure!(told.contains(part), "{words:?}: {part} is not in {told}");
                }
            }
            Ok(())
        })?;
        // That one says it among all else.
        let output = daemon.command(&["check"])?;
        let told = String::from_utf8_lossy(&output.stdout);
        for part in [&expected[0], &expected[1], &format!("`kill -CONT {pid}`")] {
            ensure!(told.contains(part), "{part} is not in {told}");
        }
        Ok(())
    })?;
    // It has lost nothing.
    gets_its_own(&alice)?;
    ensure!(daemon.command(&["status"])?.status.success());
    Ok(())
}

#[test]
fn down_ends_a_stopped_daemon_and_leaves_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _alice = guest(&lab, "alice", 5)?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let pid = daemon.pid().context("a running daemon")?;
    daemon.busy_while(|| {
        let output = daemon.command(&["down"])?;
        let told = String::from_utf8_lossy(&output.stdout);
        let expected = format!("by force: its process, {pid}, was stopped");
        ensure!(
            output.status.success() && told.contains(&expected),
            "{told}"
        );
        Ok(())
    })?;
    ensure!(
        daemon.ends()?.success(),
        "it ended by itself: {}",
        daemon.log()
    );
    before.restored(&lab)
}

#[test]
fn guests_do_not_wait_for_who_reads_the_log() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&unlimited())?;
    daemon.stop()?;
    let pipe = lab.directory().join("log");
    rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).context("cannot make a pipe")?;
    // Open at both ends, so that nobody waits for the other, and never read from before the end.
    let mut reader = File::options().read(true).write(true).open(&pipe)?;
    let into_pipe = format!("exec \"$@\" 2>{}", pipe.display());
    daemon.start_under(&["sh", "-c", &into_pipe, "sh"]);
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    // A line is longer than 100 octets, a pipe holds 64 KiB.
    for _ in 0..1_000 {
        gets_its_own(&alice)?;
    }
    let mut room = [0; 64 * 1024];
    let length = reader.read(&mut room)?;
    let lines = String::from_utf8_lossy(room.get(..length).unwrap_or_default());
    let logged = lines.matches("guest=alice").count();
    ensure!(logged > 100, "{logged} lines in {length} octets");
    daemon.stop()?;
    Ok(())
}
