//! Containers behind a guest's own NAT: the hop limit decides whether a session token reaches them, and an
//! administrator can see that one did not.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{METADATA, ipv6};
use metad_tests::lab::{Daemon, Guest, Lab, Namespace, Reply, Request, Settings, until};
use metad_tests::needs;
use serde_json::json;

use super::{BRIEFLY, SOON, guest, host_with_bridge, token};

/// Attempts in each case.
const TRIES: usize = 5;

/// A container of `guest`, which routes and masquerades for it as a container engine has it do.
fn container(guest: &Guest) -> Result<Namespace> {
    let inside = Namespace::new(&format!("{}-box", guest.space().name()))?;
    let name = inside.name();
    guest.ip(&format!(
        "link add box0 type veth peer name eth0 netns {name}"
    ))?;
    for (space, link, last) in [(guest.space(), "box0", 1), (&inside, "eth0", 2)] {
        space.ip(&format!("address add 10.88.0.{last}/24 dev {link}"))?;
        space.ip(&format!("address add fd88::{last}/64 nodad dev {link}"))?;
        space.ip(&format!("link set {link} up"))?;
    }
    inside.ip("route add default via 10.88.0.1")?;
    inside.ip("-6 route add default via fd88::1")?;
    guest.space().set("net/ipv4/ip_forward", "1")?;
    guest.space().set("net/ipv6/conf/all/forwarding", "1")?;
    for family in ["ip", "ip6"] {
        for rule in [
            "add table FAMILY nat",
            "add chain FAMILY nat out { type nat hook postrouting priority 100 ; }",
            "add rule FAMILY nat out oifname eth0 masquerade",
        ] {
            let rule = rule.replace("FAMILY", family);
            guest.space().output(&format!("nft {rule}"))?;
        }
    }
    Ok(inside)
}

/// A guest at both families' addresses, and its container.
fn scene() -> Result<(Lab, Guest, Namespace)> {
    let lab = host_with_bridge()?;
    let guest = guest(&lab, "guest", 5)?;
    guest.ip("address add fd77::5/64 nodad dev eth0")?;
    guest.ip("-6 route add fd00:ec2::254/128 dev eth0")?;
    let inside = container(&guest)?;
    Ok((lab, guest, inside))
}

fn ask(inside: &Namespace, at: IpAddr, request: &Request<'_>, limit: Duration) -> Result<Reply> {
    let stream = inside.connect_to(SocketAddr::new(at, 80), limit)?;
    request.send(stream.context("the container cannot connect")?)
}

fn given_up(daemon: &Daemon) -> Result<u64> {
    Ok(daemon.counters()?.dropped("hop-limit"))
}

#[test]
fn hop_limit_1_keeps_tokens_from_a_container_and_2_does_not() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, guest, inside) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["guest"])?;
    for at in [IpAddr::from(METADATA), ipv6::METADATA[0].into()] {
        let limited = |limit: u8| {
            let mut record = guest.record();
            record["options"] = json!({ "hop-limit": limit });
            lab.record("guest", &record)
        };
        limited(1)?;
        let (put, name) = (
            Request::token("60"),
            Request::get("/latest/meta-data/hostname"),
        );
        // What needs no token reaches the container: it is the token alone that does not.
        assert_eq!(ask(&inside, at, &name, SOON)?.text(), "guest", "{at}");
        until("a hop limit of 1", SOON, || {
            ask(&inside, at, &put, BRIEFLY).is_err().then_some(())
        })?;
        let before = given_up(&daemon)?;
        for _ in 0..TRIES {
            let refused = ask(&inside, at, &put, BRIEFLY);
            ensure!(refused.is_err(), "{at}: a token reached the container");
        }
        until("an answer that was given up", SOON, || {
            (given_up(&daemon).ok()? > before).then_some(())
        })
        .with_context(|| format!("{at}: {:?}", daemon.counters()))?;
        let counted = given_up(&daemon)? - before;
        token(&guest, "60").context("the guest's own token at a hop limit of 1")?;

        limited(2)?;
        let granted = until("a hop limit of 2", SOON, || {
            ask(&inside, at, &put, BRIEFLY).ok()
        })?;
        assert_eq!(granted.status, 200, "{at}");
        let granted = granted.text();
        for _ in 0..TRIES {
            let reply = ask(&inside, at, &put, SOON)?;
            assert_eq!(reply.status, 200, "{at}: {}", reply.text());
        }
        let with_token = name.clone().with("X-aws-ec2-metadata-token", &granted);
        assert_eq!(ask(&inside, at, &with_token, SOON)?.text(), "guest", "{at}");
        needs::note(&format!(
            "{at}: 0 of {TRIES} tokens at hop limit 1 ({counted} answers given up), {TRIES} of {TRIES} at 2"
        ));
    }
    let shown = daemon.command(&["status"])?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(shown.contains("dropped: hop-limit"), "{shown}");
    Ok(())
}
