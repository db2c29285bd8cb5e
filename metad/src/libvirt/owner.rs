//! The one thread that makes calls to a libvirt. Questions go in, answers come out, one after the other; whoever asks
//! awaits the answer for as long as it likes. The C library blocks, without end where a daemon has taken a connection
//! and says nothing: then this thread is left to itself, and closes what it holds once libvirt lets go of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::ErrorNumber;

use super::domain_xml::{self, Domain, DomainError};
use super::events::{self, Bell, Subscription};
use super::network_xml::{self, Network};

/// A libvirt that says nothing for 5 times 5 seconds is gone.
const KEEP_ALIVE_SECONDS: i32 = 5;
const KEEP_ALIVE_COUNT: u32 = 5;

type Question = Box<dyn FnOnce(&mut Held) + Send>;

/// The asking end. Dropped, the thread closes its connection and ends.
pub(super) struct Owner {
    questions: Sender<Question>,
}

impl Owner {
    /// Starts the thread; it has no connection yet. `ties` are dropped once its connection is closed for good.
    pub(super) fn start(ties: impl Send + 'static) -> io::Result<Self> {
        let (questions, asked) = channel::<Question>();
        std::thread::Builder::new()
            .name("libvirt-calls".to_owned())
            .spawn(move || {
                let mut held = Held::default();
                while let Ok(question) = asked.recv() {
                    question(&mut held);
                }
                held.close();
                drop(ties);
            })?;
        Ok(Self { questions })
    }

    /// Asks. The answer fails if the thread is gone, which takes a panic in it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Held) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, answer) = oneshot::channel();
        let question: Question = Box::new(move |held| {
            // Nobody waits for it any more.
            let _ = sender.send(question(held));
        });
        // A thread that is gone has dropped the other end, and the answer says so.
        let _ = self.questions.send(question);
        answer
    }
}

/// A domain in libvirt's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) uuid: Uuid,
    /// libvirt's number for this run of it; `None` while it is off.
    pub(super) id: Option<u64>,
}

/// A domain as libvirt describes it, completed by what its networks say.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    /// As in [`Listed`].
    pub(super) id: Option<u64>,
    pub(super) domain: Result<Domain, DomainError>,
}

/// Why there is no description.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such domain.
    Gone,
    /// libvirt does not describe this one; the reason is its own.
    Refused(String),
    /// libvirt says nothing any more; the reason is its own.
    Lost(String),
}

/// What the thread works with.
#[derive(Default)]
pub(super) struct Held {
    /// Before the connection, so that it goes first.
    subscription: Option<Subscription>,
    connection: Option<Connect>,
    /// Of the last list, and not described since.
    listed: BTreeMap<Uuid, virt::domain::Domain>,
    /// Of this round of readings; `None`: libvirt does not describe it.
    networks: BTreeMap<String, Option<Network>>,
}

impl Held {
    /// Connects and subscribes: what happens during the first reading must lead to another one. The error reads after
    /// the libvirt's name.
    pub(super) fn open(&mut self, uri: &str, bell: &Bell) -> Result<(), String> {
        let connection =
            connect(uri).map_err(|why| format!("cannot connect to libvirt at {uri}: {why}"))?;
        let subscription = events::subscribe(&connection, bell)
            .map_err(|error| format!("libvirt at {uri} gives no events: {}", error.message()))?;
        self.connection = Some(connection);
        self.subscription = Some(subscription);
        Ok(())
    }

    /// Takes the subscription back and closes the connection; nothing where there is none.
    pub(super) fn close(&mut self) {
        self.listed.clear();
        self.subscription = None;
        self.connection = None;
    }

    /// Begins a round of readings: networks are read anew, once each.
    pub(super) fn begin(&mut self) {
        self.listed.clear();
        self.networks.clear();
    }

    /// Lists all domains, for [`Held::describe`]; the error is libvirt's own.
    pub(super) fn list(&mut self) -> Result<Vec<Listed>, String> {
        self.begin();
        let connection = self.connection.as_ref().ok_or_else(closed)?;
        let domains = connection
            .list_all_domains(0)
            .map_err(|error| error.message().to_owned())?;
        let mut listed = Vec::new();
        for domain in domains {
            let Ok(uuid) = domain.uuid() else { continue };
            let id = domain.id().map(u64::from);
            listed.push(Listed { uuid, id });
            self.listed.insert(uuid, domain);
        }
        Ok(listed)
    }

    /// Reads one domain.
    ///
    /// Without flags, libvirt describes a running domain as it runs, and a stopped one as it would start.
    pub(super) fn describe(&mut self, uuid: Uuid) -> Result<Described, Failure> {
        let lost = || Failure::Lost(closed());
        let connection = self.connection.as_ref().ok_or_else(lost)?;
        let read = match self.listed.remove(&uuid) {
            Some(domain) => Ok(domain),
            None => connection.lookup_domain_by_uuid(uuid),
        };
        // It may go between the two calls, too.
        let read = read.and_then(|domain| {
            let name = domain.name().unwrap_or_default();
            Ok((name, domain.id().map(u64::from), domain.xml_desc(0)?))
        });
        let (name, id, document) = read.map_err(|error| failure(connection, &error))?;
        let mut domain = domain_xml::parse(&document);
        if let Ok(domain) = &mut domain {
            for nic in &mut domain.nics {
                let Some(name) = nic.network.clone() else {
                    continue;
                };
                let network = self
                    .networks
                    .entry(name)
                    .or_insert_with_key(|name| network(connection, name));
                if let Some(network) = network {
                    network.complete(nic);
                }
            }
        }
        Ok(Described { name, id, domain })
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

/// Tells a domain that libvirt does not describe from a libvirt that describes nothing any more.
fn failure(connection: &Connect, error: &virt::error::Error) -> Failure {
    if error.code() == virt::enumutil::Enum::Known(ErrorNumber::NoDomain) {
        Failure::Gone
    } else if connection.is_alive().unwrap_or(false) {
        Failure::Refused(error.message().to_owned())
    } else {
        Failure::Lost(error.message().to_owned())
    }
}

fn closed() -> String {
    "the connection is closed".to_owned()
}

fn network(connection: &Connect, name: &str) -> Option<Network> {
    let described = connection
        .lookup_network_by_name(name)
        .and_then(|network| network.xml_desc(0));
    let read = described
        .map_err(|error| error.message().to_owned())
        .and_then(|document| network_xml::parse(&document).map_err(|error| error.to_string()));
    match read {
        Ok(network) => Some(network),
        Err(error) => {
            tracing::debug!(
                network = name,
                error,
                "a libvirt network tells nothing of its NICs"
            );
            None
        }
    }
}
