//! What a guest feels of the worst that its neighbour can do.
//!
//! A quiet guest asks at its leisure: alone, beside a neighbour that besieges metad, and beside one that besieges another
//! server with the same load, which tells what the machine alone costs. The three take turns, so that whatever else goes
//! on here falls on all of them.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile, ratio};
use crate::lab::{Daemon, Guest, Lab, Plug, Settings, until};
use crate::siege::{self, Peer, Seen, Siege, witness};

pub const BENCH: Bench = Bench {
    name: "worst-guest",
    question: "What does a guest feel of the worst that its neighbour can do?",
    run,
};

/// What the quiet guest's p99 may grow by.
const GROWTH: f64 = 1.5;
const NETWORK: &str = "10.77.0";
const GATEWAY: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 1);
/// What slow readers ask for.
const USER_DATA: usize = 1024 * 1024;
/// For one siege, both guests and a server.
const STARTS: Duration = Duration::from_secs(60);

/// The quiet guest's requests in one turn, and the turns.
fn amount(extent: Extent) -> (usize, usize) {
    match extent {
        Extent::Short => (40, 1),
        Extent::Full => (350, 3),
    }
}

/// A host with a quiet guest and its neighbour.
struct Place {
    lab: Lab,
    quiet: Guest,
    worst: Guest,
    daemon: Daemon,
}

/// What the quiet guest saw of one siege.
#[derive(Default)]
struct Turns {
    alone: Seen,
    beside: Seen,
    control: Seen,
    /// Frames, connections or requests that the neighbour sent at metad.
    sent: u64,
}

fn run(extent: Extent) -> Result<Outcome> {
    let mut outcome = Outcome {
        columns: vec![
            "p50 alone",
            "p99 alone",
            "p50",
            "p99",
            "p99 to alone",
            "p99 to control",
            "requests",
            "lost",
            "sent",
        ],
        ..Outcome::default()
    };
    let place = Place::new()?;
    for siege in Siege::ALL {
        let turns = place.measure(siege, extent).context(siege.name())?;
        outcome.rows.push(row(siege, &turns));
        outcome.targets.extend(targets(siege, &turns));
        outcome.notes.extend(lost(siege, &turns));
    }
    let status = place.daemon.status()?;
    outcome
        .notes
        .push(format!("limits that were met: {}", status["limits"]));
    outcome
        .notes
        .push(format!("frames dropped: {}", status["counters"]["dropped"]));
    outcome.notes.push(
        "control: the same load against another server on the same host, while the quiet guest asks metad"
            .to_owned(),
    );
    Ok(outcome)
}

impl Place {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &[&format!("{GATEWAY}/24")])?;
        let guest = |name: &str, octet: u8| -> Result<Guest> {
            let address = format!("{NETWORK}.{octet}/24");
            let guest = lab.guest(name, Plug::Bridge("br0"), Some(&address))?;
            guest.ip(&format!("route add default via {GATEWAY}"))?;
            let mut record = guest.record();
            record["user-data"] = json!("#".repeat(USER_DATA));
            lab.record(name, &record)?;
            Ok(guest)
        };
        let (quiet, worst) = (guest("quiet", 5)?, guest("worst", 6)?);
        let daemon = lab.serve(&Settings {
            // What can be done on a connection that stays can be done to metad, too.
            more: "keep-alive = true",
            ..Settings::default()
        })?;
        daemon.seated(&["quiet", "worst"])?;
        Ok(Self {
            lab,
            quiet,
            worst,
            daemon,
        })
    }

    fn measure(&self, siege: Siege, extent: Extent) -> Result<Turns> {
        let (requests, times) = amount(extent);
        let mac = self.lab.mac_of("br0")?;
        let metadata = siege::Target::metadata(mac);
        let control = siege::Target {
            address: SocketAddrV4::new(GATEWAY, 80),
            mac,
        };
        let ask = || witness(&self.quiet, &metadata, "quiet", requests);
        let mut turns = Turns::default();
        for _ in 0..times {
            turns.alone.add(ask()?);
            let (seen, sent) = self.beside(siege, &metadata, ask)?;
            turns.beside.add(seen);
            turns.sent += sent;
            let peer = Peer::start(self.lab.host(), control.address, "worst", USER_DATA)?;
            let (seen, _sent) = self.beside(siege, &control, ask)?;
            drop(peer);
            turns.control.add(seen);
        }
        Ok(turns)
    }

    /// What the quiet guest sees while the other lays a siege.
    fn beside(
        &self,
        siege: Siege,
        target: &siege::Target,
        ask: impl Fn() -> Result<Seen>,
    ) -> Result<(Seen, u64)> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let besieger = scope.spawn(|| siege.lay(&self.worst, target, &over));
            let seen = ask();
            over.store(true, Ordering::Relaxed);
            let ended = until("the end of the siege", STARTS, || {
                besieger.is_finished().then_some(())
            });
            ended?;
            let sent = besieger.join().ok().context("the siege failed")??;
            ensure!(sent > 0, "the neighbour did nothing");
            Ok((seen?, sent))
        })
    }
}

fn row(siege: Siege, turns: &Turns) -> Row {
    let Turns {
        alone,
        beside,
        control,
        sent,
    } = turns;
    let p50 = |seen: &Seen| quantile(&seen.times, 0.5);
    let p99 = |seen: &Seen| quantile(&seen.times, 0.99);
    let count = |number: usize| Cell::Count(number.try_into().unwrap_or(u64::MAX));
    Row {
        name: siege.name().to_owned(),
        cells: vec![
            Cell::Time(p50(alone)),
            Cell::Time(p99(alone)),
            Cell::Time(p50(beside)),
            Cell::Time(p99(beside)),
            ratio(p99(beside), p99(alone)),
            ratio(p99(beside), p99(control)),
            count(beside.times.len() + beside.lost.len()),
            count(beside.lost.len()),
            Cell::Count(*sent),
        ],
    }
}

fn targets(siege: Siege, turns: &Turns) -> [Target; 2] {
    let p99 = |seen: &Seen| quantile(&seen.times, 0.99);
    let growth = ratio(p99(&turns.beside), p99(&turns.alone));
    let lost = turns.beside.lost.len();
    [
        Target {
            what: format!("{}: requests lost", siege.name()),
            wanted: "0".to_owned(),
            measured: Cell::Count(lost.try_into().unwrap_or(u64::MAX)),
            met: lost == 0,
            kind: Kind::Right,
        },
        Target {
            what: format!("{}: p99 to that alone", siege.name()),
            wanted: format!("≤ {GROWTH} ×"),
            measured: growth,
            met: matches!(growth, Cell::Ratio(growth) if growth <= GROWTH),
            kind: Kind::Fast,
        },
    ]
}

/// What became of the first requests that were lost.
fn lost(siege: Siege, turns: &Turns) -> Option<String> {
    const SHOWN: usize = 3;
    let lost = &turns.beside.lost;
    let shown: Vec<&str> = lost.iter().take(SHOWN).map(String::as_str).collect();
    (!lost.is_empty()).then(|| format!("{}: lost: {}", siege.name(), shown.join("; ")))
}
