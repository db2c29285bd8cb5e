//! A directory of record files as a source: files in, changes out, as soon as a file is closed or renamed into place.
//!
//! `NAME.yaml`, `NAME.yml` and `NAME.json` say a record for the machine NAME, and so do some files of older tools
//! ([`origin`]); everything else in the directory is somebody else's. A relative `user-data-file` stays within the directory, an absolute one may be anywhere. A
//! directory that does not exist holds no records; one that cannot be read leaves what was told as it is. What must
//! never happen: a file that is still being written counts, or a refusal carries user-data.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::source::{Event, Outlet, State};
use inotify::Watches;
use pending::{Interest, Pending};
use shelf::Shelf;

pub(crate) mod inotify;
pub mod origin;
pub(crate) mod pending;
mod place;
pub mod record_file;
mod schema;
mod shelf;
mod stem;

/// How often a directory is looked at that cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Files that are written again and again hold up a full account this often.
const DOUBTS_MAX: u32 = 20;

/// Follows the record files in `path` until the outlet closes or the task is aborted.
///
/// Must be called within a runtime that drives I/O and time.
pub fn start(path: PathBuf, outlet: Outlet) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut source = Source {
            shelf: Shelf::new(path.clone()),
            path,
            outlet: &outlet,
            watches: Watches::new(),
            pending: Pending::default(),
            interest: Interest::default(),
            doubts: 0,
            state: None,
        };
        source.follow().await;
    })
}

struct Source<'a> {
    path: PathBuf,
    outlet: &'a Outlet,
    shelf: Shelf,
    watches: io::Result<Watches>,
    pending: Pending,
    interest: Interest,
    /// Looks in a row that found files which may not be whole.
    doubts: u32,
    /// What was told last.
    state: Option<State>,
}

impl Source<'_> {
    /// `None`: nobody listens any more.
    async fn follow(&mut self) -> Option<()> {
        let bell = self.outlet.reread.notified();
        tokio::pin!(bell);
        // A ring while a look is under way must lead to another one.
        bell.as_mut().enable();
        // Before the first look, so that what is being written meanwhile is noticed.
        let (interest, wanted) = Interest::new(&self.path, Default::default());
        self.interest = interest;
        let _ = self.watch(&wanted);
        self.pending.ask_for_everything();
        loop {
            let mut retry = None;
            while self.pending.is_due(Instant::now()) {
                retry = self.look().await?;
            }
            tokio::select! {
                biased;
                () = self.outlet.changes.closed() => return None,
                () = bell.as_mut() => {
                    bell.set(self.outlet.reread.notified());
                    bell.as_mut().enable();
                    self.pending.ask_for_everything();
                }
                () = noticed(&self.watches) => self.drain(),
                () = sleep_until(self.pending.due()) => {}
                () = sleep_until(retry) => self.pending.ask_for_a_look(),
            }
        }
    }

    /// Looks once; says when to look again if nobody will say so.
    async fn look(&mut self) -> Option<Option<Instant>> {
        let glance = self.pending.take(Instant::now());
        let mut shelf = std::mem::replace(&mut self.shelf, Shelf::new(self.path.clone()));
        let looked = tokio::task::spawn_blocking(move || {
            let findings = shelf.look(&glance);
            (shelf, findings)
        });
        let (shelf, findings) = looked.await.ok()?;
        self.shelf = shelf;
        // The notices of whatever was written until now are there: they were queued before the writer went on.
        self.drain();
        self.pending.doubt(&findings.fresh);
        self.doubts = if findings.fresh.is_empty() {
            0
        } else {
            self.doubts + 1
        };
        if findings.all && (1..DOUBTS_MAX).contains(&self.doubts) {
            // Whoever asked for everything is told so when it is true.
            self.pending.ask_for_everything_later();
            return Some(None);
        }
        let away = findings.away.clone();
        for event in self.shelf.accept(findings, &self.pending.noticed()) {
            self.outlet.send(event).await.then_some(())?;
        }
        let (interest, wanted) = Interest::new(&self.path, self.shelf.dependencies());
        self.interest = interest;
        let watched = self.watch(&wanted);
        let why = watched.as_ref().err();
        let why = why.map(|error| format!("cannot watch {}: {error}", self.path.display()));
        self.tell(away.or(why)).await?;
        if let Ok(true) = watched {
            // What was not watched may have changed since it was looked at.
            self.pending.ask_for_a_look();
        }
        Some(watched.is_err().then(|| Instant::now() + UNWATCHED))
    }

    fn watch(&mut self, wanted: &std::collections::BTreeSet<PathBuf>) -> Result<bool, String> {
        if self.watches.is_err() {
            self.watches = Watches::new();
        }
        match &mut self.watches {
            Ok(watches) => watches.set(wanted).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn drain(&mut self) {
        if let Ok(watches) = &mut self.watches {
            self.pending.note(watches.drain(), &self.interest);
        }
    }

    async fn tell(&mut self, away: Option<String>) -> Option<()> {
        let state = away.map_or(State::Connected, |why| State::Away { why });
        if self.state.as_ref() != Some(&state) {
            let sent = self.outlet.send(Event::State(state.clone())).await;
            sent.then_some(())?;
            self.state = Some(state);
        }
        Some(())
    }
}

async fn noticed(watches: &io::Result<Watches>) {
    match watches {
        // A queue that cannot be waited for says so when it is drained.
        Ok(watches) => drop(watches.wait().await),
        Err(_) => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
