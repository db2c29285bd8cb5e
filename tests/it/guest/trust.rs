//! What a real guest may try: another's MAC, a token that nobody gave out, a token of an earlier life.

use anyhow::{Result, ensure};
use metad_tests::needs;
use metad_tests::virt::{Metadata, Network, Nic, until};

use super::{SMALL_BOOT, host, met, small, told};

const TYPE: &str = "/latest/meta-data/instance-type";

fn of_type(instance_type: &str) -> Metadata {
    Metadata {
        instance_type: Some(instance_type.to_owned()),
        ..Metadata::default()
    }
}

#[test]
fn a_guest_under_another_guests_mac_is_told_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let (its, own) = (
        Nic::new(Network::Default, 30),
        Nic::new(Network::Default, 31),
    );
    let (victim, mut honest) = small(&host, "victim", &[its], of_type("secret"))?;
    let (thief, mut spoofer) = small(&host, "thief", &[own], of_type("plain"))?;
    let mut take = |mac: &str| {
        let route = "ip route replace default via 192.168.122.1 dev eth0";
        spoofer.must(&format!(
            "ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; {route}"
        ))?;
        Ok::<_, anyhow::Error>(spoofer.get(TYPE))
    };
    let before = host.metad.counters()?.dropped_in_all();
    let answer = take(&its.mac())?;
    ensure!(answer.is_err(), "the victim's MAC was answered: {answer:?}");
    let after = host.metad.counters()?.dropped_in_all();
    ensure!(
        after > before,
        "its frames were not counted: {before}, then {after}"
    );

    let answer = take(&own.mac())??;
    ensure!(
        answer.text() == "plain",
        "under its own MAC again: {answer:?}"
    );
    ensure!(told(&mut honest, TYPE)? == "secret", "the victim noticed");
    victim.remove(&host.libvirt)?;
    thief.remove(&host.libvirt)
}

#[test]
fn a_token_dies_with_the_run_of_the_guest_that_it_was_given_to() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let nics = [32, 33].map(|number| Nic::new(Network::Default, number));
    let (mut holder, mut inside) = small(&host, "holder", &nics[..1], of_type("holder"))?;
    let (other, mut neighbour) = small(&host, "neighbour", &nics[1..], of_type("neighbour"))?;
    let hours = "X-aws-ec2-metadata-token-ttl-seconds:21600";
    let token = inside.ask("PUT", "/latest/api/token", &[hours])?;
    ensure!(token.status == 200, "{token:?}");
    let token = format!("X-aws-ec2-metadata-token:{}", token.text());
    let forged = "X-aws-ec2-metadata-token:forged";
    ensure!(
        inside.ask("GET", TYPE, &[&token])?.status == 200,
        "its own token"
    );
    ensure!(
        inside.ask("GET", TYPE, &[forged])?.status == 401,
        "a token that nobody gave out"
    );
    ensure!(
        neighbour.ask("GET", TYPE, &[&token])?.status == 401,
        "another guest's token"
    );

    // A reset is the same run of the same machine.
    drop(inside);
    host.libvirt.virsh(["reset", "holder"])?;
    let mut inside = met(&holder)?;
    until(SMALL_BOOT, "the guest to have booted again", || {
        let uptime = inside.must("cut -d. -f1 /proc/uptime")?;
        let fresh = uptime.trim().parse::<u64>()? + 2 <= holder.age().as_secs();
        let ready = fresh && inside.run("test -e /run/eth0.lease")?.code == 0;
        Ok(ready.then_some(()))
    })?;
    ensure!(
        inside.ask("GET", TYPE, &[&token])?.status == 200,
        "its own token after a reset"
    );

    drop(inside);
    holder.destroy(&host.libvirt)?;
    holder.start(&host.libvirt)?;
    let mut inside = met(&holder)?;
    ensure!(
        inside.ask("GET", TYPE, &[&token])?.status == 401,
        "a token of the run before"
    );
    ensure!(told(&mut inside, TYPE)? == "holder", "without a token");
    holder.remove(&host.libvirt)?;
    other.remove(&host.libvirt)
}
