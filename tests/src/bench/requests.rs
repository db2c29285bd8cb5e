//! How many requests of one guest are answered in a second: on a connection for each, as cloud-init makes them, and on
//! connections that stay.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contest, Kind, Turn, Wanted};
use super::{Bench, Cell, Extent, Kind as Means, Outcome, Row, Target, quantile};
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
    let mut turns: Vec<Vec<Turn>> = contest.contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (contender, turns) in contest.contenders.iter().zip(&mut turns) {
            let load = Load::alike(contender.lane(&script), LANES, manner, time);
            turns.push(contender.turn(&load)?);
        }
    }
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
    let limit = contest.contenders.iter().zip(&turns);
    let limit = limit.filter(|(contender, _)| contender.kind == Kind::Direct);
    let limit = limit.map(|(_, turns)| rate(turns)).next().unwrap_or(0.0);
    for (contender, turns) in contest.contenders.iter().zip(&turns) {
        outcome.add(contender.kind, turns, limit);
    }
    outcome.notes.push(format!(
        "{LANES} at a time, {rounds} rounds of {} ms in turns; rates are medians of rounds; the server's time is its processes', without what the kernel does at interrupts",
        time.as_millis()
    ));
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, kind: Kind, turns: &[Turn], limit: f64) {
        let mut times: Vec<Duration> = turns
            .iter()
            .flat_map(|turn| turn.tally.times.clone())
            .collect();
        times.sort_unstable();
        let failed: u64 = turns.iter().map(|turn| turn.tally.failed).sum();
        let processor: Duration = turns.iter().map(|turn| turn.processor).sum();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let share = if limit > 0.0 {
            Cell::Ratio(rate(turns) / limit)
        } else {
            Cell::Nothing
        };
        self.rows.push(Row {
            name: kind.name().to_owned(),
            cells: vec![
                Cell::Rate(rate(turns)),
                share,
                Cell::Time(processor.checked_div(count).unwrap_or_default()),
                Cell::Time(quantile(&times, 0.5)),
                Cell::Time(quantile(&times, 0.99)),
                Cell::Count(count.into()),
                Cell::Count(failed),
            ],
        });
        self.targets.push(Target {
            what: format!("{}: requests without a right answer", kind.name()),
            wanted: "0, and some answers".to_owned(),
            measured: Cell::Count(failed),
            met: failed == 0 && count > 0,
            kind: Means::Right,
        });
        if kind == Kind::Metad {
            self.targets.push(Target {
                what: "metad to nginx on the bridge's address".to_owned(),
                wanted: format!("≥ {WANTED} ×"),
                measured: share,
                met: matches!(share, Cell::Ratio(share) if share >= WANTED),
                kind: Means::Fast,
            });
        }
        let failures = turns.iter().flat_map(|turn| &turn.tally.failures);
        self.notes.extend(
            failures
                .take(3)
                .map(|failure| format!("{}: failed: {failure}", kind.name())),
        );
    }
}

/// The median of the rounds' rates.
fn rate(turns: &[Turn]) -> f64 {
    let mut rates: Vec<f64> = turns.iter().map(|turn| turn.tally.rate()).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}
