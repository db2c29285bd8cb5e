//! One libvirt: its URI in, [`Event`]s out, for as long as somebody listens. The thread that runs this makes every
//! call to that libvirt and reads XML only here, never in a callback. A libvirt that went away takes nothing with it:
//! what was told stays told until it is back and everything is read anew.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::ErrorNumber;

use super::events::{self, Occurrence};
use super::reading::Readings;
use crate::source::{Event, Outlet, State};

const BACK_OFF_FIRST: Duration = Duration::from_millis(200);
const BACK_OFF_MOST: Duration = Duration::from_secs(10);
/// A libvirt that says nothing for 5 times 5 seconds is gone.
const KEEP_ALIVE_SECONDS: i32 = 5;
const KEEP_ALIVE_COUNT: u32 = 5;

/// Why following a libvirt came to an end.
enum End {
    /// Nobody listens any more.
    Stopped,
    /// The connection could not be made, or was lost.
    Lost(String),
}

/// What has to be read again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    all: bool,
    domains: BTreeSet<Uuid>,
    closed: Option<&'static str>,
}

impl Work {
    fn add(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Domain(uuid) => {
                self.domains.insert(uuid);
            }
            // Networks change rarely, and any NIC may be on this one.
            Occurrence::Network => self.all = true,
            Occurrence::Closed(why) => self.closed = Some(why),
        }
    }
}

/// Follows the libvirt at `uri` until `stop` says so, its sender is dropped, or the outlet closes.
pub(crate) async fn follow(uri: &str, outlet: &Outlet, stop: watch::Receiver<bool>) {
    let bell = outlet.reread.notified();
    tokio::pin!(bell);
    // A ring while a reading is under way must lead to another one.
    bell.as_mut().enable();
    let mut session = Session {
        uri,
        outlet,
        stop,
        readings: Readings::default(),
    };
    let mut back_off = BACK_OFF_FIRST;
    let mut told = None;
    loop {
        let mut synced = false;
        let why = match session.connected(bell.as_mut(), &mut synced).await {
            End::Stopped => return,
            End::Lost(why) => why,
        };
        if synced {
            back_off = BACK_OFF_FIRST;
            told = None;
        }
        if told.as_deref() != Some(why.as_str()) {
            let away = Event::State(State::Away { why: why.clone() });
            if !session.tell(away).await {
                return;
            }
            told = Some(why);
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
    readings: Readings,
}

impl<'a> Session<'a> {
    /// Connects, reads everything, and then whatever events, the bell and libvirt ask for.
    async fn connected(&mut self, mut bell: Pin<&mut Notified<'a>>, synced: &mut bool) -> End {
        let (sender, mut occurrences) = unbounded_channel();
        let connection = match connect(self.uri) {
            Ok(connection) => connection,
            Err(why) => {
                return End::Lost(format!("cannot connect to libvirt at {}: {why}", self.uri));
            }
        };
        // Before the first reading: what happens during it must lead to another one.
        let _subscription = match events::subscribe(&connection, &sender) {
            Ok(subscription) => subscription,
            Err(error) => {
                let why = format!(
                    "libvirt at {} gives no events: {}",
                    self.uri,
                    error.message()
                );
                return End::Lost(why);
            }
        };
        if let Err(end) = self.read_all(&connection).await {
            return end;
        }
        *synced = true;
        if !self.tell(Event::State(State::Connected)).await {
            return End::Stopped;
        }
        loop {
            let mut work = Work::default();
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return End::Stopped,
                () = self.outlet.changes.closed() => return End::Stopped,
                Some(occurrence) = occurrences.recv() => work.add(occurrence),
                () = bell.as_mut() => {
                    bell.set(self.outlet.reread.notified());
                    bell.as_mut().enable();
                    work.all = true;
                }
            }
            if let Err(end) = self.catch_up(&connection, work, &mut occurrences).await {
                return end;
            }
        }
    }

    /// Waits before the next attempt; the bell cuts that short, but never to less than the shortest wait.
    async fn rest(&mut self, back_off: Duration, mut bell: Pin<&mut Notified<'a>>) -> bool {
        let ring = async {
            tokio::time::sleep(BACK_OFF_FIRST).await;
            bell.as_mut().await;
        };
        let rang = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return false,
            () = self.outlet.changes.closed() => return false,
            () = tokio::time::sleep(back_off) => false,
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
        connection: &Connect,
        mut work: Work,
        occurrences: &mut UnboundedReceiver<Occurrence>,
    ) -> Result<(), End> {
        while let Ok(occurrence) = occurrences.try_recv() {
            work.add(occurrence);
        }
        if let Some(why) = work.closed {
            return Err(End::Lost(format!(
                "the connection to libvirt at {} is lost: {why}",
                self.uri
            )));
        }
        if work.all {
            return self.read_all(connection).await;
        }
        let mut networks = BTreeMap::new();
        for uuid in work.domains {
            // It may go between the two calls, too.
            let read = connection
                .lookup_domain_by_uuid(uuid)
                .and_then(|domain| self.readings.read(connection, &domain, uuid, &mut networks));
            let event = match read {
                Err(error) if is_gone(&error) => self.readings.gone(uuid),
                read => read.or_else(|error| self.failed(connection, uuid, &error))?,
            };
            if !self.tell(event).await {
                return Err(End::Stopped);
            }
        }
        Ok(())
    }

    async fn read_all(&mut self, connection: &Connect) -> Result<(), End> {
        let listed = connection.list_all_domains(0).map_err(|error| {
            let why = format!(
                "libvirt at {} lists no domains: {}",
                self.uri,
                error.message()
            );
            End::Lost(why)
        });
        let mut here = BTreeSet::new();
        let mut networks = BTreeMap::new();
        for domain in listed? {
            let Ok(uuid) = domain.uuid() else { continue };
            let read = self.readings.read(connection, &domain, uuid, &mut networks);
            let event = match read {
                Err(error) if is_gone(&error) => continue,
                read => read.or_else(|error| self.failed(connection, uuid, &error))?,
            };
            here.insert(uuid);
            if !self.tell(event).await {
                return Err(End::Stopped);
            }
        }
        self.readings.keep_only(&here);
        let keys = here.iter().map(Uuid::to_string).collect();
        if self.tell(Event::Synced { keys }).await {
            Ok(())
        } else {
            Err(End::Stopped)
        }
    }

    /// Tells a domain that libvirt does not describe from a libvirt that describes nothing any more.
    fn failed(
        &self,
        connection: &Connect,
        uuid: Uuid,
        error: &virt::error::Error,
    ) -> Result<Event, End> {
        if connection.is_alive().unwrap_or(false) {
            let problem = format!("libvirt does not describe the domain: {}", error.message());
            Ok(self.readings.failed(uuid, problem))
        } else {
            let why = format!(
                "the connection to libvirt at {} is lost: {}",
                self.uri,
                error.message()
            );
            Err(End::Lost(why))
        }
    }

    /// `false`: nobody listens any more.
    async fn tell(&mut self, event: Event) -> bool {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => false,
            sent = self.outlet.send(event) => sent,
        }
    }
}

/// Read-only: metad needs no right to change anything, and libvirt's read-only socket asks for no password.
fn connect(uri: &str) -> Result<Connect, String> {
    if uri.contains('\0') {
        return Err("the URI holds a NUL character".to_owned());
    }
    events::start_loop()?;
    let connection =
        Connect::open_read_only(Some(uri)).map_err(|error| error.message().to_owned())?;
    if let Err(error) = connection.set_keep_alive(KEEP_ALIVE_SECONDS, KEEP_ALIVE_COUNT) {
        tracing::debug!(error = error.message(), "libvirt driver has no keep-alive");
    }
    Ok(connection)
}

fn is_gone(error: &virt::error::Error) -> bool {
    error.code() == virt::enumutil::Enum::Known(ErrorNumber::NoDomain)
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the session was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}
