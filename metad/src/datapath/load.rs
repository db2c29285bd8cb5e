//! The object's bytes into the kernel.

use std::io;
use std::path::PathBuf;

use aya::maps::{HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{Program, ProgramError, SchedClassifier, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_log::EbpfLogger;
use metad_common::abi::{Bucket, Flow, FlowKey, NicKey, NicSlot, Port};
use metad_common::limit::Limit;
use metad_common::names;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::attach::AttachError;
use super::guard::GuardError;
use super::layout::Layout;
use super::pins::{self, PinError};
use crate::config::Config;
use crate::netns::veth::Veth;

/// The kernel object, as metad-ebpf's build left it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/metad-ebpf.o"));

/// Why the programs cannot be brought up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot load the BPF object into the kernel")]
    Object(#[source] Box<EbpfError>),
    #[error("cannot read the BPF object's maps: this metad was built wrong")]
    Layout(#[source] Box<aya_obj::ParseError>),
    #[error("cannot write {}", .0.display())]
    Stamp(PathBuf, #[source] io::Error),
    #[error("cannot load the BPF program {name}")]
    Program {
        name: &'static str,
        #[source]
        source: Box<ProgramError>,
    },
    #[error("the BPF object has no {kind} called {name}: this metad was built wrong")]
    Missing {
        kind: &'static str,
        name: &'static str,
    },
    #[error("cannot use the BPF map {name}")]
    Map {
        name: &'static str,
        #[source]
        source: MapError,
    },
    #[error("cannot describe {interface} to the kernel: {why}")]
    Port { interface: String, why: String },
    #[error("cannot watch the ring of unknown senders")]
    Ring(#[source] io::Error),
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Guard(#[from] GuardError),
}

/// The programs and the maps that the daemon holds.
pub(super) struct Kernel {
    ebpf: Ebpf,
    pub(super) nics: HashMap<MapData, NicKey, NicSlot>,
    pub(super) ports: HashMap<MapData, u32, Port>,
    pub(super) counters: PerCpuArray<MapData, u64>,
    pub(super) buckets: HashMap<MapData, u32, Bucket>,
}

/// A loader that has set what the programs take as constants.
pub fn object_loader(globals: &Globals) -> EbpfLoader<'_> {
    let mut loader = EbpfLoader::new();
    loader
        .override_global(names::VETH_IFINDEX, &globals.ifindex, true)
        .override_global(names::DAEMON_MAC, &globals.mac, true)
        .override_global(names::LOG_DROPS, &globals.log_drops, true)
        .override_global(
            names::CONNECTION_INTERVAL_NS,
            &globals.connections.interval_ns,
            true,
        )
        .override_global(
            names::CONNECTION_CAPACITY_NS,
            &globals.connections.capacity_ns,
            true,
        );
    loader
}

/// The globals of the object.
#[derive(Debug, Clone, Copy)]
pub struct Globals {
    /// Of the host's end of the veth.
    pub ifindex: u32,
    /// Of the other end.
    pub mac: [u8; 6],
    /// Non-zero: log drops.
    pub log_drops: u32,
    /// How fast each NIC may open connections.
    pub connections: Limit,
}

impl Kernel {
    /// Loads the programs with what an earlier daemon has pinned of the maps in `layout`, and pins the rest.
    pub(super) fn load(config: &Config, layout: &Layout, veth: Veth) -> Result<Self, LoadError> {
        pins::prepare(config)?;
        let globals = Globals {
            ifindex: veth.host,
            mac: veth.daemon_mac.0,
            log_drops: u32::from(config.datapath.log_drops),
            connections: connections(config),
        };
        let object = |error| LoadError::Object(Box::new(error));
        let mut loader = object_loader(&globals);
        for name in layout.maps() {
            let path = config.pins().join(name);
            if path.exists() {
                loader.map_pin_path(name, path);
            }
        }
        let mut ebpf = loader.load(OBJECT).map_err(object)?;
        if config.datapath.log_drops {
            follow_log(&mut ebpf);
        }
        for name in [names::GUEST_INGRESS, names::REPLY] {
            let loaded = program::<SchedClassifier>(&mut ebpf, name)?.load();
            loaded.map_err(|source| refused(name, source))?;
        }
        if config.datapath.flood_guard {
            let loaded = program::<Xdp>(&mut ebpf, names::FLOOD_GUARD)?.load();
            loaded.map_err(|source| refused(names::FLOOD_GUARD, source))?;
        }
        pins::pin_maps(config, &ebpf, layout.maps())?;
        Ok(Self {
            nics: take(&mut ebpf, names::NICS)?,
            ports: take(&mut ebpf, names::PORTS)?,
            counters: take(&mut ebpf, names::COUNTERS)?,
            buckets: take(&mut ebpf, names::BUCKETS)?,
            ebpf,
        })
    }

    pub(super) fn program(
        &mut self,
        name: &'static str,
    ) -> Result<&mut SchedClassifier, LoadError> {
        program(&mut self.ebpf, name)
    }

    /// The number that the kernel gave this daemon's program.
    pub(super) fn id_of(&self, name: &'static str) -> Result<u32, LoadError> {
        let missing = LoadError::Missing {
            kind: "program",
            name,
        };
        let program = self.ebpf.program(name).ok_or(missing)?;
        let info = program.info().map_err(|source| refused(name, source))?;
        Ok(info.id())
    }

    /// The flood guard; loaded only if the configuration asks for it.
    pub(super) fn flood_guard(&mut self) -> Result<&mut Xdp, LoadError> {
        program(&mut self.ebpf, names::FLOOD_GUARD)
    }

    pub(super) fn take_flows(&mut self) -> Result<HashMap<MapData, FlowKey, Flow>, LoadError> {
        take(&mut self.ebpf, names::FLOWS)
    }

    pub(super) fn take_strangers(&mut self) -> Result<RingBuf<MapData>, LoadError> {
        take(&mut self.ebpf, names::STRANGERS)
    }
}

/// How fast each NIC may open connections.
pub(super) fn connections(config: &Config) -> Limit {
    let rate = config.limits.connection_rate();
    rate.map_or(Limit::OFF, |rate| Limit::new(rate.per_second, rate.burst))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let missing = || LoadError::Missing {
        kind: "program",
        name,
    };
    let program = ebpf.program_mut(name).ok_or_else(missing)?;
    program.try_into().map_err(|source| refused(name, source))
}

fn refused(name: &'static str, source: ProgramError) -> LoadError {
    LoadError::Program {
        name,
        source: Box::new(source),
    }
}

fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf
        .take_map(name)
        .ok_or(LoadError::Missing { kind: "map", name })?;
    M::try_from(map).map_err(|source| LoadError::Map { name, source })
}

/// Why an entry was not taken, in words where a table is full.
pub(super) fn no_room(error: &MapError, what: &str, most: u32) -> String {
    // What the kernel says of a hash table that has no room (bpf(2)).
    const FULL: Option<i32> = Some(rustix::io::Errno::TOOBIG.raw_os_error());
    if let MapError::SyscallError(call) = error
        && call.io_error.raw_os_error() == FULL
    {
        return format!("the kernel's table of {what} is full with {most}");
    }
    error.to_string()
}

/// Passes the programs' own log lines on. Without them metad works all the same.
fn follow_log(ebpf: &mut Ebpf) {
    let logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "drops will not be explained: the programs' log cannot be read");
            return;
        }
    };
    // SAFETY: the logger keeps its descriptor, its ring's, open and the same for as long as it lives.
    let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    let mut logger = match logger.map_err(io::Error::from) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "drops will not be explained: their log cannot be watched");
            return;
        }
    };
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
}
