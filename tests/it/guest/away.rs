//! libvirt ends, hangs, deafens and forgets while guests ask: who is known is answered throughout, and nobody is taken
//! for somebody else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::needs;
use metad_tests::smallguest::SmallGuest;
use metad_tests::virt::{Host, Metadata, Network, Nic, Relay, until};
use serde_json::Value;

use super::{SMALL_BOOT, SOON, host, met, small, told, told_soon};

const TYPE: &str = "/latest/meta-data/instance-type";
const ID: &str = "/latest/meta-data/instance-id";
const NAME: &str = "/latest/meta-data/local-hostname";
/// libvirt's keep-alive takes half a minute, metad's look at the list as long.
const NOTICED: Duration = Duration::from_secs(150);

fn of_type(instance_type: &str) -> Metadata {
    Metadata {
        instance_type: Some(instance_type.to_owned()),
        ..Metadata::default()
    }
}

/// Why the libvirt source is away; `None`: it is not.
fn away(host: &Host) -> Result<Option<String>> {
    let status = host.metad.status()?;
    Ok(status["sources"][0]["away"].as_str().map(str::to_owned))
}

fn away_until(host: &Host, what: &str, suits: impl Fn(Option<&str>) -> bool) -> Result<()> {
    let mut last = None;
    until(NOTICED, what, || {
        last = away(host)?;
        Ok(suits(last.as_deref()).then_some(()))
    })
    .with_context(|| format!("the last was {last:?}"))
}

/// Has a guest ask for its instance type without a pause, until it is told to stop.
fn ask_on(guest: &mut SmallGuest) -> Result<()> {
    guest.must(&format!(
        "rm -f /run/stop /run/answers; (while [ ! -e /run/stop ]; do \
         small-guest ask GET {TYPE} > /run/answer 2>&1; echo \"$? $(tr '\\n' ' ' < /run/answer)\" >> /run/answers; \
         done; : > /run/stopped) > /dev/null 2>&1 &"
    ))?;
    Ok(())
}

/// Stops asking, and counts the answers; every one must have been this one.
fn all_told(guest: &mut SmallGuest, expected: &str) -> Result<usize> {
    guest.must(": > /run/stop")?;
    until(SOON, "the last answer", || {
        Ok((guest.run("[ -e /run/stopped ]")?.code == 0).then_some(()))
    })?;
    let counts = guest.must("sort /run/answers | uniq -c; rm /run/stopped")?;
    let lines: Vec<&str> = counts.lines().map(str::trim).collect();
    let [only] = lines.as_slice() else {
        anyhow::bail!("not one answer to all requests:\n{counts}");
    };
    let (count, answer) = only.split_once(' ').context("no count")?;
    ensure!(answer.trim() == format!("0 200 {expected}"), "{counts}");
    Ok(count.parse()?)
}

#[test]
fn no_request_is_lost_while_libvirtd_is_killed_and_hangs() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let mut host = host()?;
    let nic = Nic::new(Network::Default, 15);
    let (guest, mut inside) = small(&host, "unmoved", &[nic], of_type("one"))?;
    ask_on(&mut inside)?;
    host.libvirt.kill();
    away_until(&host, "the killed libvirtd to be missed", |why| {
        why.is_some_and(|why| why.contains("libvirt"))
    })?;
    host.libvirt.start_again()?;
    away_until(&host, "the new libvirtd to be found", |why| why.is_none())?;

    let Host { libvirt, metad, .. } = &mut *host;
    libvirt.hung_while(|| {
        metad.status_until("a hang to be said", |status| {
            let away = status["sources"][0]["away"].as_str();
            away.is_some_and(|why| why.contains("answer"))
        })?;
        // The list of settings goes through the one writer, who must not wait for libvirt.
        let output = metad.command(&["set", "unmoved", "tags/instance/kept", "yes"])?;
        ensure!(
            output.status.success(),
            "metad set during a hang: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    })?;
    away_until(&host, "libvirtd to answer again", |why| why.is_none())?;
    let count = all_told(&mut inside, "one")?;
    ensure!(count > 20, "{count} requests prove little");
    guest.set_metadata(&host.libvirt, &of_type("two"), &["--live"])?;
    told_soon(&mut inside, TYPE, "two")?;
    needs::note(&format!(
        "{count} requests while libvirtd was killed and hung, 0 lost, 0 wrong"
    ));
    guest.remove(&host.libvirt)
}

/// Starts a relay and has metad look at libvirt through it.
fn relayed(host: &mut Host, name: &str) -> Result<Relay> {
    let relay = Relay::start(&host.directory().join(name))?;
    host.look_at(&relay.uri())?;
    Ok(relay)
}

#[test]
fn a_cut_connection_is_replaced_and_a_deaf_one_too() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let mut host = host()?;
    let relay = relayed(&mut host, "cut.sock")?;
    let nic = Nic::new(Network::Default, 16);
    let (guest, mut inside) = small(&host, "listener", &[nic], of_type("one"))?;
    ensure!(relay.connections() == 1);
    relay.cut();
    until(SOON, "a second connection", || {
        Ok((relay.connections() == 2).then_some(()))
    })?;
    away_until(&host, "the new connection to count", |why| why.is_none())?;
    guest.set_metadata(&host.libvirt, &of_type("two"), &["--live"])?;
    told_soon(&mut inside, TYPE, "two")?;

    relay.deafen();
    let nic = Nic::new(Network::Default, 17);
    let (unheard, mut stranger) = small(&host, "unheard", &[nic], of_type("unheard"))?;
    told_soon(&mut stranger, TYPE, "unheard")?;
    until(NOTICED, "a connection that hears", || {
        Ok((relay.connections() == 3).then_some(()))
    })?;
    ensure!(relay.swallowed() > 0, "no event was swallowed");
    told_soon(&mut inside, TYPE, "two")?;
    away_until(&host, "the connection that hears to count", |why| {
        why.is_none()
    })?;
    let before = relay.swallowed();
    unheard.set_metadata(&host.libvirt, &of_type("heard"), &["--live"])?;
    told_soon(&mut stranger, TYPE, "heard")?;
    ensure!(relay.swallowed() == before && relay.connections() == 3);
    needs::note(&format!(
        "{before} events swallowed, cured by the connection that followed"
    ));
    unheard.remove(&host.libvirt)?;
    guest.remove(&host.libvirt)
}

fn listed(host: &Host) -> Result<Vec<String>> {
    let status = host.metad.status()?;
    let instances = status["instances"].as_array().context("no instances")?;
    let names = instances.iter().filter_map(|it| it["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// What happened to a guest's domain while metad did not see it, and the guest that took its place.
#[test]
fn what_happens_while_libvirt_is_away_counts_afterwards_and_nobody_is_mistaken() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let mut host = host()?;
    let relay = relayed(&mut host, "held.sock")?;
    let place = Nic::new(Network::Default, 18).on_tap("shared0");
    let (victim, mut inside) = small(&host, "victim", &[place], of_type("victim"))?;
    ensure!(told(&mut inside, TYPE)? == "victim");
    let (saved, mut kept) = small(
        &host,
        "saved",
        &[Nic::new(Network::Default, 19)],
        of_type("saved"),
    )?;
    ensure!(told(&mut kept, TYPE)? == "saved");
    let memory = host.directory().join("saved.memory");
    let memory = memory.to_string_lossy().into_owned();
    let heir = relay.held_while(|| {
        // Another domain with the same MAC address on a tap of the same name.
        victim.destroy(&host.libvirt)?;
        let heir = super::boot(&host, "heir", &[place], of_type("heir"))?;
        let mut inside = SmallGuest::meet(&heir, SMALL_BOOT)?;
        inside.lease("eth0")?;
        let answer = inside.get(TYPE);
        let answer = answer.map(|reply| (reply.status, reply.text())).ok();
        ensure!(
            answer.as_ref().is_none_or(|(status, _)| *status != 200),
            "told {answer:?} while nobody knows it"
        );
        host.libvirt.virsh(["domrename", "victim", "renamed"])?;
        host.libvirt.virsh(["save", "saved", &memory])?;
        host.libvirt.virsh(["restore", &memory])?;
        let now = host.metad.status()?;
        ensure!(is_listed(&now, "victim"), "what was known is forgotten");
        Ok(heir)
    })?;
    let mut inside = met(&heir)?;
    told_soon(&mut inside, TYPE, "heir")?;
    told_soon(&mut inside, NAME, "heir")?;
    let mut kept = SmallGuest::meet_again(&saved, SMALL_BOOT)?;
    told_soon(&mut kept, TYPE, "saved")?;
    until(NOTICED, "the list to follow", || {
        let names = listed(&host)?;
        let there = |name: &str| names.iter().any(|it| it == name);
        Ok((there("renamed") && there("heir") && !there("victim")).then_some(()))
    })?;
    relay.held_while(|| {
        heir.destroy(&host.libvirt)?;
        host.libvirt.virsh(["undefine", "renamed"])?;
        Ok(())
    })?;
    until(NOTICED, "what is undefined to be forgotten", || {
        Ok((!listed(&host)?.iter().any(|it| it == "renamed")).then_some(()))
    })?;
    let _absent = std::fs::remove_file(Path::new(&memory));
    heir.remove(&host.libvirt)?;
    saved.remove(&host.libvirt)
}

#[test]
fn a_guest_that_is_reverted_while_libvirt_is_away_is_told_what_it_was_told_then() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let mut host = host()?;
    let relay = relayed(&mut host, "reverted.sock")?;
    let nic = Nic::new(Network::Default, 36);
    let (guest, mut inside) = small(&host, "reverted", &[nic], of_type("early"))?;
    ensure!(told(&mut inside, TYPE)? == "early");
    let id = told(&mut inside, ID)?;
    // libvirt keeps a guest's memory in a disk of its own.
    let disk = host.directory().join("reverted.qcow2");
    let disk = disk.to_string_lossy().into_owned();
    let virsh = |line: &str| host.libvirt.virsh(line.split(' '));
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-fqcow2", &disk, "256M"])
        .status()?;
    ensure!(made.success(), "qemu-img: {made}");
    virsh(&format!(
        "attach-disk reverted {disk} vdb --targetbus virtio --driver qemu --subdriver qcow2 --persistent"
    ))?;
    virsh("snapshot-create-as reverted then")?;
    guest.set_metadata(&host.libvirt, &of_type("late"), &["--live", "--config"])?;
    told_soon(&mut inside, TYPE, "late")?;
    drop(inside);
    relay.held_while(|| virsh("snapshot-revert reverted then").map(drop))?;
    let mut inside = SmallGuest::meet_again(&guest, SMALL_BOOT)?;
    told_soon(&mut inside, TYPE, "early")?;
    ensure!(told(&mut inside, ID)? == id, "another instance");
    virsh("snapshot-delete reverted then")?;
    guest.remove(&host.libvirt)
}

fn is_listed(status: &Value, name: &str) -> bool {
    let instances = status["instances"].as_array();
    instances.is_some_and(|all| all.iter().any(|it| it["name"] == name))
}
