//! One guest opens connections as fast as it can: the kernel program refuses most of them, and nobody else notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{self, ACK, SYN, ipv6};
use metad_tests::lab::{Guest, Lab, Settings, until};
use metad_tests::needs;

use super::{SOON, gets_its_own, guest, host_with_bridge};

const PORTS: std::ops::RangeInclusive<u16> = 1..=u16::MAX;

/// Sends a segment from every port over both families, as fast as the wire takes them.
fn flood(lab: &Lab, attacker: &Guest, last_octet: u8, flags: u8) -> Result<u64> {
    let wire = attacker.wire()?;
    let to_mac = lab.mac_of("br0")?;
    let mut sent = 0;
    for from_port in PORTS {
        let ends = frames::Ends {
            from_mac: attacker.mac(),
            to_mac,
            from: Ipv4Addr::new(10, 77, 0, last_octet),
            to: frames::METADATA,
            from_port,
            to_port: 80,
        };
        let ends_ipv6 = ipv6::Ends {
            from_mac: attacker.mac(),
            to_mac,
            from: "fe80::66".parse()?,
            to: ipv6::METADATA[0],
            from_port,
            to_port: 80,
        };
        wire.send(&frames::tcp(&ends, flags, 1, 1, b""))?;
        wire.send(&ipv6::tcp(&ends_ipv6, flags, 1, 1, b""))?;
        sent += 2;
    }
    Ok(sent)
}

/// One more answer over a connection that stays open.
fn ask_again(stream: &TcpStream) -> Result<String> {
    let mut to = stream;
    to.write_all(b"GET /latest/meta-data/hostname HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let mut length = None;
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(
            answer.read_line(&mut line)? > 0,
            "the connection was closed"
        );
        let field = line.trim_end().to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length:") {
            length = Some(value.trim().parse()?);
        }
    }
    let mut body = vec![0; length.context("an answer without a length")?];
    answer.read_exact(&mut body)?;
    Ok(String::from_utf8(body)?)
}

#[test]
fn a_flood_of_connections_is_refused_and_another_guests_stays_open() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for (case, flags) in [("SYN", SYN), ("no SYN", ACK)] {
        let lab = host_with_bridge()?;
        let (attacker, victim) = (guest(&lab, "attacker", 6)?, guest(&lab, "victim", 7)?);
        let settings = Settings {
            // The open connection is idle during the flood, which may take long on a busy machine.
            more: "keep-alive = true\n[limits]\nhead-seconds = 3600\nconnection-seconds = 3600",
            ..Settings::default()
        };
        let daemon = lab.serve(&settings)?;
        daemon.seated(&["attacker", "victim"])?;
        let open = victim.connect(80)??;
        open.set_read_timeout(Some(SOON))?;
        ensure!(ask_again(&open)? == "victim", "{case}: before");
        let started = Instant::now();
        let sent = flood(&lab, &attacker, 6, flags)?;
        let took = started.elapsed();
        ensure!(ask_again(&open)? == "victim", "{case}: the open connection");
        gets_its_own(&victim)?;
        let all_seen = || {
            let counters = daemon.counters().ok()?;
            let refused = counters.dropped("connection-limit");
            (counters.delivered + refused >= sent).then_some(counters)
        };
        let counters = until("every frame of the flood", SOON, all_seen)?;
        let refused = counters.dropped("connection-limit");
        needs::note(&format!(
            "{case}: {sent} attempts in {} ms, {refused} refused, {} recalled",
            took.as_millis(),
            counters.recalled
        ));
        // What came at the pace that is allowed, and the burst; the flood may take long on a busy machine.
        let due = 600 + 200 * (took + Duration::from_secs(1)).as_secs();
        ensure!(
            refused + due >= sent,
            "{case}: {refused} of {sent} refused, {due} due"
        );
        ensure!(refused > sent / 2, "{case}: {refused} of {sent} refused");
        ensure!(
            counters.dropped("reply-unknown-flow") == 0,
            "{case}: {counters:?}"
        );
        if flags == SYN {
            // Nobody's connection was forgotten and had to come back.
            ensure!(counters.recalled == 0, "{case}: {counters:?}");
        }
        let status = daemon.status()?;
        let met = |name: &str| {
            let instances = status["instances"].as_array()?;
            let it = instances.iter().find(|it| it["name"] == name)?;
            it["limits"]["connections"].as_u64()
        };
        ensure!(
            met("attacker").is_some_and(|met| met >= refused) && met("victim").is_none(),
            "{case}: whose refusals: {status:#}"
        );
        // TCP tries again, and the bucket fills.
        gets_its_own(&attacker)?;
    }
    Ok(())
}

/// What guests do at their worst: a first boot of cloud-init that crawls twice, and a host of containers whose SDKs all
/// start at once.
#[test]
fn guests_that_only_boot_never_meet_the_limit() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let host = guest(&lab, "containers", 6)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["containers"])?;
    let answered = std::thread::scope(|scope| {
        let pods: Vec<_> = (0..30)
            .map(|_| scope.spawn(|| (0..15).filter(|_| gets_hostname(&host)).count()))
            .collect();
        pods.into_iter()
            .map(|pod| pod.join().unwrap())
            .sum::<usize>()
    });
    ensure!(answered == 30 * 15, "{answered} of 450");
    let counters = daemon.counters()?;
    ensure!(counters.dropped("connection-limit") == 0, "{counters:?}");
    Ok(())
}

/// The bucket is the kernel's, and outlives the daemon whose limit it was filled under.
#[test]
fn a_raised_limit_counts_at_once_for_a_guest_that_met_the_old_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for how in ["a take-over", "a crash"] {
        let lab = host_with_bridge()?;
        let eager = guest(&lab, "eager", 6)?;
        // A bucket that is empty under this limit owes ten minutes, more than the raised one ever lets it.
        let limits = "connections-per-second = 1\nconnections-burst = 600\n";
        let raised = "connections-per-second = 1000\nconnections-burst = 1000\n";
        let mut daemon = lab.serve(&Settings {
            more: &format!("[limits]\n{limits}"),
            ..Settings::default()
        })?;
        daemon.seated(&["eager"])?;
        flood(&lab, &eager, 6, SYN)?;
        let refused = daemon.counters()?.dropped("connection-limit");
        ensure!(refused > 0, "the limit was never met");
        let text = std::fs::read_to_string(daemon.configuration())?;
        std::fs::write(daemon.configuration(), text.replace(limits, raised))?;
        if how == "a crash" {
            daemon.kill()?;
            daemon.start_again()?;
        } else {
            daemon.take_over()?;
        }
        daemon.seated(&["eager"])?;
        let before = daemon.counters()?.dropped("connection-limit");
        for _ in 0..100 {
            drop(eager.connect(80)??);
        }
        let after = daemon.counters()?.dropped("connection-limit");
        // It begins with nothing left under the new limit. Whoever is refused comes again a second later, and finds enough for
        // all of the others.
        ensure!(after - before <= 1, "{how}: {} refused", after - before);
    }
    Ok(())
}

fn gets_hostname(guest: &Guest) -> bool {
    guest
        .get("/latest/meta-data/hostname")
        .is_ok_and(|reply| reply.status == 200 && reply.text() == guest.name())
}
