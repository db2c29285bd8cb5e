//! One guest does its worst, and another one is answered meanwhile and loses nothing.
//!
//! Each siege goes on until the limit that it runs into was met, so that no test passes because nothing happened. No time
//! is looked at here: that is the bench's (`cargo xtask bench worst-guest`).

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::bench::{self, Extent};
use metad_tests::lab::{Daemon, Guest, Lab, Settings};
use metad_tests::needs;
use metad_tests::siege::{Siege, Target, witness};
use serde_json::{Value, json};

use super::{BRIEFLY, guest, host_with_bridge, text};

/// Requests of the quiet guest.
const REQUESTS: usize = 60;
const DATA: &str = "/latest/meta-data/hostname";

/// Room for the quiet guest, and little beyond it: a besieger on a busy machine must meet its limits, too.
const LIMITS: &str =
    "keep-alive = true\n[limits]\nrequests-burst = 100\nconnections-burst = 200\nhead-seconds = 2";

struct Place {
    lab: Lab,
    quiet: Guest,
    worst: Guest,
    daemon: Daemon,
}

fn place(more: &str) -> Result<Place> {
    let lab = host_with_bridge()?;
    let (quiet, worst) = (guest(&lab, "quiet", 5)?, guest(&lab, "worst", 6)?);
    let mut record = worst.record();
    record["user-data"] = json!("#".repeat(1024 * 1024));
    lab.record("worst", &record)?;
    let daemon = lab.serve(&Settings {
        more,
        ..Settings::default()
    })?;
    daemon.seated(&["quiet", "worst"])?;
    Ok(Place {
        lab,
        quiet,
        worst,
        daemon,
    })
}

/// How often the worst guest met a limit, or how many frames were dropped for a reason.
fn met(status: &Value, what: &str) -> u64 {
    let instances = status["instances"].as_array().into_iter().flatten();
    let mut worst = instances.filter(|instance| instance["name"] == "worst");
    let limits = worst.next().map(|instance| &instance["limits"][what]);
    let limits = limits.and_then(Value::as_u64).unwrap_or_default();
    limits
        + status["counters"]["dropped"][what]
            .as_u64()
            .unwrap_or_default()
}

/// The quiet guest asks while the other lays the siege, until that has met `limit`.
fn neighbour_is_answered(siege: Siege, limit: &str) -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let place = place(LIMITS)?;
    let target = Target::metadata(place.lab.mac_of("br0")?);
    let over = AtomicBool::new(false);
    let (seen, sent) = std::thread::scope(|scope| -> Result<_> {
        let besieger = scope.spawn(|| siege.lay(&place.worst, &target, &over));
        let seen = witness(&place.quiet, &target, "quiet", REQUESTS);
        let limited = place
            .daemon
            .status_until(&format!("{limit} to be met"), |status| {
                met(status, limit) > 0
            });
        // While the siege still goes on.
        let after = text(&place.quiet, DATA);
        over.store(true, Ordering::Relaxed);
        let sent = besieger.join().ok().context("the siege panicked")??;
        limited?;
        ensure!(after? == "quiet", "the last answer is another's");
        Ok((seen?, sent))
    })?;
    assert_eq!(seen.lost, Vec::<String>::new(), "lost requests");
    assert_eq!(seen.times.len(), REQUESTS);
    let status = place.daemon.status()?;
    let quiet = status["instances"].as_array().and_then(|all| {
        let mut all = all.iter();
        all.find(|instance| instance["name"] == "quiet")
    });
    assert_eq!(
        quiet.map(|quiet| &quiet["limits"]),
        Some(&json!({})),
        "the quiet guest has met no limit"
    );
    needs::note(&format!(
        "{sent} sent by the one, {limit} met {} times; {REQUESTS} of {REQUESTS} answered to the other",
        met(&status, limit)
    ));
    // It is not punished for longer than it goes on.
    let again = metad_tests::lab::until("an answer for the other", super::SOON, || {
        let reply = place.worst.get(DATA).ok()?;
        (reply.status == 200).then_some(reply.text())
    });
    assert_eq!(again?, "worst");
    Ok(())
}

#[test]
fn a_syn_flood_keeps_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::SynFlood, "connection-limit")
}

#[test]
fn ten_thousand_half_open_connections_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::HalfOpen, "connection-limit")
}

#[test]
fn heads_that_come_octet_by_octet_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::Slowloris, "head-time")
}

#[test]
fn answers_that_are_taken_octet_by_octet_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::SlowReaders, "open-connections")
}

#[test]
fn connections_that_come_and_go_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::Churn, "connection-limit")
}

#[test]
fn huge_heads_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::HugeHeads, "head-size")
}

#[test]
fn a_flood_of_requests_keeps_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::Requests, "requests")
}

#[test]
fn pipelined_requests_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::Pipelining, "requests")
}

#[test]
fn connections_that_are_kept_for_nothing_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::KeepAlive, "open-connections")
}

#[test]
fn requests_that_wait_keep_no_neighbour_waiting() -> Result<()> {
    neighbour_is_answered(Siege::Waiters, "waiters")
}

#[test]
fn one_guest_cannot_fill_the_queue_that_all_connections_wait_in() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    const ATTEMPTS: usize = 400;
    let place = place("[limits]\nconnections-per-second = 10\nconnections-burst = 50")?;
    let mut waiting: Vec<TcpStream> = Vec::new();
    let mut late = None;
    // While the daemon accepts nothing, whatever is connected waits in the one queue.
    place.daemon.busy_while(|| {
        let impatience = Duration::from_millis(20);
        for _ in 0..ATTEMPTS {
            waiting.extend(place.worst.try_connect(80, impatience)?.ok());
        }
        late = Some(place.quiet.connect(80)??);
        Ok(())
    })?;
    ensure!(
        (1..ATTEMPTS).contains(&waiting.len()),
        "{} of {ATTEMPTS} connections came in",
        waiting.len()
    );
    let late = late.context("the quiet guest did not connect")?;
    let reply = metad_tests::lab::Request::get(DATA).send(late)?;
    assert_eq!((reply.status, reply.text().as_str()), (200, "quiet"));
    let dropped = place.daemon.counters()?.dropped("connection-limit");
    assert!(dropped > 0, "the kernel program dropped none");
    needs::note(&format!(
        "{} of {ATTEMPTS} came in, {dropped} SYNs were dropped",
        waiting.len()
    ));
    Ok(())
}

#[test]
fn handshakes_and_buffers_are_kept_short_in_metads_namespace_alone() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let place = place("")?;
    let setting = |name: &str| -> Result<[String; 2]> {
        let read = format!("cat /proc/sys/net/{name}");
        let inside = format!("nsenter --net=/run/netns/{} -- {read}", place.lab.name());
        let host = place.lab.host();
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok([words(host.output(&inside)?), words(host.output(&read)?)])
    };
    for (name, expected) in [
        ("ipv4/tcp_synack_retries", "2"),
        ("ipv4/tcp_rmem", "4096 16384 65536"),
        ("ipv4/tcp_orphan_retries", "2"),
    ] {
        let [inside, outside] = setting(name)?;
        assert_eq!(inside, expected, "{name}");
        assert_ne!(outside, expected, "{name}: the host's own is left alone");
    }
    assert_eq!(setting("ipv4/tcp_syncookies")?[0], "1");
    Ok(())
}

#[test]
fn without_rates_a_guest_is_still_bounded() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let limits = "[limits]\nenabled = false\nconnections-burst = 1\nrequests-burst = 1\nopen-connections = 40";
    let place = place(limits)?;
    for _ in 0..30 {
        assert_eq!(text(&place.worst, DATA)?, "worst", "no rate");
    }
    let held: Vec<TcpStream> = (0..60)
        .filter_map(|_| place.worst.try_connect(80, BRIEFLY).ok()?.ok())
        .collect();
    place
        .daemon
        .status_until("a bound", |status| met(status, "open-connections") > 0)?;
    assert_eq!(text(&place.quiet, DATA)?, "quiet");
    drop(held);
    Ok(())
}

#[test]
fn the_bench_of_the_worst_guest_finds_nothing_lost() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let outcome = (bench::worst_guest::BENCH.run)(Extent::Short)?;
    assert_eq!(outcome.rows.len(), Siege::ALL.len());
    assert!(outcome.is_right(), "{:#}", outcome.json());
    Ok(())
}
