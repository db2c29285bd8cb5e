//! Interfaces come and go: what appears is served at once, what comes back never inherits.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Guest, Lab, Plug, Settings, until};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{BRIEFLY, SOON, gets_its_own, guest, host_with_bridge};

fn attached(status: &Value, name: &str) -> bool {
    let interfaces = status["interfaces"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    interfaces
        .iter()
        .any(|it| it["name"] == json!(name) && !it["attached"].is_null())
}

fn listed(status: &Value, name: &str) -> bool {
    let interfaces = status["interfaces"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    interfaces.iter().any(|it| it["name"] == json!(name))
}

#[test]
fn bridges_and_ports_that_appear_later_are_served_at_once() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let daemon = lab.serve(&Settings::default())?;
    lab.bridge("br0", &["10.77.0.1/24"])?;
    daemon.status_until("a program on the new bridge", |status| {
        attached(status, "br0")
    })?;
    let mut slowest = Duration::ZERO;
    for number in 1..=10 {
        let name = format!("late{number}");
        let guest = guest(&lab, &name, 10 + number)?;
        let started = Instant::now();
        // No waiting: the first segment may come before the daemon has seen the tap, and TCP sends it again.
        gets_its_own(&guest).with_context(|| name.clone())?;
        slowest = slowest.max(started.elapsed());
        daemon.status_until("a program on the new port", |status| {
            attached(status, guest.interface())
        })?;
    }
    needs::note(&format!(
        "three answers at once after plugging in: at most {} ms",
        slowest.as_millis()
    ));
    Ok(())
}

#[test]
fn what_vanishes_is_forgotten() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    alice.unplug(&lab)?;
    daemon.status_until("a list without the tap", |status| {
        !listed(status, alice.interface())
    })?;
    gets_its_own(&bob)?;
    lab.host().ip("link delete br0")?;
    daemon.status_until("a list without the bridge", |status| !listed(status, "br0"))?;
    assert!(
        daemon.status()?["problems"]
            .as_array()
            .is_some_and(Vec::is_empty),
        "nothing is wrong"
    );
    Ok(())
}

#[test]
fn a_tap_that_leaves_its_bridge_is_served_no_more() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    lab.host()
        .ip(&format!("link set {} nomaster", alice.interface()))?;
    daemon.status_until("a list without the tap", |status| {
        !listed(status, alice.interface())
    })?;
    assert!(
        alice.try_connect(80, BRIEFLY)?.is_err(),
        "outside the bridge"
    );
    lab.host()
        .ip(&format!("link set {} master br0", alice.interface()))?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)
}

#[test]
fn a_tap_has_its_program_from_when_it_is_up_and_keeps_it_where_it_is_set_down() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let set = |what: &str| {
        lab.host()
            .ip(&format!("link set {} {what}", alice.interface()))
    };
    set("down")?;
    let daemon = lab.serve(&Settings::default())?;
    // All of the host's interfaces were seen by then.
    daemon.seated(&["alice", "bob"])?;
    daemon.status_until("a program on the tap that is up", |status| {
        attached(status, bob.interface())
    })?;
    let status = daemon.status()?;
    assert!(!listed(&status, alice.interface()), "down since before");
    set("up")?;
    daemon.status_until("a program on the tap that went up", |status| {
        attached(status, alice.interface())
    })?;
    gets_its_own(&alice)?;
    set("down")?;
    // Whatever the daemon hears next, it has heard of that.
    bob.unplug(&lab)?;
    daemon.status_until("a list without the other tap", |status| {
        !listed(status, bob.interface())
    })?;
    let status = daemon.status()?;
    assert!(attached(&status, alice.interface()), "set down later");
    set("up")?;
    gets_its_own(&alice)
}

#[test]
fn a_renamed_tap_does_not_inherit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)?;
    // The two taps swap their names: each now carries a MAC that the record of that name does not have.
    for (from, to) in [
        ("tap-alice", "tap-x"),
        ("tap-bob", "tap-alice"),
        ("tap-x", "tap-bob"),
    ] {
        lab.host().ip(&format!("link set {from} down"))?;
        lab.host().ip(&format!("link set {from} name {to}"))?;
        lab.host().ip(&format!("link set {to} up"))?;
    }
    daemon.seated(&["alice", "bob"])?;
    let mut attempts = 0;
    for guest in [&alice, &bob] {
        for _ in 0..3 {
            attempts += 1;
            assert!(
                guest.try_connect(80, BRIEFLY)?.is_err(),
                "{} behind the other's tap",
                guest.name()
            );
        }
    }
    needs::note(&format!(
        "{attempts} attempts behind a swapped name, 0 answers"
    ));
    Ok(())
}

#[test]
fn a_tap_made_anew_under_its_old_index_does_not_inherit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    let nic = |status: &Value| status["instances"][0]["nics"][0].clone();
    let before = nic(&daemon.status()?);
    daemon.busy_while(|| replace_tap(&lab, &alice, &before["ifindex"]))?;
    // The same record, read again, says that the tap is alice's indeed.
    lab.record("alice", &alice.record())?;
    daemon.status_until("another slot on the same index", |status| {
        let now = nic(status);
        now["ifindex"] == before["ifindex"] && now["slot"].is_u64() && now["slot"] != before["slot"]
    })?;
    gets_its_own(&alice)
}

/// More news of interfaces than a socket that nobody reads can hold.
fn drown_in_news(lab: &Lab) -> Result<()> {
    let mut ip = lab.host().command("ip");
    let mut ip = ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let lines: String = (0..2_000)
        .map(|it| format!("link set br0 txqueuelen {}\n", 1_000 + it % 2))
        .collect();
    let mut input = ip.stdin.take().context("ip reads nothing")?;
    input.write_all(lines.as_bytes())?;
    drop(input);
    ensure!(ip.wait()?.success(), "ip refused");
    Ok(())
}

/// By either way of attaching: after events were lost, the list of interfaces looks as it did before.
#[test]
fn a_tap_made_anew_while_events_were_lost_does_not_inherit_and_its_neighbour_notices_nothing()
-> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        does_not_inherit_after_lost_events(attach)?;
    }
    Ok(())
}

pub(crate) fn does_not_inherit_after_lost_events(attach: &str) -> Result<()> {
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings {
        attach,
        // An emulated machine takes its time between a connection and its request.
        more: "[limits]\nhead-seconds = 300\n",
        ..Settings::default()
    })?;
    daemon.seated(&["alice", "bob"])?;
    gets_its_own(&alice)?;
    let nic = |status: &Value, place: usize| status["instances"][place]["nics"][0].clone();
    let before = daemon.status()?;
    let mut open = bob.connect(80)??;
    daemon.busy_while(|| {
        drown_in_news(&lab)?;
        replace_tap(&lab, &alice, &nic(&before, 0)["ifindex"])
    })?;
    until("a daemon that knows what it missed", SOON, || {
        daemon.log().contains("events were lost").then_some(())
    })?;
    // The same record, read again, says that the tap is alice's indeed.
    lab.record("alice", &alice.record())?;
    daemon.status_until("another slot on the same index", |status| {
        let (now, before) = (nic(status, 0), nic(&before, 0));
        now["ifindex"] == before["ifindex"] && now["slot"].is_u64() && now["slot"] != before["slot"]
    })?;
    gets_its_own(&alice).with_context(|| format!("attach = {attach}"))?;
    let now = daemon.status()?;
    assert_eq!(nic(&now, 1), nic(&before, 1), "bob, by {attach}");
    open.write_all(b"GET /latest/meta-data/hostname HTTP/1.0\r\n\r\n")?;
    let mut told = String::new();
    open.read_to_string(&mut told)?;
    assert!(told.ends_with("bob"), "by {attach}: {told}");
    Ok(())
}

/// Puts another tap in the place of a guest's, with the same name and the same index.
fn replace_tap(lab: &Lab, guest: &Guest, index: &Value) -> Result<()> {
    guest.unplug(lab)?;
    let tap = guest.interface();
    lab.host().ip(&format!(
        "link add {tap} index {index} type veth peer name eth0 netns {} address {}",
        guest.space().name(),
        metad_tests::frames::mac_text(guest.mac()),
    ))?;
    lab.host().ip(&format!("link set {tap} master br0 up"))?;
    guest.ip("link set eth0 up")?;
    guest.ip("address add 10.77.0.5/24 dev eth0")?;
    guest.ip("route add default via 10.77.0.1")
}

#[test]
fn a_connection_ends_with_the_tap_it_came_from() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let mut stream = alice.connect(80)??;
    alice.unplug(&lab)?;
    // Another machine gets a tap of the same name, with the same MAC and address, as a clone would.
    alice.plug_in(&lab, Plug::Bridge("br0"))?;
    alice.ip("address add 10.77.0.5/24 dev eth0")?;
    alice.ip("route add default via 10.77.0.1")?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    // The old connection's next segment meets a new slot: it is refused or lost, never answered.
    let wrote = stream.write_all(b"GET /latest/meta-data/hostname HTTP/1.0\r\n\r\n");
    let mut room = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let read = stream.read_to_end(&mut room);
    assert!(
        room.is_empty(),
        "an old connection was answered: {wrote:?} {read:?}"
    );
    Ok(())
}

#[test]
fn many_taps_at_once_are_all_served() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let daemon = lab.serve(&Settings::default())?;
    let started = Instant::now();
    let guests: Vec<_> = (0..30)
        .map(|it| guest(&lab, &format!("g{it}"), 20 + it))
        .collect::<Result<_>>()?;
    let plugged = started.elapsed();
    for guest in &guests {
        gets_its_own(guest)?;
    }
    until("thirty seats", SOON, || {
        let status = daemon.status().ok()?;
        let instances = status["instances"].as_array()?.len();
        (instances == 30).then_some(())
    })?;
    needs::note(&format!(
        "30 guests plugged in within {} ms, all served within {} ms",
        plugged.as_millis(),
        started.elapsed().as_millis()
    ));
    Ok(())
}
