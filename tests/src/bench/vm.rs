//! One answer inside a real guest, over virtio: metad's, and that of nginx on the bridge, in turns.
//!
//! The guest has a kernel of its own and a clock inside, which is sent into it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::rounds::median;
use super::{Bench, Cell, Extent, Kind, Outcome, Row, Target, quantile};
use crate::image::{self, Cache, Reuse};
use crate::lab::Namespace;
use crate::peers::{self, At, Page};
use crate::progress::Progress;
use crate::sandbox;
use crate::smallguest::SmallGuest;
use crate::virt::{Description, Guest, Host, Identity, Metadata, Network, Nic, System};

pub const BENCH: Bench = Bench {
    name: "vm",
    question: "How long does a guest over virtio wait for an answer, and how long for nginx's on the bridge?",
    run,
};

const CLOCK: &str = include_str!("../bin/guest-clock.rs");
const PATH: &str = "/latest/meta-data/instance-id";
const ID: &str = "i-0123456789abcdef0";
/// Of the network that libvirt has by default.
const BRIDGE: Ipv4Addr = Ipv4Addr::new(192, 168, 122, 1);
const NIC: Nic = Nic::new(Network::Default, 33);
const BOOT: Duration = Duration::from_secs(180);
/// What an answer may take, to nginx's.
const TO_NGINX: f64 = 1.1;
/// Pairs of answers in one run of the clock.
const AT_ONCE: usize = 50;

/// Runs of the clock.
fn amount(extent: Extent) -> usize {
    match extent {
        Extent::Short => 1,
        Extent::Full => 20,
    }
}

fn run(extent: Extent) -> Result<Outcome> {
    sandbox::demand()?;
    let directory = TempDir::with_prefix_in("metad-vm-", "/run").context("no directory")?;
    let host = Host::start(directory.path())?;
    measure(&host, extent)
}

/// Measures on a host that runs already.
///
/// # Errors
/// A guest or nginx cannot be had there.
pub fn measure(host: &Host, extent: Extent) -> Result<Outcome> {
    let guest = host.libvirt.boot(&Description {
        name: "clock".to_owned(),
        system: System::Small(image::small(&Cache::open()?, Reuse::Yes, &Progress::new())?),
        identity: Identity::Plain,
        nics: vec![NIC],
        metadata: Some(Metadata {
            instance_id: Some(ID.to_owned()),
            ..Metadata::default()
        }),
    })?;
    let measured = beside_nginx(host.directory(), &guest, amount(extent));
    guest.remove(&host.libvirt)?;
    Ok(outcome(&measured?))
}

fn beside_nginx(directory: &Path, guest: &Guest, runs: usize) -> Result<Vec<(Duration, Duration)>> {
    let mut inside = SmallGuest::meet(guest, BOOT)?;
    inside.lease("eth0")?;
    let told = inside.get(PATH)?;
    ensure!(told.text() == ID, "the guest was told {:?}", told.text());
    let here = Namespace::here("bench-vm")?;
    let direct = SocketAddrV4::new(BRIDGE, 80);
    let page = Page {
        path: PATH.to_owned(),
        content_type: "text/plain".to_owned(),
        headers: Vec::new(),
        body: told.body,
    };
    let _nginx = peers::nginx(&here, directory, &At::Address(direct), &[page])?;
    send_clock(&mut inside, directory)?;
    let command = format!("/clock {AT_ONCE} {PATH} 169.254.169.254:80 {direct}");
    let mut pairs = Vec::new();
    for _ in 0..runs {
        let lines = inside.must(&command)?;
        let read = |line: &str| {
            let (ours, theirs) = line.split_once(' ')?;
            let time = |text: &str| Some(Duration::from_micros(text.parse().ok()?));
            Some((time(ours)?, time(theirs)?))
        };
        let all: Option<Vec<_>> = lines.lines().map(read).collect();
        pairs.extend(all.with_context(|| format!("the clock printed {lines}"))?);
    }
    ensure!(pairs.len() == runs * AT_ONCE, "{} pairs", pairs.len());
    Ok(pairs)
}

/// Compiles the clock and has the guest fetch it.
fn send_clock(inside: &mut SmallGuest, directory: &Path) -> Result<()> {
    let source = directory.join("guest-clock.rs");
    let program = directory.join("guest-clock");
    std::fs::write(&source, CLOCK).context("cannot write the clock's source")?;
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let flags = [
        "--edition=2024",
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "-o",
    ];
    let compiled = Command::new(rustc)
        .args(flags)
        .args([&program, &source])
        .output()
        .context("cannot start rustc")?;
    ensure!(
        compiled.status.success(),
        "the clock cannot be compiled: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let octets = std::fs::read(&program).context("there is no clock")?;
    let listener = TcpListener::bind((BRIDGE, 0)).context("cannot listen on the bridge")?;
    let port = listener.local_addr()?.port();
    let command = format!("nc {BRIDGE} {port} </dev/null >/clock; chmod 755 /clock; wc -c </clock");
    let (sent, got) = std::thread::scope(|scope| {
        let sending = scope.spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            Ok(stream.write_all(&octets)?)
        });
        let got = inside.must(&command);
        (sending.join(), got)
    });
    sent.ok().context("the sender panicked")??;
    let length = std::fs::metadata(&program)?.len().to_string();
    ensure!(got?.trim() == length, "the clock did not arrive whole");
    Ok(())
}

fn outcome(pairs: &[(Duration, Duration)]) -> Outcome {
    let ratios = pairs
        .iter()
        .map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64());
    let ratio = Cell::Ratio(median(ratios.collect()));
    let row = |name: &str, mut times: Vec<Duration>, ratio: Cell| {
        times.sort_unstable();
        Row {
            name: name.to_owned(),
            cells: vec![
                Cell::Count(times.len().try_into().unwrap_or(u64::MAX)),
                Cell::Time(quantile(&times, 0.5)),
                Cell::Time(quantile(&times, 0.99)),
                ratio,
            ],
        }
    };
    let ours = pairs.iter().map(|(ours, _)| *ours).collect();
    let theirs = pairs.iter().map(|(_, theirs)| *theirs).collect();
    Outcome {
        columns: vec!["answers", "p50", "p99", "to nginx"],
        rows: vec![
            row("metad", ours, ratio),
            row("nginx on the bridge's address", theirs, Cell::Ratio(1.0)),
        ],
        targets: vec![Target {
            what: "an answer inside a guest, to nginx's (median of pairs)".to_owned(),
            wanted: format!("≤ {TO_NGINX} ×"),
            measured: ratio,
            met: matches!(ratio, Cell::Ratio(ratio) if ratio <= TO_NGINX),
            kind: Kind::Fast,
        }],
        notes: vec![
            "the guest's processor is emulated where there is no KVM: most of each time is its own"
                .to_owned(),
        ],
        ..Outcome::default()
    }
}
