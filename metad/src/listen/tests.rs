//! The listener on loopback, spoken to in hand-written octets.

mod beside;
mod framing;
mod identity;
mod limits;
mod stopping;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream as Client};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};

use super::*;
use crate::identity::FlowOrigin;
use crate::instance::Mac;
use crate::inventory::Seat;
use crate::render::{self, sample};

/// Generous: a busy machine must not fail a test.
const DEADLINE: Duration = Duration::from_secs(20);
const SLOT: Slot = 5;
const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const IFINDEX: u32 = 9;
const GUEST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

#[test]
fn every_socket_has_a_thread_and_every_thread_a_socket_of_each_family() {
    let address = |last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 80));
    let of = |counts: [usize; 2]| {
        let [a, b] = counts;
        [vec![address(1); a], vec![address(2); b]].concat()
    };
    for (case, counts, threads, expected) in [
        ("one for each", [2, 2], 2, vec![vec![0, 2], vec![1, 3]]),
        ("one for all", [1, 1], 2, vec![vec![0, 1], vec![0, 1]]),
        (
            "fewer than threads",
            [2, 0],
            3,
            vec![vec![0], vec![1], vec![0]],
        ),
        (
            "more than threads",
            [3, 1],
            2,
            vec![vec![0, 2, 3], vec![1, 3]],
        ),
        ("one thread", [2, 2], 1, vec![vec![0, 1, 2, 3]]),
        ("nothing to share", [0, 0], 2, vec![vec![], vec![]]),
        ("nobody to share with", [2, 2], 0, vec![]),
    ] {
        assert_eq!(shares(&of(counts), threads), expected, "{case}");
    }
}

/// A kernel that says the same of every connection.
struct Fixed(Option<FlowOrigin>);

impl Flows for Fixed {
    fn origin(&self, _peer: SocketAddr, _local: SocketAddr) -> Option<FlowOrigin> {
        self.0
    }
}

fn origin() -> FlowOrigin {
    FlowOrigin {
        ifindex: IFINDEX,
        mac: MAC,
        address: GUEST.into(),
    }
}

/// A running listener.
struct Service {
    address: SocketAddr,
    desk: Arc<Desk>,
    stop: watch::Sender<bool>,
    ended: JoinHandle<Result<()>>,
}

impl Service {
    /// One guest, in slot 5, whose hop limit is 3.
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut Desk)) -> Self {
        let snapshot = Arc::new(ArcSwap::from_pointee(seated(1)));
        let mut desk = Desk::new(
            snapshot,
            Arc::default(),
            Arc::new(Fixed(Some(origin()))),
            Tokens::with_key(&[7; 32]),
            crate::signer::sample::signer(),
        );
        desk.slot_of = |_| Some(SLOT);
        change(&mut desk);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(desk);
        let (stop, stopped) = watch::channel(false);
        let ended = tokio::spawn(serve(vec![listener], Arc::clone(&desk), stopped));
        Self {
            address,
            desk,
            stop,
            ended,
        }
    }

    /// Sends `octets` on a connection of its own and reads to its end.
    async fn exchange(&self, octets: impl Into<Vec<u8>>) -> String {
        let octets = octets.into();
        self.client(move |mut client| {
            client.write_all(&octets).unwrap();
            read(&mut client)
        })
        .await
    }

    /// Lets `act` have a connection, off the runtime's thread.
    async fn client<T: Send + 'static>(&self, act: impl FnOnce(Client) -> T + Send + 'static) -> T {
        let address = self.address;
        spawn_blocking(move || act(connect(address))).await.unwrap()
    }

    fn swap(&self, snapshot: Snapshot) {
        self.desk.snapshot.store(Arc::new(snapshot));
        self.desk.swapped.notify_waiters();
    }
}

fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

/// Reads until the other side closes, which must not be by a reset.
fn read(client: &mut Client) -> String {
    let mut octets = Vec::new();
    client.read_to_end(&mut octets).unwrap();
    String::from_utf8(octets).unwrap()
}

fn seated(generation: u64) -> Snapshot {
    let mut instance = sample::instance();
    instance.options.hop_limit = 3;
    instance.user_data = Some(vec![b'#'; 1024 * 1024].into());
    let seat = Seat {
        slot: SLOT,
        generation,
        answers: Arc::new(render::answers(&instance, 0)),
        instance: Arc::new(instance),
        nic: 0,
        mac: MAC,
        interface: "vnet1".into(),
        ifindex: IFINDEX,
        notice: Arc::default(),
        meter: Arc::default(),
    };
    let mut snapshot = Snapshot::default();
    snapshot.seats.insert(SLOT, Arc::new(seat));
    snapshot
}

fn head(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or(reply, |parts| parts.0)
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or("", |parts| parts.1)
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or("no reply")
}
