//! What of an outcome is worth a picture. Who draws it is not decided here.

use std::time::Duration;

use serde_json::{Value, json};

use super::quantile;

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What tells it from the others of its bench; fit for the name of a file.
    pub name: &'static str,
    pub title: String,
    pub shape: Shape,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Longer is better, and the first is the one in question.
    Bars { unit: &'static str, bars: Vec<Bar> },
    /// How many answers took how long; lower is better.
    Curves(Vec<Curve>),
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub name: String,
    /// In the unit of the picture.
    pub value: f64,
    /// To what it is compared with; nothing where there is nothing.
    pub ratio: Option<f64>,
}

/// One distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub name: String,
    /// Tenths of nines (10: nine of ten; 20: 99 of 100), and the time that so many stay below.
    pub points: Vec<(u32, Duration)>,
}

/// The last tenth of a nine: 999 of 1000.
const NINES: u32 = 30;

impl Curve {
    /// The distribution of these times, which are sorted.
    pub fn of(name: &str, times: &[Duration]) -> Self {
        let point = |tenths| {
            let share = 1.0 - 10_f64.powf(-f64::from(tenths) / 10.0);
            (tenths, quantile(times, share))
        };
        Self {
            name: name.to_owned(),
            points: (0..=NINES).map(point).collect(),
        }
    }
}

impl Plot {
    /// The same as JSON; times are in microseconds.
    pub fn json(&self) -> Value {
        let shape = match &self.shape {
            Shape::Bars { unit, bars } => {
                let bar =
                    |bar: &Bar| json!({ "name": bar.name, "value": bar.value, "ratio": bar.ratio });
                json!({ "unit": unit, "bars": bars.iter().map(bar).collect::<Vec<_>>() })
            }
            Shape::Curves(curves) => {
                let point =
                    |(tenths, time): &(u32, Duration)| json!([tenths, time.as_secs_f64() * 1e6]);
                let curve = |curve: &Curve| {
                    let points: Vec<Value> = curve.points.iter().map(point).collect();
                    json!({ "name": curve.name, "tenths-of-nines-us": points })
                };
                json!({ "curves": curves.iter().map(curve).collect::<Vec<_>>() })
            }
        };
        json!({ "name": self.name, "title": self.title, "shape": shape })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_the_quickest_to_999_of_1000() {
        let times: Vec<Duration> = (1..=10_000).map(Duration::from_micros).collect();
        let curve = Curve::of("x", &times);
        let at = |tenths| {
            let mut points = curve.points.iter();
            points
                .find(|(at, _)| *at == tenths)
                .map(|(_, time)| time.as_micros())
        };
        for (tenths, expected) in [(0, 1), (10, 9_001), (20, 9_901), (30, 9_991)] {
            assert_eq!(at(tenths), Some(expected), "{tenths}");
        }
        assert!(curve.points.is_sorted_by_key(|(_, time)| *time));
    }
}
