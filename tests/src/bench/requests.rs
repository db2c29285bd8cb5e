//! How many requests of one guest are answered in a second: on a connection for each, as cloud-init makes them, and on
//! connections that stay.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contest, Kind, Wanted};
use super::plot::{Plot, Shape};
use super::rounds::{P50, P99, RATE, all_right, at_least};
use super::{Bench, Cell, Extent, Outcome, Row};
use crate::load::{Load, Manner};

pub const CONNECT: Bench = Bench {
    name: "connect",
    question: "How many connections with one request each does one guest get answered in a second?",
    run: |extent| run(extent, Manner::Closing),
};

pub const KEEPALIVE: Bench = Bench {
    name: "keepalive",
    question: "How many requests does one guest get answered in a second on connections that stay?",
    run: |extent| run(extent, Manner::KeptAlive),
};

/// Requests at a time.
const LANES: usize = 16;
const PATH: &str = "/latest/meta-data/instance-id";
/// What is to be reached of nginx's rate.
const WANTED: f64 = 1.0;

/// Rounds, and how long one turn lasts.
fn amount(extent: Extent) -> (usize, Duration) {
    match extent {
        Extent::Short => (1, Duration::from_millis(200)),
        Extent::Full => (9, Duration::from_millis(1_500)),
    }
}

fn run(extent: Extent, manner: Manner) -> Result<Outcome> {
    let (rounds, time) = amount(extent);
    let contest = Contest::new(
        &Kind::ALL,
        &Wanted {
            paths: &[PATH],
            user_data: 0,
            manner,
        },
    )?;
    let script = [contest.step(PATH)?];
    let all = contest.rounds(rounds, |contender| {
        Load::alike(contender.lane(&script), LANES, manner, time)
    })?;
    let mut outcome = Outcome {
        columns: vec![
            "rate",
            "to nginx",
            "server's time each",
            "p50",
            "p99",
            "answers",
            "failed",
        ],
        ..Outcome::default()
    };
    let nginx = contest.of(Kind::Direct, &all)?;
    for (contender, series) in contest.contenders.iter().zip(&all) {
        let name = contender.kind.name();
        outcome.rows.push(Row {
            name: name.to_owned(),
            cells: vec![
                Cell::Rate(series.median(RATE)),
                series.to(nginx, RATE),
                series.each(),
                series.time(P50),
                series.time(P99),
                Cell::Count(series.answers()),
                Cell::Count(series.failed()),
            ],
        });
    }
    let bars = contest.contenders.iter().zip(&all);
    outcome.plots.push(Plot {
        name: "rate",
        title: format!(
            "GETs a second of one guest, {LANES} at a time, {}",
            manner.words()
        ),
        shape: Shape::Bars {
            unit: "/s",
            bars: bars
                .map(|(contender, series)| series.bar(contender.kind.name(), nginx, RATE))
                .collect(),
        },
    });
    outcome.notes.extend(contest.failures(&all));
    outcome.targets.push(all_right("all", &all));
    let metad = contest.of(Kind::Metad, &all)?;
    outcome.targets.push(at_least(
        "metad to nginx on the bridge's address",
        WANTED,
        metad.to(nginx, RATE),
    ));
    outcome.notes.push(format!(
        "{LANES} at a time, {rounds} rounds of {} ms; the server's time is its processes', without what the kernel does at interrupts",
        time.as_millis()
    ));
    Ok(outcome)
}
