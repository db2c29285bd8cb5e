//! A thousand guests that boot at once: each crawls the whole tree as cloud-init does, one connection for each answer,
//! with the limits that every guest has.
//!
//! Every answer is compared with what its very guest must be told. The same guests then ask nginx on the bridge's address
//! for one guest's answers, in turns.

mod crawl;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use self::crawl::Crawl;
use super::rounds::median;
use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile};
use crate::frames::{METADATA, mac_text};
use crate::lab::{Daemon, Guest, Lab, Plug, Settings};
use crate::load::{Lane, Load, Manner, Pace, Step, Tally};
use crate::peers::{self, At};

pub const BENCH: Bench = Bench {
    name: "storm",
    question: "Does every guest get its own answers, and soon, where a thousand boot at once?",
    run,
};

/// What the SDKs wait for an answer.
const SOON: Duration = Duration::from_secs(1);
const RATE: f64 = 10_000.0;
/// Of nginx's rate, where that is less.
const SHARE: f64 = 0.9;
/// A bridge takes a thousand ports, and nobody has so many on one.
const PORTS: usize = 100;
/// No storm goes on for longer.
const TIME: Duration = Duration::from_secs(300);
const DIRECT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 80);

/// Guests, and storms.
fn amount(extent: Extent) -> (usize, usize) {
    match extent {
        Extent::Short => (40, 1),
        Extent::Full => (1_000, 3),
    }
}

/// What one guest is known by.
#[derive(Debug, Clone)]
struct Known {
    guest: usize,
    mac: String,
}

fn run(extent: Extent) -> Result<Outcome> {
    let (count, rounds) = amount(extent);
    let lab = Lab::new()?;
    let guests = guests(&lab, count)?;
    let daemon = lab.serve(&Settings {
        // nginx writes no line for a request either.
        log: "warn",
        ..Settings::default()
    })?;
    daemon.status_until("a seat for every guest", |status| {
        let all = status["instances"].as_array();
        all.is_some_and(|all| {
            let seated = all.iter().filter(|it| it["nics"][0]["slot"].is_u64());
            seated.count() == count
        })
    })?;
    let crawl = Crawl::new(&guests)?;
    let scripts: Vec<Vec<Step>> = guests
        .iter()
        .map(|(_, known)| crawl.script(known))
        .collect();
    let nginx = peers::nginx(
        lab.host(),
        lab.directory(),
        &At::Address(DIRECT),
        &crawl.pages,
    )?;
    let alike = vec![crawl.script(&guests.first().context("no guests")?.1); count];
    let metadata = SocketAddrV4::new(METADATA, 80);
    let before = resident(&daemon)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(storm(&guests, metadata, &scripts)?);
        theirs.push(storm(&guests, DIRECT, &alike)?);
    }
    let used = resident(&daemon)?;
    drop(nginx);
    let mut outcome = outcome(&ours, &theirs);
    outcome.notes.push(format!(
        "{count} guests, {} requests each, of which {} are compared with what only their guest is told; metad has {} MiB before and {} MiB after",
        crawl.pages.len(),
        crawl.own,
        before / 1024,
        used / 1024,
    ));
    let limits = &daemon.status()?["limits"];
    outcome
        .notes
        .push(format!("limits that were met: {limits}"));
    Ok(outcome)
}

/// Makes bridges with their guests, and a record for each.
///
/// Who has which MAC address is told beforehand: the kernel has room for a thousand such entries in all namespaces
/// together, but for permanent ones, and whoever finds none waits in vain.
fn guests(lab: &Lab, count: usize) -> Result<Vec<(Guest, Known)>> {
    let mut guests = Vec::new();
    let mut neighbours = String::new();
    let mut gateway = String::new();
    for number in 0..count {
        let (bridge, port) = (number / PORTS, number % PORTS);
        let name = format!("br{bridge}");
        if port == 0 {
            lab.bridge(&name, &[&format!("10.77.{bridge}.1/24")])?;
            // A bridge without one of its own takes that of whichever port has the lowest.
            let mac = mac_text(lab.mac_of(&name)?);
            lab.host().ip(&format!("link set {name} address {mac}"))?;
            gateway = format!("10.77.{bridge}.1 lladdr {mac} dev eth0 nud permanent");
        }
        let address = format!("10.77.{bridge}.{}/24", port + 5);
        let guest = lab.guest(&format!("g{number}"), Plug::Bridge(&name), Some(&address))?;
        guest.ip(&format!("route add default via 10.77.{bridge}.1"))?;
        guest.ip(&format!("neighbour replace {gateway}"))?;
        let mac = mac_text(guest.mac());
        let address = address.trim_end_matches("/24");
        neighbours.push_str(&format!(
            "neighbour replace {address} lladdr {mac} dev {name} nud permanent\n"
        ));
        let mut record = guest.record();
        record["instance-id"] = json!(instance_id(number));
        record["hostname"] = json!(hostname(number));
        record["image-id"] = json!("ami-0123456789abcdef0");
        record["user-data"] = json!(format!("#cloud-config\nhostname: {}\n", hostname(number)));
        lab.record(guest.name(), &record)?;
        guests.push((guest, Known { guest: number, mac }));
    }
    let file = lab.directory().join("neighbours");
    fs::write(&file, neighbours).context("cannot write the neighbours down")?;
    lab.host().ip(&format!("-batch {}", file.display()))?;
    Ok(guests)
}

/// All are as long, so that one stands for the other wherever it is.
fn instance_id(number: usize) -> String {
    format!("i-{:017x}", 0x0005_7012_0000_0000_usize + number)
}

fn hostname(number: usize) -> String {
    format!("storm-{number:04}")
}

fn storm(guests: &[(Guest, Known)], to: SocketAddrV4, scripts: &[Vec<Step>]) -> Result<Tally> {
    let lanes = guests.iter().zip(scripts).map(|((guest, _), script)| Lane {
        from: guest.space(),
        to,
        script,
        requests: script.len().try_into().unwrap_or(u64::MAX),
    });
    let load = Load {
        lanes: lanes.collect(),
        manner: Manner::Closing,
        pace: Pace::Closed,
        time: TIME,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    load.run()
}

fn outcome(ours: &[Tally], theirs: &[Tally]) -> Outcome {
    let mut outcome = Outcome {
        columns: vec![
            "requests",
            "failed or wrong",
            "p50",
            "p99",
            "longest",
            "a second",
            "to nginx",
        ],
        ..Outcome::default()
    };
    let rate = |tallies: &[Tally]| median(tallies.iter().map(Tally::rate).collect());
    let ratios = ours
        .iter()
        .zip(theirs)
        .map(|(own, other)| own.rate() / other.rate());
    let to_nginx = median(ratios.collect());
    let [metad, nginx] = [ours, theirs].map(rate);
    for (name, tallies, share) in [
        ("metad", ours, Cell::Ratio(to_nginx)),
        ("nginx on a bridge's address", theirs, Cell::Ratio(1.0)),
    ] {
        let mut times: Vec<Duration> = tallies.iter().flat_map(|it| it.times.clone()).collect();
        times.sort_unstable();
        outcome.rows.push(Row {
            name: name.to_owned(),
            cells: vec![
                Cell::Count(times.len().try_into().unwrap_or(u64::MAX)),
                Cell::Count(tallies.iter().map(|it| it.failed).sum()),
                Cell::Time(quantile(&times, 0.5)),
                Cell::Time(quantile(&times, 0.99)),
                Cell::Time(quantile(&times, 1.0)),
                Cell::Rate(rate(tallies)),
                share,
            ],
        });
        if name == "metad" {
            let failed = tallies.iter().map(|it| it.failed).sum();
            outcome
                .targets
                .extend(answers(failed, quantile(&times, 0.99)));
        }
    }
    outcome.targets.push(Target {
        what: "connections a second".to_owned(),
        wanted: format!("≥ {RATE}, or {SHARE} × nginx if that is less"),
        measured: Cell::Rate(metad),
        met: metad >= RATE.min(SHARE * nginx),
        kind: Kind::Fast,
    });
    let failures = ours.iter().flat_map(|tally| &tally.failures).take(5);
    outcome
        .notes
        .extend(failures.map(|it| format!("failed: {it}")));
    outcome
}

fn answers(failed: u64, p99: Duration) -> [Target; 2] {
    [
        Target {
            what: "answers that failed or were another's".to_owned(),
            wanted: "0".to_owned(),
            measured: Cell::Count(failed),
            met: failed == 0,
            kind: Kind::Right,
        },
        Target {
            what: "p99 of an answer, its connection included".to_owned(),
            wanted: format!("< {} s", SOON.as_secs()),
            measured: Cell::Time(p99),
            met: p99 < SOON,
            kind: Kind::Fast,
        },
    ]
}

/// KiB of the daemon's that are in memory.
fn resident(daemon: &Daemon) -> Result<u64> {
    let pid = daemon.pid().context("metad does not run")?;
    let text =
        fs::read_to_string(format!("/proc/{pid}/status")).context("cannot read what metad uses")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.trim().parse().ok())
        .context("the kernel does not say what metad uses")
}
