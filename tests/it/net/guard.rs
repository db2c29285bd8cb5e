//! The flood guard, on taps as QEMU's are: floods end in it, and nothing else notices it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};
use aya::programs::xdp::{Xdp, XdpMode};
use metad::datapath::{Globals, OBJECT, object_loader};
use metad_common::limit::Limit;
use metad_common::names::FLOOD_GUARD;
use metad_tests::bench::{self, Extent};
use metad_tests::frames::{self, SYN, ipv6::METADATA};
use metad_tests::lab::{Guest, Lab, Plug, Settings, until};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{GATEWAY, NETWORK, SOON, gets_its_own, guest, host_with_bridge, ipv6};

const ON: Settings<'_> = Settings {
    interfaces: &["br+"],
    identity: "port",
    attach: "auto",
    more: "",
    datapath: "flood-guard = \"on\"",
    log: "info",
};

/// A guest whose NIC is a tap, as QEMU's are.
pub(super) fn machine(lab: &Lab, name: &str, last_octet: u8) -> Result<Guest> {
    let address = format!("{NETWORK}.{last_octet}/24");
    let guest = lab.guest(name, Plug::Tap("br0"), Some(&address))?;
    guest.ip(&format!("route add default via {GATEWAY}"))?;
    lab.record(name, &guest.record())?;
    Ok(guest)
}

fn is_guarded(status: &Value, interface: &str) -> bool {
    let interfaces = status["interfaces"].as_array();
    let mut interfaces = interfaces.map_or(&[][..], Vec::as_slice).iter();
    let found = interfaces.find(|it| it["name"] == json!(interface));
    found.is_some_and(|it| it["guarded"] == json!(true))
}

/// Frames that the driver of a tap did not pass on.
fn dropped_by_driver(lab: &Lab, link: &str) -> Result<u64> {
    let text = lab
        .host()
        .output(&format!("ip -json -statistics link show dev {link}"))?;
    let links: Value = serde_json::from_str(&text)?;
    let dropped = links[0]["stats64"]["rx"]["dropped"].as_u64();
    dropped.with_context(|| format!("no statistics in {text}"))
}

fn opening(lab: &Lab, from: &Guest, last_octet: u8) -> Result<Vec<Vec<u8>>> {
    let to_mac = lab.mac_of("br0")?;
    let frame = |from_port| {
        let ends = frames::Ends {
            from_mac: from.mac(),
            to_mac,
            from: Ipv4Addr::new(10, 77, 0, last_octet),
            to: frames::METADATA,
            from_port,
            to_port: 80,
        };
        frames::tcp(&ends, SYN, 1, 0, b"")
    };
    Ok((1_024..=40_000).map(frame).collect())
}

#[test]
fn floods_end_in_the_driver_of_a_tap_and_guests_are_served() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for (case, settings, in_driver) in [("on", ON, true), ("off", Settings::default(), false)] {
        let lab = host_with_bridge()?;
        let (attacker, machine) = (machine(&lab, "attacker", 6)?, machine(&lab, "machine", 7)?);
        let container = guest(&lab, "container", 8)?;
        let daemon = lab.serve(&settings)?;
        daemon.seated(&["attacker", "machine", "container"])?;
        let status = daemon.status()?;
        let guarded =
            [&attacker, &machine, &container].map(|guest| is_guarded(&status, guest.interface()));
        // A veth would have to leave it to the network stack.
        ensure!(
            guarded == [in_driver, in_driver, false],
            "{case}: {guarded:?}"
        );
        ensure!(!is_guarded(&status, "br0"), "{case}: the bridge");
        let before = dropped_by_driver(&lab, attacker.interface())?;
        let frames = opening(&lab, &attacker, 6)?;
        let sent = u64::try_from(frames.len())?;
        let cost = attacker.inject(&frames)?;
        for guest in [&machine, &container] {
            gets_its_own(guest)?;
        }
        machine.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
        ipv6::gets_its_own_at(&machine, METADATA[0])?;
        let in_all = until("every frame of the flood", SOON, || {
            let counters = daemon.counters().ok()?;
            let refused = counters.dropped("connection-limit");
            (counters.delivered + refused >= sent).then_some(refused)
        })?;
        let early = dropped_by_driver(&lab, attacker.interface())? - before;
        needs::note(&format!(
            "{case}: {sent} SYNs, {in_all} refused, {early} of them in the driver; {} ns a frame",
            cost.as_nanos() / u128::from(sent)
        ));
        ensure!(in_all > sent / 2, "{case}: {in_all} of {sent} refused");
        ensure!(
            (early > sent / 2) == in_driver,
            "{case}: {early} in the driver"
        );
        // Its connections go on, and new ones are let in at the pace.
        gets_its_own(&attacker)?;
    }
    Ok(())
}

/// Large segments, partial checksums, and their way back.
#[test]
fn bulk_traffic_crosses_the_guard_unharmed() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (machine, container) = (machine(&lab, "machine", 7)?, guest(&lab, "container", 8)?);
    let daemon = lab.serve(&ON)?;
    daemon.seated(&["machine", "container"])?;
    let payload: Vec<u8> = (0..8_000_000_u32)
        .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let listener = lab
        .host()
        .within(|| TcpListener::bind((GATEWAY, 5_001)))??;
    for guest in [&machine, &container] {
        let mut out = guest.space().connect(GATEWAY, 5_001, SOON)??;
        let (mut back, _) = listener.accept()?;
        let echoed = std::thread::scope(|scope| -> Result<Vec<u8>> {
            let sending = scope.spawn(|| -> Result<()> {
                out.write_all(&payload)?;
                Ok(out.shutdown(std::net::Shutdown::Write)?)
            });
            let mut received = Vec::new();
            back.set_read_timeout(Some(SOON))?;
            back.read_to_end(&mut received)?;
            sending.join().ok().context("the sender panicked")??;
            Ok(received)
        })?;
        ensure!(
            echoed == payload,
            "{}: {} octets",
            guest.name(),
            echoed.len()
        );
        gets_its_own(guest)?;
    }
    Ok(())
}

/// Only one program of this kind fits on an interface.
#[test]
fn a_tap_that_has_anothers_xdp_program_is_served_and_the_status_says_so() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = machine(&lab, "alice", 7)?;
    let globals = Globals {
        ifindex: 1,
        mac: [2; 6],
        log_drops: 0,
        connections: Limit::OFF,
    };
    let mut others = object_loader(&globals).load(OBJECT)?;
    let program: &mut Xdp = others
        .program_mut(FLOOD_GUARD)
        .context("no program")?
        .try_into()?;
    program.load()?;
    let ifindex = lab.host().index_of(alice.interface())?;
    lab.host()
        .within(|| program.attach_to_if_index(ifindex, XdpMode::Driver))??;
    let daemon = lab.serve(&ON)?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    daemon.status_until("a problem of the tap's", |status| {
        let interfaces = status["interfaces"].as_array();
        let mut interfaces = interfaces.map_or(&[][..], Vec::as_slice).iter();
        interfaces.any(|it| {
            it["name"] == json!(alice.interface())
                && it["attached"] == json!("tcx")
                && it["guarded"] == json!(false)
                && it["problem"]
                    .as_str()
                    .is_some_and(|why| why.contains("flood guard"))
        })
    })
}

#[test]
fn a_tap_that_goes_takes_its_guard_along_and_a_new_one_gets_its_own() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = machine(&lab, "alice", 7)?;
    let daemon = lab.serve(&ON)?;
    for round in 0..3 {
        daemon.seated(&["alice"])?;
        daemon.status_until("a guard", |status| is_guarded(status, alice.interface()))?;
        gets_its_own(&alice).with_context(|| format!("round {round}"))?;
        let links = std::fs::read_dir(format!("/sys/fs/bpf/{}/links", lab.name()))?;
        let guards = links
            .flatten()
            .filter(|it| it.file_name().to_string_lossy().starts_with("xdp-"));
        ensure!(guards.count() == 1, "round {round}: not one guard");
        alice.unplug(&lab)?;
        daemon.status_until("a list without the tap", |status| {
            !is_guarded(status, alice.interface())
        })?;
        alice.plug_in(&lab, Plug::Tap("br0"))?;
        alice.ip("address add 10.77.0.7/24 dev eth0")?;
        alice.ip(&format!("route add default via {GATEWAY}"))?;
    }
    Ok(())
}

/// The id of the XDP program on a link.
fn program_on(lab: &Lab, link: &str) -> Result<Option<u64>> {
    let text = lab
        .host()
        .output(&format!("ip -json link show dev {link}"))?;
    let links: Value = serde_json::from_str(&text)?;
    Ok(links[0]["xdp"]["prog"]["id"].as_u64())
}

/// A daemon that was killed leaves its guards in place. The next one puts its own program in theirs, or takes them away.
#[test]
fn the_next_daemon_takes_over_what_a_killed_one_left() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (machine(&lab, "alice", 7)?, machine(&lab, "bob", 8)?);
    let guests = [&alice, &bob];
    let mut daemon = lab.serve(&ON)?;
    daemon.seated(&["alice", "bob"])?;
    for guest in guests {
        let link = guest.interface();
        daemon.status_until("a guard", |status| is_guarded(status, link))?;
    }
    let before = program_on(&lab, alice.interface())?;
    ensure!(before.is_some() && before == program_on(&lab, bob.interface())?);
    daemon.kill()?;
    ensure!(
        before == program_on(&lab, alice.interface())?,
        "it stays meanwhile"
    );
    daemon.start_again()?;
    daemon.seated(&["alice", "bob"])?;
    for guest in guests {
        let link = guest.interface();
        daemon.status_until("a guard again", |status| is_guarded(status, link))?;
        let now = program_on(&lab, link)?;
        ensure!(
            now.is_some() && now != before,
            "{link}: {now:?}, and {before:?} before"
        );
        gets_its_own(guest)?;
    }
    daemon.kill()?;
    let text = std::fs::read_to_string(daemon.configuration())?;
    let off = text.replace("flood-guard = \"on\"", "flood-guard = \"off\"");
    ensure!(off != text, "nothing to switch off in {text}");
    std::fs::write(daemon.configuration(), off)?;
    daemon.start_again()?;
    daemon.seated(&["alice", "bob"])?;
    for guest in guests {
        until("no guard", SOON, || {
            let left = program_on(&lab, guest.interface()).ok()?;
            left.is_none().then_some(())
        })?;
        gets_its_own(guest)?;
    }
    Ok(())
}

#[test]
fn the_bench_runs_and_accounts_for_every_frame() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let outcome = (bench::flood_guard::BENCH.run)(Extent::Short)?;
    ensure!(outcome.is_right(), "{outcome:?}");
    ensure!(outcome.rows.len() == 11, "{outcome:?}");
    Ok(())
}
