//! The host after metad is the host before metad, however metad ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::loaded_maps;
use aya::programs::loaded_programs;
use aya::programs::tc::{SchedClassifier, TcAttachType};
use aya::util::KernelVersion;
use metad_tests::frames::ipv6::METADATA;
use metad_tests::lab::{Daemon, Lab, Request, Settings, Snapshot, until};
use metad_tests::needs;

use super::guard::machine;
use super::{gets_its_own, guest, host_with_bridge, ipv6, token};

/// How a daemon comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As a service manager ends it.
    Stop,
    /// As `metad down` ends a running one.
    Down,
    /// Killed, and then `metad down`.
    KillAndDown,
}

#[test]
fn the_host_afterwards_is_the_host_before() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    compare_all("auto", "")
}

#[test]
fn the_host_afterwards_is_the_host_before_with_clsact_too() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    compare_all("clsact", "")
}

#[test]
fn the_host_afterwards_is_the_host_before_with_the_flood_guard_too() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    compare_all("auto", "flood-guard = \"on\"")
}

fn compare_all(attach: &str, datapath: &str) -> Result<()> {
    for end in [End::Stop, End::Down, End::KillAndDown] {
        compare(attach, datapath, end)
            .with_context(|| format!("attach = {attach}, {datapath} {end:?}"))?;
    }
    Ok(())
}

pub(crate) fn compare(attach: &str, datapath: &str, end: End) -> Result<()> {
    let lab = host_with_bridge()?;
    let plain = datapath.is_empty();
    let plug = if plain { guest } else { machine };
    let (alice, bob) = (plug(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    alice.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings {
        attach,
        datapath,
        ..Settings::default()
    })?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)?;
    gets_its_own(&bob)?;
    for address in METADATA {
        ipv6::gets_its_own_at(&alice, address)?;
    }
    let while_up = Snapshot::take(&lab)?;
    ensure!(
        !before.differences(&while_up).is_empty(),
        "a snapshot that sees no daemon proves nothing"
    );
    let (programs, maps) = bpf_of(&daemon)?;
    ensure!(
        programs.len() >= 2 && maps.len() >= 3,
        "{} programs and {} maps",
        programs.len(),
        maps.len()
    );
    // Guests are in the middle of a request, and between two, when it ends.
    let mut open = Vec::new();
    for part in [
        "GET /latest/meta-",
        "GET /latest/meta-data/mac HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = alice.connect(80)??;
        stream.write_all(part.as_bytes())?;
        open.push(stream);
    }
    match end {
        End::Stop => {
            let status = daemon.stop()?;
            ensure!(
                status.success(),
                "a stop ends with {status}:\n{}",
                daemon.log()
            );
        }
        End::Down => down(&daemon)?,
        End::KillAndDown => {
            daemon.kill()?;
            down(&daemon)?;
        }
    }
    before.restored(&lab)?;
    no_programs(&lab, &["br0", "tap-alice", "tap-bob"])?;
    // The kernel frees a program a moment after its last user is gone.
    until(
        "the end of every program and map",
        Duration::from_secs(60),
        || {
            let left = loaded_programs()
                .flatten()
                .any(|it| programs.contains(&it.id()))
                || loaded_maps().flatten().any(|it| maps.contains(&it.id()));
            (!left).then_some(())
        },
    )?;
    needs::note(&format!(
        "{attach}, {datapath} {end:?}: {} lines the same, {} programs and {} maps gone",
        before.lines(),
        programs.len(),
        maps.len()
    ));
    Ok(())
}

pub(super) fn down(daemon: &Daemon) -> Result<()> {
    let output = daemon.command(&["down"])?;
    ensure!(
        output.status.success(),
        "metad down: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The ids of the programs and maps that the daemon holds open.
fn bpf_of(daemon: &Daemon) -> Result<(BTreeSet<u32>, BTreeSet<u32>)> {
    let pid = daemon.pid().context("a running daemon")?;
    let (mut programs, mut maps) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))?.flatten() {
        // A descriptor may close while it is looked at.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines() {
            let number = |rest: &str| rest.trim().parse::<u32>().ok();
            programs.extend(line.strip_prefix("prog_id:").and_then(number));
            maps.extend(line.strip_prefix("map_id:").and_then(number));
        }
    }
    Ok((programs, maps))
}

/// Nothing sits at tcx on these links of the host; what sits at clsact is in the snapshot.
pub(super) fn no_programs(lab: &Lab, links: &[&str]) -> Result<()> {
    // Before, there is no tcx that anything could sit at.
    if KernelVersion::current()? < KernelVersion::new(6, 6, 0) {
        return Ok(());
    }
    lab.host().within(|| {
        for link in links {
            for side in [TcAttachType::Ingress, TcAttachType::Egress] {
                let (_, programs) = SchedClassifier::query_tcx(link, side)?;
                let left = programs.len();
                ensure!(left == 0, "{left} programs are left on {link}, {side:?}");
            }
        }
        Ok(())
    })?
}

#[test]
fn a_killed_daemon_starts_again_and_serves() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let alice = guest(&lab, "alice", 5)?;
        let mut daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        for round in 0..3 {
            daemon.seated(&["alice"])?;
            gets_its_own(&alice).with_context(|| format!("{attach}, round {round}"))?;
            daemon.kill()?;
            daemon
                .start_again()
                .with_context(|| format!("{attach}, round {round}"))?;
        }
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)?;
    }
    Ok(())
}

#[test]
fn a_second_daemon_of_the_same_name_is_refused() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let second = daemon.command(&["serve"])?;
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!(
        second.status.code(),
        Some(11),
        "one daemon per name: {words}"
    );
    ensure!(
        words.contains("`metad serve --take-over`"),
        "what to do instead: {words}"
    );
    gets_its_own(&alice)
}

#[test]
fn a_daemon_that_lost_its_link_says_so_and_ends() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    lab.host().ip(&format!("link delete {}0", lab.name()))?;
    let status = daemon.ends()?;
    assert_eq!(status.code(), Some(1), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("namespace was removed"), "{log}");
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)
}

#[test]
fn a_daemon_whose_run_directory_was_deleted_gives_way_to_the_next() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut first = lab.serve(&Settings::default())?;
    first.seated(&["alice"])?;
    fs::remove_dir_all(format!("/run/{}", lab.name()))?;
    gets_its_own(&alice)?;
    let second = lab.serve(&Settings::default())?;
    assert_eq!(first.ends()?.code(), Some(1), "{}", first.log());
    second.seated(&["alice"])?;
    gets_its_own(&alice)
}

#[test]
fn down_ends_a_daemon_whose_run_directory_was_deleted() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let _alice = guest(&lab, "alice", 5)?;
        let before = Snapshot::settled(&lab)?;
        let mut daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice"])?;
        fs::remove_dir_all(format!("/run/{}", lab.name()))?;
        down(&daemon)?;
        daemon.ends()?;
        let after = Snapshot::settled(&lab)?;
        assert_eq!(before.differences(&after), Vec::<String>::new(), "{attach}");
        no_programs(&lab, &["br0", "tap-alice"])?;
    }
    Ok(())
}

#[test]
fn down_goes_on_where_a_killed_stop_had_come_to() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings {
        attach: "clsact",
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    daemon.kill()?;
    let tap = alice.interface();
    lab.host()
        .output(&format!("tc qdisc delete dev {tap} clsact"))?;
    down(&daemon)?;
    let after = Snapshot::settled(&lab)?;
    assert_eq!(before.differences(&after), Vec::<String>::new());
    Ok(())
}

#[test]
fn down_waits_for_a_daemon_that_ends_already() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.stop()?;
    // A daemon on its last way takes connections and answers none.
    let run_dir = std::path::PathBuf::from("/run").join(lab.name());
    fs::DirBuilder::new().mode(0o700).create(&run_dir)?;
    let ending = UnixListener::bind(run_dir.join("admin.sock"))?;
    let ended = std::thread::spawn(move || ending.accept().map(drop));
    down(&daemon)?;
    assert!(
        ended.join().is_ok_and(|asked| asked.is_ok()),
        "it was asked"
    );
    assert!(!run_dir.exists(), "the run directory is left");
    Ok(())
}

#[test]
fn a_token_outlives_a_killed_daemon() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let token = token(&alice, "600")?;
    daemon.kill()?;
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    let path = "/latest/meta-data/hostname";
    let asked = Request::get(path).with("X-aws-ec2-metadata-token", &token);
    assert_eq!(alice.ask(&asked)?.text(), "alice");
    Ok(())
}
