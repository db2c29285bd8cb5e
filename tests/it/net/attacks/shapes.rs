//! Frames that filters stumble over: fragments, options, odd headers. None gets past the tap to anybody else, though
//! each of them gets through where metad is not.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use metad_tests::frames::{ACK, Ends, FIN, METADATA, SYN, checksum, concerns, ip, syn, tcp};
use metad_tests::lab::{Plug, Settings, Wire, until};
use metad_tests::needs;

use super::super::spoof::{ATTACKER, SECRET, contains, scene};
use super::super::{SOON, gets_its_own, host_with_bridge};
use crate::attacks::Attack;

/// How often each frame is sent.
const ROUNDS: u16 = 25;

/// Why a shape does no harm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Dropped at the tap under this reason.
    Dropped(&'static str),
    /// It may open a connection of the sender's own.
    Own,
}

/// A name for the table, what becomes of it, and its frames from one port.
type Shape = (&'static str, Fate, fn(&Ends) -> Vec<Vec<u8>>);

const SHAPES: [Shape; 11] = [
    ("first fragments", Fate::Dropped("fragment"), |ends| {
        vec![header(syn(ends), 6, &[0x20, 0])]
    }),
    ("later fragments", Fate::Dropped("fragment"), |ends| {
        [[0, 1], [0, 3], [0x1f, 0xff]]
            .map(|offset| header(syn(ends), 6, &offset))
            .to_vec()
    }),
    ("overlapping fragments", Fate::Dropped("fragment"), |ends| {
        let whole = tcp(ends, ACK, 2, 1, b"GET /latest/user-data HTTP/1.0\r\n\r\n");
        let first = header(whole.clone(), 6, &[0x20, 0]);
        let over = ip(ends, 6, whole.get(42..).unwrap_or_default());
        let tiny = ip(ends, 6, whole.get(34..42).unwrap_or_default());
        vec![first, header(over, 6, &[0, 1]), header(tiny, 6, &[0x20, 0])]
    }),
    (
        "IP options: routes, time, alert, none",
        Fate::Dropped("ip-options"),
        |ends| {
            let to = ends.from.octets();
            let route = |kind: u8| [[kind, 7, 4, to[0]], [to[1], to[2], to[3], 0]].concat();
            [
                route(7),
                route(131),
                route(137),
                vec![68, 8, 5, 0, 0, 0, 0, 0],
                vec![148, 4, 0, 0],
                vec![1, 1, 1, 0],
            ]
            .map(|options| with_options(&syn(ends), &options))
            .to_vec()
        },
    ),
    (
        "another version and a short IP header",
        Fate::Dropped("ip-options"),
        |ends| {
            [0x65, 0x44, 0x40, 0x05]
                .map(|version| header(syn(ends), 0, &[version]))
                .to_vec()
        },
    ),
    (
        "a stated length inside the headers",
        Fate::Dropped("truncated"),
        |ends| {
            [[0, 0], [0, 20], [0, 39]]
                .map(|length| header(syn(ends), 2, &length))
                .to_vec()
        },
    ),
    (
        "the metadata address as source",
        Fate::Dropped("forged-source"),
        |ends| {
            vec![syn(&Ends {
                from: METADATA,
                ..*ends
            })]
        },
    ),
    (
        "sources that nobody can have",
        Fate::Dropped("bad-source"),
        |ends| {
            [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]]
                .map(|from| {
                    syn(&Ends {
                        from: Ipv4Addr::from(from),
                        ..*ends
                    })
                })
                .to_vec()
        },
    ),
    ("TTL 0 and 1", Fate::Own, |ends| {
        [0, 1].map(|ttl| header(syn(ends), 8, &[ttl])).to_vec()
    }),
    ("wrong checksums, of IP and of TCP", Fate::Own, |ends| {
        let wrong = |mut frame: Vec<u8>, at: usize| {
            frame[at] ^= 0x55;
            frame
        };
        vec![wrong(syn(ends), 24), wrong(syn(ends), 50)]
    }),
    (
        "TCP flags that do not go together, and other ports",
        Fate::Own,
        |ends| {
            let odd = [0, FIN, SYN | FIN, 0x3f, 0xff].map(|flags| tcp(ends, flags, 1, 0, b""));
            let ports = [0, 22, 111, 8080].map(|to_port| syn(&Ends { to_port, ..*ends }));
            [&odd[..], &ports].concat()
        },
    ),
];

/// The frame with octets of its IP header changed, and the header's checksum right again.
fn header(mut frame: Vec<u8>, at: usize, octets: &[u8]) -> Vec<u8> {
    frame[14 + at..14 + at + octets.len()].copy_from_slice(octets);
    summed(frame, 20)
}

fn summed(mut frame: Vec<u8>, length: usize) -> Vec<u8> {
    frame[24..26].fill(0);
    let sum = checksum(&[&frame[14..14 + length]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The frame with options behind its IP header, whole words of them.
fn with_options(frame: &[u8], options: &[u8]) -> Vec<u8> {
    let (before, rest) = frame.split_at(34);
    let mut frame = [before, options, rest].concat();
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);
    frame[14] = 0x40 | words;
    let length = u16::try_from(frame.len() - 14).unwrap_or(u16::MAX);
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    summed(frame, 20 + options.len())
}

/// From the attacker to the address, by way of nobody: a bridge floods it.
fn by_nobody(from_mac: [u8; 6], from_port: u16) -> Ends {
    Ends {
        from_mac,
        to_mac: [0x02, 0, 0, 0, 0, 0xee],
        from: ATTACKER,
        to: METADATA,
        from_port,
        to_port: 80,
    }
}

#[test]
fn no_odd_frame_gets_past_the_tap() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let (lab, victim, attacker) = scene()?;
    let lan = lab.guest("lan", Plug::Bridge("br0"), None)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["victim", "attacker"])?;
    let bridge = lab.mac_of("br0")?;
    let wire = attacker.wire()?;
    let others = [lan.wire()?, victim.wire()?, Wire::open(lab.host(), "br0")?];
    for (name, fate, frames) in SHAPES {
        let before = daemon.counters()?;
        let mut tries = 0;
        for round in 0..ROUNDS {
            let flooded = by_nobody(attacker.mac(), 41_000 + round);
            let to_bridge = Ends {
                to_mac: bridge,
                ..flooded
            };
            for ends in [flooded, to_bridge] {
                for frame in frames(&ends) {
                    wire.send(&frame)?;
                    tries += 1;
                }
            }
        }
        if let Fate::Dropped(reason) = fate {
            until("a drop for every frame", SOON, || {
                let dropped = daemon.counters().ok()?.dropped(reason);
                (dropped >= before.dropped(reason) + tries).then_some(())
            })
            .with_context(|| format!("{name}: {:?}", daemon.counters()))?;
        }
        let mut leaked = 0;
        for other in &others {
            let seen = other.drain()?;
            leaked += seen
                .iter()
                .filter(|frame| concerns(frame, METADATA))
                .count();
        }
        let told = wire.drain()?;
        leaked += told.iter().filter(|frame| contains(frame, SECRET)).count();
        let stopped_by = match fate {
            Fate::Dropped(reason) => format!("dropped at the tap (`{reason}`)"),
            Fate::Own => {
                "delivered as the sender's own, or dropped by the TCP of metad's namespace"
                    .to_owned()
            }
        };
        Attack {
            name,
            tries,
            leaked: u64::try_from(leaked)?,
            stopped_by: &stopped_by,
        }
        .report()?;
    }
    gets_its_own(&victim)?;
    gets_its_own(&attacker)?;
    assert_eq!(daemon.requests().len(), 6, "a frame asked something");
    Ok(())
}

#[test]
fn without_metad_every_odd_frame_reaches_the_lan() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let attacker = lab.guest("attacker", Plug::Bridge("br0"), Some("10.77.0.6/24"))?;
    let lan = lab.guest("lan", Plug::Bridge("br0"), None)?;
    // Where the kernel can filter bridges, it looks into IP headers there unless told not to. No such kernel: nothing to set.
    let filter = "net/bridge/bridge-nf-call-iptables";
    if Path::new("/proc/sys").join(filter).exists() {
        lab.host().set(filter, "0")?;
    }
    let (wire, lan) = (attacker.wire()?, lan.wire()?);
    for (name, _, frames) in SHAPES {
        let frames = frames(&by_nobody(attacker.mac(), 41_000));
        ensure!(!frames.is_empty(), "{name}");
        for frame in frames {
            wire.send(&frame)?;
            lan.wait_for(name, SOON, |seen| seen.starts_with(&frame))?;
        }
    }
    Ok(())
}
