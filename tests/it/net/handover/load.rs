//! Guests that ask on and on while their daemon is replaced.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use metad_tests::frames::METADATA;
use metad_tests::lab::{Daemon, Guest, Lab, Reply, Request, Settings, until};

use crate::net::{SOON, guest, token};

/// How often the daemon is replaced under load.
pub(super) const TIMES: usize = 20;
/// How many requests are to be answered between one replacement and the next.
const BETWEEN: usize = 24;
/// Longer than any machine under load takes to answer; a guest that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Guests that ask as often as they can are not what is tried here.
pub(in super::super) fn unlimited() -> Settings<'static> {
    Settings {
        more: "[limits]\nenabled = false\n",
        ..Settings::default()
    }
}

/// What the guests have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answered: AtomicUsize,
    /// Connections that ended before the first octet of their answer, whose request was made again.
    pub(super) repeated: AtomicUsize,
    over: AtomicBool,
}

/// Whether a guest may ask again where its connection ended before any answer, as curl and the SDKs do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Counted,
}

/// What became of one request.
enum Asked {
    Told(Reply),
    /// The connection was made, and ended before the first octet.
    Unheard,
}

/// Asks on and on until it is over. Returns what went wrong.
fn ask_on(guest: &Guest, token: &str, seen: &Seen, again: Again) -> Result<()> {
    let own = guest.name();
    let plain = Request::get("/latest/meta-data/hostname");
    let sealed = plain.clone().with("X-aws-ec2-metadata-token", token);
    guest.space().within(|| {
        while !seen.over.load(Ordering::Relaxed) {
            for request in [&plain, &sealed] {
                let reply = loop {
                    match ask(request).with_context(|| format!("{own} asked"))? {
                        Asked::Told(reply) => break reply,
                        Asked::Unheard if again == Again::Counted => {
                            seen.repeated.fetch_add(1, Ordering::Relaxed);
                        }
                        Asked::Unheard => bail!("{own}: the connection ended without an answer"),
                    }
                };
                let told = reply.text();
                ensure!(
                    reply.status == 200 && told == own,
                    "{own} was told {} {told:?}",
                    reply.status
                );
                seen.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    })?
}

fn ask(request: &Request<'_>) -> Result<Asked> {
    let to = SocketAddr::from((METADATA, 80));
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).context("cannot connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let ended = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    };
    match stream.write_all(request.text().as_bytes()) {
        Err(error) if ended(&error) => return Ok(Asked::Unheard),
        sent => sent.context("cannot send")?,
    }
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(0) => return Ok(Asked::Unheard),
        Err(error) if ended(&error) && octets.is_empty() => return Ok(Asked::Unheard),
        read => read.context("no whole answer")?,
    };
    Ok(Asked::Told(Reply::parse(&octets)?))
}

/// Four guests ask on and on while `replace` is done [`TIMES`] times.
pub(super) fn under_load(
    lab: &Lab,
    daemon: &mut Daemon,
    again: Again,
    mut replace: impl FnMut(&mut Daemon, usize) -> Result<()>,
) -> Result<Seen> {
    let names = ["alice", "bob", "carol", "dave"];
    let guests = names
        .iter()
        .zip(5_u8..)
        .map(|(name, last)| guest(lab, name, last))
        .collect::<Result<Vec<Guest>>>()?;
    daemon.seated(&names)?;
    let tokens = guests
        .iter()
        .map(|guest| token(guest, "21600"))
        .collect::<Result<Vec<String>>>()?;
    let seen = Seen::default();
    thread::scope(|scope| {
        let asking: Vec<_> = guests
            .iter()
            .zip(&tokens)
            .map(|(guest, token)| {
                let seen = &seen;
                scope.spawn(move || {
                    let outcome = ask_on(guest, token, seen, again);
                    // One failure is enough to end it.
                    seen.over.store(true, Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        let mut replaced = Ok(());
        for time in 1..=TIMES {
            if seen.over.load(Ordering::Relaxed) {
                break;
            }
            replaced = replaced
                .and_then(|()| some_more(&seen))
                .and_then(|()| replace(daemon, time))
                .with_context(|| format!("replacement {time}"));
        }
        replaced = replaced.and_then(|()| some_more(&seen));
        seen.over.store(true, Ordering::Relaxed);
        for guest in asking {
            let outcome = guest.join().ok().context("a guest failed")?;
            outcome.with_context(|| format!("{seen:?}; the log:\n{}", daemon.log()))?;
        }
        replaced
    })?;
    Ok(seen)
}

/// Waits until the guests have had some more answers.
fn some_more(seen: &Seen) -> Result<()> {
    let before = seen.answered.load(Ordering::Relaxed);
    until("some more answers", SOON, || {
        let enough = seen.answered.load(Ordering::Relaxed) >= before + BETWEEN;
        (enough || seen.over.load(Ordering::Relaxed)).then_some(())
    })
}
