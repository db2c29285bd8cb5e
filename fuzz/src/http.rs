//! What a guest writes into its connection, through the real listener on loopback, to the answer.
//!
//! Whatever it writes, it is told nothing of the other machine's, nothing secret without a token where tokens are
//! required, and no answer is broken: one reply, with its length, then a close without a reset.

use std::cell::OnceCell;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use arc_swap::ArcSwap;
use metad::config::Limits;
use metad::identity::{FlowOrigin, Flows};
use metad::inventory::{Seat, Slot};
use metad::limits::Bounds;
use metad::listen::{Desk, serve};
use metad::settings::{Errand, StateDesk, Stored};
use metad::token::{BootTime, Tokens, Ttl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::world::{self, OTHER, OTHERS_SECRET, OWN, OWN_SECRET};

/// In an input, a valid token of the machine that asks.
const OWN_TOKEN: &str = "{own-token}";
/// In an input, a valid token of the other one.
const OTHERS_TOKEN: &str = "{others-token}";
/// What a reply may say; 500 and redirections never.
const STATUSES: [u16; 13] = [
    200, 400, 401, 403, 404, 405, 408, 409, 413, 414, 431, 429, 503,
];

/// Sends the octets to a machine without tokens and to one with.
pub fn replay(octets: &[u8]) {
    thread_local! {
        static STAGE: OnceCell<Stage> = const { OnceCell::new() };
    }
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::open);
        for service in &stage.services {
            let request = service.with_tokens(octets);
            let told = stage.runtime.block_on(exchange(service.address, &request));
            judge(&request, &told);
            let entitled = !service.strict || contains(octets, OWN_TOKEN);
            let told_secret = contains(&told, OWN_SECRET);
            assert!(entitled || !told_secret, "a secret without a token");
        }
    });
}

fn judge(request: &[u8], told: &[u8]) {
    assert!(!contains(told, OTHERS_SECRET), "another's secret");
    let told = told
        .strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap_or(told);
    if told.is_empty() {
        return;
    }
    let end = position(told, "\r\n\r\n").expect("no end of the head");
    let (head, body) = told.split_at(end);
    let body = body.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).expect("a head that is no text");
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("HTTP/1."), "{first}");
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status: u16 = status.expect("no status");
    assert!(STATUSES.contains(&status), "{first}");
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let all = |name: &str| -> Vec<&str> {
        let named = headers.iter().filter(|(it, _)| it == name);
        named.map(|(_, value)| *value).collect()
    };
    assert!(all("transfer-encoding").is_empty(), "{head}");
    assert!(all("location").is_empty(), "{head}");
    assert_eq!(all("connection"), ["close"], "{head}");
    let lengths = all("content-length");
    let [length] = lengths.as_slice() else {
        panic!("not one length: {head}");
    };
    let only_head = contains(request, "HEAD") && body.is_empty();
    let whole = length.parse() == Ok(body.len());
    assert!(whole || only_head, "{} octets follow: {head}", body.len());
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(address).await.expect("no connection");
    let (mut reads, mut writes) = client.split();
    let mut told = Vec::new();
    let (written, read) = tokio::join!(
        async {
            let written = writes.write_all(request).await;
            let _closed = writes.shutdown().await;
            written
        },
        reads.read_to_end(&mut told)
    );
    read.expect("the answer is cut off by a reset");
    written.expect("the request is cut off by a reset");
    told
}

/// The services, and the runtime that they and their client share.
struct Stage {
    runtime: Runtime,
    services: [Service; 2],
    _running: watch::Sender<bool>,
}

struct Service {
    address: SocketAddr,
    strict: bool,
    tokens: Tokens,
    own: Arc<Seat>,
    other: Arc<Seat>,
}

impl Stage {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (running, stop) = watch::channel(false);
        let services = {
            let _entered = runtime.enter();
            [(world::OPEN, false), (world::STRICT, true)]
                .map(|(record, strict)| Service::open(record, strict, stop.clone()))
        };
        Self {
            runtime,
            services,
            _running: running,
        }
    }
}

impl Service {
    fn open(record: &str, strict: bool, stop: watch::Receiver<bool>) -> Self {
        let snapshot = world::resolved(record).snapshot;
        let seat = |name: &str| {
            let seats = &snapshot.instances[name].seats;
            Arc::clone(seats[0].as_ref().expect("a seat"))
        };
        let (own, other) = (seat(OWN), seat(OTHER));
        let tokens = Tokens::with_key(&[7; 32]);
        let mut desk = Desk::new(
            Arc::new(ArcSwap::from_pointee(snapshot)),
            Arc::default(),
            Arc::new(Fixed(Arc::clone(&own))),
            tokens.clone(),
            world::signer(),
        );
        desk.slot_of = first_slot;
        desk.state = keeps_nothing();
        // Nobody ever asked as fast as a fuzzer; what lies behind the limits is what is looked at.
        desk.bounds = Arc::new(Bounds::new(Limits {
            enabled: false,
            ..Limits::default()
        }));
        assert_eq!(Some(own.slot), first_slot(([0; 4], 0).into()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        listener.set_nonblocking(true).expect("no blocking");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(serve(vec![listener], Arc::new(desk), stop));
        Self {
            address,
            strict,
            tokens,
            own,
            other,
        }
    }

    /// The octets with tokens that hold now.
    fn with_tokens(&self, octets: &[u8]) -> Vec<u8> {
        let granted = |seat: &Seat| {
            let ttl = Ttl::new(60).expect("a life");
            let token = self.tokens.grant(&seat.instance, ttl, BootTime::now());
            token.expect("random numbers")
        };
        let mut octets = octets.to_vec();
        for (mark, seat) in [(OWN_TOKEN, &self.own), (OTHERS_TOKEN, &self.other)] {
            while let Some(at) = position(&octets, mark) {
                octets.splice(at..at + mark.len(), granted(seat).into_bytes());
            }
        }
        octets
    }
}

/// The slot of the machine that asks.
fn first_slot(_peer: SocketAddr) -> Option<Slot> {
    Some(1)
}

/// A kernel that saw every connection come from the machine that asks.
struct Fixed(Arc<Seat>);

impl Flows for Fixed {
    fn origin(&self, _peer: SocketAddr, _local: SocketAddr) -> Option<FlowOrigin> {
        Some(FlowOrigin {
            ifindex: self.0.ifindex,
            mac: self.0.mac,
            address: Ipv4Addr::new(10, 1, 0, 5).into(),
        })
    }
}

/// A desk whose clerk says that every password is kept.
fn keeps_nothing() -> StateDesk {
    let (state, mut errands) = StateDesk::open();
    tokio::spawn(async move {
        while let Some(errand) = errands.recv().await {
            if let Errand::Password(_, _, answer) = errand {
                let _gone = answer.send(Stored::Stored);
            }
        }
    });
    state
}

fn contains(octets: &[u8], text: &str) -> bool {
    position(octets, text).is_some()
}

fn position(octets: &[u8], text: &str) -> Option<usize> {
    let mut windows = octets.windows(text.len());
    windows.position(|window| window == text.as_bytes())
}
