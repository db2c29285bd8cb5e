//! What a guest can write into its requests: names of others in every header, targets that name another host, shapes
//! that two readers would take apart differently, and other guests' tokens.

use std::io::{Read, Write};
use std::net::Shutdown;

use anyhow::{Result, ensure};
use metad_tests::lab::{Guest, Request, Settings};
use metad_tests::needs;

use super::super::spoof::{SECRET, scene, tells_nothing};
use super::super::{gets_its_own, text, token};
use crate::attacks::Attack;

/// What proxies, and services behind proxies, take a caller's word for.
const HEADERS: [&str; 13] = [
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Via",
    "X-Instance-ID",
    "X-Instance-ID-Signature",
    "X-Tenant-ID",
    "X-Metadata-Provider",
    "X-Original-Forwarded-For",
    "X-LXD-Instance",
];

/// The name as it is, in either case, and in both.
fn casings(name: &str) -> [String; 4] {
    let mixed = name.char_indices().map(|(at, letter)| {
        if at % 2 == 0 {
            letter.to_ascii_lowercase()
        } else {
            letter.to_ascii_uppercase()
        }
    });
    [
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
        mixed.collect(),
    ]
}

#[test]
fn headers_that_claim_to_be_another_change_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let record = victim.record();
    let id = record["instance-id"].as_str().unwrap_or_default();
    let mac = metad_tests::frames::mac_text(victim.mac());
    let (mut tries, mut puts, mut leaked) = (0, 0, 0);
    for name in HEADERS.iter().flat_map(|name| casings(name)) {
        for value in ["10.77.0.5", "for=10.77.0.5", "100.64.0.1", id, &mac, ""] {
            for target in ["/latest/meta-data/hostname", "/latest/user-data"] {
                let reply = attacker.ask(&Request::get(target).with(&name, value))?;
                leaked += u64::from(!tells_nothing(&reply));
                tries += 1;
            }
        }
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            for value in ["10.77.0.5", "", "10.77.0.6, 10.77.0.5"] {
                let reply = attacker.ask(&Request::token("60").with(&name, value))?;
                leaked += u64::from(reply.status != 403);
                puts += 1;
            }
        }
    }
    gets_its_own(&victim)?;
    Attack {
        name: "X-Forwarded-For, Forwarded, X-Real-IP, X-Instance-ID and the like, in four casings",
        tries,
        leaked,
        stopped_by: "no header is asked who somebody is",
    }
    .report()?;
    Attack {
        name: "a token through a proxy (X-Forwarded-For on the PUT, in four casings)",
        tries: puts,
        leaked: 0,
        stopped_by: "403",
    }
    .report()
}

#[test]
fn targets_that_name_another_host_change_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let (mut tries, mut leaked) = (0, 0);
    for host in [
        "10.77.0.5",
        "victim",
        "100.64.0.1",
        "victim@169.254.169.254",
        "[fd00:ec2::254]",
    ] {
        for target in [
            format!("http://{host}/latest/user-data"),
            format!("HTTP://{host}:80/latest/meta-data/hostname"),
            format!("//{host}/latest/user-data"),
            format!("/latest/user-data?instance={host}"),
            format!("/latest/user-data#{host}"),
            format!("/{host}/../latest/user-data"),
            "/latest/user-data".to_owned(),
        ] {
            for _ in 0..5 {
                let reply = attacker.ask(&Request::get(&target).with("Host", host))?;
                leaked += u64::from(!tells_nothing(&reply));
                tries += 1;
            }
        }
    }
    gets_its_own(&victim)?;
    Attack {
        name: "absolute-form targets, and Host headers of another guest's",
        tries,
        leaked,
        stopped_by: "a target's host and the Host header are read by nobody",
    }
    .report()
}

/// A request that hides behind another one, where a reader in front would see one and the reader behind two.
const HIDDEN: &str = "GET /latest/user-data HTTP/1.1\r\nX-Forwarded-For: 10.77.0.5\r\n\r\n";

/// What stands between request line and hidden request, and whether it may be answered with anything but a refusal.
const SHAPES: [(&str, &str); 20] = [
    (
        "length and chunks",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks and length",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "Content-Length: 0\r\nContent-Length: 70\r\n\r\n",
    ),
    (
        "two equal lengths",
        "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    ("a list of lengths", "Content-Length: 0, 70\r\n\r\n"),
    ("a length with a sign", "Content-Length: +0\r\n\r\n"),
    ("a length in hex", "Content-Length: 0x0\r\n\r\n"),
    ("a length with blanks", "Content-Length : 0\r\n\r\n"),
    ("a folded length", "Content-Length:\r\n 0\r\n\r\n"),
    ("a folded header", "X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    ("bare line feeds", "Content-Length: 0\n\n"),
    ("a bare carriage return", "X: a\rContent-Length: 70\r\n\r\n"),
    (
        "chunk extensions",
        "Transfer-Encoding: chunked\r\n\r\n0;a=\"\r\n\"\r\n\r\n",
    ),
    (
        "a chunk with a bare line feed",
        "Transfer-Encoding: chunked\r\n\r\n0\n\n",
    ),
    (
        "a chunk in disguise",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks, twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks behind a tab",
        "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a chunk that is too large",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
    ),
    (
        "trailers",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 70\r\n\r\n",
    ),
    (
        "an upgrade",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
];

/// Writes octets, then nothing more, and reads what comes.
fn raw(guest: &Guest, octets: &str) -> Result<String> {
    let mut stream = guest.connect(80)??;
    stream.write_all(octets.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut told = Vec::new();
    stream.read_to_end(&mut told)?;
    Ok(String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn no_shape_of_a_request_hides_another_one() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    // The control: whose the secret is gets it by the hidden request itself.
    ensure!(
        raw(&victim, HIDDEN)?.ends_with(SECRET),
        "the hidden request is none"
    );
    let (mut tries, mut leaked) = (0, 0);
    for (case, shape) in SHAPES {
        for first in [
            "GET /latest/meta-data/ HTTP/1.1\r\n",
            "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n",
        ] {
            for round in 0..5 {
                // The victim asks at the same time: nothing of one connection is ever on another.
                let request = format!("{first}{shape}{HIDDEN}");
                let told = raw(&attacker, &request)?;
                let answers = told.matches("HTTP/1.1 ").count();
                ensure!(answers <= 1, "{case}, {round}: {answers} answers: {told}");
                leaked += u64::from(told.contains(SECRET) || told.contains("victim"));
                tries += 1;
            }
        }
        assert_eq!(text(&victim, "/latest/user-data")?, SECRET, "{case}");
    }
    gets_its_own(&attacker)?;
    Attack {
        name: "request smuggling: lengths and chunks that contradict, folded, repeated, in disguise",
        tries,
        leaked,
        stopped_by: "a connection is one guest's, and one request is answered on it",
    }
    .report()
}

#[test]
fn a_token_is_worth_nothing_to_another_guest() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let (mut tries, mut leaked) = (0, 0);
    for _ in 0..25 {
        let stolen = token(&victim, "600")?;
        for path in [
            "/latest/meta-data/hostname",
            "/latest/user-data",
            "/latest/",
            "/openstack/latest/meta_data.json",
        ] {
            let request = Request::get(path).with("X-aws-ec2-metadata-token", &stolen);
            let reply = attacker.ask(&request)?;
            let refused = reply.status == 401 || path.starts_with("/openstack");
            leaked += u64::from(!refused || !tells_nothing(&reply));
            tries += 1;
            assert_eq!(victim.ask(&request)?.status, 200, "{path}: its own token");
        }
    }
    Attack {
        name: "another guest's token",
        tries,
        leaked,
        stopped_by: "tokens are sealed for one UUID and one run of it (401)",
    }
    .report()
}
