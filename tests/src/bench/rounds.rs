//! Turns that contenders take in rounds, and what they come to.
//!
//! A number is the median of its rounds, and a ratio the median of the rounds' ratios: both sides of one are of the same
//! round, so that a machine which has slowed down for a while has done so for both.

use std::time::Duration;

use anyhow::{Context, Result};

use super::contenders::{Contender, Contest, Kind, Turn};
use super::plot::Bar;
use super::{Cell, Kind as Means, Target, quantile};
use crate::load::Load;

/// The turns of one contender.
#[derive(Debug, Clone, Default)]
pub struct Series {
    pub turns: Vec<Turn>,
}

/// What is measured of a turn.
pub type Measure = fn(&Turn) -> f64;

/// Right answers a second.
pub const RATE: Measure = |turn| turn.tally.rate();
/// Octets of bodies a second.
pub const PACE: Measure = |turn| turn.tally.pace();
/// Seconds that half of the answers stay below.
pub const P50: Measure = |turn| quantile(&turn.tally.times, 0.5).as_secs_f64();
/// Seconds that all but one in a hundred answers stay below.
pub const P99: Measure = |turn| quantile(&turn.tally.times, 0.99).as_secs_f64();

impl Contest {
    /// Has all take so many turns, one after the other in each round.
    ///
    /// # Errors
    /// A load cannot be made, or a server is gone.
    pub fn rounds<'a>(
        &'a self,
        rounds: usize,
        load: impl Fn(&'a Contender) -> Load<'a>,
    ) -> Result<Vec<Series>> {
        let mut all = vec![Series::default(); self.contenders.len()];
        for _ in 0..rounds {
            for (contender, series) in self.contenders.iter().zip(&mut all) {
                let turn = contender.turn(&load(contender));
                let turn = turn.with_context(|| contender.kind.name())?;
                series.turns.push(turn);
            }
        }
        Ok(all)
    }

    /// What became of the first requests of each that failed, and what metad says of it.
    pub fn failures(&self, all: &[Series]) -> Vec<String> {
        let mut lines = Vec::new();
        for (contender, series) in self.contenders.iter().zip(all) {
            lines.extend(series.failures(contender.kind.name()));
            let status = contender.daemon().filter(|_| series.failed() > 0);
            let status = status.and_then(|daemon| daemon.status().ok());
            lines.extend(status.map(|status| {
                let name = contender.kind.name();
                let (limits, dropped) = (&status["limits"], &status["counters"]["dropped"]);
                format!("{name}: limits that were met: {limits}; frames dropped: {dropped}")
            }));
        }
        lines
    }

    /// The turns of one of them.
    ///
    /// # Errors
    /// It takes no part.
    pub fn of<'a>(&self, kind: Kind, all: &'a [Series]) -> Result<&'a Series> {
        let mut pairs = self.contenders.iter().zip(all);
        let found = pairs.find(|(contender, _)| contender.kind == kind);
        let (_, series) = found.with_context(|| format!("{} takes no part", kind.name()))?;
        Ok(series)
    }
}

impl Series {
    /// The median of what is measured of its turns.
    pub fn median(&self, measure: Measure) -> f64 {
        median(self.turns.iter().map(measure).collect())
    }

    /// The same as a time.
    pub fn time(&self, measure: Measure) -> Cell {
        Cell::Time(Duration::try_from_secs_f64(self.median(measure)).unwrap_or_default())
    }

    /// The median of the ratios to another's turns of the same rounds; nothing where there are none.
    pub fn to(&self, other: &Self, measure: Measure) -> Cell {
        self.ratio(other, measure)
            .map_or(Cell::Nothing, Cell::Ratio)
    }

    fn ratio(&self, other: &Self, measure: Measure) -> Option<f64> {
        let pairs = self.turns.iter().zip(&other.turns);
        let ratios = pairs.map(|(own, other)| measure(own) / measure(other));
        let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// The times of all its turns, sorted.
    pub fn times(&self) -> Vec<Duration> {
        let times = self.turns.iter().flat_map(|turn| &turn.tally.times);
        let mut times: Vec<Duration> = times.copied().collect();
        times.sort_unstable();
        times
    }

    /// The median of what is measured as a bar, with its ratio to another's.
    pub fn bar(&self, name: &str, other: &Self, measure: Measure) -> Bar {
        Bar {
            name: name.to_owned(),
            value: self.median(measure),
            ratio: self.ratio(other, measure),
        }
    }

    /// Right answers.
    pub fn answers(&self) -> u64 {
        let counts = self.turns.iter().map(|turn| turn.tally.times.len());
        u64::try_from(counts.sum::<usize>()).unwrap_or(u64::MAX)
    }

    /// Requests without a right answer.
    pub fn failed(&self) -> u64 {
        self.turns.iter().map(|turn| turn.tally.failed).sum()
    }

    /// Processor time of the servers for each right answer.
    pub fn each(&self) -> Cell {
        let whole: Duration = self.turns.iter().map(|turn| turn.processor).sum();
        let count = u32::try_from(self.answers()).unwrap_or(u32::MAX);
        whole.checked_div(count).map_or(Cell::Nothing, Cell::Time)
    }

    /// What became of the first requests that failed.
    pub fn failures(&self, name: &str) -> Vec<String> {
        const SHOWN: usize = 3;
        let failures = self.turns.iter().flat_map(|turn| &turn.tally.failures);
        let lines = failures.map(|failure| format!("{name}: failed: {failure}"));
        lines.take(SHOWN).collect()
    }
}

/// Nothing fails, and everybody has answers.
pub fn all_right<'a>(what: &str, all: impl IntoIterator<Item = &'a Series>) -> Target {
    let (mut failed, mut answered) = (0, true);
    for series in all {
        failed += series.failed();
        answered &= series.answers() > 0;
    }
    Target {
        what: format!("{what}: requests without a right answer"),
        wanted: "0, and everybody answers".to_owned(),
        measured: Cell::Count(failed),
        met: failed == 0 && answered,
        kind: Means::Right,
    }
}

/// A ratio that is to be at least so much.
pub fn at_least(what: &str, wanted: f64, measured: Cell) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!("≥ {wanted} ×"),
        measured,
        met: matches!(measured, Cell::Ratio(ratio) if ratio >= wanted),
        kind: Means::Fast,
    }
}

/// A ratio that is to be at most so much.
pub fn at_most(what: &str, wanted: f64, measured: Cell) -> Target {
    Target {
        what: what.to_owned(),
        wanted: format!("≤ {wanted} ×"),
        measured,
        met: matches!(measured, Cell::Ratio(ratio) if ratio <= wanted),
        kind: Means::Fast,
    }
}

/// The one in the middle; of two, the larger. Zero where there is none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    fn series(rates: &[u64]) -> Series {
        let turn = |count: &u64| Turn {
            tally: Tally {
                times: vec![Duration::from_millis(1); usize::try_from(*count).unwrap()],
                took: Duration::from_secs(1),
                ..Tally::default()
            },
            processor: Duration::ZERO,
        };
        Series {
            turns: rates.iter().map(turn).collect(),
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        for (case, own, other, expected) in [
            (
                "steady",
                &[10, 10, 10][..],
                &[20, 20, 20][..],
                Cell::Ratio(0.5),
            ),
            (
                "the machine slows down for both",
                &[10, 1, 10],
                &[20, 2, 20],
                Cell::Ratio(0.5),
            ),
            (
                "one round goes wrong",
                &[10, 1, 10],
                &[20, 20, 20],
                Cell::Ratio(0.5),
            ),
            ("nobody to compare with", &[10], &[0], Cell::Nothing),
            ("no rounds", &[], &[], Cell::Nothing),
        ] {
            assert_eq!(series(own).to(&series(other), RATE), expected, "{case}");
        }
    }

    #[test]
    fn all_is_right_where_nothing_fails_and_everybody_answers() {
        let mut failed = series(&[1]);
        failed.turns[0].tally.failed = 1;
        for (case, all, right) in [
            ("answers", &[series(&[1]), series(&[2])][..], true),
            ("one does not answer", &[series(&[1]), series(&[0])], false),
            ("one fails once", &[series(&[1]), failed], false),
        ] {
            assert_eq!(all_right("x", all).met, right, "{case}");
        }
    }

    #[test]
    fn targets_are_met_or_missed() {
        for (ratio, least, most) in [(0.9, false, true), (1.0, true, true), (1.1, true, false)] {
            assert_eq!(at_least("x", 1.0, Cell::Ratio(ratio)).met, least, "{ratio}");
            assert_eq!(at_most("x", 1.0, Cell::Ratio(ratio)).met, most, "{ratio}");
        }
        assert!(!at_least("x", 1.0, Cell::Nothing).met);
        assert!(!at_most("x", 1.0, Cell::Nothing).met);
    }
}
