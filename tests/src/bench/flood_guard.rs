//! What the flood guard spares the host, and what it costs a guest that only moves data.
//!
//! Two hosts, one without the guard and one with it, take turns at everything, so that whatever else goes on here falls on
//! both; a veth, which has no guard on either host, shows by how much it does not. A tap is as QEMU's: written to by a
//! process, whose processor time is all that the host spends on a frame.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile, ratio};
use crate::frames::{Ends, METADATA, SYN, tcp, udp};
use crate::lab::{Daemon, Guest, Lab, Plug, Settings, until};

pub const BENCH: Bench = Bench {
    name: "flood-guard",
    question: "What does the flood guard spare the host, and what does it cost a guest's other traffic?",
    run,
};

const NETWORK: &str = "10.77.0";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SINK: u16 = 5_001;
/// How long anything here may take that takes milliseconds.
const SOON: Duration = Duration::from_secs(60);
const MIB: usize = 1024 * 1024;
/// More than any burst of connections.
const DRAIN: usize = 2_000;
/// What would have to be reached for the guard to be on by default: so much of a dropped frame's cost is left, ...
const SPARED: f64 = 0.8;
/// ... and so much of a guest's bulk traffic.
const KEPT: f64 = 0.97;

/// Turns, frames in one of them, and octets of bulk traffic in one of them.
fn amount(extent: Extent) -> (usize, usize, usize) {
    match extent {
        Extent::Short => (1, 3_000, 8 * MIB),
        Extent::Full => (9, 30_000, 256 * MIB),
    }
}

/// A host, a machine on a tap, and a container on a veth, which never has a guard.
struct Place {
    lab: Lab,
    machine: Guest,
    container: Guest,
    daemon: Daemon,
    sink: TcpListener,
    /// Frames that were sent to be refused for the limit.
    sent: u64,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kindred {
    BeyondLimit,
    Malformed,
    Stranger,
    Foreign,
}

impl Kindred {
    const ALL: [Self; 4] = [
        Self::BeyondLimit,
        Self::Malformed,
        Self::Stranger,
        Self::Foreign,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BeyondLimit => "a SYN beyond the limit",
            Self::Malformed => "a UDP datagram to the metadata address",
            Self::Stranger => "a SYN of an unknown sender",
            Self::Foreign => "a frame to somebody else, which passes",
        }
    }
}

/// Where it is sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nic {
    Tap,
    Veth,
}

impl Nic {
    const ALL: [Self; 2] = [Self::Tap, Self::Veth];

    fn name(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Veth => "control, without a guard on either",
        }
    }
}

fn run(extent: Extent) -> Result<Outcome> {
    let (turns, frames, octets) = amount(extent);
    let mut places = [Place::new("off")?, Place::new("on")?];
    let mut outcome = Outcome {
        columns: vec!["guard off", "guard on", "on to off"],
        ..Outcome::default()
    };
    for nic in Nic::ALL {
        for kindred in Kindred::ALL {
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..turns {
                for (place, times) in places.iter_mut().zip(&mut times) {
                    times.push(place.flood(nic, kindred, frames)?);
                }
            }
            let [off, on] = times.map(median);
            outcome.rows.push(Row {
                name: format!("{}: {}", nic.name(), kindred.name()),
                cells: vec![Cell::Time(off), Cell::Time(on), ratio(on, off)],
            });
            if nic == Nic::Tap && kindred == Kindred::BeyondLimit {
                let left = on.as_secs_f64() / off.as_secs_f64();
                outcome
                    .targets
                    .push(fast("cost of a dropped SYN", left, left <= SPARED));
            }
        }
    }
    for nic in Nic::ALL {
        bulk(nic, turns, octets, &places, &mut outcome)?;
    }
    for place in &places {
        outcome.targets.push(place.accounted_for()?);
    }
    outcome.notes.push("times are processor time a frame, or a MiB, of the process that writes it: the host's work on it is in there".to_owned());
    outcome.notes.push(format!(
        "the guard would be on by default where a dropped frame costs at most {SPARED} times as much, and bulk traffic keeps {KEPT} of its pace"
    ));
    Ok(outcome)
}

/// Bulk traffic from one kind of NIC: pace, and what it costs.
fn bulk(
    nic: Nic,
    turns: usize,
    octets: usize,
    places: &[Place; 2],
    outcome: &mut Outcome,
) -> Result<()> {
    let mut paces = [Vec::new(), Vec::new()];
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        for (at, place) in places.iter().enumerate() {
            let (took, cost) = place.move_data(nic, octets)?;
            if let (Some(paces), Some(costs)) = (paces.get_mut(at), costs.get_mut(at)) {
                paces.push(took);
                costs.extend(cost);
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    let mebibytes = (octets / MIB) as f64;
    let [off, on] = paces.map(|paces| mebibytes / median(paces).as_secs_f64());
    let kept = on / off;
    outcome.rows.push(Row {
        name: format!("{}: MiB of TCP to the host", nic.name()),
        cells: vec![Cell::Rate(off), Cell::Rate(on), Cell::Ratio(kept)],
    });
    if nic == Nic::Tap {
        let what = "pace of bulk traffic";
        outcome.targets.push(fast(what, kept, kept >= KEPT));
    }
    if costs.iter().all(|costs| !costs.is_empty()) {
        let [off, on] = costs.map(|costs| median(costs).div_f64(mebibytes));
        outcome.rows.push(Row {
            name: format!("{}: the same, a MiB", nic.name()),
            cells: vec![Cell::Time(off), Cell::Time(on), ratio(on, off)],
        });
    }
    Ok(())
}

impl Place {
    fn new(guard: &str) -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &[&format!("{GATEWAY}/24")])?;
        let guest = |name: &str, plug, octet: u8| -> Result<Guest> {
            let address = format!("{NETWORK}.{octet}/24");
            let guest = lab.guest(name, plug, Some(&address))?;
            guest.ip(&format!("route add default via {GATEWAY}"))?;
            lab.record(name, &guest.record())?;
            Ok(guest)
        };
        let machine = guest("machine", Plug::Tap("br0"), 5)?;
        let container = guest("container", Plug::Bridge("br0"), 6)?;
        let sink = lab.host().within(|| TcpListener::bind((GATEWAY, SINK)))??;
        let daemon = lab.serve(&Settings {
            datapath: &format!("flood-guard = \"{guard}\""),
            ..Settings::default()
        })?;
        daemon.seated(&["machine", "container"])?;
        daemon.status_until("a guard where there is to be one", |status| {
            let interfaces = status["interfaces"].as_array();
            let mut interfaces = interfaces.map_or(&[][..], Vec::as_slice).iter();
            let found = interfaces.find(|it| it["name"] == machine.interface());
            found.and_then(|it| it["guarded"].as_bool()) == Some(guard == "on")
        })?;
        Ok(Self {
            lab,
            machine,
            container,
            daemon,
            sink,
            sent: 0,
        })
    }

    fn guest(&self, nic: Nic) -> &Guest {
        match nic {
            Nic::Tap => &self.machine,
            Nic::Veth => &self.container,
        }
    }

    /// Frames of one kind, with ports of their own.
    fn frames(&self, nic: Nic, kindred: Kindred, count: usize) -> Result<Vec<Vec<u8>>> {
        let guest = self.guest(nic);
        let mut ends = Ends {
            from_mac: guest.mac(),
            to_mac: self.lab.mac_of("br0")?,
            from: Ipv4Addr::new(10, 77, 0, if nic == Nic::Tap { 5 } else { 6 }),
            to: METADATA,
            from_port: 0,
            to_port: 80,
        };
        match kindred {
            Kindred::BeyondLimit | Kindred::Malformed => {}
            Kindred::Stranger => ends.from_mac = [0x02, 0, 0, 0, 0, 1],
            // A port of the host's that nobody listens on; UDP, or the host would answer each.
            Kindred::Foreign => ends.to = Ipv4Addr::new(10, 77, 0, 255),
        }
        let frame = |from_port| {
            let ends = Ends { from_port, ..ends };
            match kindred {
                Kindred::BeyondLimit | Kindred::Stranger => tcp(&ends, SYN, 1, 0, b""),
                Kindred::Malformed | Kindred::Foreign => udp(&ends, b"x"),
            }
        };
        let ports = (1_024..=u16::MAX).cycle().take(count);
        Ok(ports.map(frame).collect())
    }

    /// Sends frames as fast as they go, and says what one costs.
    fn flood(&mut self, nic: Nic, kindred: Kindred, count: usize) -> Result<Duration> {
        let extra = if kindred == Kindred::BeyondLimit {
            DRAIN
        } else {
            100
        };
        let frames = self.frames(nic, kindred, extra + count)?;
        if kindred == Kindred::BeyondLimit {
            self.sent += u64::try_from(frames.len())?;
        }
        // The first of them empty the bucket, report the stranger, and warm everything up.
        let (first, measured) = frames.split_at(extra);
        let took = match nic {
            Nic::Tap => {
                self.machine.inject(first)?;
                self.machine.inject(measured)?
            }
            Nic::Veth => {
                let wire = self.container.wire()?;
                first.iter().try_for_each(|frame| wire.send(frame))?;
                let started = processor_time()?;
                measured.iter().try_for_each(|frame| wire.send(frame))?;
                processor_time()? - started
            }
        };
        Ok(took.div_f64(f64::from(u32::try_from(count)?)))
    }

    /// Sends octets to the host over TCP: how long that takes, and what processor time the tap took for it.
    fn move_data(&self, nic: Nic, octets: usize) -> Result<(Duration, Option<Duration>)> {
        let guest = self.guest(nic);
        let mut out = guest.space().connect(GATEWAY, SINK, SOON)??;
        let (mut taken, _) = self.sink.accept().context("the host takes no connection")?;
        taken.set_read_timeout(Some(SOON))?;
        let before = guest.carried();
        let started = Instant::now();
        let received = std::thread::scope(|scope| -> Result<usize> {
            let sending = scope.spawn(move || -> Result<()> {
                let chunk = vec![0x5a; MIB];
                for _ in 0..octets / MIB {
                    out.write_all(&chunk)?;
                }
                Ok(())
            });
            let mut room = vec![0; MIB];
            let mut received = 0;
            loop {
                match taken.read(&mut room)? {
                    0 => break,
                    length => received += length,
                }
            }
            sending.join().ok().context("the sender panicked")??;
            Ok(received)
        })?;
        let took = started.elapsed();
        ensure!(received == octets, "{received} octets of {octets} arrived");
        let cost = before.zip(guest.carried());
        Ok((
            took,
            cost.map(|(before, after)| after.saturating_sub(before)),
        ))
    }

    /// Every frame that was sent to be refused was refused, or was within the limit: whichever program saw it.
    fn accounted_for(&self) -> Result<Target> {
        let seen = until("every frame of the floods", SOON, || {
            let counters = self.daemon.counters().ok()?;
            let seen = counters.delivered + counters.dropped("connection-limit");
            (seen >= self.sent).then_some(seen)
        });
        let measured = match &seen {
            Ok(seen) => *seen,
            Err(_) => self.daemon.counters()?.dropped("connection-limit"),
        };
        Ok(Target {
            what: format!(
                "frames of floods that are accounted for ({})",
                self.lab.name()
            ),
            wanted: format!("at least the {} sent", self.sent),
            measured: Cell::Count(measured),
            met: seen.is_ok(),
            kind: Kind::Right,
        })
    }
}

fn fast(what: &str, measured: f64, met: bool) -> Target {
    Target {
        what: what.to_owned(),
        wanted: if what.starts_with("cost") {
            format!("≤ {SPARED} × without the guard")
        } else {
            format!("≥ {KEPT} × without the guard")
        },
        measured: Cell::Ratio(measured),
        met,
        kind: Kind::Fast,
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    quantile(&times, 0.5)
}

fn processor_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}
