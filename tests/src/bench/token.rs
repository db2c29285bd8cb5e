//! What session tokens cost: a PUT for one and a GET with it, against two GETs of the same guest.

use std::time::Duration;

use anyhow::Result;

use super::contenders::{Contest, Kind, Wanted};
use super::plot::{Plot, Shape};
use super::rounds::{P50, P99, RATE, Series, all_right, at_least};
use super::{Bench, Cell, Extent, Outcome, Row};
use crate::load::{Ask, Expected, Load, Manner, Step};

pub const BENCH: Bench = Bench {
    name: "token",
    question: "How many pairs of a PUT for a token and a GET with it are answered in a second, against two GETs?",
    run,
};

/// Pairs at a time.
const LANES: usize = 16;
const PATH: &str = "/latest/meta-data/instance-id";
/// What is to be reached of the rate of two GETs.
const WANTED: f64 = 0.9;

/// Rounds, and how long one turn lasts.
fn amount(extent: Extent) -> (usize, Duration) {
    match extent {
        Extent::Short => (1, Duration::from_millis(200)),
        Extent::Full => (9, Duration::from_millis(1_500)),
    }
}

fn run(extent: Extent) -> Result<Outcome> {
    let (rounds, time) = amount(extent);
    let manner = Manner::Closing;
    let contest = Contest::new(
        &[Kind::Metad, Kind::Direct],
        &Wanted {
            paths: &[PATH],
            user_data: 0,
            manner,
        },
    )?;
    let get = contest.step(PATH)?;
    let with_token = pair(&get);
    let twice = [get.clone(), get];
    let (mut tokens, mut gets, mut nginx) =
        (Series::default(), Series::default(), Series::default());
    for _ in 0..rounds {
        for contender in &contest.contenders {
            let turn =
                |script| contender.turn(&Load::alike(contender.lane(script), LANES, manner, time));
            if contender.kind == Kind::Metad {
                tokens.turns.push(turn(&with_token)?);
                gets.turns.push(turn(&twice)?);
            } else {
                nginx.turns.push(turn(&twice)?);
            }
        }
    }
    let mut outcome = told([
        ("metad: PUT, and GET with the token", &tokens),
        ("metad: two GETs", &gets),
        ("nginx on the bridge's address: two GETs", &nginx),
    ]);
    outcome.notes.push(format!(
        "{LANES} pairs at a time, each request on a connection of its own; p50 and p99 are of a request; {rounds} rounds of {} ms",
        time.as_millis()
    ));
    Ok(outcome)
}

/// What came of the pair, of two GETs, and of two GETs of another.
fn told(all: [(&str, &Series); 3]) -> Outcome {
    let [(_, tokens), (_, gets), _] = all;
    let mut outcome = Outcome {
        columns: vec![
            "pairs",
            "to two GETs",
            "server's time a request",
            "p50",
            "p99",
            "requests",
            "failed",
        ],
        ..Outcome::default()
    };
    let mut bars = Vec::new();
    for (name, series) in all {
        let mut bar = series.bar(name, gets, RATE);
        bar.value /= 2.0;
        bars.push(bar);
        outcome.rows.push(Row {
            name: name.to_owned(),
            cells: vec![
                Cell::Rate(series.median(RATE) / 2.0),
                series.to(gets, RATE),
                series.each(),
                series.time(P50),
                series.time(P99),
                Cell::Count(series.answers()),
                Cell::Count(series.failed()),
            ],
        });
        outcome.notes.extend(series.failures(name));
    }
    outcome.plots.push(Plot {
        name: "pairs",
        title: format!("Pairs of requests a second of one guest, {LANES} at a time"),
        shape: Shape::Bars { unit: "/s", bars },
    });
    let all = all.map(|(_, series)| series);
    outcome.targets.push(all_right("all", all));
    let ratio = tokens.to(gets, RATE);
    outcome
        .targets
        .push(at_least("PUT and GET to two GETs", WANTED, ratio));
    outcome
}

/// A PUT for a token, and the same GET with it.
fn pair(get: &Step) -> [Step; 2] {
    let put = "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nUser-Agent: metad-bench\r\nAccept: */*\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (Ask::Whole(get_text) | Ask::Around(get_text, _)) = &get.request;
    let line = get_text.strip_suffix(b"\r\n").unwrap_or(get_text);
    [
        Step {
            request: Ask::Whole(put.as_bytes().to_vec()),
            expected: Expected::Token,
        },
        Step {
            request: Ask::Around(
                [line, b"X-aws-ec2-metadata-token: "].concat(),
                b"\r\n\r\n".to_vec(),
            ),
            expected: get.expected.clone(),
        },
    ]
}
