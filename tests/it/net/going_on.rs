//! A daemon goes on where an earlier one was killed: programs, tables and slots stay, or are made anew where they must be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, MapData};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifier, TcAttachType};
use metad_tests::frames::mac_text;
use metad_tests::lab::{Daemon, Guest, Lab, Namespace, Settings};
use metad_tests::needs;
use serde_json::Value;

use super::{gets_its_own, guest, host_with_bridge};

const GOING_ON: &str = "going on with the programs and tables of an earlier daemon";
const ANEW: &str = "making programs and tables anew";

/// Where the daemon of this lab pins.
fn pins(lab: &Lab) -> PathBuf {
    Path::new("/sys/fs/bpf").join(lab.name())
}

/// What the daemon keeps in its run directory.
fn kept(lab: &Lab, name: &str) -> PathBuf {
    Path::new("/run").join(lab.name()).join(name)
}

/// The ids of the programs at tcx of one of the host's links.
fn programs_on(lab: &Lab, link: &str) -> Result<Vec<u32>> {
    let (_, programs) = lab
        .host()
        .within(|| SchedClassifier::query_tcx(link, TcAttachType::Ingress))??;
    Ok(programs.iter().map(|program| program.id()).collect())
}

/// The slot of each instance's first NIC.
fn slots(daemon: &Daemon) -> Result<BTreeMap<String, u64>> {
    let status = daemon.status()?;
    let instances = status["instances"].as_array().context("no instances")?;
    let slot = |instance: &Value| {
        let name = instance["name"].as_str()?.to_owned();
        Some((name, instance["nics"][0]["slot"].as_u64()?))
    };
    Ok(instances.iter().filter_map(slot).collect())
}

/// Starts the next daemon, and returns what it logs of its own.
fn next(daemon: &mut Daemon, names: &[&str]) -> Result<String> {
    let before = daemon.log().len();
    daemon.start_again()?;
    daemon.seated(names)?;
    Ok(daemon.log().split_off(before))
}

/// A killed daemon, and two guests that it has answered.
fn killed(attach: &str) -> Result<(Lab, Guest, Guest, Daemon)> {
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut daemon = lab.serve(&Settings {
        attach,
        ..Settings::default()
    })?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)?;
    gets_its_own(&bob)?;
    daemon.kill()?;
    Ok((lab, alice, bob, daemon))
}

#[test]
fn programs_tables_and_slots_outlive_a_killed_daemon() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
        let mut daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice", "bob"])?;
        gets_its_own(&alice)?;
        let (had, counted) = (slots(&daemon)?, daemon.counters()?);
        let veth = lab.host().index_of(&format!("{}0", lab.name()))?;
        daemon.kill()?;
        let filters = |link: &str| {
            lab.host()
                .output(&format!("tc filter show dev {link} ingress"))
        };
        let (before, left) = (filters("tap-alice")?, programs_on(&lab, "tap-alice")?);
        let links = || -> Result<BTreeMap<PathBuf, u32>> {
            let mut links = BTreeMap::new();
            for entry in fs::read_dir(pins(&lab).join("links"))?.flatten() {
                let link = FdLink::from(PinnedLink::from_pin(entry.path())?);
                links.insert(entry.path(), link.info()?.id());
            }
            Ok(links)
        };
        let pinned = links()?;
        ensure!(pinned.len() >= 4 || attach == "clsact", "{pinned:?}");
        let attached = left.len() + usize::from(before.contains("guest_ingress"));
        ensure!(
            attached == 1,
            "{attach}: {attached} programs while no daemon runs"
        );
        for round in 0..2 {
            let log = next(&mut daemon, &["alice", "bob"])?;
            ensure!(
                log.contains(GOING_ON) && !log.contains(ANEW),
                "{attach}: {log}"
            );
            assert_eq!(slots(&daemon)?, had, "{attach}, round {round}");
            let now = daemon.counters()?;
            ensure!(
                now.delivered >= counted.delivered && counted.delivered > 0,
                "{attach}: {now:?} after {counted:?}"
            );
            assert_eq!(veth, lab.host().index_of(&format!("{}0", lab.name()))?);
            gets_its_own(&alice)?;
            gets_its_own(&bob)?;
            let after = filters("tap-alice")?;
            assert_eq!(
                after.matches("guest_ingress").count(),
                before.matches("guest_ingress").count(),
                "{attach}: {after}"
            );
            assert_eq!(links()?, pinned, "{attach}: no link was made anew");
            let programs = programs_on(&lab, "tap-alice")?;
            assert_eq!(programs.len(), left.len(), "{attach}: swapped, not added");
            ensure!(
                left.is_empty() || programs != left,
                "{attach}: the program is the dead one's"
            );
            daemon.kill()?;
        }
    }
    Ok(())
}

#[test]
fn what_is_of_another_layout_is_made_anew() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    type Doctor = fn(&Lab) -> Result<()>;
    let doctors: [(&str, Doctor, &str); 5] = [
        (
            "an older daemon's layout",
            |lab| {
                let stamp = kept(lab, "layout");
                let text = fs::read_to_string(&stamp)?;
                let (_, rest) = text.split_once('\n').context("one line")?;
                Ok(fs::write(&stamp, format!("layout 0\n{rest}"))?)
            },
            "it has `layout 0` where this metad has `layout 1`",
        ),
        (
            "a map of another shape",
            |lab| {
                let pin = pins(lab).join("NICS");
                fs::remove_file(&pin)?;
                Ok(HashMap::<MapData, u32, u32>::create(16, 0)?.pin(&pin)?)
            },
            "the map NICS has type 1, 4 to 4 octets, 16 entries, not type 1, 12 to 8 octets",
        ),
        (
            "a map that is gone",
            |lab| Ok(fs::remove_file(pins(lab).join("PORTS"))?),
            "the map PORTS cannot be had",
        ),
        (
            "slots that nobody knows",
            |lab| Ok(fs::write(kept(lab, "slots.json"), "{}")?),
            "slots.json: it is no ledger of slots",
        ),
        (
            "a link that is gone",
            |lab| lab.host().ip(&format!("link delete {}0", lab.name())),
            "the link into its namespace is gone",
        ),
    ];
    for (case, doctor, why) in doctors {
        let (lab, alice, bob, mut daemon) = killed("auto")?;
        doctor(&lab).context(case)?;
        let log = next(&mut daemon, &["alice", "bob"]).context(case)?;
        ensure!(log.contains(ANEW) && log.contains(why), "{case}: {log}");
        ensure!(!log.contains(GOING_ON), "{case}: {log}");
        gets_its_own(&alice).context(case)?;
        gets_its_own(&bob).context(case)?;
        assert_eq!(programs_on(&lab, "tap-alice")?.len(), 1, "{case}");
    }
    Ok(())
}

#[test]
fn a_slot_never_passes_to_another_instance_while_no_daemon_runs() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, alice, bob, mut daemon) = killed("auto")?;
    daemon.start_again()?;
    daemon.seated(&["alice", "bob"])?;
    let had = slots(&daemon)?;
    daemon.kill()?;
    // Another machine on the same tap with the same address.
    let mut record = alice.record();
    record["uuid"] = "11111111-2222-4333-8444-555555555555".into();
    lab.record("alice", &record)?;
    next(&mut daemon, &["alice", "bob"])?;
    let now = slots(&daemon)?;
    assert_eq!(now["bob"], had["bob"]);
    ensure!(
        !had.values().any(|slot| *slot == now["alice"]),
        "{had:?}, then {now:?}"
    );
    gets_its_own(&alice)?;
    // And its slot rests for those after the next, too.
    daemon.kill()?;
    lab.forget("bob")?;
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    lab.record("carol", &bob.record())?;
    daemon.seated(&["carol"])?;
    let last = slots(&daemon)?;
    let given = [had["alice"], had["bob"], now["alice"]];
    ensure!(!given.contains(&last["carol"]), "{given:?}, then {last:?}");
    Ok(())
}

#[test]
fn interfaces_that_are_followed_no_more_lose_their_program_at_the_next_start() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let (lab, _alice, _bob, mut daemon) = killed(attach)?;
        lab.bridge("other0", &[])?;
        lab.host().ip("link set tap-bob master other0")?;
        let log = next(&mut daemon, &["alice"])?;
        ensure!(log.contains(GOING_ON), "{attach}: {log}");
        let filters = lab.host().output("tc filter show dev tap-bob ingress")?;
        ensure!(!filters.contains("guest_ingress"), "{attach}: {filters}");
        assert_eq!(programs_on(&lab, "tap-bob")?, Vec::<u32>::new(), "{attach}");
    }
    Ok(())
}

/// The link goes along with the tap, and says the index that it had: that of another tap by now.
#[test]
fn the_program_of_a_tap_that_was_moved_away_is_not_taken_for_its_successors() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let (lab, alice, bob, mut daemon) = killed(attach)?;
        let elsewhere = Namespace::new(&format!("{}-elsewhere", lab.name()))?;
        let tap = alice.interface();
        let index = lab.host().index_of(tap)?;
        lab.host()
            .ip(&format!("link set {tap} netns {}", elsewhere.name()))?;
        elsewhere.ip(&format!("link set {tap} up"))?;
        bob.unplug(&lab)?;
        lab.host().ip(&format!(
            "link add {} index {index} type veth peer name eth0 netns {} address {}",
            bob.interface(),
            bob.space().name(),
            mac_text(bob.mac()),
        ))?;
        lab.host()
            .ip(&format!("link set {} master br0 up", bob.interface()))?;
        bob.ip("link set eth0 up")?;
        bob.ip("address add 10.77.0.6/24 dev eth0")?;
        bob.ip("route add default via 10.77.0.1")?;
        let log = next(&mut daemon, &["bob"])?;
        ensure!(log.contains(GOING_ON), "{attach}: {log}");
        gets_its_own(&bob).context(attach)?;
        let left = elsewhere.within(|| SchedClassifier::query_tcx(tap, TcAttachType::Ingress))?;
        let left = left.map_or(0, |(_, programs)| programs.len());
        assert_eq!(left, 0, "{attach}: programs on a tap that is elsewhere");
    }
    Ok(())
}

#[test]
fn a_host_without_a_bpf_file_system_is_told_how_to_mount_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.stop()?;
    // In a mount namespace of its own, nobody else loses theirs.
    let mut unmounted = lab.host().command("unshare");
    unmounted.args([
        "--mount",
        "sh",
        "-c",
        "umount /sys/fs/bpf && exec \"$@\"",
        "sh",
    ]);
    unmounted.arg(metad_tests::lab::binary()?);
    unmounted
        .args(["serve", "--config"])
        .arg(daemon.configuration());
    let output = unmounted.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it serves without pins: {told}");
    ensure!(told.contains("`mount -t bpf bpf /sys/fs/bpf`"), "{told}");
    // Nothing of the attempt is in the way.
    daemon.start_again()
}

/// Whose connections wait at the sockets that a service manager kept is not known without the slots: nobody may listen
/// there any more, the manager's copies neither.
#[test]
fn sockets_that_were_kept_are_no_obstacle_where_the_slots_are_lost() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.stop()?;
    daemon.supervise(lab.directory())?;
    daemon.start_again()?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    for (case, content) in [("no slots", None), ("broken slots", Some("{"))] {
        daemon.kill()?;
        let names = daemon.supervisor()?.names();
        ensure!(names == ["metad-ipv4", "metad-ipv6"], "{case}: {names:?}");
        let slots = kept(&lab, "slots.json");
        match content {
            None => fs::remove_file(&slots)?,
            Some(text) => fs::write(&slots, text)?,
        }
        next(&mut daemon, &["alice"]).context(case)?;
        gets_its_own(&alice).context(case)?;
    }
    Ok(())
}
