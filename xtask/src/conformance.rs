//! The conformance suite: looks whether a server at the metadata address does what its clients rely on.
//!
//! In comes a server's URL, ours or a stranger's; out goes a verdict for each rule, and the exit status: 1 where a rule
//! fails that a client breaks without. The server is asked and nothing else; nothing is changed there, since nothing
//! that stores is ever sent. Every wait has an end, and so has the run as a whole.

mod answer;
mod crawl;
mod expect;
mod facts;
mod report;
mod row;
mod rows;
mod subject;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::facts::Said;
use self::report::Outcome;
pub(crate) use self::row::Dialect;
use self::row::{Miss, Probe, Row};
use self::subject::{Pace, Subject, Tokens};

/// The longest that a run may take.
const WHOLE: Duration = Duration::from_secs(300);

/// What to look at, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server, as http://HOST or http://HOST:PORT
    #[arg(long)]
    url: String,
    /// Only these dialects; without it, EC2 and whatever else the server answers
    #[arg(long, value_enum, value_delimiter = ',')]
    dialect: Vec<Dialect>,
    /// Whether reading takes a session token; `auto` finds out
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    token: Mode,
    /// Where NoCloud's files are
    #[arg(long, default_value = "/nocloud/")]
    nocloud: String,
    /// Also write every verdict to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only the rules of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How many seconds an answer may take
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    patience: u64,
}

/// What a person says of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Optional,
    Required,
    Auto,
}

/// Runs the suite and prints its verdicts.
///
/// # Errors
/// The URL is none, nobody answers there, no rule has such a name, or the file cannot be written.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let (authority, address) = locate(&options.url)?;
    let nocloud = options.nocloud.trim_end_matches('/').to_owned();
    ensure!(
        nocloud.starts_with('/') && nocloud.len() > 1,
        "`--nocloud {}` is no path: it begins with a slash and names a directory",
        options.nocloud
    );
    let subject = facts::discover(Said {
        address,
        authority,
        nocloud,
        pace: Pace {
            patience: Duration::from_secs(options.patience),
            hurry: Duration::from_secs(1),
            second: Duration::from_secs(1),
            silence: Duration::from_secs(15),
        },
        tokens: match options.token {
            Mode::Optional => Some(Tokens::Optional),
            Mode::Required => Some(Tokens::Required),
            Mode::Auto => None,
        },
        dialects: options.dialect.clone(),
    })?;
    report::begin(&options.url, &subject);
    let outcomes = examine(&subject, &options.only, WHOLE, report::show);
    ensure!(
        !outcomes.is_empty(),
        "no rule is called {}; docs/conformance.md lists them",
        options.only.join(" or ")
    );
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", report::json(&options.url, &outcomes));
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report::conclude(&outcomes))
}

/// Looks at every rule that was asked for, in order; `show` is told of each.
fn examine(
    subject: &Subject,
    only: &[String],
    whole: Duration,
    mut show: impl FnMut(&'static str, &Outcome),
) -> Vec<Outcome> {
    let began = Instant::now();
    let mut outcomes = Vec::new();
    for (heading, rows) in rows::SECTIONS {
        for row in rows {
            for dialect in dialects(row, subject) {
                let meant = only.is_empty() || only.iter().any(|name| row.is_meant(dialect, name));
                if !meant {
                    continue;
                }
                let verdict = if began.elapsed() < whole {
                    (row.check)(&Probe { subject, dialect })
                } else {
                    let expected = format!("a run of {} s at most", whole.as_secs());
                    Err(Miss::Failed {
                        expected,
                        got: "the time was up before this rule's turn".to_owned(),
                    })
                };
                let outcome = Outcome {
                    row,
                    dialect,
                    verdict,
                };
                show(heading, &outcome);
                outcomes.push(outcome);
            }
        }
    }
    outcomes
}

/// Those of a rule's dialects whose turn it is.
fn dialects(row: &Row, subject: &Subject) -> Vec<Dialect> {
    let here = subject.facts.dialects.iter().copied();
    let mut dialects: Vec<Dialect> = here.filter(|it| row.dialects.contains(it)).collect();
    if row.once {
        dialects.truncate(1);
    }
    dialects
}

/// Reads `http://HOST:PORT`, and asks the system where that is.
fn locate(url: &str) -> Result<(String, SocketAddr)> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("`{url}` does not begin with http://, and the metadata address speaks nothing else");
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    ensure!(
        !authority.is_empty() && path.is_empty() && !authority.contains(['@', '?', '#']),
        "`{url}` is more than a server: give http://HOST or http://HOST:PORT"
    );
    let (host, port) =
        host_and_port(authority).with_context(|| format!("`{url}` has no port after its colon"))?;
    // As in a URL, where a zone's sign is escaped; the system wants it plain.
    let host = host.replace("%25", "%");
    let mut found = (host.as_str(), port)
        .to_socket_addrs()
        .with_context(|| format!("cannot find {authority}"))?;
    let address = found
        .next()
        .with_context(|| format!("{authority} has no address"))?;
    // The zone of an address is this machine's own affair.
    let named = match (host.split_once('%'), authority.split_once(']')) {
        (Some((address, _)), Some((_, port))) => format!("[{address}]{port}"),
        _ => authority.to_owned(),
    };
    Ok((named, address))
}

/// Splits what stands between `http://` and the path; port 80 if none is named.
fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (
                host,
                after
                    .strip_prefix(':')
                    .or(after.is_empty().then_some("80"))?,
            )
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "80")),
    };
    Some((host, port.parse().ok()?))
}
