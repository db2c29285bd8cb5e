//! From the moment a guest's tap is there to its first right answer, where the guest loses no time at all.
//!
//! Taps are made as libvirt makes them, one after the other, and their guest is this process, so that it begins when it is
//! told to. One sends a SYN every 0.2 ms from the moment on that its tap is on the bridge: that shows for how long nobody
//! takes them, and leaves the processors to those who would. One boots as quickly as no machine does. And one has its first SYN in the tap before another system
//! call, so that it meets whatever a SYN may meet; what that is, is told and not judged: no machine is there by then.

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
/// How exactly the time until a SYN is taken is known.
const GLANCE: Duration = Duration::from_micros(200);
/// The smallest virtual machines that are known take 100 ms and more to their first process.
const BOOT: Duration = Duration::from_millis(50);

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
    /// A SYN after the other, each from a port of its own.
    Hasty,
    /// One SYN after a boot, and another one each second, as Linux does.
    Booting,
    /// The same without a boot.
    Instant,
}

impl Temper {
    const ALL: [Self; 3] = [Self::Hasty, Self::Booting, Self::Instant];

    /// Who starts in this round. Those that begin at once wait a second each, and are few.
    fn of(round: usize) -> impl Iterator<Item = Self> {
        let mut all = Self::ALL.into_iter();
        std::iter::from_fn(move || all.find(|it| *it != Self::Instant || round.is_multiple_of(10)))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hasty => "from the tap on, a SYN every 0.2 ms",
            Self::Booting => "from the first SYN on, 50 ms after the tap",
            Self::Instant => "from the first SYN on, at once after the tap",
        }
    }
}

/// What came of the starts of one temper.
#[derive(Debug, Default)]
struct Starts {
    /// From the tap's beginning to the last octet of the first answer, sorted.
    times: Vec<Duration>,
    retransmitted: u64,
}

fn run(extent: Extent) -> Result<Outcome> {
    let rounds = amount(extent);
    let all: usize = (0..rounds).map(|round| Temper::of(round).count()).sum();
    let lab = Lab::new()?;
    lab.bridge("br0", &["10.77.0.1/24"])?;
    for number in 0..all {
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
            .is_some_and(|known| known.len() == all)
    })?;
    let mut starts = Temper::ALL.map(|temper| (temper, Starts::default()));
    let mut numbers = 0..all;
    for round in 0..rounds {
        for temper in Temper::of(round) {
            let number = numbers.next().context("a guest without a record")?;
            let start = start(&lab, number, temper);
            let (took, retransmitted) = start.with_context(|| format!("guest-{number}"))?;
            let mut all = starts.iter_mut();
            let (_, starts) = all.find(|(it, _)| *it == temper).context("no such start")?;
            starts.times.push(took);
            starts.retransmitted += retransmitted;
        }
    }
    Ok(outcome(&daemon, starts))
}

/// Makes one guest, and takes it away again.
fn start(lab: &Lab, number: usize, temper: Temper) -> Result<(Duration, u64)> {
    let gateway = lab.mac_of("br0")?;
    let mut guest = Hasty::new(lab, &interface(number), "br0", (mac(number), gateway))?;
    let pause = match temper {
        Temper::Hasty => GLANCE,
        Temper::Booting | Temper::Instant => Duration::from_secs(1),
    };
    if temper == Temper::Booting {
        std::thread::sleep(BOOT);
    }
    let begun = match temper {
        Temper::Hasty => guest.since,
        Temper::Booting | Temper::Instant => Instant::now(),
    };
    let Given { body, syns } = guest.ask("/latest/meta-data/instance-id", pause)?;
    // Before the tap is taken away, which takes its time.
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

fn outcome(daemon: &Daemon, starts: [(Temper, Starts); 3]) -> Outcome {
    let mut outcome = Outcome {
        columns: vec!["starts", "p50", "p99", "longest", "SYNs sent again"],
        ..Outcome::default()
    };
    for (temper, mut starts) in starts {
        starts.times.sort_unstable();
        let times = &starts.times;
        let p99 = quantile(times, 0.99);
        outcome.rows.push(Row {
            name: temper.name().to_owned(),
            cells: vec![
                Cell::Count(times.len().try_into().unwrap_or(u64::MAX)),
                Cell::Time(quantile(times, 0.5)),
                Cell::Time(p99),
                Cell::Time(quantile(times, 1.0)),
                Cell::Count(starts.retransmitted),
            ],
        });
        let target = match temper {
            Temper::Hasty => Target {
                what: "p99 from the tap to the first answer".to_owned(),
                wanted: format!("≤ {} ms", READY.as_millis()),
                measured: Cell::Time(p99),
                met: p99 <= READY,
                kind: Kind::Fast,
            },
            Temper::Booting => Target {
                what: format!(
                    "SYNs sent again, the first {} ms after the tap",
                    BOOT.as_millis()
                ),
                wanted: "0".to_owned(),
                measured: Cell::Count(starts.retransmitted),
                met: starts.retransmitted == 0,
                kind: Kind::Fast,
            },
            Temper::Instant => continue,
        };
        outcome.targets.push(target);
    }
    if let Ok(status) = daemon.status() {
        let dropped = status["counters"]["dropped"].as_object();
        let dropped = dropped.into_iter().flatten();
        let dropped = dropped.filter(|(_, count)| count.as_u64() != Some(0));
        let dropped: Vec<String> = dropped
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let dropped = dropped.join(", ");
        outcome
            .notes
            .push(format!("dropped by metad's programs: {dropped}"));
    }
    outcome
}
