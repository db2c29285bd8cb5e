//! A KVM host made of namespaces: one that plays the host, with bridges and taps, and one for each guest.
//!
//! In comes what a test wants to stand there, out go handles that remove it when dropped. Everything is made inside a
//! sandbox; nothing here may run in the machine's own network namespace.

pub(crate) mod cable;
mod client;
mod counters;
mod daemon;
mod guest;
mod namespace;
mod offload;
mod programs;
mod snapshot;
mod supervisor;
mod wait;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

pub use self::cable::Cable;
pub use self::client::{Reply, Request};
pub use self::counters::Counters;
pub use self::daemon::{Daemon, Settings, signal};
pub use self::guest::{Guest, Plug};
pub use self::namespace::Namespace;
pub use self::programs::{binary, task};
pub use self::snapshot::Snapshot;
pub use self::supervisor::Supervisor;
pub use self::wait::until;
pub use self::wire::Wire;
use crate::frames::{Mac, read_mac};
use crate::sandbox;

/// A host, its guests and a place for their records.
///
/// Fields drop in order: first the guests' side of every link, then the host.
#[derive(Debug)]
pub struct Lab {
    host: Namespace,
    /// The `name` of the daemon here; unique in the sandbox, since pins and sockets are named after it.
    name: String,
    number: usize,
    guests: AtomicUsize,
    directory: TempDir,
}

impl Lab {
    /// Makes a host without any bridge or guest.
    ///
    /// # Errors
    /// This is no sandbox, or the kernel refuses.
    pub fn new() -> Result<Self> {
        static LABS: AtomicUsize = AtomicUsize::new(1);
        sandbox::demand()?;
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let host = Namespace::new(&format!("lab{number}"))?;
        // `/run` is the sandbox's own and goes with it, also where nothing is left to remove the directory.
        let directory =
            TempDir::with_prefix_in("metad-lab-", "/run").context("cannot make a directory")?;
        std::fs::create_dir(directory.path().join("instances.d"))
            .context("cannot make the directory of records")?;
        Ok(Self {
            host,
            name: format!("metad{number}"),
            number,
            guests: AtomicUsize::new(1),
            directory,
        })
    }

    /// The namespace that plays the host.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// What the daemon calls itself here.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the daemon's configuration, log and records are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a bridge, with addresses of its own (`10.0.0.1/24`) or without any.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn bridge(&self, name: &str, addresses: &[&str]) -> Result<()> {
        self.host.ip(&format!("link add {name} type bridge"))?;
        for address in addresses {
            self.host.ip(&format!("address add {address} dev {name}"))?;
        }
        self.host.ip(&format!("link set {name} up"))
    }

    /// The Ethernet address of one of the host's links.
    ///
    /// # Errors
    /// There is no such link.
    pub fn mac_of(&self, link: &str) -> Result<Mac> {
        let text = self
            .host
            .output(&format!("ip -oneline link show dev {link}"))?;
        let mut words = text
            .split_whitespace()
            .skip_while(|word| *word != "link/ether");
        words
            .nth(1)
            .and_then(read_mac)
            .with_context(|| format!("{link} has no address: {text}"))
    }

    /// Adds a guest that is plugged in as told, with one address (`10.0.0.5/24`) or none, and no route beyond it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn guest(&self, name: &str, plug: Plug<'_>, address: Option<&str>) -> Result<Guest> {
        let number = self.guests.fetch_add(1, Ordering::Relaxed);
        Guest::new(self, number, name, plug, address)
    }

    /// Writes (or replaces) a record; the file appears whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&self, name: &str, record: &Value) -> Result<()> {
        self.record_text(&format!("{name}.json"), &record.to_string())
    }

    /// Writes a record file of any content.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record_text(&self, file: &str, text: &str) -> Result<()> {
        let new = self.directory.path().join("record.new");
        std::fs::write(&new, text).context("cannot write a record")?;
        std::fs::rename(&new, self.records().join(file)).context("cannot place a record")
    }

    /// Removes a record.
    ///
    /// # Errors
    /// It is not there.
    pub fn forget(&self, name: &str) -> Result<()> {
        std::fs::remove_file(self.records().join(format!("{name}.json")))
            .with_context(|| format!("cannot remove the record of {name}"))
    }

    /// The directory of records.
    pub fn records(&self) -> PathBuf {
        self.directory.path().join("instances.d")
    }

    /// Starts the daemon on this host and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready; its log is in the error.
    pub fn serve(&self, settings: &Settings<'_>) -> Result<Daemon> {
        Daemon::start(self, settings)
    }
}
