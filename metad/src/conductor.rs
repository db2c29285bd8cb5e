//! The slow side's one task: what sources and the kernel tell comes in, and inventory, kernel and listener follow.
//!
//! Nobody else writes to the inventory or to the kernel's tables. A request never waits for this task.

mod doorbell;
mod errands;
mod herald;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};

use self::doorbell::Doorbell;
use self::herald::Herald;
use crate::credentials::News;
use crate::datapath::{Datapath, Strangers};
use crate::install::Templates;
use crate::instance::Mac;
use crate::interfaces::{Happening, Interfaces};
use crate::inventory::{Inventory, Snapshot};
use crate::settings::{Errand, Files};
use crate::source::{Change, Event, SourceIndex, State};

/// How soon what the kernel refused is tried again, where nothing else happens before.
const RETRY: Duration = Duration::from_secs(5);

/// Changes that are taken in before their consequences are drawn: enough for a full reading of a large host.
const AT_ONCE: usize = 4_096;

/// What the conductor listens to.
pub struct Inputs {
    pub changes: mpsc::Receiver<Change>,
    pub happenings: mpsc::Receiver<Happening>,
    pub strangers: Strangers,
    /// The templates of installers' answers, whenever one changes.
    pub templates: watch::Receiver<Arc<Templates>>,
    /// Credentials of IAM roles, as they come and expire; closed where there are no roles.
    pub credentials: mpsc::Receiver<News>,
    /// Asks each source to read everything again, in the order of the configuration.
    pub bells: Vec<Arc<Notify>>,
    /// What administrators and guests want kept, and where it is kept.
    pub errands: mpsc::Receiver<Errand>,
    pub files: Files,
}

/// What the conductor keeps up to date.
#[derive(Clone)]
pub struct Outputs {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Rung after each swap of `snapshot`.
    pub swapped: Arc<Notify>,
    /// Shared with the administrator's door, which only reads.
    pub datapath: Arc<Mutex<Datapath>>,
    /// How far the start has come.
    pub progress: watch::Sender<Progress>,
}

/// What has been taken in and acted on at least once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The sources that have told everything, or have failed to.
    pub heard: BTreeSet<SourceIndex>,
    /// The host's interfaces were listed, and those that guests are on have the program.
    pub attached: bool,
}

/// The slow side's state.
pub struct Conductor {
    inventory: Inventory,
    interfaces: Interfaces,
    inputs: Inputs,
    outputs: Outputs,
    progress: Progress,
    doorbell: Doorbell,
    herald: Herald,
    started: Instant,
    /// Interfaces that went since the consequences were last drawn.
    gone: BTreeSet<u32>,
    /// When to try again what the kernel refused.
    retry: Option<Instant>,
}

impl Conductor {
    pub fn new(mut inventory: Inventory, mut inputs: Inputs, outputs: Outputs) -> Self {
        inventory.use_templates(Arc::clone(&inputs.templates.borrow_and_update()));
        Self {
            inventory,
            interfaces: Interfaces::default(),
            inputs,
            outputs,
            progress: Progress::default(),
            doorbell: Doorbell::default(),
            herald: Herald::default(),
            started: Instant::now(),
            gone: BTreeSet::new(),
            retry: None,
        }
    }

    /// Conducts until `stop` turns true.
    ///
    /// # Errors
    /// When the kernel's events cannot be followed any more.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            let retry = self.retry.map(tokio::time::Instant::from_std);
            let errand = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                Some(change) = self.inputs.changes.recv() => {
                    self.take(change);
                    None
                }
                Some(news) = self.inputs.credentials.recv() => {
                    self.inventory.hear(news);
                    None
                }
                happening = self.inputs.happenings.recv() => {
                    let happening = happening
                        .ok_or_else(|| anyhow::anyhow!("the network interfaces cannot be followed any more"))?;
                    self.notice(happening);
                    None
                }
                Ok(()) = self.inputs.templates.changed() => {
                    let templates = Arc::clone(&self.inputs.templates.borrow_and_update());
                    self.inventory.use_templates(templates);
                    None
                }
                Some(errand) = self.inputs.errands.recv() => Some(errand),
                () = at(retry) => None,
                strangers = self.inputs.strangers.next() => {
                    self.meet(&strangers?);
                    continue;
                }
            };
            if let Some(errand) = errand {
                self.fulfil(errand).await;
                self.stand()?;
                continue;
            }
            for _ in 0..AT_ONCE {
                if let Ok(change) = self.inputs.changes.try_recv() {
                    self.take(change);
                } else if let Ok(happening) = self.inputs.happenings.try_recv() {
                    self.notice(happening);
                } else {
                    break;
                }
            }
            self.settle();
            self.stand()?;
        }
    }

    fn take(&mut self, change: Change) {
        let told_all = match change.event {
            Event::Synced { .. } | Event::State(State::Away { .. }) => true,
            Event::Put(_) | Event::Gone { .. } | Event::Failed { .. } => false,
            Event::State(State::Connected) => false,
        };
        if told_all {
            self.progress.heard.insert(change.source);
        }
        self.inventory.apply(change);
    }

    fn notice(&mut self, happening: Happening) {
        // The first one is the whole list, and its consequences are drawn before anybody reads this.
        self.progress.attached = true;
        match &happening {
            // What comes back under its old index must not look as if it had never been away: with the interface went
            // its program and the right to its NIC's seat.
            Happening::Is(interface) if self.gone.contains(&interface.index) => self.settle(),
            Happening::Gone { index } => {
                self.gone.insert(*index);
            }
            Happening::Is(_) | Happening::All(_) => {}
        }
        self.interfaces.apply(happening);
    }

    /// Fails once nothing that guests send can arrive any more.
    fn stand(&self) -> anyhow::Result<()> {
        let datapath = self.outputs.datapath.lock();
        let datapath = datapath.unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(
            !self.progress.attached || datapath.is_linked(&self.interfaces),
            "the link into metad's namespace was removed: no guest can be answered\nhelp: start metad again"
        );
        Ok(())
    }

    /// Draws the consequences. Forget before learn: a NIC that moved must never belong to two instances, even for one
    /// frame. Publish before learn: the first frame of a guest must find its seat.
    fn settle(&mut self) {
        self.gone.clear();
        let resolution = self
            .inventory
            .resolve(&self.interfaces, self.started.elapsed());
        // Until every source has been heard, a record may wait for a machine that the next one names.
        if self.progress.heard.len() >= self.inputs.bells.len() {
            self.herald.tell(&resolution.snapshot);
        }
        let mut datapath = self
            .outputs
            .datapath
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        datapath.forget(&resolution.nics);
        self.outputs.snapshot.store(Arc::new(resolution.snapshot));
        self.outputs.swapped.notify_waiters();
        for notice in &resolution.notices {
            notice.ring();
        }
        datapath.learn(&resolution.nics);
        datapath.follow(&self.interfaces);
        self.retry = datapath.is_incomplete().then(|| Instant::now() + RETRY);
        drop(datapath);
        self.outputs.progress.send_if_modified(|progress| {
            let changed = *progress != self.progress;
            progress.clone_from(&self.progress);
            changed
        });
        for source in resolution.ask_again {
            self.ring(source);
        }
    }

    /// Somebody asks whom nobody knows: the sources may know by now.
    fn meet(&mut self, strangers: &[(u32, Mac)]) {
        let now = Instant::now();
        for (ifindex, mac) in strangers {
            if !self.doorbell.rings(*ifindex, now) {
                continue;
            }
            let interface = self
                .interfaces
                .get(*ifindex)
                .map_or("?", |interface| interface.name.as_str());
            tracing::info!(%mac, interface, "unknown sender: asking every source again");
            for source in 0..self.inputs.bells.len() {
                self.ring(source);
            }
        }
    }

    fn ring(&self, source: SourceIndex) {
        if let Some(bell) = self.inputs.bells.get(source) {
            bell.notify_one();
        }
    }
}

/// Waits for a moment; without one, for good.
async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
