//! The host's own 169.254.169.254 stays the host's: a host may itself be a guest of a cloud.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{Ends, METADATA, addresses, claim, concerns, syn, who_has};
use metad_tests::lab::{Lab, Namespace, Plug, Request, Settings, Wire, until};
use metad_tests::needs;

use super::{GATEWAY, gets_its_own, guest, host_with_bridge};
use crate::attacks::Attack;

/// Somebody else's metadata service.
struct Other {
    asked: Arc<AtomicUsize>,
}

impl Other {
    /// Listens on 169.254.169.254:80 of a namespace until the process ends, and says `other` to everybody.
    fn start(space: &Namespace) -> Result<Self> {
        let listener = space.within(|| TcpListener::bind((METADATA, 80)))?;
        let listener = listener.context("cannot listen as the other service")?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                answer(stream);
            }
        });
        Ok(Self { asked })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn answer(mut stream: TcpStream) {
    let mut room = [0; 1024];
    if stream.read(&mut room).is_ok_and(|length| length > 0) {
        let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    }
}

fn host_gets_the_other(lab: &Lab) -> Result<()> {
    let stream = lab.host().connect(METADATA, 80, Duration::from_secs(5))??;
    let reply = Request::get("/latest/meta-data/").send(stream)?;
    ensure!(
        reply.text() == "other",
        "the host was told {:?}",
        reply.text()
    );
    Ok(())
}

/// `frame` behind so many tags of VLAN 0, which Linux takes off one by one.
fn priority_tagged(frame: &[u8], tags: usize) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &[0x81, 0, 0, 0].repeat(tags), rest].concat()
}

#[test]
fn no_number_of_vlan_tags_leads_past_metad() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    lab.host().ip("address add 169.254.169.254/32 dev lo")?;
    let _listening = Other::start(lab.host())?;
    let (alice, attacker) = (guest(&lab, "alice", 5)?, guest(&lab, "attacker", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "attacker"])?;
    let wire = attacker.wire()?;
    let to_host = Ends {
        from_mac: attacker.mac(),
        to_mac: lab.mac_of("br0")?,
        from: [10, 77, 0, 6].into(),
        to: METADATA,
        from_port: 40_000,
        to_port: 80,
    };
    let mut sent = 0;
    for tags in (1..=12).chain([40, 300]) {
        wire.send(&priority_tagged(&syn(&to_host), tags))?;
        wire.send(&priority_tagged(&claim(attacker.mac(), METADATA), tags))?;
        sent += 2;
    }
    until("a drop for each frame", super::SOON, || {
        (daemon.counters().ok()?.dropped("vlan-tagged") == sent).then_some(())
    })
    .with_context(|| format!("{sent} were sent; {:?}", daemon.counters()))?;
    let answered: Vec<_> = wire.drain()?;
    let answered = answered
        .iter()
        .filter(|frame| addresses(frame).is_some_and(|(from, _)| from == METADATA));
    assert_eq!(answered.count(), 0, "the host's own server answered");
    let believed = alice
        .space()
        .output("ip neighbour show to 169.254.169.254")?;
    assert_eq!(believed, "", "a neighbour believes the claim");
    Attack {
        name: "VLAN tags, 1 to 300 of them, around segments and ARP claims",
        tries: sent,
        leaked: 0,
        stopped_by: "dropped at the tap (`vlan-tagged`)",
    }
    .report()
}

/// A cloud around the host: a namespace behind the host's uplink that owns 169.254.169.254.
fn cloud(lab: &Lab) -> Result<Namespace> {
    let cloud = Namespace::new(&format!("{}-cloud", lab.host().name()))?;
    let name = cloud.name();
    lab.host().ip(&format!(
        "link add up0 type veth peer name down0 netns {name}"
    ))?;
    cloud.ip("address add 169.254.169.254/16 dev down0")?;
    cloud.ip("link set down0 up")?;
    lab.host().ip("address add 169.254.1.1/16 dev up0")?;
    lab.host().ip("link set up0 up")?;
    Ok(cloud)
}

#[test]
fn the_hosts_own_metadata_address_still_answers_the_host() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let cloud = cloud(&lab)?;
    let other = Other::start(&cloud)?;
    let alice = guest(&lab, "alice", 5)?;
    host_gets_the_other(&lab).context("before metad")?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for _ in 0..5 {
        gets_its_own(&alice)?;
        host_gets_the_other(&lab).context("while metad runs")?;
    }
    daemon.stop()?;
    host_gets_the_other(&lab).context("after metad")?;
    assert_eq!(other.asked(), 7, "only the host asked the other service");
    Ok(())
}

#[test]
fn a_server_on_the_host_itself_keeps_the_address() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    lab.host().ip("address add 169.254.169.254/32 dev lo")?;
    let other = Other::start(lab.host())?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for _ in 0..5 {
        gets_its_own(&alice)?;
        host_gets_the_other(&lab)?;
    }
    assert_eq!(other.asked(), 5, "only the host asked the other service");
    Ok(())
}

#[test]
fn behind_the_uplink_of_a_bridge_the_address_is_not_ours() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    // The host's way to its cloud leads over the guests' bridge; the bridge's port is the uplink itself, no tap.
    let cloud = cloud(&lab)?;
    for line in [
        "address delete 169.254.1.1/16 dev up0",
        "link add link up0 name lan0 type macvlan mode passthru",
        "link set lan0 master br0",
        "link set lan0 up",
        "address add 169.254.1.1/16 dev br0",
    ] {
        lab.host().ip(line)?;
    }
    let other = Other::start(&cloud)?;
    let alice = guest(&lab, "alice", 5)?;
    let wire = Wire::open(&cloud, "down0")?;
    host_gets_the_other(&lab).context("before metad")?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for _ in 0..5 {
        gets_its_own(&alice)?;
        lab.host().ip("neighbour flush dev br0")?;
        host_gets_the_other(&lab).context("while metad runs")?;
    }
    assert_eq!(other.asked(), 6, "only the host asked the other service");
    // A neighbour out there asks who has the address; the cloud's own stack does not hear what its own NIC sends.
    wire.drain()?;
    let neighbour = [0x02, 0, 0, 0, 0, 0x77];
    wire.send(&who_has(neighbour, [169, 254, 1, 77].into(), METADATA))?;
    wire.send(&who_has(
        neighbour,
        [169, 254, 1, 77].into(),
        [169, 254, 1, 1].into(),
    ))?;
    let answers = |frame: &[u8]| frame.starts_with(&neighbour);
    let first = wire.wait_for("the host's answer for itself", super::SOON, answers)?;
    assert!(!concerns(&first, METADATA), "the LAN was told {first:02x?}");
    // What goes to the address stays out of the host all the same: it could be a guest's.
    let inbound = Ends {
        from_mac: neighbour,
        to_mac: lab.mac_of("br0")?,
        from: [169, 254, 1, 77].into(),
        to: METADATA,
        from_port: 40_000,
        to_port: 80,
    };
    wire.send(&syn(&inbound))?;
    until("a drop", super::SOON, || {
        (daemon.counters().ok()?.dropped("unknown-sender") == 1).then_some(())
    })?;
    assert_eq!(daemon.counters()?.arp_answered, 0, "alice has a route");
    Ok(())
}

#[test]
fn what_nobody_answers_reaches_neither_host_nor_lan() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    // The LAN is a port of the guests' bridge, and the host routes: both would carry it away.
    lab.host()
        .within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))??;
    let cloud = cloud(&lab)?;
    let other = Other::start(&cloud)?;
    let lan = lab.guest("lan", Plug::Bridge("br0"), Some("169.254.169.254/32"))?;
    lan.ip(&format!("route add default via {GATEWAY} dev eth0 onlink"))?;
    let neighbour = Other::start(lan.space())?;
    let (wire, uplink) = (lan.wire()?, Wire::open(&cloud, "down0")?);
    let alice = guest(&lab, "alice", 5)?;
    let stranger = lab.guest("stranger", Plug::Bridge("br0"), Some("10.77.0.9/24"))?;
    stranger.ip(&format!("route add default via {GATEWAY}"))?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let before = daemon.counters()?.dropped("unknown-sender");
    let mut attempts = 0;
    for route in ["default via 10.77.0.1", "169.254.169.254/32 dev eth0"] {
        stranger.ip(&format!("route replace {route}"))?;
        for port in [80, 81] {
            attempts += 1;
            let refused = stranger.try_connect(port, Duration::from_millis(1200))?;
            assert!(refused.is_err(), "port {port} by {route}");
        }
    }
    gets_its_own(&alice)?;
    for (place, wire) in [("the LAN", &wire), ("the uplink", &uplink)] {
        let leaked = wire.drain()?;
        let leaked: Vec<_> = leaked
            .iter()
            .filter(|frame| concerns(frame, METADATA) && !concerns(frame, lan_gateway()))
            .collect();
        assert!(leaked.is_empty(), "{place} saw {leaked:02x?}");
    }
    assert_eq!(
        (other.asked(), neighbour.asked()),
        (0, 0),
        "nobody else was asked"
    );
    let dropped = daemon.counters()?.dropped("unknown-sender") - before;
    assert!(
        dropped >= attempts,
        "{dropped} drops for {attempts} attempts"
    );
    needs::note(&format!(
        "{attempts} attempts, {dropped} frames dropped, none leaked"
    ));
    Ok(())
}

/// What the LAN's own server may send about itself: its ARP for the gateway.
fn lan_gateway() -> std::net::Ipv4Addr {
    GATEWAY
}
