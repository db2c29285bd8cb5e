//! Qdiscs and filters at taps: ours go with us, an administrator's stay, and nothing but the kernel has to remember which
//! is which.

use std::fs;

use anyhow::{Result, ensure};
use metad_tests::lab::{Lab, Settings, Snapshot, until};
use metad_tests::needs;

use super::lifecycle::{down, no_programs};
use super::{SOON, gets_its_own, guest, host_with_bridge};

#[test]
fn a_qdisc_goes_if_it_was_added_for_our_filter_and_serves_nobody_else() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for run_directory in [true, false] {
        let lab = host_with_bridge()?;
        let host = lab.host();
        let names = ["bare", "used", "plain", "later"];
        let guests = names.iter().zip(5..);
        let _guests: Vec<_> = guests
            .map(|(name, octet)| guest(&lab, name, octet))
            .collect::<Result<_>>()?;
        let filter = somebodys_filter(&lab)?;
        // One that is there and empty, and one that is in use: both are the administrator's.
        host.output("tc qdisc add dev tap-bare clsact")?;
        host.output("tc qdisc add dev tap-used clsact")?;
        host.output(&format!("tc filter add dev tap-used ingress {filter}"))?;
        let before = Snapshot::settled(&lab)?;
        let mut daemon = lab.serve(&Settings {
            attach: "clsact",
            ..Settings::default()
        })?;
        daemon.seated(&names)?;
        // One of ours, which somebody has come to use.
        host.output(&format!("tc filter add dev tap-later egress {filter}"))?;
        daemon.kill()?;
        if !run_directory {
            fs::remove_dir_all(format!("/run/{}", lab.name()))?;
        }
        down(&daemon)?;
        let left = host.output("tc qdisc show dev tap-later")?;
        ensure!(left.contains("clsact"), "{left}");
        let left = host.output("tc filter show dev tap-later ingress")?;
        ensure!(left.is_empty(), "{left}");
        let left = host.output("tc filter show dev tap-later egress")?;
        ensure!(left.contains("bpf"), "{left}");
        host.output("tc qdisc delete dev tap-later clsact")?;
        let after = Snapshot::settled(&lab)?;
        assert_eq!(
            before.differences(&after),
            Vec::<String>::new(),
            "run directory kept: {run_directory}"
        );
    }
    Ok(())
}

#[test]
fn a_tap_that_leaves_its_bridge_is_as_it_was_before() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
        let host = lab.host();
        let filters = || -> Result<String> {
            Ok(host.output("tc qdisc show dev tap-alice")?
                + &host.output("tc filter show dev tap-alice ingress")?)
        };
        let before = filters()?;
        let daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice", "bob"])?;
        host.ip("link set tap-alice nomaster")?;
        until("a tap without anything of ours", SOON, || {
            (filters().ok()? == before).then_some(())
        })?;
        until("a tap without programs", SOON, || {
            no_programs(&lab, &["tap-alice"]).ok()
        })?;
        gets_its_own(&bob)?;
        // What it needs is made anew where it comes back.
        host.ip("link set tap-alice master br0")?;
        daemon.seated(&["alice", "bob"])?;
        gets_its_own(&alice)?;
    }
    Ok(())
}

#[test]
fn a_qdisc_whose_filter_never_came_goes_as_well() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let _alice = guest(&lab, "alice", 5)?;
    let before = Snapshot::settled(&lab)?;
    let mut daemon = lab.serve(&Settings {
        attach: "clsact",
        ..Settings::default()
    })?;
    daemon.seated(&["alice"])?;
    daemon.kill()?;
    // As if it had been killed between the two.
    let host = lab.host();
    host.output("tc filter delete dev tap-alice ingress")?;
    let index = host.index_of("tap-alice")?;
    fs::create_dir(format!("/sys/fs/bpf/{}/links/qdisc-{index}", lab.name()))?;
    let left = host.output("tc qdisc show dev tap-alice")?;
    ensure!(left.contains("clsact"), "{left}");
    down(&daemon)?;
    let after = Snapshot::settled(&lab)?;
    assert_eq!(before.differences(&after), Vec::<String>::new());
    Ok(())
}

/// How an administrator's filter is added: one that lets everything through, made of what every kernel has that has ours.
fn somebodys_filter(lab: &Lab) -> Result<String> {
    let program = lab.directory().join("pass.bpf");
    fs::write(&program, "1,6 0 0 0\n")?;
    let program = program.display();
    Ok(format!(
        "protocol all prio 7 bpf bytecode-file {program} classid 1:1"
    ))
}
