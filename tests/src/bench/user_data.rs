//! How quickly large answers go out: user-data of EC2's size and of the largest that metad takes.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contender, Contest, Kind, Wanted};
use super::plot::{Plot, Shape};
use super::rounds::{P50, P99, PACE, Series, all_right, at_least};
use super::{Bench, Cell, Extent, Outcome, Row};
use crate::load::{Load, Manner};

pub const BENCH: Bench = Bench {
    name: "user-data",
    question: "How many octets of user-data does one guest get in a second?",
    run,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MEBI: f64 = 1_048_576.0;
const SIZES: [Size; 2] = [
    Size {
        octets: 16 * KIB,
        name: "16 KiB",
        file: "16k",
        lanes: 16,
    },
    Size {
        octets: MIB,
        name: "1 MiB",
        file: "1m",
        lanes: 4,
    },
];
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

/// A size of user-data.
struct Size {
    octets: usize,
    name: &'static str,
    file: &'static str,
    /// Requests at a time.
    lanes: usize,
}

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
    for size in SIZES {
        measure(extent, &size, &mut outcome)?;
    }
    let (rounds, time) = amount(extent);
    outcome.notes.push(format!(
        "16 requests at a time for 16 KiB and 4 for 1 MiB, each on a connection of its own; {rounds} rounds of {} ms",
        time.as_millis()
    ));
    Ok(outcome)
}

fn measure(extent: Extent, size: &Size, outcome: &mut Outcome) -> Result<()> {
    let (rounds, time) = amount(extent);
    let manner = Manner::Closing;
    let contest = Contest::new(
        &KINDS,
        &Wanted {
            paths: &[PATH],
            user_data: size.octets,
            manner,
        },
    )?;
    let script = [contest.step(PATH)?];
    let all = contest.rounds(rounds, |contender| {
        Load::alike(contender.lane(&script), size.lanes, manner, time)
    })?;
    let nginx = contest.of(Kind::Direct, &all)?;
    for (contender, series) in contest.contenders.iter().zip(&all) {
        let name = format!("{}: {}", size.name, contender.kind.name());
        outcome.rows.push(Row {
            name: name.clone(),
            cells: vec![
                Cell::Number(series.median(PACE) / MEBI),
                series.to(nginx, PACE),
                series.each(),
                series.time(P50),
                series.time(P99),
                Cell::Count(series.answers()),
                Cell::Count(series.failed()),
            ],
        });
    }
    let bar = |(contender, series): (&Contender, &Series)| {
        let mut bar = series.bar(contender.kind.name(), nginx, PACE);
        bar.value /= MEBI;
        bar
    };
    outcome.plots.push(Plot {
        name: size.file,
        title: format!("user-data of {}: MiB a second to one guest", size.name),
        shape: Shape::Bars {
            unit: " MiB/s",
            bars: contest.contenders.iter().zip(&all).map(bar).collect(),
        },
    });
    outcome.notes.extend(contest.failures(&all));
    outcome.targets.push(all_right(size.name, &all));
    let metad = contest.of(Kind::Metad, &all)?;
    let what = format!("{}: metad to nginx on the bridge's address", size.name);
    outcome
        .targets
        .push(at_least(&what, WANTED, metad.to(nginx, PACE)));
    Ok(())
}
