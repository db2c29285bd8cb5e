//! Metad and what people would use instead, each on a host of its own with one guest, for whom all have the same octets.
//!
//! They take turns, so that whatever else goes on here falls on all of them; each number is the median of its turns, and
//! what counts is its ratio to that of nginx on the bridge's address.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::frames::METADATA;
use crate::lab::{Daemon, Guest, Lab, Plug, Request, Settings};
use crate::load::{Lane, Load, Manner, Step, Tally};
use crate::peers::{self, At, Page, Server};

const BRIDGE: &str = "br0";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of every host's one guest.
const ADDRESS: &str = "10.77.0.5/24";
const GUEST: &str = "guest";
/// Where a server listens that is behind another address.
const BEHIND: u16 = 8_076;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Metad,
    /// metad with a line in its log for each request, as it is shipped.
    MetadThatLogs,
    Direct,
    Dnat,
    Haproxy,
    Predecessor,
}

impl Kind {
    /// metad first: the others are given its answers.
    pub const ALL: [Self; 6] = [
        Self::Metad,
        Self::Direct,
        Self::Dnat,
        Self::Haproxy,
        Self::Predecessor,
        Self::MetadThatLogs,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Metad => "metad",
            Self::MetadThatLogs => "metad, a line logged for each request",
            Self::Direct => "nginx on the bridge's address",
            Self::Dnat => "nginx behind DNAT",
            Self::Haproxy => "haproxy before nginx, as OpenStack has it",
            Self::Predecessor => "the predecessors' method (our port)",
        }
    }

    fn is_metad(self) -> bool {
        matches!(self, Self::Metad | Self::MetadThatLogs)
    }
}

/// What all of them are to have.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub paths: &'a [&'a str],
    /// Octets of user-data; none: the guest has none.
    pub user_data: usize,
    pub manner: Manner,
}

/// One of them, and its guest.
#[derive(Debug)]
pub struct Contender {
    pub kind: Kind,
    pub guest: Guest,
    /// Whom the guest asks.
    pub to: SocketAddrV4,
    servers: Servers,
    _lab: Lab,
}

#[derive(Debug)]
enum Servers {
    Metad(Box<Daemon>),
    Others(Vec<Server>),
}

/// All of them, and what they answer.
#[derive(Debug)]
pub struct Contest {
    pub contenders: Vec<Contender>,
    pub pages: Vec<Page>,
    pub manner: Manner,
}

impl Contest {
    /// Starts these contenders, of which the first is metad, and has each answer each path once.
    ///
    /// # Errors
    /// One does not start, or does not answer as metad does.
    pub fn new(kinds: &[Kind], wanted: &Wanted<'_>) -> Result<Self> {
        let mut contest = Self {
            contenders: Vec::new(),
            pages: Vec::new(),
            manner: wanted.manner,
        };
        for kind in kinds {
            let contender = Contender::start(*kind, wanted, &contest.pages)
                .with_context(|| format!("cannot start {}", kind.name()))?;
            if contest.pages.is_empty() {
                contest.pages = contender.pages(wanted.paths)?;
            }
            contender.agrees(&contest.pages)?;
            contest.contenders.push(contender);
        }
        Ok(contest)
    }

    /// What is asked for this path, and must come of it.
    ///
    /// # Errors
    /// It is none of those wanted.
    pub fn step(&self, path: &str) -> Result<Step> {
        let page = self.pages.iter().find(|page| page.path == path);
        let page = page.with_context(|| format!("nobody has {path}"))?;
        Ok(Step::get(path, self.manner, &page.body))
    }
}

/// What one turn of one contender came to.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub tally: Tally,
    /// Processor time of its servers, without what the kernel does for them at interrupts.
    pub processor: Duration,
}

impl Contender {
    fn start(kind: Kind, wanted: &Wanted<'_>, pages: &[Page]) -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge(BRIDGE, &[&format!("{GATEWAY}/24")])?;
        lab.host().set("net/ipv4/ip_forward", "1")?;
        let guest = lab.guest(GUEST, Plug::Bridge(BRIDGE), Some(ADDRESS))?;
        guest.ip(&format!("route add default via {GATEWAY}"))?;
        // A port for each connection, and as many as there are.
        guest
            .space()
            .set("net/ipv4/ip_local_port_range", "1024 65535")?;
        let direct = SocketAddrV4::new(GATEWAY, 80);
        let behind = SocketAddrV4::new(GATEWAY, BEHIND);
        let metadata = SocketAddrV4::new(METADATA, 80);
        let (host, place) = (lab.host(), lab.directory());
        let (to, servers) = match kind {
            Kind::Metad | Kind::MetadThatLogs => (
                metadata,
                Servers::Metad(Box::new(serve(kind, &lab, &guest, wanted)?)),
            ),
            Kind::Direct => {
                let nginx = peers::nginx(host, place, &At::Address(direct), pages)?;
                (direct, Servers::Others(vec![nginx]))
            }
            Kind::Dnat => {
                peers::dnat(host, behind)?;
                let nginx = peers::nginx(host, place, &At::Address(behind), pages)?;
                (metadata, Servers::Others(vec![nginx]))
            }
            Kind::Haproxy => {
                host.ip(&format!("address add {METADATA}/32 dev {BRIDGE}"))?;
                let socket = place.join("service.socket");
                let nginx = peers::nginx(host, place, &At::Socket(socket.clone()), pages)?;
                let haproxy = peers::haproxy(host, place, metadata, &socket)?;
                (metadata, Servers::Others(vec![haproxy, nginx]))
            }
            Kind::Predecessor => {
                peers::dnat(host, behind)?;
                let ported = peers::predecessor(host, place, behind, guest.mac(), pages)?;
                (metadata, Servers::Others(vec![ported]))
            }
        };
        Ok(Self {
            kind,
            guest,
            to,
            servers,
            _lab: lab,
        })
    }

    /// A lane of its guest.
    pub fn lane<'a>(&'a self, script: &'a [Step]) -> Lane<'a> {
        Lane {
            from: self.guest.space(),
            to: self.to,
            script,
            requests: u64::MAX,
        }
    }

    /// Takes one turn.
    ///
    /// # Errors
    /// The load cannot be made, or a server is gone.
    pub fn turn(&self, load: &Load<'_>) -> Result<Turn> {
        let before = self.processor_time()?;
        let tally = load.run()?;
        let processor = self.processor_time()?.saturating_sub(before);
        Ok(Turn { tally, processor })
    }

    /// The daemon, if it is metad.
    pub fn daemon(&self) -> Option<&Daemon> {
        match &self.servers {
            Servers::Metad(daemon) => Some(daemon),
            Servers::Others(_) => None,
        }
    }

    fn processor_time(&self) -> Result<Duration> {
        match &self.servers {
            Servers::Metad(daemon) => {
                peers::processor_time(daemon.pid().context("metad does not run")?)
            }
            Servers::Others(servers) => servers.iter().map(Server::processor_time).sum(),
        }
    }

    /// What metad answers.
    fn pages(&self, paths: &[&str]) -> Result<Vec<Page>> {
        ensure!(self.kind.is_metad(), "metad must be the first of a contest");
        let page = |path: &&str| {
            let reply = self.guest.get(path)?;
            ensure!(reply.status == 200, "{path}: {}", reply.status);
            Ok(Page::of(path, &reply))
        };
        paths.iter().map(page).collect()
    }

    /// Whether it answers every path with the same octets.
    fn agrees(&self, pages: &[Page]) -> Result<()> {
        for page in pages {
            let request = Request::get(&page.path);
            let reply = request.send(self.guest.space().connect_to(self.to.into(), PATIENCE)??)?;
            ensure!(
                reply.status == 200 && reply.body == page.body,
                "{} answers {} with {} and {} octets",
                self.kind.name(),
                page.path,
                reply.status,
                reply.body.len()
            );
        }
        Ok(())
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn serve(kind: Kind, lab: &Lab, guest: &Guest, wanted: &Wanted<'_>) -> Result<Daemon> {
    let mut record = guest.record();
    if wanted.user_data > 0 {
        record["user-data"] = json!("#".repeat(wanted.user_data));
    }
    lab.record(GUEST, &record)?;
    let keep_alive = wanted.manner == Manner::KeptAlive;
    let daemon = lab.serve(&Settings {
        // One guest asks here as a thousand do elsewhere.
        more: &format!(
            "keep-alive = {keep_alive}\n[limits]\nenabled = false\nopen-connections = 4096"
        ),
        log: if kind == Kind::MetadThatLogs {
            "info"
        } else {
            "warn"
        },
        ..Settings::default()
    })?;
    daemon.seated(&[GUEST])?;
    Ok(daemon)
}
