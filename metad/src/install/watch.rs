//! Follows the directory of templates: whenever a file of it is whole again, everything is read and compiled anew.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Engine, Files, Install, Templates};
use crate::directory::inotify::Watches;
use crate::directory::pending::{Interest, Pending};

/// How often a directory is looked at that cannot be watched.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Reads the templates, and follows them until nobody listens or the task is aborted.
///
/// Must be called within a runtime that drives I/O and time.
pub async fn start(
    config: Install,
    engine: Engine,
) -> (watch::Receiver<Arc<Templates>>, JoinHandle<()>) {
    let mut follower = Follower::new(config, engine);
    // Before the first look, so that what is written meanwhile is noticed.
    let _ = follower.watch();
    let files = read(&follower.config.templates).await;
    let templates = follower.compile(&files).await;
    let (sender, receiver) = watch::channel(Arc::new(templates));
    follower.files = files;
    let task = tokio::spawn(async move { follower.follow(sender).await });
    (receiver, task)
}

struct Follower {
    config: Install,
    engine: Engine,
    files: Files,
    watches: io::Result<Watches>,
    interest: Interest,
    pending: Pending,
}

impl Follower {
    fn new(config: Install, engine: Engine) -> Self {
        Self {
            config,
            engine,
            files: Files::default(),
            watches: Watches::new(),
            interest: Interest::default(),
            pending: Pending::default(),
        }
    }

    async fn follow(mut self, sender: watch::Sender<Arc<Templates>>) {
        let mut is_watched = self.watch();
        self.pending.ask_for_a_look();
        loop {
            while self.pending.is_due(Instant::now()) {
                let unfinished = !self.pending.take(Instant::now()).unfinished.is_empty();
                if unfinished {
                    continue;
                }
                // New directories are watched before they are looked into.
                is_watched = self.watch();
                let files = read(&self.config.templates).await;
                if files != self.files {
                    let templates = self.compile(&files).await;
                    self.files = files;
                    let _ = sender.send(Arc::new(templates));
                }
            }
            let retry = (!is_watched).then(|| Instant::now() + UNWATCHED);
            tokio::select! {
                () = sender.closed() => return,
                () = noticed(&self.watches) => self.drain(),
                () = sleep_until(self.pending.due()) => {}
                () = sleep_until(retry) => self.pending.ask_for_a_look(),
            }
        }
    }

    async fn compile(&self, files: &Files) -> Templates {
        let (engine, config, files) = (self.engine, self.config.clone(), files.clone());
        let compile = move || Templates::compile_with(engine, &files, config);
        let compiled = tokio::task::spawn_blocking(compile);
        compiled.await.unwrap_or_default()
    }

    /// Watches the directory and those in it. `false`: it cannot.
    fn watch(&mut self) -> bool {
        let mut directories = vec![self.config.templates.clone()];
        directories.extend(directories_in(&self.config.templates));
        let (interest, wanted) = Interest::among(&directories, BTreeSet::new());
        self.interest = interest;
        if self.watches.is_err() {
            self.watches = Watches::new();
        }
        match &mut self.watches {
            Ok(watches) => watches.set(&wanted).is_ok(),
            Err(_) => false,
        }
    }

    fn drain(&mut self) {
        if let Ok(watches) = &mut self.watches {
            self.pending.note(watches.drain(), &self.interest);
        }
    }
}

fn directories_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

async fn read(directory: &Path) -> Files {
    let directory = directory.to_owned();
    let read = tokio::task::spawn_blocking(move || Files::read(&directory));
    read.await.unwrap_or_default()
}

async fn noticed(watches: &io::Result<Watches>) {
    match watches {
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
