//! The daemon's log, on standard error.

use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

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
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            Ok(_) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
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
        ] {
            assert_eq!(text.parse::<Filter>().is_ok(), good, "{text}");
        }
    }
}
