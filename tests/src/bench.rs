//! Benches: questions whose answer is a table of ratios, measured side by side in one run inside a sandbox.
//!
//! In comes how much time there is, out come rows and targets. A time says nothing on its own: what counts is its ratio to
//! another one of the same run. What must be right at any speed (nothing lost, nothing mixed up) is a target, too, and the
//! tests hold it with a short run.

pub mod bystander;
pub mod contenders;
pub mod flood_guard;
pub mod latency;
pub mod plot;
pub mod ready;
pub mod requests;
pub mod rounds;
pub mod scale;
pub mod storm;
pub mod token;
pub mod user_data;
pub mod vm;
pub mod worst_guest;

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use self::plot::Plot;

/// Every bench, by name.
pub const ALL: &[Bench] = &[
    requests::CONNECT,
    requests::KEEPALIVE,
    latency::BENCH,
    token::BENCH,
    user_data::BENCH,
    storm::BENCH,
    bystander::BENCH,
    scale::BENCH,
    ready::BENCH,
    vm::BENCH,
    worst_guest::BENCH,
    flood_guard::BENCH,
];

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// As on the command line: `worst-guest`.
    pub name: &'static str,
    pub question: &'static str,
    /// Measures inside a sandbox, with the daemon of `METAD_BIN`. An error: it could not be measured.
    pub run: fn(Extent) -> Result<Outcome>,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Seconds: enough to see whether all is right.
    Short,
    /// Minutes: enough for numbers.
    Full,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The heading of each cell, with its unit where the cell has none: `p99`, `requests`.
    pub columns: Vec<&'static str>,
    pub rows: Vec<Row>,
    pub targets: Vec<Target>,
    /// Sentences that belong to the numbers.
    pub notes: Vec<String>,
    /// What of it is worth a picture.
    pub plots: Vec<Plot>,
}

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub name: String,
    /// As many as there are columns.
    pub cells: Vec<Cell>,
}

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    Nothing,
    Count(u64),
    Time(Duration),
    /// A second.
    Rate(f64),
    Ratio(f64),
    /// In the unit of its column or target.
    Number(f64),
}

/// What was to be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    pub what: String,
    pub wanted: String,
    pub measured: Cell,
    pub met: bool,
    pub kind: Kind,
}

/// What it means that a target is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something is wrong, on any machine.
    Right,
    /// It is slow, here and now.
    Fast,
}

impl Outcome {
    /// Whether everything is as it must be on any machine.
    pub fn is_right(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.all(|target| target.met || target.kind == Kind::Fast)
    }

    /// The same as JSON; times are in microseconds.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let cells = self.columns.iter().zip(&row.cells);
            let cells: serde_json::Map<String, Value> = cells
                .map(|(column, cell)| (cell.key(column), cell.json()))
                .collect();
            json!({ "name": row.name, "values": cells })
        };
        let target = |target: &Target| {
            json!({
                "what": target.what, "wanted": target.wanted, "met": target.met,
                "measured": target.measured.json(),
                "kind": match target.kind { Kind::Right => "right", Kind::Fast => "fast" },
            })
        };
        json!({
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
            "notes": self.notes,
            "plots": self.plots.iter().map(Plot::json).collect::<Vec<_>>(),
        })
    }
}

impl Cell {
    /// As in a table.
    pub fn text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Count(count) => count.to_string(),
            Self::Time(time) if time < Duration::from_micros(10) => {
                format!("{} ns", time.as_nanos())
            }
            Self::Time(time) if time < Duration::from_millis(10) => {
                format!("{} µs", time.as_micros())
            }
            Self::Time(time) => format!("{} ms", time.as_millis()),
            Self::Rate(rate) => format!("{rate:.0}/s"),
            Self::Ratio(ratio) => format!("{ratio:.2} ×"),
            Self::Number(number) => format!("{number:.1}"),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Count(count) => json!(count),
            Self::Time(time) => json!(time.as_secs_f64() * 1e6),
            Self::Rate(number) | Self::Ratio(number) | Self::Number(number) => json!(number),
        }
    }

    fn key(self, column: &str) -> String {
        match self {
            Self::Time(_) => format!("{column}-us"),
            Self::Nothing | Self::Count(_) | Self::Rate(_) | Self::Ratio(_) | Self::Number(_) => {
                column.to_owned()
            }
        }
    }
}

/// The time below which this share (0 to 1) of `times` are; they are sorted. Zero where there are none.
pub fn quantile(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of an index is one"
    )]
    let place = (last as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
    times.get(place).copied().unwrap_or_default()
}

/// How often the second goes into the first; nothing where there is no second.
pub fn ratio(of: Duration, to: Duration) -> Cell {
    if to.is_zero() {
        Cell::Nothing
    } else {
        Cell::Ratio(of.as_secs_f64() / to.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        for (times, share, expected) in [
            (&times[..], 0.5, 51),
            (&times, 0.99, 100),
            (&times, 0.0, 1),
            (&times, 1.0, 100),
            (&times[..1], 0.5, 1),
            (&[], 0.5, 0),
        ] {
            assert_eq!(
                quantile(times, share),
                Duration::from_micros(expected),
                "{share}"
            );
        }
    }

    #[test]
    fn a_slow_machine_is_not_a_wrong_one() {
        let target = |kind, met| Target {
            what: String::new(),
            wanted: String::new(),
            measured: Cell::Nothing,
            met,
            kind,
        };
        for (targets, right) in [
            (vec![], true),
            (
                vec![target(Kind::Fast, false), target(Kind::Right, true)],
                true,
            ),
            (
                vec![target(Kind::Fast, true), target(Kind::Right, false)],
                false,
            ),
        ] {
            let outcome = Outcome {
                targets,
                ..Outcome::default()
            };
            assert_eq!(outcome.is_right(), right, "{outcome:?}");
        }
    }

    #[test]
    fn cells_are_short_and_json_has_units() {
        let outcome = Outcome {
            columns: vec!["p99", "to quiet", "lost", "none"],
            rows: vec![Row {
                name: "quiet".to_owned(),
                cells: vec![
                    Cell::Time(Duration::from_micros(1500)),
                    Cell::Ratio(1.256),
                    Cell::Count(0),
                    Cell::Nothing,
                ],
            }],
            ..Outcome::default()
        };
        let texts: Vec<String> = outcome.rows[0]
            .cells
            .iter()
            .map(|cell| cell.text())
            .collect();
        assert_eq!(texts, ["1500 µs", "1.26 ×", "0", ""]);
        assert_eq!(
            outcome.json()["rows"],
            json!([{"name": "quiet", "values": {"p99-us": 1500.0, "to quiet": 1.256, "lost": 0, "none": null}}])
        );
    }
}
