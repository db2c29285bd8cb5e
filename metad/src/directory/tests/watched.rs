//! What the tests of a directory stand on: a directory of their own, and what its source tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::directory::start;
use crate::source::{Change, Event, Outlet, State, Subject};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct Watched {
    pub(super) place: TempDir,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) reread: Arc<Notify>,
    pub(super) task: JoinHandle<()>,
}

/// Follows `records` within a directory of the test's own, and waits for the first look.
pub(super) async fn follow_records(prepare: impl FnOnce(&Path)) -> Watched {
    let place = tempfile::tempdir().unwrap();
    prepare(&place.path().join("records"));
    let (sender, changes) = mpsc::channel(64);
    let reread = Arc::new(Notify::new());
    let outlet = Outlet {
        source: 1,
        changes: sender,
        reread: Arc::clone(&reread),
    };
    let task = start(place.path().join("records"), outlet);
    Watched {
        place,
        changes,
        reread,
        task,
    }
}

pub(super) fn make(records: &Path) {
    fs::create_dir_all(records).unwrap();
}

impl Watched {
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("records").join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) async fn next(&mut self, what: &str) -> Event {
        let change = tokio::time::timeout(DEADLINE, self.changes.recv()).await;
        let change = change.unwrap_or_else(|_| panic!("waiting for {what}"));
        change.expect("the source goes on").event
    }

    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> T {
        loop {
            if let Some(found) = wanted(self.next(what).await) {
                return found;
            }
        }
    }

    pub(super) async fn subject(&mut self, name: &str) -> Subject {
        self.until(name, |event| match event {
            Event::Put(subject) if subject.key == name => Some(*subject),
            Event::Failed { key, problem, .. } if key == name => panic!("{name}: {problem}"),
            _ => None,
        })
        .await
    }

    pub(super) async fn hostname(&mut self, name: &str) -> Option<String> {
        self.subject(name).await.record.hostname
    }

    pub(super) async fn failure(&mut self, name: &str) -> String {
        self.until(name, |event| match event {
            Event::Failed { key, problem, .. } if key == name => Some(problem),
            _ => None,
        })
        .await
    }

    pub(super) async fn gone(&mut self, name: &str) {
        self.until(name, |event| {
            (event
                == Event::Gone {
                    key: name.to_owned(),
                })
            .then_some(())
        })
        .await;
    }

    pub(super) async fn synced(&mut self) -> Vec<String> {
        self.until("synced", |event| match event {
            Event::Synced { keys } => Some(keys),
            _ => None,
        })
        .await
    }

    pub(super) async fn state(&mut self, wanted: impl Fn(&State) -> bool) -> State {
        self.until("state", |event| match event {
            Event::State(state) if wanted(&state) => Some(state),
            _ => None,
        })
        .await
    }

    pub(super) async fn connected(&mut self) {
        self.state(|state| *state == State::Connected).await;
    }
}
