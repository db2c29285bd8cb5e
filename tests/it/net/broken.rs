//! What a host does to a running daemon: full disks, full tables, things deleted behind its back. Guests that are known
//! are answered throughout, whatever failed says so, and counts once the cause is gone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aya::Pod;
use aya::maps::{HashMap, Map, MapData, MapError};
use metad_common::abi::{NicKey, NicSlot, Port};
use metad_tests::lab::{Daemon, Lab, Settings, Snapshot};
use metad_tests::needs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;

use super::{gets_its_own, guest, host_with_bridge, text};

/// A small file system over a directory, for as long as it lives.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn over(place: &Path, pages: usize) -> Result<Self> {
        fs::create_dir_all(place)?;
        let options = std::ffi::CString::new(format!("size={}k,mode=0700", pages * 4))?;
        mount(
            "tmpfs",
            place,
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .with_context(|| format!("cannot mount a disk on {}", place.display()))?;
        let place = place.to_owned();
        Ok(Self { place })
    }

    /// Writes until there is no room, and returns the file that takes it.
    fn fill(&self) -> Result<PathBuf> {
        let filler = self.place.join("filler");
        let full = fs::write(&filler, vec![0; 1 << 20]);
        ensure!(full.is_err(), "the disk is larger than a MiB");
        Ok(filler)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It goes with the sandbox in the end.
        let _busy = unmount(&self.place, UnmountFlags::DETACH);
    }
}

fn metad(daemon: &Daemon, words: &[&str]) -> Result<(bool, String)> {
    let output = daemon.command(words)?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), told))
}

fn problems(status: &Value) -> String {
    let problems = status["problems"].as_array().into_iter().flatten();
    let lines: Vec<String> = problems
        .map(|it| format!("{}: {}", it["subject"], it["problem"]))
        .collect();
    lines.join("\n")
}

#[test]
fn on_a_full_disk_what_was_set_stays_and_the_next_setting_says_why() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let disk = Disk::over(&lab.directory().join("state"), 16)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let role = "/latest/meta-data/tags/instance/role";
    let set = |daemon: &Daemon, value: &str| {
        metad(daemon, &["set", "alice", "tags/instance/role", value])
    };
    ensure!(set(&daemon, "first")?.0);
    let filler = disk.fill()?;
    let long = "x".repeat(20_000);
    let (done, told) = metad(&daemon, &["set", "alice", "custom/long", &long])?;
    ensure!(!done, "it was kept on a full disk");
    ensure!(
        told.contains("No space left") && told.contains("make room"),
        "{told}"
    );
    ensure!(text(&alice, role)? == "first", "what was kept is lost");
    daemon.kill()?;
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    ensure!(
        text(&alice, role)? == "first",
        "what was kept is lost with the daemon"
    );
    fs::remove_file(filler)?;
    ensure!(set(&daemon, "second")?.0);
    ensure!(text(&alice, role)? == "second");
    Ok(())
}

#[test]
fn a_record_that_a_full_disk_cut_short_leaves_the_last_good_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let disk = Disk::over(&lab.records(), 3)?;
    let alice = lab.guest(
        "alice",
        metad_tests::lab::Plug::Bridge("br0"),
        Some("10.77.0.5/24"),
    )?;
    alice.ip("route add default via 10.77.0.1")?;
    let file = lab.records().join("alice.json");
    fs::write(&file, alice.record().to_string())?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let mut larger = alice.record();
    larger["user-data"] = Value::from("x".repeat(20_000));
    // In place, as a careless program writes.
    ensure!(
        fs::write(&file, larger.to_string()).is_err(),
        "the disk is not full"
    );
    daemon.status_until("the torn record to be named", |status| {
        problems(status).contains("alice")
    })?;
    gets_its_own(&alice)?;
    let filler = lab.records().join("filler");
    fs::write(&file, alice.record().to_string())?;
    ensure!(!filler.exists());
    daemon.status_until("the whole record to count", |status| {
        problems(status).is_empty()
    })?;
    gets_its_own(&alice)?;
    drop(disk);
    Ok(())
}

/// One of the daemon's pinned maps.
fn pinned<K: Pod, V: Pod>(lab: &Lab, map: &str) -> Result<HashMap<MapData, K, V>> {
    let path = Path::new("/sys/fs/bpf").join(lab.name()).join(map);
    let data = MapData::from_pin(&path).with_context(|| format!("no {}", path.display()))?;
    Ok(HashMap::try_from(Map::HashMap(data))?)
}

/// Fills a table with keys that no guest has, and returns them.
fn fill<K: Pod, V: Pod>(
    table: &mut HashMap<MapData, K, V>,
    key: impl Fn(u32) -> K,
    value: V,
) -> Result<Vec<K>> {
    let mut keys = Vec::new();
    for number in 0..1 << 20 {
        let next = key(number);
        match table.insert(next, value, 0) {
            Ok(()) => keys.push(next),
            Err(MapError::SyscallError(_)) => return Ok(keys),
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("the table is never full")
}

/// Interfaces of these indices are nobody's.
const NOBODY: u32 = 0x4000_0000;

#[test]
fn a_nic_beyond_the_kernels_table_is_named_and_answered_once_there_is_room() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let mut table = pinned::<NicKey, NicSlot>(&lab, "NICS")?;
    let key = |number| NicKey::new(NOBODY + number, [2, 0, 0, 0, 0, 1]);
    let keys = fill(&mut table, key, NicSlot::new(1, false))?;
    let late = guest(&lab, "late", 6)?;
    daemon.status_until("the full table to be named", |status| {
        let problems = problems(status);
        problems.contains("late") && problems.contains("table of NICs is full")
    })?;
    ensure!(
        late.try_connect(80, super::BRIEFLY)?.is_err(),
        "it is answered"
    );
    gets_its_own(&alice).context("who is in the table stays in it")?;
    for key in &keys {
        table.remove(key)?;
    }
    daemon.status_until("the newcomer to have its place", |status| {
        problems(status).is_empty()
    })?;
    gets_its_own(&late)?;
    needs::note(&format!("{} NICs that nobody has, then room", keys.len()));
    Ok(())
}

#[test]
fn an_interface_beyond_the_kernels_table_is_named_and_taken_once_there_is_room() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let mut table = pinned::<u32, Port>(&lab, "PORTS")?;
    let nobody = Port {
        identity: 0,
        mac: [0; 6],
        outside: 0,
        zero: [0; 1],
    };
    let keys = fill(&mut table, |number| NOBODY + number, nobody)?;
    let late = guest(&lab, "late", 6)?;
    daemon.status_until("the full table to be named", |status| {
        let interfaces = status["interfaces"].as_array().into_iter().flatten();
        let mut problems = interfaces.filter_map(|it| it["problem"].as_str());
        problems.any(|problem| problem.contains("table of interfaces is full"))
    })?;
    ensure!(
        late.try_connect(80, super::BRIEFLY)?.is_err(),
        "it is answered"
    );
    gets_its_own(&alice).context("who is in the table stays in it")?;
    for key in &keys {
        table.remove(key)?;
    }
    daemon.status_until("the interface to have its program", |status| {
        let mut interfaces = status["interfaces"].as_array().into_iter().flatten();
        interfaces.all(|it| it["attached"].is_string())
    })?;
    gets_its_own(&late)
}

#[test]
fn a_namespace_whose_name_was_deleted_serves_on_and_leaves_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for round in ["first", "second"] {
        lab.host()
            .output(&format!("ip netns delete {}", lab.name()))?;
        gets_its_own(&alice).with_context(|| format!("{round} time"))?;
        let (done, told) = metad(&daemon, &["set", "alice", "tags/instance/seen", round])?;
        ensure!(done, "{told}");
        daemon.stop()?;
        before.restored(&lab)?;
        daemon.start_again()?;
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)?;
    }
    Ok(())
}
