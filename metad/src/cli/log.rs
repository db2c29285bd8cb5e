//! The daemon's log, on standard error.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::nearest::nearest;

/// What a filter may say alone.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// The crates whose events there are.
const TARGETS: [&str; 7] = [
    "metad",
    "aya",
    "hyper",
    "hyper_util",
    "netlink_proto",
    "rtnetlink",
    "tokio",
];

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Which events are logged.
#[derive(Debug, Clone)]
pub(super) struct Filter(String);

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(word) = text.split(',').map(str::trim).find(|word| is_nothing(word)) {
            let levels = LEVELS.join(", ");
            return Err(match nearest(word, LEVELS) {
                Some(level) => format!("`{word}` is no level; did you mean `{level}`?"),
                None => format!("`{word}` is no level: the levels are {levels}"),
            });
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            Ok(_) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether a part of a filter is neither a level nor a known target. The parser would take it for the name of a target,
/// and log nothing but what that logs: nothing.
fn is_nothing(word: &str) -> bool {
    let mut bare = word.bytes();
    let bare = bare.all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte));
    let root = word.split("::").next().unwrap_or(word);
    bare && !word.is_empty()
        && !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
        && !TARGETS.contains(&root)
        // The parser takes levels as numbers, too.
        && !matches!(word, "0" | "1" | "2" | "3" | "4" | "5")
}

/// Starts logging; once per process.
pub(super) fn start(filter: &Filter, format: Format) {
    let filter = EnvFilter::builder().parse_lossy(&filter.0);
    let terminal = io::stderr().is_terminal();
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal);
    match format {
        Format::Json => log.json().flatten_event(true).init(),
        // journald puts its own time on every line.
        Format::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            log.without_time().with_target(false).init()
        }
        Format::Text => log.with_target(false).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_before_anything_starts() {
        for (text, good) in [
            ("info", true),
            ("warn,metad::libvirt=debug", true),
            ("", false),
            ("metad=loud", false),
            ("a=b=c", false),
            ("INFO", true),
            ("off", true),
            ("3", true),
            ("metad", true),
            ("metad::libvirt", true),
            ("hyper,info", true),
            ("infoo=debug", true),
            ("metad[span]=debug", true),
        ] {
            assert_eq!(text.parse::<Filter>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_level_that_was_meant() {
        for (text, expected) in [
            ("infoo", "`infoo` is no level; did you mean `info`?"),
            ("warn,debgu", "`debgu` is no level; did you mean `debug`?"),
            (
                "zebra",
                "`zebra` is no level: the levels are error, warn, info, debug, trace, off",
            ),
        ] {
            assert_eq!(text.parse::<Filter>().unwrap_err(), expected, "{text}");
        }
    }
}
