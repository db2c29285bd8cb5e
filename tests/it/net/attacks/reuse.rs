//! What the next machine gets that comes to a tap's name, index, MAC and address: never the last one's answers, with the
//! last one's connections and tokens still in hand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::mac_text;
use metad_tests::lab::{Daemon, Guest, Lab, Plug, Request, Settings};
use metad_tests::needs;
use serde_json::{Value, json};

use super::super::spoof::SECRET;
use super::super::{guest, host_with_bridge, token};
use crate::attacks::Attack;

const ROUNDS: u64 = 8;

/// What somebody keeps of a machine that is gone.
struct Kept {
    stream: TcpStream,
    token: String,
    slot: Option<u64>,
}

/// The machine `first` on the guest's tap, with a secret; what it leaves behind.
fn first(lab: &Lab, daemon: &Daemon, guest: &Guest) -> Result<Kept> {
    let mut record = guest.record();
    record["hostname"] = json!("first");
    record["user-data"] = json!(SECRET);
    lab.record("first", &record)?;
    daemon.seated(&["first"])?;
    let token = token(guest, "21600")?;
    let request = Request::get("/latest/user-data").with("X-aws-ec2-metadata-token", &token);
    ensure!(guest.ask(&request)?.text() == SECRET, "it has no secret");
    let mut stream = guest.connect(80)??;
    stream.write_all(b"GET /latest/user-data HTTP/1.0\r\n")?;
    let slot = slot(&daemon.status()?);
    Ok(Kept {
        stream,
        token,
        slot,
    })
}

fn slot(status: &Value) -> Option<u64> {
    status["instances"][0]["nics"][0]["slot"].as_u64()
}

/// Another machine by every name the first one had, in place of it.
fn second(lab: &Lab, guest: &Guest) -> Result<()> {
    let mut record = guest.record();
    record["hostname"] = json!("second");
    record["instance-id"] = json!("i-00000000000000002");
    lab.forget("first")?;
    lab.record("second", &record)
}

/// How much of the first machine's the second gets by what was kept: of two tries.
fn learned(guest: &Guest, mut kept: Kept) -> Result<u64> {
    let mut told = Vec::new();
    let _wrote = kept.stream.write_all(b"\r\n");
    kept.stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let _read = kept.stream.read_to_end(&mut told);
    let told = String::from_utf8_lossy(&told);
    let request = Request::get("/latest/user-data").with("X-aws-ec2-metadata-token", &kept.token);
    let reply = guest.ask(&request)?;
    Ok(u64::from(told.contains(SECRET)) + u64::from(reply.status != 401))
}

fn is_told_it_is_second(guest: &Guest) -> Result<()> {
    let name = guest.get("/latest/meta-data/hostname")?.text();
    ensure!(name == "second", "it is told that it is {name:?}");
    Ok(())
}

#[test]
fn another_machine_on_the_same_tap_mac_and_address_does_not_inherit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let guest = guest(&lab, "guest", 5)?;
    lab.forget("guest")?;
    let daemon = lab.serve(&Settings::default())?;
    let mut leaked = 0;
    for round in 0..ROUNDS {
        let kept = first(&lab, &daemon, &guest).with_context(|| format!("round {round}"))?;
        let before = kept.slot;
        second(&lab, &guest)?;
        daemon.seated(&["second"])?;
        let now = slot(&daemon.status()?);
        ensure!(
            now.is_some() && now != before,
            "round {round}: the slot was given on at once"
        );
        leaked += learned(&guest, kept)?;
        is_told_it_is_second(&guest)?;
        lab.forget("second")?;
    }
    Attack {
        name: "another machine on the same tap, MAC and address, with the last one's connection and token",
        tries: 2 * ROUNDS,
        leaked,
        stopped_by: "a connection is tied to a slot and its generation, and slots rest for three hours; a token to a UUID (401)",
    }
    .report()
}

#[test]
fn another_machine_on_a_tap_made_anew_under_its_index_and_name_does_not_inherit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let guest = guest(&lab, "guest", 5)?;
    lab.forget("guest")?;
    let daemon = lab.serve(&Settings::default())?;
    let mut leaked = 0;
    for round in 0..ROUNDS {
        let kept = first(&lab, &daemon, &guest).with_context(|| format!("round {round}"))?;
        let tap = guest.interface();
        let index = lab.host().index_of(tap)?;
        // metad sees the old tap, the new one and the new record at once.
        daemon.busy_while(|| {
            guest.unplug(&lab)?;
            let (space, mac) = (guest.space().name(), mac_text(guest.mac()));
            lab.host().ip(&format!(
                "link add {tap} index {index} type veth peer name eth0 netns {space} address {mac}"
            ))?;
            lab.host().ip(&format!("link set {tap} master br0 up"))?;
            second(&lab, &guest)
        })?;
        guest.ip("link set eth0 up")?;
        guest.ip("address add 10.77.0.5/24 dev eth0")?;
        guest.ip("route add default via 10.77.0.1")?;
        daemon.seated(&["second"])?;
        leaked += learned(&guest, kept)?;
        is_told_it_is_second(&guest)?;
        lab.forget("second")?;
    }
    Attack {
        name: "another machine on a tap of the same name, index, MAC and address, made behind metad's back",
        tries: 2 * ROUNDS,
        leaked,
        stopped_by: "the same, and a tap that vanished is believed in again only once its source names it",
    }
    .report()
}

#[test]
fn a_moved_mac_takes_no_connection_along() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let owner = guest(&lab, "guest", 5)?;
    lab.forget("guest")?;
    let mut thief = lab.guest("thief", Plug::Bridge("br0"), Some("10.77.0.5/24"))?;
    let daemon = lab.serve(&Settings::default())?;
    let own = thief.mac();
    let (mut tries, mut leaked) = (0, 0);
    for _ in 0..ROUNDS {
        thief.set_mac(own)?;
        let kept = first(&lab, &daemon, &owner)?;
        // The record now says that MAC and address are on the thief's tap, as after a move between taps.
        thief.set_mac(owner.mac())?;
        let mut record = thief.record();
        record["hostname"] = json!("second");
        lab.forget("first")?;
        lab.record("second", &record)?;
        daemon.seated(&["second"])?;
        thief.ip("route replace default via 10.77.0.1")?;
        let request =
            Request::get("/latest/user-data").with("X-aws-ec2-metadata-token", &kept.token);
        leaked += u64::from(thief.ask(&request)?.status != 401);
        let wire = thief.wire()?;
        let mut stream = kept.stream;
        let _wrote = stream.write_all(b"\r\n");
        let mut told = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let _read = stream.read_to_end(&mut told);
        let seen = wire.drain()?;
        let has_secret = |octets: &[u8]| String::from_utf8_lossy(octets).contains(SECRET);
        leaked += u64::from(has_secret(&told) || seen.iter().any(|frame| has_secret(frame)));
        tries += 2;
        lab.forget("second")?;
    }
    Attack {
        name: "a MAC and an address that move to another tap, with the last owner's connection and token",
        tries,
        leaked,
        stopped_by: "answers are sent only while the NIC that asked still has its slot (`reply-unknown-nic`)",
    }
    .report()
}
