//! How a command's error is told: what, on what, why, what now. The chain comes in; text and an exit code go out.
//!
//! A line of an error's text that starts with `help: ` is advice; it is printed last, wherever in the chain it stands.

use std::error::Error;
use std::io;

use super::settings::NoJson;
use crate::admin::{self, ClientError};
use crate::config;
use crate::exit;
use crate::prepare::host::HostError;
use crate::settings::Refusal;
use crate::takeover::TakeOverError;

/// Standard output cannot be written; told apart because a closed pipe is no failure.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(super) struct Unwritten(#[from] pub(super) io::Error);

/// What an error and its causes say, each thing once.
pub(super) struct Told {
    /// What happened, on what, and why, in one line.
    pub(super) what: String,
    /// What else is known, a line each.
    pub(super) more: Vec<String>,
    pub(super) advice: Vec<String>,
}

impl Told {
    /// Takes the whole chain apart.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        let mut heads = Vec::new();
        let mut more = Vec::new();
        let mut advice = Vec::new();
        let mut said = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            // Some libraries repeat their cause in their own text.
            if said.contains(text.as_str()) {
                continue;
            }
            let mut lines = Vec::new();
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                match line.strip_prefix("help: ") {
                    Some(help) => advice.push(help.to_owned()),
                    None => lines.push(line.to_owned()),
                }
            }
            let mut lines = lines.into_iter();
            match lines.next() {
                Some(head) if heads.len() < 2 => heads.push(head),
                Some(head) => more.push(head),
                None => {}
            }
            more.extend(lines);
            said.push_str(&text);
            said.push('\n');
        }
        Self {
            what: heads.join(": "),
            more,
            advice,
        }
    }
}

/// The whole chain, once: the headline with its cause, further causes indented, then the advice.
pub(super) fn text(error: &anyhow::Error) -> String {
    let Told { what, more, advice } = Told::of(error);
    let mut report = format!("metad: {what}\n");
    for line in more {
        report.push_str(&format!("  {line}\n"));
    }
    for help in advice {
        report.push_str(&format!("  help: {help}\n"));
    }
    printable(&report)
}

/// The exit code of the first error in the chain that has one.
pub(super) fn code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(own_code).unwrap_or(exit::FAILURE)
}

/// Whether the reader of our output simply went away, as `head` does.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Unwritten>()
        .is_some_and(|unwritten| unwritten.0.kind() == io::ErrorKind::BrokenPipe)
}

/// Escapes what would move a terminal's cursor: names and files are written by others.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    safe
}

fn own_code(error: &(dyn Error + 'static)) -> Option<u8> {
    if error.is::<config::Error>() {
        return Some(exit::CONFIGURATION);
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return match error {
            ClientError::NotRunning { .. } => Some(exit::NOT_RUNNING),
            ClientError::Denied { .. } => Some(exit::DENIED),
            ClientError::Query(_) => Some(exit::UNKNOWN),
            ClientError::Settings(refusal) => of_refusal(refusal),
            ClientError::Connection { .. }
            | ClientError::Silent { .. }
            | ClientError::Broken { .. }
            | ClientError::Strange { .. }
            | ClientError::Unspeakable { .. } => None,
        };
    }
    if let Some(TakeOverError::NobodyThere(_)) = error.downcast_ref() {
        return Some(exit::NOT_RUNNING);
    }
    if let Some(admin::Error::Taken { .. }) = error.downcast_ref() {
        return Some(exit::ALREADY_RUNNING);
    }
    if error.is::<NoJson>() {
        return Some(exit::USAGE);
    }
    if let Some(HostError::Denied { .. }) = error.downcast_ref() {
        return Some(exit::DENIED);
    }
    let io = error.downcast_ref::<io::Error>()?;
    (io.kind() == io::ErrorKind::PermissionDenied).then_some(exit::DENIED)
}

fn of_refusal(refusal: &Refusal) -> Option<u8> {
    match refusal {
        Refusal::UnknownInstance { .. } => Some(exit::UNKNOWN),
        Refusal::BadPath { .. } | Refusal::BadValue { .. } | Refusal::Malformed { .. } => {
            Some(exit::USAGE)
        }
        Refusal::Ending => Some(exit::NOT_RUNNING),
        Refusal::NotSet { .. } | Refusal::Full { .. } | Refusal::Unstored { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn the_chain_is_told_once() {
        let denied = || io::Error::from_raw_os_error(1);
        for (case, error, expected) in [
            ("alone", anyhow!("cannot fly"), "metad: cannot fly\n"),
            (
                "with cause",
                anyhow::Error::from(denied()).context("cannot attach guest_ingress to vnet3"),
                "metad: cannot attach guest_ingress to vnet3: Operation not permitted (os error 1)\n",
            ),
            (
                "with advice at the head",
                anyhow::Error::from(denied()).context("cannot attach\nhelp: run `metad check`"),
                "metad: cannot attach: Operation not permitted (os error 1)\n  help: run `metad check`\n",
            ),
            (
                "deep, with a second line and advice in the middle",
                anyhow!("c").context("b\nb2\n  help: do this").context("a"),
                "metad: a: b\n  b2\n  c\n  help: do this\n",
            ),
            (
                "repeated cause",
                anyhow!("gone").context("lost: gone"),
                "metad: lost: gone\n",
            ),
            (
                "escape sequence",
                anyhow!("bad name \u{1b}[2J"),
                "metad: bad name \\u{1b}[2J\n",
            ),
        ] {
            assert_eq!(text(&error), expected, "{case}");
        }
    }

    #[test]
    fn codes_come_from_the_chain() {
        let socket = || std::path::PathBuf::from("/run/metad/admin.sock");
        let io = |kind| io::Error::from(kind);
        let config = config::Config::load(Some(std::path::Path::new("/nonexistent/metad.toml")));
        for (case, error, expected) in [
            ("unknown", anyhow!("x"), exit::FAILURE),
            (
                "configuration",
                config.unwrap_err().into(),
                exit::CONFIGURATION,
            ),
            (
                "no daemon",
                ClientError::NotRunning {
                    socket: socket(),
                    running: Vec::new(),
                    source: io(io::ErrorKind::NotFound),
                }
                .into(),
                exit::NOT_RUNNING,
            ),
            (
                "socket denied",
                ClientError::Denied {
                    socket: socket(),
                    source: io(io::ErrorKind::PermissionDenied),
                }
                .into(),
                exit::DENIED,
            ),
            (
                "denied below",
                anyhow::Error::from(io(io::ErrorKind::PermissionDenied))
                    .context("cannot create the namespace"),
                exit::DENIED,
            ),
            (
                "no such instance",
                ClientError::Query(admin::QueryError::unknown_instance("x", [])).into(),
                exit::UNKNOWN,
            ),
            (
                "second daemon",
                anyhow::Error::from(admin::Error::Taken {
                    run_dir: socket(),
                    pid: None,
                })
                .context("cannot serve"),
                exit::ALREADY_RUNNING,
            ),
        ] {
            assert_eq!(code(&error), expected, "{case}");
        }
    }

    #[test]
    fn only_a_closed_pipe_of_ours_is_forgiven() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&Unwritten(pipe()).into()));
        assert!(!is_closed_pipe(&pipe().into()));
        assert!(!is_closed_pipe(
            &Unwritten(io::Error::from(io::ErrorKind::StorageFull)).into()
        ));
    }
}
