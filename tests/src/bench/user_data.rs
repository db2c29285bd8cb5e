//! How quickly large answers go out: user-data of EC2's size and of the largest that metad takes.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contest, Kind, Wanted};
use super::rounds::{P50, P99, PACE, at_least};
use super::{Bench, Cell, Extent, Outcome, Row};
use crate::load::{Load, Manner};

pub const BENCH: Bench = Bench {
    name: "user-data",
    question: "How many octets of user-data does one guest get in a second?",
    run,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Octets, what they are called, and how many guests' requests there are at a time.
const SIZES: [(usize, &str, usize); 2] = [(16 * KIB, "16 KiB", 16), (MIB, "1 MiB", 4)];
const PATH: &str = "/latest/user-data";
const KINDS: [Kind; 5] = [
    Kind::Metad,
    Kind::Direct,
    Kind::Dnat,
    Kind::Haproxy,
    Kind::Predecessor,
];
/// What is to be reached of nginx's pace.
const WANTED: f64 = 1.0;

/// Rounds, and how long one turn lasts.
fn amount(extent: Extent) -> (usize, Duration) {
    match extent {
        Extent::Short => (1, Duration::from_millis(150)),
        Extent::Full => (9, Duration::from_millis(1_200)),
    }
}

fn run(extent: Extent) -> Result<Outcome> {
    let mut outcome = Outcome {
        columns: vec![
            "MiB a second",
            "to nginx",
            "server's time each",
            "p50",
            "p99",
            "answers",
            "failed",
        ],
        ..Outcome::default()
    };
    for (octets, size, lanes) in SIZES {
        measure(extent, octets, size, lanes, &mut outcome)?;
    }
    let (rounds, time) = amount(extent);
    outcome.notes.push(format!(
        "16 requests at a time for 16 KiB and 4 for 1 MiB, each on a connection of its own; {rounds} rounds of {} ms",
        time.as_millis()
    ));
    Ok(outcome)
}

fn measure(
    extent: Extent,
    octets: usize,
    size: &str,
    lanes: usize,
    outcome: &mut Outcome,
) -> Result<()> {
    let (rounds, time) = amount(extent);
    let manner = Manner::Closing;
    let contest = Contest::new(
        &KINDS,
        &Wanted {
            paths: &[PATH],
            user_data: octets,
            manner,
        },
    )?;
    let script = [contest.step(PATH)?];
    let all = contest.rounds(rounds, |contender| {
        Load::alike(contender.lane(&script), lanes, manner, time)
    })?;
    let nginx = contest.of(Kind::Direct, &all)?;
    for (contender, series) in contest.contenders.iter().zip(&all) {
        let name = format!("{size}: {}", contender.kind.name());
        #[expect(clippy::cast_precision_loss, reason = "2^20")]
        let pace = series.median(PACE) / MIB as f64;
        outcome.rows.push(Row {
            name: name.clone(),
            cells: vec![
                Cell::Number(pace),
                series.to(nginx, PACE),
                series.each(),
                series.time(P50),
                series.time(P99),
                Cell::Count(series.answers()),
                Cell::Count(series.failed()),
            ],
        });
        outcome.targets.push(series.is_right(&name));
        outcome.notes.extend(series.failures(&name));
    }
    let metad = contest.of(Kind::Metad, &all)?;
    let what = format!("{size}: metad to nginx on the bridge's address");
    outcome
        .targets
        .push(at_least(&what, WANTED, metad.to(nginx, PACE)));
    Ok(())
}
