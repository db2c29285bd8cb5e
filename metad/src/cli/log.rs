//! The daemon's log, on standard error.

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::MakeWriter;

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

/// Lines that wait to be written, at most; what comes then is lost. A busy daemon writes some hundred a second.
const LINES_MAX: usize = 16 * 1024;

/// Starts logging; once per process. What is still to be written when the guard is dropped has a second.
///
/// Nobody who answers guests writes the log: whoever reads it (journald, a pipe) may stop reading, and guests must not
/// wait for that.
pub(super) fn start(filter: &Filter, format: Format) -> WorkerGuard {
    let filter = EnvFilter::builder().parse_lossy(&filter.0);
    let terminal = io::stderr().is_terminal();
    let (lines, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(io::stderr());
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(Lines::new(lines, format))
        .with_ansi(terminal);
    match format {
        Format::Json => log.json().flatten_event(true).init(),
        // journald puts its own time on every line.
        Format::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            log.without_time().with_target(false).init()
        }
        Format::Text => log.with_target(false).init(),
    }
    guard
}

/// The way to whoever writes the log, which says how many lines were lost on it.
struct Lines {
    lines: NonBlocking,
    lost: ErrorCounter,
    /// How many of them the log says.
    told: AtomicUsize,
    format: Format,
}

impl Lines {
    fn new(lines: NonBlocking, format: Format) -> Self {
        Self {
            lost: lines.error_counter(),
            lines,
            told: AtomicUsize::new(0),
            format,
        }
    }

    /// A line on those that were lost since the last such line, if there are any.
    fn confession(&self) -> Option<String> {
        let lost = self.lost.dropped_lines();
        let told = self.told.swap(lost, Ordering::Relaxed);
        let lost = lost.checked_sub(told).filter(|lost| *lost > 0)?;
        let text = "lines of the log were lost: nobody took them in time";
        Some(match self.format {
            Format::Text => format!(" WARN {text} lines={lost}\n"),
            Format::Json => {
                format!("{{\"level\":\"WARN\",\"message\":\"{text}\",\"lines\":{lost}}}\n")
            }
        })
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = NonBlocking;

    fn make_writer(&'a self) -> NonBlocking {
        let mut lines = self.lines.clone();
        if let Some(confession) = self.confession() {
            // Where there is no room for it, the next one says more.
            let _kept_or_lost = lines.write(confession.as_bytes());
        }
        lines
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

    /// Writes nothing until it is let.
    struct Stuck(
        std::sync::mpsc::Receiver<()>,
        std::sync::mpsc::Sender<String>,
    );

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _let_or_over = self.0.recv();
            let _heard = self.1.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_never_waits_and_what_is_lost_is_told() {
        for format in [Format::Text, Format::Json] {
            let (go, gone) = std::sync::mpsc::channel();
            let (written, lines) = std::sync::mpsc::channel();
            let (way, guard) = NonBlockingBuilder::default()
                .lossy(true)
                .buffered_lines_limit(10)
                .finish(Stuck(gone, written));
            let log = Lines::new(way, format);
            for number in 0..100 {
                let line = format!("line {number}\n");
                log.make_writer().write_all(line.as_bytes()).unwrap();
            }
            assert!(
                log.lost.dropped_lines() >= 89,
                "{}",
                log.lost.dropped_lines()
            );
            drop(go);
            // Taken one by one from now on, so that there is room again.
            assert_eq!(lines.recv().unwrap(), "line 0\n");
            assert_eq!(lines.recv().unwrap(), "line 1\n");
            let mut told = false;
            while !told {
                log.make_writer().write_all(b"later\n").unwrap();
                let text = lines.recv().unwrap();
                told = text.contains("lost") && text.contains("lines") && text.ends_with('\n');
                if told && format == Format::Json {
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                }
            }
            drop(guard);
        }
    }
}
