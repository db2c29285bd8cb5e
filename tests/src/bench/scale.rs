//! What a thousand and ten thousand instances cost: memory, the time to take them in, and what a guest feels of them.
//!
//! One host for each size, all at once, so that they take turns at everything. Every instance has a NIC that the kernel's
//! table knows: they are known by MAC address on one bridge, since nobody has ten thousand taps, and one of them is there.

mod domains;

use std::fs;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::rounds::median;
use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target};
use crate::frames::METADATA;
use crate::lab::{Daemon, Guest, Lab, Plug, Settings};
use crate::load::{Lane, Load, Manner, Step};

pub const BENCH: Bench = Bench {
    name: "scale",
    question: "What do ten thousand instances cost, and what does a guest feel of the others?",
    run,
};

const USER_DATA: usize = 4096;
const MIB: f64 = 1024.0 * 1024.0;
/// Resident memory at the largest size, in MiB.
const MEMORY: f64 = 64.0;
/// What the rate of requests may differ by between sizes.
const FLAT: f64 = 0.05;
const DOMAINS_TIME: Duration = Duration::from_secs(2);
/// Nothing is given back for so long: nothing more will be.
const REST: Duration = Duration::from_secs(2);
const LANES: usize = 16;
const PATH: &str = "/latest/meta-data/instance-id";

struct Amount {
    sizes: &'static [usize],
    /// Of the memory at the largest size.
    measured: bool,
    rounds: usize,
    time: Duration,
    domains: usize,
}

fn amount(extent: Extent) -> Amount {
    match extent {
        Extent::Short => Amount {
            sizes: &[10, 300],
            measured: false,
            rounds: 1,
            time: Duration::from_millis(200),
            domains: 100,
        },
        Extent::Full => Amount {
            sizes: &[10, 1_000, 10_000],
            measured: true,
            rounds: 15,
            time: Duration::from_secs(1),
            domains: 1_000,
        },
    }
}

/// A host with so many instances, of which one is there.
struct Place {
    size: usize,
    guest: Guest,
    daemon: Daemon,
    taken_in: Duration,
    /// Resident octets once all was taken in.
    settled: u64,
    rates: Vec<f64>,
    /// What became of the first requests that failed.
    failures: Vec<String>,
    _lab: Lab,
}

fn run(extent: Extent) -> Result<Outcome> {
    let amount = amount(extent);
    let places = amount.sizes.iter().map(|size| Place::new(*size));
    let mut places = places.collect::<Result<Vec<Place>>>()?;
    let mut wrong = 0;
    for _ in 0..amount.rounds {
        for place in &mut places {
            wrong += place.turn(amount.time)?;
        }
    }
    let mut outcome = Outcome {
        columns: vec![
            "taken in",
            "MiB",
            "KiB each",
            "MiB used",
            "requests",
            "to fewest",
        ],
        ..Outcome::default()
    };
    let base = places.first().context("no sizes")?;
    let (base_rates, base_memory, base_size) = (base.rates.clone(), base.settled, base.size);
    for place in &places {
        let more = place.size.saturating_sub(base_size);
        let each = place.settled.saturating_sub(base_memory) as f64 / 1024.0 / more as f64;
        let pairs = place.rates.iter().zip(&base_rates);
        let to_fewest = median(pairs.map(|(own, base)| own / base).collect());
        let (rate, used) = (place.rate(), place.resident()?);
        outcome.rows.push(Row {
            name: format!("{} instances", place.size),
            cells: vec![
                Cell::Time(place.taken_in),
                Cell::Number(place.settled as f64 / MIB),
                if more > 0 {
                    Cell::Number(each)
                } else {
                    Cell::Nothing
                },
                Cell::Number(used as f64 / MIB),
                Cell::Rate(rate),
                Cell::Ratio(to_fewest),
            ],
        });
        if place.size != base_size {
            outcome.targets.push(flat(place.size, to_fewest));
        }
    }
    if let Some(largest) = places.last().filter(|_| amount.measured) {
        outcome
            .targets
            .push(memory(largest.size, largest.settled as f64 / MIB));
    }
    outcome.targets.push(right(wrong));
    let failures = places.iter().flat_map(|place| &place.failures).take(5);
    let notes = failures.map(|failure| format!("failed: {failure}"));
    outcome.notes.extend(notes);
    drop(places);
    domains::measure(amount.domains, DOMAINS_TIME, &mut outcome)?;
    Ok(outcome)
}

impl Place {
    fn new(size: usize) -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &["10.77.0.1/24"])?;
        let guest = lab.guest("asker", Plug::Bridge("br0"), Some("10.77.0.5/24"))?;
        guest.ip("route add default via 10.77.0.1")?;
        let mut record = guest.record();
        record["user-data"] = json!(user_data(0));
        record["nics"][0]["bridge"] = json!("br0");
        lab.record("asker", &record)?;
        for number in 1..size {
            let [.., a, b] = u32::try_from(number)?.to_be_bytes();
            let record = json!({
                "instance-id": format!("i-{number:017x}"),
                "hostname": format!("guest-{number}"),
                "user-data": user_data(number),
                "nics": [{
                    "mac": format!("52:54:01:00:{a:02x}:{b:02x}"),
                    "interface": format!("port{number}"),
                    "bridge": "br0",
                }],
            });
            let file = lab.records().join(format!("guest-{number}.json"));
            fs::write(file, record.to_string()).context("cannot write a record")?;
        }
        let started = Instant::now();
        let daemon = lab.serve(&Settings {
            identity: "mac",
            more: "[limits]\nenabled = false\nopen-connections = 4096",
            ..Settings::default()
        })?;
        daemon.status_until("a seat for every instance", |status| {
            let all = status["instances"].as_array();
            all.is_some_and(|all| {
                all.len() == size && all.iter().all(|it| it["nics"][0]["slot"].is_u64())
            })
        })?;
        let taken_in = started.elapsed();
        let mut place = Self {
            size,
            guest,
            daemon,
            taken_in,
            settled: 0,
            rates: Vec::new(),
            failures: Vec::new(),
            _lab: lab,
        };
        place.settled = place.at_rest()?;
        Ok(place)
    }

    /// What is resident once nothing more is given back: a large reading leaves something behind, and so does a long
    /// list of instances for whoever asked for it.
    fn at_rest(&self) -> Result<u64> {
        let mut least = self.resident()?;
        let mut since = Instant::now();
        while since.elapsed() < REST {
            std::thread::sleep(REST / 20);
            let resident = self.resident()?;
            if resident < least {
                (least, since) = (resident, Instant::now());
            }
        }
        self.resident()
    }

    /// Octets of the daemon's that are in memory.
    fn resident(&self) -> Result<u64> {
        let pid = self.daemon.pid().context("metad does not run")?;
        let text = fs::read_to_string(format!("/proc/{pid}/status"))
            .context("cannot read what metad uses")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|number| number.trim().parse().ok())
            .context("the kernel does not say what metad uses")?;
        Ok(kibibytes * 1024)
    }

    /// Asks for so long, sixteen connections at a time; says how many answers were not its own.
    fn turn(&mut self, time: Duration) -> Result<u64> {
        let id = self.guest.record()["instance-id"].clone();
        let id = id.as_str().context("a guest without an instance-id")?;
        let script = [Step::get(PATH, Manner::Closing, id.as_bytes())];
        let lane = Lane {
            from: self.guest.space(),
            to: SocketAddrV4::new(METADATA, 80),
            script: &script,
            requests: u64::MAX,
        };
        let tally = Load::alike(lane, LANES, Manner::Closing, time).run()?;
        self.rates.push(tally.rate());
        let reply = self.guest.get("/latest/user-data")?;
        ensure!(reply.text() == user_data(0), "other user-data: {reply:?}");
        self.failures.extend(tally.failures);
        Ok(tally.failed)
    }

    /// The median of its turns.
    fn rate(&self) -> f64 {
        median(self.rates.clone())
    }
}

/// A configuration that nobody else has, of exactly the length.
fn user_data(number: usize) -> String {
    let mut text = format!("#cloud-config\nhostname: guest-{number}\nruncmd:\n");
    let mut line = number;
    while text.len() < USER_DATA {
        line = line
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("- [ echo, '{line:016x}' ]\n"));
    }
    text.truncate(USER_DATA);
    text
}

fn flat(size: usize, measured: f64) -> Target {
    Target {
        what: format!("requests/s with {size} instances, to the fewest"),
        wanted: format!("≥ {:.2} ×", 1.0 - FLAT),
        measured: Cell::Ratio(measured),
        met: measured >= 1.0 - FLAT,
        kind: Kind::Fast,
    }
}

fn memory(size: usize, mebibytes: f64) -> Target {
    Target {
        what: format!("MiB resident with {size} instances of {USER_DATA} octets user-data"),
        wanted: format!("≤ {MEMORY}"),
        measured: Cell::Number(mebibytes),
        met: mebibytes <= MEMORY,
        kind: Kind::Fast,
    }
}

fn right(wrong: u64) -> Target {
    Target {
        what: "answers that were another's, or none".to_owned(),
        wanted: "0".to_owned(),
        measured: Cell::Count(wrong),
        met: wrong == 0,
        kind: Kind::Right,
    }
}
