//! `[limits]`: what one guest may use of what all guests share.
//!
//! A guest is a NIC here: that is what the kernel programs know it by. Rates are a pace and a burst: who was quiet may ask
//! for a burst at once, and then at the pace.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::section::{Mistake, Section};

/// What one guest may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `false`: there are no rates. What bounds memory stays.
    pub enabled: bool,
    /// New connections; the kernel programs count them. [`Limits::connection_rate`] says whether they are to.
    pub connections: Rate,
    /// Requests, over all NICs of an instance. [`Limits::request_rate`] says whether they are counted.
    pub requests: Rate,
    /// Connections that exist at a time, those that wait for their turn or for their end included.
    pub open_connections: usize,
    /// Connections that are served at a time; not more than are open.
    pub served_connections: usize,
    /// Requests of an instance that wait for a change at a time; fewer than connections that are served.
    pub waiters: usize,
    /// How long a request's head may take.
    pub head_time: Duration,
    /// How long a request's body may take.
    pub body_time: Duration,
    /// How long a connection may last, not counting its waits for a change.
    pub connection_time: Duration,
}

/// So many at once, and then so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

impl Default for Limits {
    /// A first boot of cloud-init makes some sixty requests, each on a connection of its own, and twice as many where it
    /// crawls twice; thirty pods whose SDKs start together, some ten each. Neither may ever feel a limit.
    fn default() -> Self {
        Self {
            enabled: true,
            // Wider than that of requests: a request that is too much is told so, a connection meets silence.
            connections: Rate {
                per_second: 200,
                burst: 600,
            },
            requests: Rate {
                per_second: 100,
                burst: 500,
            },
            open_connections: 160,
            served_connections: 32,
            waiters: 16,
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(5),
            // The largest user-data, over a slow wire.
            connection_time: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// The rate of new connections; `None`: as many as come.
    pub fn connection_rate(&self) -> Option<Rate> {
        self.enabled.then_some(self.connections)
    }

    /// The rate of requests; `None`: as many as come.
    pub fn request_rate(&self) -> Option<Rate> {
        self.enabled.then_some(self.requests)
    }
}

/// What a rate may be, a second or at once.
const RATES: RangeInclusive<u32> = 1..=1_000_000;
/// More connections of one guest than these leave no file descriptors to others.
const CONNECTIONS: RangeInclusive<u32> = 1..=4_096;
const WAITERS: RangeInclusive<u32> = 0..=4_096;
const SECONDS: RangeInclusive<u32> = 1..=3_600;

/// What each number may be, by its key; for documents.
pub const NUMBERS: [(&str, RangeInclusive<u32>); 10] = [
    ("connections-per-second", RATES),
    ("connections-burst", RATES),
    ("requests-per-second", RATES),
    ("requests-burst", RATES),
    ("open-connections", CONNECTIONS),
    ("served-connections", CONNECTIONS),
    ("waiters", WAITERS),
    ("head-seconds", SECONDS),
    ("body-seconds", SECONDS),
    ("connection-seconds", SECONDS),
];

/// Reads `[limits]`.
pub(super) fn limits(table: &Section<'_, '_>) -> Result<Limits, Mistake> {
    table.only(&[
        "enabled",
        "connections-per-second",
        "connections-burst",
        "requests-per-second",
        "requests-burst",
        "open-connections",
        "served-connections",
        "waiters",
        "head-seconds",
        "body-seconds",
        "connection-seconds",
    ])?;
    let usual = Limits::default();
    let rate = |pace, burst, usual: Rate| -> Result<Rate, Mistake> {
        let number = |key| {
            let read = table.number(key, RATES);
            // Who writes none wants none.
            read.map_err(|mistake| mistake.help("`enabled = false` switches all rates off"))
        };
        Ok(Rate {
            per_second: number(pace)?.unwrap_or(usual.per_second),
            burst: number(burst)?.unwrap_or(usual.burst),
        })
    };
    let count = |key, range, usual: usize| -> Result<usize, Mistake> {
        let read = table.number(key, range)?;
        Ok(read
            .and_then(|number| number.try_into().ok())
            .unwrap_or(usual))
    };
    let time = |key, usual: Duration| -> Result<Duration, Mistake> {
        let read = table.number(key, SECONDS)?;
        Ok(read.map_or(usual, |seconds| Duration::from_secs(seconds.into())))
    };
    let limits = Limits {
        enabled: table.flag("enabled")?.unwrap_or(usual.enabled),
        connections: rate(
            "connections-per-second",
            "connections-burst",
            usual.connections,
        )?,
        requests: rate("requests-per-second", "requests-burst", usual.requests)?,
        open_connections: count("open-connections", CONNECTIONS, usual.open_connections)?,
        served_connections: count("served-connections", CONNECTIONS, usual.served_connections)?,
        waiters: count("waiters", WAITERS, usual.waiters)?,
        head_time: time("head-seconds", usual.head_time)?,
        body_time: time("body-seconds", usual.body_time)?,
        connection_time: time("connection-seconds", usual.connection_time)?,
    };
    agree(table, &limits)?;
    Ok(limits)
}

/// Refuses limits of which one makes another one useless.
fn agree(table: &Section<'_, '_>, limits: &Limits) -> Result<(), Mistake> {
    let Limits {
        open_connections: open,
        served_connections: served,
        waiters,
        ..
    } = limits;
    // Whichever of the two is written is the one to complain about.
    if served > open {
        let mistake = table.mistake(
            &["served-connections", "open-connections"],
            format!("{served} connections of a guest can be served only where so many may be open, and `open-connections` is {open}"),
        );
        return Err(unwritten(
            table,
            mistake,
            &[
                (
                    "served-connections",
                    *served,
                    &format!("one of {open} or less"),
                ),
                (
                    "open-connections",
                    *open,
                    &format!("one of {served} or more"),
                ),
            ],
        ));
    }
    if waiters >= served {
        let mistake = table.mistake(
            &["waiters", "served-connections"],
            format!("a guest with {waiters} requests waiting could ask for nothing else, since `served-connections` is {served}"),
        );
        return Err(unwritten(
            table,
            mistake,
            &[
                ("waiters", *waiters, &format!("one below {served}")),
                (
                    "served-connections",
                    *served,
                    &format!("one above {waiters}"),
                ),
            ],
        ));
    }
    Ok(())
}

/// Says which of the numbers in the way nobody has written, and what to write: `(key, number, what fits)`.
fn unwritten(
    table: &Section<'_, '_>,
    mistake: Mistake,
    numbers: &[(&str, usize, &str)],
) -> Mistake {
    match numbers.iter().find(|(key, ..)| table.get(key).is_none()) {
        Some((key, number, fits)) => mistake.help(format!(
            "`{key}` is {number} where it is not written: write {fits}"
        )),
        None => mistake,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Fault};

    fn parse(text: &str) -> Result<Limits, Fault> {
        let text = format!("[limits]\n{text}");
        Config::parse(&text, Path::new("/")).map(|config| config.limits)
    }

    #[test]
    fn every_key_is_taken() {
        let text = "enabled = false\nconnections-per-second = 1\nconnections-burst = 2\n\
                    requests-per-second = 3\nrequests-burst = 4\nopen-connections = 7\n\
                    served-connections = 6\nwaiters = 5\nhead-seconds = 8\nbody-seconds = 9\n\
                    connection-seconds = 10\n";
        let rate = |per_second, burst| Rate { per_second, burst };
        let expected = Limits {
            enabled: false,
            connections: rate(1, 2),
            requests: rate(3, 4),
            open_connections: 7,
            served_connections: 6,
            waiters: 5,
            head_time: Duration::from_secs(8),
            body_time: Duration::from_secs(9),
            connection_time: Duration::from_secs(10),
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(""), Ok(Limits::default()));
    }

    #[test]
    fn the_shipped_file_says_the_defaults() {
        let shipped = include_str!("../../../dist/metad.toml");
        let config = Config::parse(shipped, Path::new("/")).unwrap();
        assert_eq!(config.limits, Limits::default());
        let section = shipped.split("[limits]\n").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        let keys = section
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains(" = "));
        assert_eq!(keys.count(), 11, "every key, with its default");
        for (key, range) in NUMBERS {
            let begin = format!("{key} = ");
            let line = section.lines().find(|line| line.starts_with(&begin));
            let (_, range_there) = line.unwrap_or_default().split_once("  # ").unwrap();
            let (least, most) = range.into_inner();
            assert_eq!(range_there, format!("{least} to {most}"), "{key}");
        }
    }

    #[test]
    fn every_number_has_the_range_that_is_written_down() {
        for (key, range) in NUMBERS {
            let (least, most) = range.into_inner();
            let refused = format!("`{key}` is {{}}, and must be from {least} to {most}");
            for (number, good) in [
                (i64::from(least) - 1, false),
                (i64::from(least), true),
                (i64::from(most), true),
                (i64::from(most) + 1, false),
            ] {
                let told = parse(&format!("{key} = {number}"))
                    .err()
                    .map(|fault| fault.problem);
                // One that is in its range may contradict another one all the same.
                let out_of_range =
                    told.as_deref() == Some(&refused.replace("{}", &number.to_string()));
                assert_eq!(!out_of_range, good, "{key} = {number}: {told:?}");
            }
        }
    }

    #[test]
    fn switched_off_there_are_no_rates_and_still_bounds() {
        let off = parse("enabled = false").unwrap();
        assert_eq!((off.connection_rate(), off.request_rate()), (None, None));
        assert_eq!(off.open_connections, Limits::default().open_connections);
        let on = parse("").unwrap();
        assert_eq!(on.connection_rate(), Some(on.connections));
        assert_eq!(on.request_rate(), Some(on.requests));
    }

    #[test]
    fn numbers_have_bounds_and_must_go_together() {
        for (text, told) in [
            (
                "requests-per-second = 0",
                "line 2, column 23: `requests-per-second` is 0, and must be from 1 to 1000000\nhelp: `enabled = false` switches all rates off",
            ),
            (
                "connections-burst = 1_000_001",
                "line 2, column 21: `connections-burst` is 1000001, and must be from 1 to 1000000\nhelp: `enabled = false` switches all rates off",
            ),
            (
                "connections-per-second = -1",
                "line 2, column 26: `connections-per-second` is -1, and must be from 1 to 1000000\nhelp: `enabled = false` switches all rates off",
            ),
            (
                "open-connections = 99999999999999999999",
                "line 2, column 20: `open-connections` is 99999999999999999999, and must be from 1 to 4096",
            ),
            (
                "head-seconds = 0",
                "line 2, column 16: `head-seconds` is 0, and must be from 1 to 3600",
            ),
            (
                "body-seconds = 0.5",
                "line 2, column 16: `body-seconds` must be a whole number, not a number with a fraction",
            ),
            (
                "waiters = \"16\"",
                "line 2, column 11: `waiters` must be a whole number, not a text",
            ),
            (
                "waiters = 32",
                "line 2, column 11: a guest with 32 requests waiting could ask for nothing else, since `served-connections` is 32\nhelp: `served-connections` is 32 where it is not written: write one above 32",
            ),
            (
                "served-connections = 8",
                "line 2, column 22: a guest with 16 requests waiting could ask for nothing else, since `served-connections` is 8\nhelp: `waiters` is 16 where it is not written: write one below 8",
            ),
            (
                "served-connections = 8\nwaiters = 8",
                "line 3, column 11: a guest with 8 requests waiting could ask for nothing else, since `served-connections` is 8",
            ),
            (
                "open-connections = 20",
                "line 2, column 20: 32 connections of a guest can be served only where so many may be open, and `open-connections` is 20\nhelp: `served-connections` is 32 where it is not written: write one of 20 or less",
            ),
            (
                "connection-per-second = 5",
                "line 2, column 1: unknown key `connection-per-second` in [limits]\nhelp: did you mean `connections-per-second`?",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told, "{text}");
        }
        for text in [
            "waiters = 0",
            "served-connections = 17",
            "open-connections = 0x20",
            "head-seconds = 3600",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }
}
