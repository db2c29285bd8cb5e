//! What is called like metad's things and is somebody else's.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Lab, Settings};
use metad_tests::needs;

use super::lifecycle::down;
use super::{gets_its_own, guest, host_with_bridge};

/// What an administrator has called like us: how to make it, how to see it, how to remove it. NAME is the daemon's.
const NAMESAKES: [(&str, &str, &str); 3] = [
    (
        "ip link add NAME0 type bridge",
        "ip link show dev NAME0 type bridge",
        "ip link delete NAME0",
    ),
    (
        "ip netns add NAME",
        "ip netns exec NAME ip link show dev lo",
        "ip netns delete NAME",
    ),
    (
        "mkdir -p /sys/fs/bpf/NAME/globals",
        "ls -d /sys/fs/bpf/NAME/globals",
        "rm -r /sys/fs/bpf/NAME",
    ),
];

/// What is there of a daemon that was killed once it had its name, and before it had made anything.
fn claimed_by_one_that_was_killed(lab: &Lab) -> Result<()> {
    let run_dir = Path::new("/run").join(lab.name());
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&run_dir)?;
    fs::write(run_dir.join("lock"), "1\n").context("cannot leave a lock behind")
}

#[test]
fn what_is_called_like_us_survives_every_start() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for past in ["ended", "ended, and its run directory is kept", "killed"] {
        let lab = host_with_bridge()?;
        let alice = guest(&lab, "alice", 5)?;
        let mut daemon = lab.serve(&Settings::default())?;
        daemon.stop()?;
        if past.ends_with("kept") {
            daemon.keep_run_directory(&format!("/run/{}", lab.name()));
        }
        for (make, show, remove) in NAMESAKES {
            let run = |line: &str| lab.host().output(&line.replace("NAME", lab.name()));
            run(make)?;
            for start in 1..=3 {
                if past == "killed" {
                    claimed_by_one_that_was_killed(&lab)?;
                }
                let outcome = daemon.start_again();
                ensure!(outcome.is_err(), "start {start} after `{make}` took it");
                run(show).with_context(|| format!("start {start} after one that {past}"))?;
            }
            if past == "killed" {
                claimed_by_one_that_was_killed(&lab)?;
            }
            down(&daemon)?;
            run(show).with_context(|| format!("`metad down` after one that {past}"))?;
            run(remove)?;
        }
        daemon.start_again()?;
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)?;
    }
    Ok(())
}
