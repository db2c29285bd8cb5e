//! One libvirt: its URI in, [`Event`]s out, for as long as somebody listens. Every call to that libvirt is made, and
//! its XML read, by the thread behind [`Owner`]; here is decided what to ask and how long to wait. A libvirt that went
//! away or hangs takes nothing with it: what was told stays told until it is back and everything is read anew.

mod asking;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, sleep_until};
use uuid::Uuid;

use self::asking::stopped;
use super::events::Occurrence;
use super::hearing::{Cure, Hearing};
use super::owner::{Failure, Held, Owner};
use super::reading::Readings;
use crate::clock::since_boot;
use crate::source::{Event, Outlet, State};

const BACK_OFF_FIRST: Duration = Duration::from_millis(200);
const BACK_OFF_MOST: Duration = Duration::from_secs(10);
/// Threads at a time that may wait for a libvirt: what hangs must not pile up. The last one waits as long as it takes.
const OWNERS_MAX: usize = 4;
/// The key under which a libvirt that announces nothing is listed as a problem; no domain's, theirs are UUIDs.
const DEAF: &str = "events";

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A call that takes longer is said to `metad status`. libvirt's own keep-alive ends it after 30 s at most, where
    /// it is the daemon that hangs.
    pub(crate) call: Duration,
    /// A connection that takes longer is given up: nothing else ends it.
    pub(crate) open: Duration,
    /// A change that a reading found may wait this long for its announcement.
    pub(crate) grace: Duration,
    /// How often to look whether libvirt runs what it has announced: one call.
    pub(crate) check: Duration,
    /// Every so many checks, everything is read: what has no announcement counts by then.
    pub(crate) full: u32,
    /// How often everything is read where libvirt announces nothing.
    pub(crate) poll: Duration,
    /// How long after connecting anew has not ended that it is tried again.
    pub(crate) retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            open: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            check: Duration::from_secs(30),
            full: 10,
            poll: Duration::from_secs(10),
            retry: Duration::from_mins(5),
        }
    }
}

/// Why following a libvirt came to an end.
enum End {
    /// Nobody listens any more.
    Stopped,
    /// The connection could not be made, or was lost.
    Lost(String),
    /// It is there, and announces nothing.
    Deaf,
}

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    all: bool,
    check: bool,
    domains: BTreeSet<Uuid>,
    closed: Option<&'static str>,
}

impl Work {
    /// Takes in what was announced. `true`: by a domain, so libvirt does announce.
    fn add(&mut self, occurrence: Occurrence) -> bool {
        match occurrence {
            Occurrence::Domain(uuid) => {
                self.domains.insert(uuid);
                return true;
            }
            // Networks change rarely, and any NIC may be on this one.
            Occurrence::Network => self.all = true,
            Occurrence::Closed(why) => self.closed = Some(why),
        }
        false
    }
}

/// Follows the libvirt at `uri` until `stop` says so, its sender is dropped, or the outlet closes. `ending` is dropped
/// when the last connection is closed.
pub(crate) async fn follow(
    uri: &str,
    outlet: &Outlet,
    stop: watch::Receiver<bool>,
    limits: Limits,
    ending: &Sender<()>,
) {
    let bell = outlet.reread.notified();
    tokio::pin!(bell);
    // A ring while a reading is under way must lead to another one.
    bell.as_mut().enable();
    let mut session = Session::new(uri, outlet, stop, limits, ending);
    let mut back_off = BACK_OFF_FIRST;
    let mut told = None;
    loop {
        session.synced = false;
        let end = session.connected(bell.as_mut()).await;
        if session.synced {
            back_off = BACK_OFF_FIRST;
            told = None;
        }
        match end {
            End::Stopped => return,
            End::Deaf => tracing::warn!(uri, "libvirt announces nothing: connecting anew"),
            End::Lost(why) if told.as_ref() != Some(&why) => {
                told = Some(why.clone());
                if !session.tell(Event::State(State::Away { why })).await {
                    return;
                }
            }
            End::Lost(_) => {}
        }
        if !session.rest(back_off, bell.as_mut()).await {
            return;
        }
        back_off = (back_off * 2).min(BACK_OFF_MOST);
    }
}

struct Session<'a> {
    uri: &'a str,
    outlet: &'a Outlet,
    stop: watch::Receiver<bool>,
    limits: Limits,
    ending: &'a Sender<()>,
    owners: Arc<Semaphore>,
    readings: Readings,
    hearing: Hearing,
    /// Whether everything was told once over this connection.
    synced: bool,
    /// Whether a call takes so long that it was said.
    silent: bool,
    /// Since everything was read last.
    checks: u32,
}

impl<'a> Session<'a> {
    fn new(
        uri: &'a str,
        outlet: &'a Outlet,
        stop: watch::Receiver<bool>,
        limits: Limits,
        ending: &'a Sender<()>,
    ) -> Self {
        Self {
            uri,
            outlet,
            stop,
            limits,
            ending,
            owners: Arc::new(Semaphore::new(OWNERS_MAX)),
            readings: Readings::default(),
            hearing: Hearing::new(limits.grace, limits.retry),
            synced: false,
            silent: false,
            checks: 0,
        }
    }

    /// Connects, reads everything, and then whatever events, the bell and libvirt ask for.
    async fn connected(&mut self, mut bell: Pin<&mut Notified<'a>>) -> End {
        let (sender, mut occurrences) = unbounded_channel();
        let uri = self.uri.to_owned();
        let owner = match self.open(move |held| held.open(&uri, &sender)).await {
            Ok(owner) => owner,
            Err(end) => return end,
        };
        self.hearing.connected();
        let first = Work {
            all: true,
            ..Work::default()
        };
        let mut work = Some(first);
        loop {
            if let Some(work) = work.take() {
                match self.catch_up(&owner, work, &mut occurrences).await {
                    Ok(()) => {}
                    Err(End::Deaf) => return self.close(&owner).await.err().unwrap_or(End::Deaf),
                    Err(end) => return end,
                }
            }
            let mut next = Work::default();
            let (pause, deadline) = (self.pause(), self.hearing.deadline());
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return End::Stopped,
                () = self.outlet.changes.closed() => return End::Stopped,
                Some(occurrence) = occurrences.recv() => {
                    if next.add(occurrence) && let Err(end) = self.heard().await {
                        return end;
                    }
                }
                () = bell.as_mut() => {
                    bell.set(self.outlet.reread.notified());
                    bell.as_mut().enable();
                    next.all = true;
                }
                () = sleep(pause) => next.check = true,
                () = at(deadline) => {}
            }
            work = Some(next);
        }
    }

    /// Waits before the next attempt; the bell cuts that short, but never to less than the shortest wait.
    async fn rest(&mut self, back_off: Duration, mut bell: Pin<&mut Notified<'a>>) -> bool {
        let ring = async {
            sleep(BACK_OFF_FIRST).await;
            bell.as_mut().await;
        };
        let rang = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return false,
            () = self.outlet.changes.closed() => return false,
            () = sleep(back_off) => false,
            () = ring => true,
        };
        if rang {
            bell.set(self.outlet.reread.notified());
            bell.as_mut().enable();
        }
        true
    }

    async fn catch_up(
        &mut self,
        owner: &Owner,
        mut work: Work,
        occurrences: &mut UnboundedReceiver<Occurrence>,
    ) -> Result<(), End> {
        while let Ok(occurrence) = occurrences.try_recv() {
            if work.add(occurrence) {
                self.heard().await?;
            }
        }
        if let Some(why) = work.closed {
            return Err(self.lost(why));
        }
        if work.check {
            self.checks += 1;
            work.all |= self.hearing.is_deaf() || self.checks >= self.limits.full;
        }
        if work.all {
            self.read_all(owner, &work.domains).await?;
        } else if work.check {
            self.check(owner, work.domains).await?;
        } else if !work.domains.is_empty() {
            self.ask(owner, "reading a domain", Held::begin).await?;
            self.read(owner, work.domains).await?;
        }
        if self.silent && self.synced {
            self.silent = false;
            self.must_tell(Event::State(State::Connected)).await?;
        }
        self.cure().await
    }

    async fn read_all(&mut self, owner: &Owner, announced: &BTreeSet<Uuid>) -> Result<(), End> {
        self.checks = 0;
        let (listed, _) = self.list(owner, announced).await?;
        let here = self.read(owner, listed).await?;
        self.readings.keep_only(&here);
        let mut keys: Vec<String> = here.iter().map(Uuid::to_string).collect();
        if self.hearing.is_deaf() {
            keys.push(DEAF.to_owned());
        }
        self.must_tell(Event::Synced { keys }).await?;
        if !self.synced {
            self.synced = true;
            self.silent = false;
            self.must_tell(Event::State(State::Connected)).await?;
        }
        Ok(())
    }

    /// Reads what a list shows otherwise than it was read last, and what was announced meanwhile.
    async fn check(&mut self, owner: &Owner, announced: BTreeSet<Uuid>) -> Result<(), End> {
        let (_, mut domains) = self.list(owner, &announced).await?;
        domains.extend(announced);
        self.read(owner, domains).await.map(drop)
    }

    /// Lists all domains, and those among them and the known ones that have changed; notes what nothing announced.
    async fn list(
        &mut self,
        owner: &Owner,
        announced: &BTreeSet<Uuid>,
    ) -> Result<(BTreeSet<Uuid>, BTreeSet<Uuid>), End> {
        let listed = self.ask(owner, "listing the domains", Held::list).await?;
        let listed = listed
            .map_err(|why| End::Lost(format!("libvirt at {} lists no domains: {why}", self.uri)))?;
        let differing = self.readings.differing(&listed);
        if self.synced && !differing.is_subset(announced) {
            self.hearing.unannounced(Instant::now());
        }
        self.readings.note(&listed);
        Ok((listed.iter().map(|it| it.uuid).collect(), differing))
    }

    /// Reads these domains, tells what they say, and returns those that are there.
    async fn read(
        &mut self,
        owner: &Owner,
        domains: BTreeSet<Uuid>,
    ) -> Result<BTreeSet<Uuid>, End> {
        let mut here = BTreeSet::new();
        for uuid in domains {
            let reading = since_boot();
            let described = self
                .ask(owner, "describing a domain", move |held| {
                    held.describe(uuid)
                })
                .await?;
            let event = match described {
                Ok(described) => self.readings.take(uuid, described, reading),
                Err(Failure::Gone) => self.readings.gone(uuid),
                Err(Failure::Refused(why)) => {
                    let problem = format!("libvirt does not describe the domain: {why}");
                    self.readings.failed(uuid, problem)
                }
                Err(Failure::Lost(why)) => return Err(self.lost(&why)),
            };
            if !matches!(event, Event::Gone { .. }) {
                here.insert(uuid);
            }
            self.must_tell(event).await?;
        }
        Ok(here)
    }

    /// Something was announced by a domain.
    async fn heard(&mut self) -> Result<(), End> {
        if !self.hearing.heard() {
            return Ok(());
        }
        tracing::info!(uri = self.uri, "libvirt announces changes again");
        let key = DEAF.to_owned();
        self.must_tell(Event::Gone { key }).await
    }

    /// Acts on a libvirt that has announced nothing for too long.
    async fn cure(&mut self) -> Result<(), End> {
        let Some(cure) = self.hearing.verdict(Instant::now()) else {
            return Ok(());
        };
        if self.hearing.is_deaf() {
            let every = self.limits.poll.as_secs_f32();
            let problem = format!(
                "libvirt announces no changes, and connecting anew did not help while others listen too: everything is \
                 read every {every} s instead; to end it, restart libvirtd or virtqemud, which leaves guests running"
            );
            let (key, name) = (DEAF.to_owned(), format!("libvirt {}", self.uri));
            self.must_tell(Event::Failed { key, name, problem }).await?;
        }
        match cure {
            Cure::Reconnect => Err(End::Deaf),
            Cure::Poll => Ok(()),
        }
    }

    /// How long to wait for an event before looking without one.
    fn pause(&self) -> Duration {
        match self.hearing.is_deaf() {
            true => self.limits.poll,
            false => self.limits.check,
        }
    }
}

/// Waits for a moment; without one, for good.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
