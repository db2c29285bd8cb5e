//! How long one GET takes, its connection included: where nobody else asks, and where the server has half of what it could
//! bear to do.
//!
//! At half of the peak, requests are due at times that are fixed beforehand, and a request's time begins when it is due: a
//! server that makes others wait has that in its numbers.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contender, Contest, Kind, Wanted};
use super::plot::{Curve, Plot, Shape};
use super::rounds::{P50, P99, RATE, Series, all_right, at_most};
use super::{Bench, Cell, Extent, Outcome, Row, quantile};
use crate::load::{Load, Manner, Pace, Step};

pub const BENCH: Bench = Bench {
    name: "latency",
    question: "How long does one GET take, alone and at half of the peak?",
    run,
};

const KINDS: [Kind; 5] = [
    Kind::Metad,
    Kind::Direct,
    Kind::Dnat,
    Kind::Haproxy,
    Kind::Predecessor,
];
const PATH: &str = "/latest/meta-data/instance-id";
/// Requests at a time while the peak is looked for.
const LANES: usize = 16;
/// Requests that may be under way at half of it: more than there ever are, unless a server falls behind.
const OPEN_LANES: usize = 256;
/// Requests a second where nobody else asks: each is long over before the next.
const IDLE: f64 = 500.0;
/// What p50 and p99 may be of nginx's.
const WANTED: f64 = 1.1;

/// Rounds, and how long one turn lasts: to find the peak, alone, and at half of the peak.
///
/// One answer of a hundred is as slow as the scheduler makes it just then, where the load comes from the same processors:
/// a ratio of such answers needs many short rounds, half of which may say what they like.
fn amount(extent: Extent) -> [(usize, Duration); 3] {
    let turns = match extent {
        Extent::Short => [(1, 100), (1, 200), (1, 200)],
        Extent::Full => [(9, 500), (15, 1_500), (21, 700)],
    };
    turns.map(|(rounds, time)| (rounds, Duration::from_millis(time)))
}

fn run(extent: Extent) -> Result<Outcome> {
    let [(peaks, peaking), (idles, idling), (halves, open)] = amount(extent);
    let contest = Contest::new(
        &KINDS,
        &Wanted {
            paths: &[PATH],
            user_data: 0,
            manner: Manner::Closing,
        },
    )?;
    let script = [contest.step(PATH)?];
    let mut outcome = Outcome {
        columns: vec![
            "offered",
            "p50",
            "p99",
            "p99.9",
            "p50 to nginx",
            "p99 to nginx",
            "answers",
            "failed",
        ],
        ..Outcome::default()
    };
    let peaks = contest.rounds(peaks, |contender| {
        Load::alike(contender.lane(&script), LANES, Manner::Closing, peaking)
    })?;
    let idle = contest.rounds(idles, |contender| Load {
        lanes: vec![contender.lane(&script)],
        pace: Pace::Idle(IDLE),
        time: idling,
        threads: 1,
        manner: Manner::Closing,
    })?;
    outcome.add(("alone", "alone"), &contest, &idle, |_| IDLE)?;
    // The same for all, unless that would drown one.
    let common = f64::min(
        contest.of(Kind::Metad, &peaks)?.median(RATE),
        contest.of(Kind::Direct, &peaks)?.median(RATE),
    ) / 2.0;
    let rate = |contender: &Contender| {
        let peak = contest
            .of(contender.kind, &peaks)
            .map(|series| series.median(RATE));
        peak.map_or(common, |peak| common.min(peak / 2.0)).max(1.0)
    };
    let half = contest.rounds(halves, |contender| {
        half(contender, &script, rate(contender), open)
    })?;
    outcome.add(("half of the peak", "half"), &contest, &half, rate)?;
    outcome.notes.push(format!(
        "alone: one request every {:.0} ms; half of the peak: of metad's or nginx's, whichever is less, and of their own for those whose peak is less",
        1000.0 / IDLE
    ));
    Ok(outcome)
}

/// One thread makes the load, so that the other processors are the server's.
fn half<'a>(contender: &'a Contender, script: &'a [Step], rate: f64, time: Duration) -> Load<'a> {
    Load {
        lanes: vec![contender.lane(script); OPEN_LANES],
        manner: Manner::Closing,
        pace: Pace::Open(rate),
        time,
        threads: 1,
    }
}

impl Outcome {
    fn add(
        &mut self,
        (when, file): (&str, &'static str),
        contest: &Contest,
        all: &[Series],
        offered: impl Fn(&Contender) -> f64,
    ) -> Result<()> {
        let nginx = contest.of(Kind::Direct, all)?;
        self.targets.push(all_right(when, all));
        self.notes.extend(contest.failures(all));
        let curves = contest.contenders.iter().zip(all);
        let curves =
            curves.map(|(contender, series)| Curve::of(contender.kind.name(), &series.times()));
        self.plots.push(Plot {
            name: file,
            title: format!("One GET and its connection, {when}: share of answers within a time"),
            shape: Shape::Curves(curves.collect()),
        });
        for (contender, series) in contest.contenders.iter().zip(all) {
            let name = format!("{when}: {}", contender.kind.name());
            let to_nginx = [P50, P99].map(|measure| series.to(nginx, measure));
            let [p50, p99] = to_nginx;
            self.rows.push(Row {
                name: name.clone(),
                cells: vec![
                    Cell::Rate(offered(contender)),
                    series.time(P50),
                    series.time(P99),
                    Cell::Time(quantile(&series.times(), 0.999)),
                    p50,
                    p99,
                    Cell::Count(series.answers()),
                    Cell::Count(series.failed()),
                ],
            });
            if contender.kind == Kind::Metad {
                self.targets
                    .push(at_most(&format!("{when}: p50 to nginx"), WANTED, p50));
                self.targets
                    .push(at_most(&format!("{when}: p99 to nginx"), WANTED, p99));
            }
        }
        Ok(())
    }
}
