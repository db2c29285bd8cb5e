//! What metad costs those who want nothing of it: guests that speak to each other.
//!
//! Two hosts take turns at everything: one with metad, and one with an empty program in its place, and with none, too,
//! where octets are counted, for which they change places half-way. The kernel itself says how long each program ran, by
//! clocks that take most of that time.

mod kernel;
mod traffic;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Result, ensure};

use self::kernel::{Program, Runs, count_runs};
use self::traffic::Carried;
use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile, ratio};
use crate::frames::{self, ACK, Ends};
use crate::lab::{Daemon, Guest, Lab, Plug, Settings, Wire, until};

pub const BENCH: Bench = Bench {
    name: "bystander",
    question: "What does metad cost guests that only speak to each other?",
    run,
};

const FROM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const TO: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);
const SOON: Duration = Duration::from_secs(60);
/// What may be added to an empty program, and what must be left of throughput.
const ADDED: f64 = 1.3;
const KEPT: f64 = 0.99;
const MIB: usize = 1024 * 1024;
/// Frames that are sent before anybody looks, and how long they may take then.
const AT_ONCE: usize = 250;
const GLANCE: Duration = Duration::from_millis(500);

struct Amount {
    rounds: usize,
    /// Rounds of traffic: many and short, so that both sides of a ratio are of the same moment.
    trips: usize,
    frames: usize,
    /// Of TCP.
    octets: usize,
    datagrams: usize,
}

fn amount(extent: Extent) -> Amount {
    match extent {
        Extent::Short => Amount {
            rounds: 2,
            trips: 2,
            frames: 500,
            octets: 8 * MIB,
            datagrams: 2_000,
        },
        Extent::Full => Amount {
            rounds: 31,
            trips: 151,
            frames: 10_000,
            octets: 128 * MIB,
            datagrams: 10_000,
        },
    }
}

/// A host with two guests.
struct Place {
    from: Guest,
    to: Guest,
    daemon: Option<Daemon>,
    lab: Lab,
}

/// What nobody here is meant by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Tcp,
    Udp,
    Ipv6,
    Arp,
    Unknown,
}

impl Foreign {
    const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Ipv6, Self::Arp, Self::Unknown];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP over IPv4",
            Self::Udp => "UDP over IPv4",
            Self::Ipv6 => "IPv6",
            Self::Arp => "ARP for another guest",
            Self::Unknown => "neither IP nor ARP",
        }
    }
}

fn run(extent: Extent) -> Result<Outcome> {
    let amount = amount(extent);
    let (mut with, mut without) = (Place::new()?, Place::new()?);
    with.begin_metad()?;
    let mut outcome = Outcome {
        columns: vec!["empty", "metad", "metad to empty"],
        ..Outcome::default()
    };
    programs([&without, &with], &amount, &mut outcome)?;
    let first = paces([&without, &with], &amount)?;
    // No two hosts are quite alike: the other one has metad for the other half.
    with.end_metad();
    without.begin_metad()?;
    let second = paces([&with, &without], &amount)?;
    throughput(&[first, second], &mut outcome);
    outcome.notes.push(
        "programs: nanoseconds for each frame, by the kernel's run-time statistics".to_owned(),
    );
    Ok(outcome)
}

/// What the programs themselves take.
fn programs(places: [&Place; 2], amount: &Amount, outcome: &mut Outcome) -> Result<()> {
    let [without, with] = places;
    let empty = Program::empty()?;
    let _attached = without.attach(&empty)?;
    let ours = with.program()?;
    let _counting = count_runs()?;
    for foreign in Foreign::ALL {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..amount.rounds {
            let pairs = places.iter().zip([&empty, &ours]).zip(&mut times);
            for ((place, program), times) in pairs {
                let ran = place.flood(program, foreign, amount.frames)?;
                let count = u32::try_from(ran.count.max(1))?;
                times.push(ran.time / count);
            }
        }
        let [empty, ours] = times.map(median);
        let to_empty = ratio(ours, empty);
        outcome.rows.push(Row {
            name: foreign.name().to_owned(),
            cells: vec![Cell::Time(empty), Cell::Time(ours), to_empty],
        });
        outcome.targets.push(Target {
            what: format!("{}: guest_ingress to an empty program", foreign.name()),
            wanted: format!("≤ {ADDED} ×"),
            measured: to_empty,
            met: matches!(to_empty, Cell::Ratio(ratio) if ratio <= ADDED),
            kind: Kind::Fast,
        });
    }
    Ok(())
}

/// What a second brought between guests in one round.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    without: f64,
    /// With a program that only lets everything pass. Less than that nobody can cost who looks at frames there.
    empty: f64,
    metad: f64,
}

/// By what is carried.
type Paces = BTreeMap<&'static str, Vec<Round>>;

/// Has both places carry the same, in turns.
fn paces(places: [&Place; 2], amount: &Amount) -> Result<Paces> {
    let kinds: [(&str, traffic::Carry); 2] = [
        ("TCP, MiB/s", |from, to, amount| {
            traffic::tcp(from, to, amount.0)
        }),
        ("UDP, datagrams/s", |from, to, amount| {
            traffic::udp(from, to, amount.1)
        }),
    ];
    let [without, with] = places;
    ensure!(without.daemon.is_none(), "metad is where it must not be");
    ensure!(with.daemon.is_some(), "metad is not where it must be");
    let empty = Program::empty()?;
    let mut paces = Paces::new();
    for (name, carry) in kinds {
        for round in 0..amount.trips {
            let pace = |place: &Place| -> Result<f64> {
                let carried: Carried =
                    carry(&place.from, &place.to, (amount.octets, amount.datagrams))?;
                Ok(carried.pace())
            };
            let mut this = Round::default();
            // Who comes later finds a warm machine.
            for turn in 0..3 {
                match (round + turn) % 3 {
                    0 => this.without = pace(without)?,
                    1 => {
                        let _attached = without.attach(&empty)?;
                        this.empty = pace(without)?;
                    }
                    _ => this.metad = pace(with)?,
                }
            }
            paces.entry(name).or_default().push(this);
        }
    }
    Ok(paces)
}

/// What is left of the pace of others. Of each half the median of its rounds' ratios counts, and of the halves the
/// geometric mean: what is a host's own stands once above the line and once below it.
fn throughput(halves: &[Paces; 2], outcome: &mut Outcome) {
    let [first, second] = halves;
    for (name, rounds) in first {
        let other = second.get(name).map_or(&[][..], Vec::as_slice);
        let all = |of: fn(&Round) -> f64| middle(rounds.iter().chain(other).map(of).collect());
        let kept = |of: fn(&Round) -> f64| {
            let half = |rounds: &[Round]| middle(rounds.iter().map(of).collect());
            (half(rounds) * half(other)).sqrt()
        };
        let to_none = kept(|round| round.metad / round.without);
        for (name, before, ratio) in [
            (
                format!("{name}; none instead of an empty one"),
                all(|round| round.without),
                to_none,
            ),
            (
                (*name).to_owned(),
                all(|round| round.empty),
                kept(|round| round.metad / round.empty),
            ),
        ] {
            let metad = Cell::Number(all(|round| round.metad));
            outcome.rows.push(Row {
                name,
                cells: vec![Cell::Number(before), metad, Cell::Ratio(ratio)],
            });
        }
        outcome.targets.push(Target {
            what: format!("{name}: with metad to without"),
            wanted: format!("≥ {KEPT} ×"),
            measured: Cell::Ratio(to_none),
            met: to_none >= KEPT,
            kind: Kind::Fast,
        });
    }
}

impl Place {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &["10.77.0.1/24"])?;
        let guest = |name: &str, address: Ipv4Addr| -> Result<Guest> {
            let guest = lab.guest(name, Plug::Bridge("br0"), Some(&format!("{address}/24")))?;
            lab.record(name, &guest.record())?;
            Ok(guest)
        };
        let (from, to) = (guest("from", FROM)?, guest("to", TO)?);
        let place = Self {
            from,
            to,
            daemon: None,
            lab,
        };
        // The bridge knows by then where both are.
        traffic::tcp(&place.from, &place.to, MIB)?;
        Ok(place)
    }

    fn begin_metad(&mut self) -> Result<()> {
        let daemon = self.lab.serve(&Settings::default())?;
        daemon.seated(&["from", "to"])?;
        self.daemon = Some(daemon);
        // It sits on the tap by then, too.
        self.program().map(drop)
    }

    /// Takes everything of metad's along.
    fn end_metad(&mut self) {
        self.daemon = None;
    }

    /// metad's program on the tap of the guest that sends, once it is there.
    fn program(&self) -> Result<Program> {
        let ifindex = self.lab.host().index_of(self.from.interface())?;
        until("metad's program on the tap", SOON, || {
            self.lab.host().within(|| Program::at(ifindex)).ok()?.ok()
        })
    }

    /// Attaches a program to the tap of the guest that sends.
    fn attach(&self, program: &Program) -> Result<OwnedFd> {
        let ifindex = self.lab.host().index_of(self.from.interface())?;
        self.lab.host().within(|| program.attach(ifindex))?
    }

    /// Sends frames until the program has seen so many, and says what they have cost.
    ///
    /// The queue before it is the processor's, for all namespaces, and has room for a thousand frames of whoever sends some;
    /// what comes on top is lost (net.core.netdev_max_backlog).
    fn flood(&self, program: &Program, foreign: Foreign, count: usize) -> Result<Runs> {
        let frame = self.frame(foreign);
        let wire: Wire = self.from.wire()?;
        let before = program.runs()?;
        let ran = || -> Result<Runs> {
            let after = program.runs()?;
            Ok(Runs {
                count: after.count - before.count,
                time: after.time.saturating_sub(before.time),
            })
        };
        let wanted = u64::try_from(count)?;
        let mut sent = 0;
        loop {
            let seen = ran()?;
            if seen.count >= wanted {
                return Ok(seen);
            }
            ensure!(
                sent < 10 * count,
                "{}: the program saw {} of {sent} frames",
                foreign.name(),
                seen.count
            );
            let some = AT_ONCE.min(usize::try_from(wanted - seen.count)?);
            for _ in 0..some {
                wire.send(&frame)?;
            }
            sent += some;
            // The other processor may not be through with them; those that are lost nobody sees.
            let all = seen.count + u64::try_from(some)?;
            let _lost = until("the last frame", GLANCE, || {
                (program.runs().ok()?.count - before.count >= all).then_some(())
            });
        }
    }

    fn frame(&self, foreign: Foreign) -> Vec<u8> {
        let ends = Ends {
            from_mac: self.from.mac(),
            to_mac: self.to.mac(),
            from: FROM,
            to: TO,
            from_port: 40_000,
            to_port: 9,
        };
        match foreign {
            Foreign::Tcp => frames::tcp(&ends, ACK, 1, 1, &[0x5a; 1_000]),
            Foreign::Udp => frames::udp(&ends, &[0x5a; 1_000]),
            Foreign::Ipv6 => frames::ipv6::udp(
                &frames::ipv6::Ends {
                    from_mac: self.from.mac(),
                    to_mac: self.to.mac(),
                    from: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 5),
                    to: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 6),
                    from_port: 40_000,
                    to_port: 9,
                },
                &[0x5a; 1_000],
            ),
            Foreign::Arp => frames::who_has(self.from.mac(), FROM, TO),
            Foreign::Unknown => experimental(frames::udp(&ends, &[0x5a; 1_000])),
        }
    }
}

/// The same frame under a type for local experiments (IEEE 802).
fn experimental(mut frame: Vec<u8>) -> Vec<u8> {
    for (to, from) in frame.iter_mut().skip(12).zip([0x88, 0xb5]) {
        *to = from;
    }
    frame
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    quantile(&times, 0.5)
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
