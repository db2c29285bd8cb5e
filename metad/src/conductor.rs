//! The slow side's one task: what sources and the kernel tell comes in, and inventory, kernel and listener follow.
//!
//! Nobody else writes to the inventory or to the kernel's tables. A request never waits for this task.

mod doorbell;
mod errands;
mod helm;
mod herald;
mod ledger;
mod lookout;
mod pace;
mod slack;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};

pub use self::helm::{Ended, Helm, Order};
pub use self::ledger::{LedgerFile, UnreadLedger};

use self::doorbell::Doorbell;
use self::herald::Herald;
use self::pace::Pace;
use self::slack::Slack;
use crate::clock::since_boot;
use crate::credentials::News;
use crate::datapath::{Datapath, Strangers};
use crate::install::Templates;
use crate::instance::Mac;
use crate::interfaces::{Happening, Interfaces};
use crate::inventory::{Inventory, Snapshot};
use crate::memory;
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
    /// Where the slots are written down.
    pub ledger: LedgerFile,
    /// Whether to act at all.
    pub orders: mpsc::Receiver<Order>,
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
    /// Of those, the ones that cannot be reached now.
    pub away: BTreeSet<SourceIndex>,
    /// The machines of which a part could not be read.
    pub unread: BTreeSet<String>,
    /// The host's interfaces were listed, and those that guests are on have the program.
    pub attached: bool,
}

/// Whether the conductor acts on what it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// It is the one writer.
    Engaged,
    /// Another daemon is; what is heard is only taken in.
    Aside,
}

/// The slow side's state.
pub struct Conductor {
    inventory: Inventory,
    interfaces: Interfaces,
    inputs: Inputs,
    outputs: Outputs,
    stance: Stance,
    progress: Progress,
    doorbell: Doorbell,
    herald: Herald,
    pace: Pace,
    slack: Slack,
    /// Whether something has changed since the consequences were last drawn. An interface tells of much that is nothing to
    /// us: four times while a tap is made.
    stirred: bool,
    /// Whether an interface has changed since the programs last followed.
    replugged: bool,
    /// Interfaces that went since the consequences were last drawn.
    gone: BTreeSet<u32>,
    /// The link into metad's namespace is gone, whatever has its name or its index now.
    cut: bool,
    /// When to try again what the kernel refused.
    retry: Option<Instant>,
}

impl Conductor {
    /// Stands aside until it is told to engage.
    pub fn new(mut inventory: Inventory, mut inputs: Inputs, outputs: Outputs) -> Self {
        inventory.use_templates(Arc::clone(&inputs.templates.borrow_and_update()));
        Self {
            inventory,
            interfaces: Interfaces::default(),
            inputs,
            outputs,
            stance: Stance::Aside,
            progress: Progress::default(),
            doorbell: Doorbell::default(),
            herald: Herald::default(),
            pace: Pace::default(),
            slack: Slack::default(),
            stirred: false,
            replugged: false,
            gone: BTreeSet::new(),
            cut: false,
            retry: None,
        }
    }

    /// Conducts until `stop` turns true.
    ///
    /// # Errors
    /// When the kernel's events cannot be followed any more.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            let due = self.retry.into_iter().chain(self.pace.due()).min();
            let due = due.map(tokio::time::Instant::from_std);
            let slack = self.slack.due().map(tokio::time::Instant::from_std);
            let errand = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                Some(change) = self.inputs.changes.recv() => {
                    self.take(change);
                    None
                }
                Some(news) = self.inputs.credentials.recv() => {
                    self.inventory.hear(news);
                    self.stirred = true;
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
                    self.stirred = true;
                    None
                }
                Some(order) = self.inputs.orders.recv() => {
                    self.obey(order)?;
                    continue;
                }
                // Only the one writer keeps anything; meanwhile they wait.
                Some(errand) = self.inputs.errands.recv(), if self.stance == Stance::Engaged => Some(errand),
                () = at(due) => {
                    self.stirred = true;
                    None
                }
                () = at(slack) => {
                    self.slack.went();
                    self.inventory.compact();
                    tokio::task::spawn_blocking(memory::give_back);
                    continue;
                }
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
            if !self.stirred && self.replugged {
                self.plug();
            } else if self.stirred && self.pace.allows(Instant::now()) {
                self.settle();
            }
            self.stand()?;
        }
    }

    /// Begins or ceases to act.
    ///
    /// # Errors
    /// The kernel refuses what must not be missing.
    fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Engage(ledger, lease, done) => {
                if let Some(ledger) = ledger {
                    self.inventory.resume(ledger, since_boot());
                }
                // The one writer until now may have kept more than was read at the start.
                let read = self.inputs.files.load();
                self.inventory.reread(read);
                // Whatever took its time until here, a slow disk too: from here on the kernel is written to.
                if lease.is_some_and(|lease| !lease.holds()) {
                    let _gone = done.send(false);
                    return Ok(());
                }
                self.datapath().engage()?;
                self.inputs.ledger.write_again();
                self.stance = Stance::Engaged;
                self.settle();
                let _gone = done.send(true);
            }
            Order::StandAside(done) => {
                self.stance = Stance::Aside;
                self.retry = None;
                let _gone = done.send(());
            }
        }
        Ok(())
    }

    fn datapath(&self) -> MutexGuard<'_, Datapath> {
        let datapath = self.outputs.datapath.lock();
        datapath.unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&mut self, change: Change) {
        self.stirred = true;
        self.slack.grew(Instant::now());
        match &change.event {
            Event::State(State::Away { .. }) => {
                self.progress.away.insert(change.source);
            }
            Event::State(State::Connected) | Event::Synced { .. } => {
                self.progress.away.remove(&change.source);
            }
            Event::State(State::Late { .. }) => {}
            Event::Put(_) | Event::Gone { .. } | Event::Failed { .. } => {}
        }
        let told_all = match change.event {
            Event::Synced { .. } | Event::State(State::Away { .. }) => true,
            Event::Put(_) | Event::Gone { .. } | Event::Failed { .. } => false,
            Event::State(State::Connected | State::Late { .. }) => false,
        };
        if told_all {
            self.progress.heard.insert(change.source);
        }
        self.inventory.apply(change);
        let unread = self.inventory.never_read().map(str::to_owned);
        self.progress.unread = unread.collect();
    }

    /// Draws the consequences. Forget before learn: a NIC that moved must never belong to two instances, even for one
    /// frame. Publish before learn: the first frame of a guest must find its seat.
    fn settle(&mut self) {
        self.gone.clear();
        self.stirred = false;
        self.replugged = false;
        // Aside, nothing is tried: a moment that has passed would be waited for without end.
        self.retry = None;
        // Before the host's interfaces are known, what an earlier daemon left on them would look like nobody's.
        if self.stance == Stance::Aside || !self.progress.attached {
            self.report();
            return;
        }
        let began = Instant::now();
        let now = since_boot();
        let mut resolution = self.inventory.resolve(&self.interfaces, now);
        // Until every source has been heard, a record may wait for a machine that the next one names.
        if self.progress.heard.len() >= self.inputs.bells.len() {
            self.herald.tell(&resolution.snapshot);
            if self.progress.attached && !resolution.undecided.is_empty() {
                self.inventory.decide(now);
                let before = resolution.notices;
                resolution = self.inventory.resolve(&self.interfaces, now);
                resolution.notices.extend(before);
            }
        }
        self.inputs.ledger.keep(&self.inventory);
        let mut datapath = self.datapath();
        datapath.forget(&resolution.nics, &resolution.undecided);
        self.outputs.snapshot.store(Arc::new(resolution.snapshot));
        self.outputs.swapped.notify_waiters();
        for notice in &resolution.notices {
            notice.ring();
        }
        datapath.learn(&resolution.nics);
        // Attaching takes its time too, but once for an interface, however many there are.
        let took = began.elapsed();
        datapath.follow(&self.interfaces);
        let incomplete = datapath.is_incomplete();
        drop(datapath);
        self.pace.drew(took, Instant::now());
        tracing::debug!(?took, followed = ?began.elapsed(), "drew consequences");
        self.retry = incomplete.then(|| Instant::now() + RETRY);
        self.report();
        for source in resolution.ask_again {
            self.ring(source);
        }
    }

    /// Tells how far the start has come.
    fn report(&self) {
        self.outputs.progress.send_if_modified(|progress| {
            let changed = *progress != self.progress;
            progress.clone_from(&self.progress);
            changed
        });
    }

    /// Somebody asks whom nobody knows: the sources may know by now.
    fn meet(&mut self, strangers: &[(u32, Mac)]) {
        let now = Instant::now();
        let snapshot = self.outputs.snapshot.load();
        for (ifindex, mac) in strangers {
            // Heard before its place was known here, or by its bridge before its tap had the program.
            if snapshot.has_seat(*mac, *ifindex, &self.interfaces) {
                continue;
            }
            if self.inventory.expects(*mac) && self.doorbell.awaits(*mac, now) {
                continue;
            }
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
