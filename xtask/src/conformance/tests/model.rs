//! A server that keeps every rule, in as few lines as that takes, with a place to break one.
//!
//! It is the suite's counterpart, not a copy of the daemon: written from the same tables, by other means.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::reply::{Reply, Request};

/// What a second of a token's life takes here.
pub(super) const SECOND: Duration = Duration::from_millis(600);

/// A guest's data, as paths and octets.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) required: bool,
    pub(super) ec2: BTreeMap<String, Vec<u8>>,
    pub(super) nocloud: BTreeMap<String, Vec<u8>>,
    pub(super) openstack: BTreeMap<String, Vec<u8>>,
}

pub(super) const VERSIONS: [&str; 9] = [
    "1.0",
    "2009-04-04",
    "2014-11-05",
    "2016-09-02",
    "2018-09-24",
    "2019-10-01",
    "2021-01-03",
    "2021-03-23",
    "latest",
];
const STACK: [&str; 3] = ["2012-08-10", "2018-08-27", "latest"];
const MAC: &str = "52:54:00:00:00:01";
const MAC2: &str = "52:54:00:00:00:02";

/// What to do wrong below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quirk {
    None,
    /// Takes what the first read brings for the whole request.
    OneRead,
    /// Takes a half-closed connection for one that is gone.
    HalfCloseIsGone,
    /// Serves one connection after the other.
    Serial,
    /// Waits for ever.
    Patient,
    /// Says nothing to what is no HTTP, and waits.
    Deaf,
    /// Answers every request in the pipe.
    Pipelining,
}

/// What to do wrong with an answer that was right.
pub(super) type Twist = fn(&Request, &mut Reply);

impl World {
    /// Has all that there can be; tokens are optional.
    pub(super) fn full() -> Self {
        let mut world = Self::bare();
        world.required = false;
        world.give_user_data(b"\x1f\x8b\x08\0\xff\xfe\r\n\0");
        for (path, value) in [
            ("public-keys/0/openssh-key", "ssh-ed25519 AAAA me@host"),
            ("tags/instance/role", "web"),
            (
                "iam/security-credentials/app",
                r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"A","SecretAccessKey":"S","Token":"T","LastUpdated":"2030-01-01T00:00:00Z","Expiration":"2030-01-01T06:00:00Z"}"#,
            ),
        ] {
            world.ec2.insert(format!("meta-data/{path}"), value.into());
        }
        world
            .openstack
            .insert("content/0000".into(), b"file".to_vec());
        world
    }

    /// Has what there must be; tokens are required.
    pub(super) fn bare() -> Self {
        let mut ec2 = BTreeMap::new();
        for (path, value) in [
            ("meta-data/ami-id", "ami-1"),
            ("meta-data/ami-launch-index", "0"),
            ("meta-data/hostname", "web1"),
            ("meta-data/instance-id", "i-0123456789abcdef0"),
            ("meta-data/instance-type", "c3.large"),
            ("meta-data/local-hostname", "web1"),
            ("meta-data/local-ipv4", "192.0.2.5"),
            ("meta-data/mac", MAC),
            ("meta-data/placement/availability-zone", "cellar-1a"),
            ("meta-data/placement/region", "cellar-1"),
            (
                "dynamic/instance-identity/document",
                r#"{"accountId":null,"architecture":"x86_64","availabilityZone":"cellar-1a","imageId":"ami-1","instanceId":"i-0123456789abcdef0","instanceType":"c3.large","pendingTime":"2030-01-01T00:00:00Z","privateIp":"192.0.2.5","region":"cellar-1","version":"2017-09-30"}"#,
            ),
        ] {
            ec2.insert(path.to_owned(), value.as_bytes().to_vec());
        }
        for (number, mac) in [MAC, MAC2].into_iter().enumerate() {
            for (name, value) in [
                ("device-number", number.to_string()),
                ("local-ipv4s", format!("192.0.2.{}", 5 + number)),
                ("mac", mac.to_owned()),
                ("subnet-id", "subnet-1".to_owned()),
                ("vpc-id", "vpc-1".to_owned()),
            ] {
                let path = format!("meta-data/network/interfaces/macs/{mac}/{name}");
                ec2.insert(path, value.into_bytes());
            }
        }
        let mut nocloud = BTreeMap::new();
        for name in ["user-data", "vendor-data", "network-config"] {
            nocloud.insert(name.to_owned(), Vec::new());
        }
        nocloud.insert(
            "meta-data".into(),
            br#"{"instance-id": "i-0123456789abcdef0"}"#.to_vec(),
        );
        let mut openstack = BTreeMap::new();
        for version in STACK {
            for (name, value) in [
                (
                    "meta_data.json",
                    r#"{"uuid":"ec2","hostname":"web1","name":"web1","random_seed":"AAAA","files":[{"path":"/x","content_path":"/content/0000"}]}"#,
                ),
                ("vendor_data.json", "{}"),
                (
                    "network_data.json",
                    r#"{"links":[{"id":"l","ethernet_mac_address":"52:54:00:00:00:01"}],"networks":[{"id":"n","link":"l"}],"services":[]}"#,
                ),
            ] {
                openstack.insert(format!("{version}/{name}"), value.into());
            }
        }
        openstack.insert("content/0000".into(), b"file".to_vec());
        Self {
            required: true,
            ec2,
            nocloud,
            openstack,
        }
    }

    /// Has user-data of no octets.
    pub(super) fn empty() -> Self {
        let mut world = Self::full();
        world.give_user_data(b"");
        world
    }

    fn give_user_data(&mut self, octets: &[u8]) {
        self.ec2.insert("user-data".into(), octets.to_vec());
        self.nocloud.insert("user-data".into(), octets.to_vec());
        for version in STACK {
            self.openstack
                .insert(format!("{version}/user_data"), octets.to_vec());
        }
    }
}

/// A running server; it stops with the test process.
pub(super) struct Model {
    pub(super) address: SocketAddr,
}

/// Tokens, and when each ends.
pub(super) type Given = Mutex<BTreeMap<String, Instant>>;

impl Model {
    pub(super) fn start(world: World, quirk: Quirk, twist: Twist) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let given = Arc::new(Given::default());
        let world = Arc::new(world);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (world, given) = (Arc::clone(&world), Arc::clone(&given));
                let serve = move || serve(stream, &world, &given, quirk, twist);
                if quirk == Quirk::Serial {
                    serve();
                } else {
                    thread::spawn(serve);
                }
            }
        });
        Self { address }
    }
}

fn serve(mut stream: TcpStream, world: &World, given: &Given, quirk: Quirk, twist: Twist) {
    let mut octets = Vec::new();
    let mut wait = if matches!(quirk, Quirk::Patient | Quirk::Serial) {
        30_000
    } else {
        900
    };
    loop {
        let Some(request) = receive(&mut stream, &mut octets, quirk, wait) else {
            return;
        };
        if quirk == Quirk::Deaf && request.is_odd() {
            thread::sleep(Duration::from_secs(30));
            return;
        }
        let mut reply = super::answers::answer(world, given, &request);
        reply.given = given.lock().expect("no thread panics").len();
        twist(&request, &mut reply);
        thread::sleep(reply.delay);
        let sent = stream.write_all(&reply.octets(request.method == "HEAD"));
        let more = quirk == Quirk::Pipelining && !octets.is_empty();
        if sent.is_err() || !(reply.stays || more) {
            break;
        }
        wait = 30_000;
    }
    let _gone = stream.shutdown(Shutdown::Write);
    let _timeout = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let mut rest = [0; 4096];
    let mut left = 2 * 1024 * 1024_usize;
    while let Ok(length @ 1..) = stream.read(&mut rest) {
        left = left.saturating_sub(length);
        if left == 0 {
            return;
        }
    }
}

/// Reads one request; `None` where nothing comes.
fn receive(
    stream: &mut TcpStream,
    octets: &mut Vec<u8>,
    quirk: Quirk,
    wait: u64,
) -> Option<Request> {
    stream
        .set_read_timeout(Some(Duration::from_millis(wait)))
        .ok()?;
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(request) = Request::parse(octets) {
            return Some(request);
        }
        let length = stream.read(&mut chunk).ok()?;
        if length == 0 {
            return None;
        }
        octets.extend(&chunk[..length]);
        if quirk == Quirk::OneRead {
            return Some(Request::parse(octets).unwrap_or_else(Request::noise));
        }
        if quirk == Quirk::HalfCloseIsGone {
            stream
                .set_read_timeout(Some(Duration::from_millis(5)))
                .ok()?;
            let gone = matches!(stream.peek(&mut [0]), Ok(0));
            stream
                .set_read_timeout(Some(Duration::from_millis(wait)))
                .ok()?;
            if gone {
                return None;
            }
        }
    }
}
