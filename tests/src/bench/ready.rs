//! From the moment a guest's tap is there to its first right answer, where the guest loses no time at all.
//!
//! Taps are made as libvirt makes them, one after the other, and their guest is this process: a tap is on its bridge and
//! up, and the first SYN is in it before another system call. A real guest takes seconds until then, so that whatever a
//! SYN may meet is met here. Every other start sends SYNs without a pause, which shows for how long nobody takes them.

mod guest;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use self::guest::{Given, Hasty};
use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile};
use crate::frames::{Mac, mac_text};
use crate::lab::{Daemon, Lab, Settings};

pub const BENCH: Bench = Bench {
    name: "ready",
    question: "How soon is a new guest answered, and does its first SYN have to be sent twice?",
    run,
};

const READY: Duration = Duration::from_millis(10);

/// How many guests start.
fn amount(extent: Extent) -> usize {
    match extent {
        Extent::Short => 30,
        Extent::Full => 1_000,
    }
}

/// How a guest begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Temper {
    /// One SYN at once, and another one each second, as Linux does.
    Quick,
    /// A SYN after the other.
    Hasty,
}

/// What came of the starts of one temper.
#[derive(Debug, Default)]
struct Starts {
    /// From the tap's beginning to the last octet of the first answer, sorted.
    times: Vec<Duration>,
    retransmitted: u64,
}

fn run(extent: Extent) -> Result<Outcome> {
    let starts = amount(extent);
    let lab = Lab::new()?;
    lab.bridge("br0", &["10.77.0.1/24"])?;
    for number in 0..2 * starts {
        let record = json!({
            "instance-id": instance_id(number),
            "nics": [{ "mac": mac_text(mac(number)), "interface": interface(number) }],
        });
        lab.record(&format!("guest-{number}"), &record)?;
    }
    let daemon = lab.serve(&Settings::default())?;
    daemon.status_until("every record", |status| {
        status["instances"]
            .as_array()
            .is_some_and(|all| all.len() == 2 * starts)
    })?;
    let (mut quick, mut hasty) = (Starts::default(), Starts::default());
    for number in 0..2 * starts {
        let (temper, starts) = match number % 2 {
            0 => (Temper::Quick, &mut quick),
            _ => (Temper::Hasty, &mut hasty),
        };
        let start = start(&lab, number, temper);
        let (took, retransmitted) = start.with_context(|| format!("guest-{number}"))?;
        starts.times.push(took);
        starts.retransmitted += retransmitted;
    }
    Ok(outcome(&daemon, quick, hasty))
}

/// Makes one guest, and takes it away again.
fn start(lab: &Lab, number: usize, temper: Temper) -> Result<(Duration, u64)> {
    let gateway = lab.mac_of("br0")?;
    let begun = Instant::now();
    let guest = Hasty::new(lab, &interface(number), "br0", (mac(number), gateway))?;
    let pause = match temper {
        Temper::Quick => Duration::from_secs(1),
        Temper::Hasty => Duration::ZERO,
    };
    let Given { body, syns } = guest.ask("/latest/meta-data/instance-id", pause)?;
    let took = begun.elapsed();
    ensure!(body == instance_id(number), "it was told {body:?}");
    Ok((took, syns.saturating_sub(1)))
}

fn instance_id(number: usize) -> String {
    format!("i-{number:017x}")
}

fn interface(number: usize) -> String {
    format!("new{number}")
}

fn mac(number: usize) -> Mac {
    let [.., a, b] = number.to_be_bytes();
    [0x52, 0x54, 3, 0, a, b]
}

fn outcome(daemon: &Daemon, quick: Starts, hasty: Starts) -> Outcome {
    let mut outcome = Outcome {
        columns: vec!["starts", "p50", "p99", "longest", "SYNs sent again"],
        ..Outcome::default()
    };
    let retransmitted = quick.retransmitted;
    for (name, mut starts) in [
        ("one SYN at once, then one a second", quick),
        ("SYNs without a pause", hasty),
    ] {
        starts.times.sort_unstable();
        let times = &starts.times;
        let p99 = quantile(times, 0.99);
        outcome.rows.push(Row {
            name: name.to_owned(),
            cells: vec![
                Cell::Count(times.len().try_into().unwrap_or(u64::MAX)),
                Cell::Time(quantile(times, 0.5)),
                Cell::Time(p99),
                Cell::Time(quantile(times, 1.0)),
                Cell::Count(starts.retransmitted),
            ],
        });
        outcome.targets.push(Target {
            what: format!("{name}: p99 from the tap to the first answer"),
            wanted: format!("≤ {} ms", READY.as_millis()),
            measured: Cell::Time(p99),
            met: p99 <= READY,
            kind: Kind::Fast,
        });
    }
    outcome.targets.push(Target {
        what: "first SYNs that had to be sent again".to_owned(),
        wanted: "0".to_owned(),
        measured: Cell::Count(retransmitted),
        met: retransmitted == 0,
        kind: Kind::Fast,
    });
    if let Ok(status) = daemon.status() {
        let dropped = &status["counters"]["dropped"];
        outcome.notes.push(format!("frames dropped: {dropped}"));
    }
    outcome
}
