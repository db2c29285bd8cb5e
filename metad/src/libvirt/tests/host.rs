//! What the tests of a session stand on: a session that is listened to, and a domain of the test driver.

use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;

use crate::libvirt::session::Limits;
use crate::libvirt::{Session, events, metadata, start_with};
use crate::source::{Change, Event, Outlet, State, Subject};

pub(super) const URI: &str = "test:///default";
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
const NAMESPACE: &str = metadata::NAMESPACE;

pub(super) struct Watched {
    pub(super) session: Session,
    pub(super) changes: mpsc::Receiver<Change>,
    pub(super) reread: Arc<Notify>,
}

/// Keeps one subscription to the host for as long as the process lives.
///
/// All connections to [`URI`] share one queue of events inside libvirt, which looks at whether anybody is subscribed
/// before it locks that queue. An event that meets the last subscription leaving is therefore queued for nobody, and
/// as long as it lies there no later event wakes libvirt's loop: whoever subscribes next hears nothing. With a
/// subscription that stays, none is the last.
pub(super) fn inhabit() {
    static INHABITED: Once = Once::new();
    INHABITED.call_once(|| {
        events::start_loop().unwrap();
        let connection = Connect::open_read_only(Some(URI)).unwrap();
        let (bell, _) = mpsc::unbounded_channel();
        std::mem::forget(events::subscribe(&connection, &bell).unwrap());
    });
}

pub(super) fn watch_libvirt(uri: &str) -> Watched {
    inhabit();
    watch_within(uri, Limits::default())
}

/// Watches without keeping a subscription of the process's own.
pub(super) fn watch_within(uri: &str, limits: Limits) -> Watched {
    let (sender, changes) = mpsc::channel(64);
    let reread = Arc::new(Notify::new());
    let outlet = Outlet {
        source: 3,
        changes: sender,
        reread: Arc::clone(&reread),
    };
    let session = start_with(uri.to_owned(), outlet, limits).unwrap();
    Watched {
        session,
        changes,
        reread,
    }
}

impl Watched {
    /// The first event that `wanted` makes something of.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> T {
        let found = tokio::time::timeout(DEADLINE, async {
            loop {
                let change = self.changes.recv().await.expect("the session goes on");
                assert_eq!(change.source, 3);
                if let Some(found) = wanted(change.event) {
                    return found;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("waiting for {what}"))
    }

    pub(super) async fn subject(
        &mut self,
        what: &str,
        key: &str,
        wanted: impl Fn(&Subject) -> bool,
    ) -> Subject {
        self.until(what, |event| match event {
            Event::Put(subject) if subject.key == key && wanted(&subject) => Some(*subject),
            _ => None,
        })
        .await
    }

    /// Waits until a domain is not there: said by its own event, or by a full list that came first.
    pub(super) async fn gone(&mut self, key: &str) {
        self.until("gone", |event| match event {
            Event::Gone { key: gone } => (gone == key).then_some(()),
            Event::Synced { keys } => (!keys.iter().any(|here| here == key)).then_some(()),
            _ => None,
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

    pub(super) async fn connected(&mut self) {
        self.until("connected", |event| {
            (event == Event::State(State::Connected)).then_some(())
        })
        .await;
    }
}

/// A domain that is gone when the test is.
pub(super) struct Guest {
    pub(super) key: String,
    pub(super) domain: Domain,
    _connection: Connect,
}

impl Guest {
    pub(super) fn define(name: &str) -> Self {
        inhabit();
        Self::define_alone(name)
    }

    /// Defines one without keeping a subscription of the process's own.
    pub(super) fn define_alone(name: &str) -> Self {
        let connection = Connect::open(Some(URI)).unwrap();
        let uuid =
            Uuid::from_u128(0x5254_0000_0000_4000_8000_0000_0000_0000 + u128::from(checksum(name)));
        let mac = format!(
            "52:54:00:{:02x}:{:02x}:{:02x}",
            checksum(name) >> 16 & 255,
            checksum(name) >> 8 & 255,
            checksum(name) & 255
        );
        let domain = connection
            .define_domain_xml(&format!(
                "<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>8192</memory>
                <os><type>hvm</type></os><devices>
                <disk type='file' device='disk'><source file='/x'/><target dev='vda'/></disk>
                <interface type='network'><mac address='{mac}'/><source network='default'/></interface>
                </devices></domain>"
            ))
            .unwrap();
        Self {
            key: uuid.to_string(),
            domain,
            _connection: connection,
        }
    }

    pub(super) fn say(&self, instance: Option<&str>, live: bool) {
        let flags = if live {
            virt_sys::VIR_DOMAIN_AFFECT_LIVE
        } else {
            virt_sys::VIR_DOMAIN_AFFECT_CONFIG
        };
        let kind = virt_sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
        self.domain
            .set_metadata(kind, instance, Some("metad"), Some(NAMESPACE), flags)
            .unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.domain.destroy();
        let _ = self.domain.undefine();
    }
}

fn checksum(name: &str) -> u32 {
    name.bytes().fold(5381, |sum: u32, byte| {
        sum.wrapping_mul(33) ^ u32::from(byte)
    })
}
