//! Frames: the verdict of both programs, against another reading of the same octets.
//!
//! What goes to or comes from a metadata address is never passed on, and what is delivered is a plain TCP segment. The
//! other reading knows the standards and nothing of the program.

use metad_common::abi::Address;
use metad_common::frame::Frame;
use metad_common::neighbour::FRAME_LENGTH;
use metad_common::service::{IPV4, IPV6, LINK_LOCAL, Service};
use metad_common::verdict::{ReplyVerdict, Verdict, classify, classify_reply};
use metad_common::{reason::Reason, slot};

/// VLAN tags that the programs look behind.
const TAGS_MAX: usize = 3;

/// Judges one frame, with and without a tag that the kernel has stripped.
pub fn replay(octets: &[u8]) {
    let verdict = classify(octets);
    judge(octets, &verdict);
    let stripped = classify(&Stripped(octets));
    assert!(
        matches!(stripped, Verdict::Pass | Verdict::Drop(_)),
        "a tagged frame is {stripped:?}"
    );
    assert_eq!(stripped == Verdict::Pass, verdict == Verdict::Pass);
    if let ReplyVerdict::Return(answer) = classify_reply(octets) {
        assert!((1..=slot::MAX).contains(&answer.slot), "{answer:?}");
    }
}

fn judge(octets: &[u8], verdict: &Verdict) {
    let concerns = concerns_metadata(octets);
    match verdict {
        Verdict::Pass => assert!(!concerns, "a frame of ours is passed on"),
        // More tags than are looked behind are dropped whatever they hide.
        Verdict::Drop(Reason::VlanTagged) => {}
        Verdict::Drop(_) => assert!(concerns, "a frame that is none of ours is dropped"),
        Verdict::AnswerArp(question) => {
            assert!(concerns);
            assert_ne!(question.sender_address, IPV4);
            assert_eq!(
                octets.get(12..22),
                Some(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1][..])
            );
        }
        Verdict::AnswerNeighbour(asked) => {
            assert!(concerns);
            let answer = asked.answer([2, 0, 0, 0, 0, 1]);
            assert!(Service::of_ipv6(answer.source).is_some());
            assert!(Service::of_ipv6(answer.destination).is_none());
            assert!(
                octets.len() >= FRAME_LENGTH as usize - 8,
                "read beyond its end"
            );
        }
        Verdict::Deliver(segment) => {
            assert!(concerns);
            assert_eq!(octets.get(6..12), Some(&segment.guest_mac[..]));
            let (next, tcp) = match segment.service {
                Service::Ipv4 => (23, 34),
                Service::Ipv6 | Service::LinkLocal => (20, 54),
            };
            assert_eq!(octets.get(next), Some(&6), "delivered, and no TCP");
            assert_eq!(octets.get(tcp..tcp + 2), Some(&segment.guest_port[..]));
            if segment.service == Service::Ipv4 {
                assert_eq!(octets.get(14), Some(&0x45), "delivered with options");
                let fragment = octets.get(20..22).map(|it| [it[0] & 0x3f, it[1]]);
                assert_eq!(fragment, Some([0, 0]), "delivered as a fragment");
            }
            let answers_from = segment.answers_from([2, 0, 0, 0, 0, 1]);
            assert_eq!(answers_from[0] & 1, 0, "an answer from a group");
        }
    }
}

/// Whether somebody on the wire would take the frame for one to, from or about a metadata address.
fn concerns_metadata(octets: &[u8]) -> bool {
    let mut rest = octets.get(12..).unwrap_or_default();
    let mut tags = 0;
    while let [0x81 | 0x91, 0, ..] | [0x88, 0xa8, ..] = rest {
        if tags == TAGS_MAX {
            return true;
        }
        tags += 1;
        let Some(next) = rest.get(4..) else {
            return false;
        };
        rest = next;
    }
    let Some((kind, packet)) = rest.split_first_chunk::<2>() else {
        return false;
    };
    let at = |from: usize, octets: &[u8]| packet.get(from..from + octets.len()) == Some(octets);
    let ends = |from: usize, to: usize, all: &[&[u8]]| {
        all.iter().any(|octets| at(from, octets) || at(to, octets))
    };
    match kind {
        [0x08, 0x00] if tags == 0 => packet.len() >= 20 && ends(12, 16, &[&IPV4]),
        [0x08, 0x00] => ends(12, 16, &[&IPV4]),
        [0x08, 0x06] => ends(14, 24, &[&IPV4]),
        [0x86, 0xdd] => {
            let discovery = packet.get(6) == Some(&58) && matches!(packet.get(40), Some(135 | 136));
            ends(8, 24, &[&IPV6, &LINK_LOCAL])
                || discovery && (at(48, &IPV6) || at(48, &LINK_LOCAL))
        }
        _ => false,
    }
}

/// The frame as the kernel shows it once it has taken a tag off.
struct Stripped<'a>(&'a [u8]);

impl Frame for Stripped<'_> {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.octets(offset)
    }

    fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]> {
        self.0.addresses(offset)
    }

    fn carries_vlan_tag(&self) -> bool {
        true
    }
}
