//! Neighbour discovery about the metadata addresses.

use super::*;
use crate::neighbour::Solicitation;

#[test]
fn solicitations_are_answered_and_claims_are_dropped() {
    use Verdict::{AnswerNeighbour, Drop, Pass};
    for target in [IPV6, LINK_LOCAL] {
        let asked = |source| {
            AnswerNeighbour(Solicitation {
                mac: GUEST_MAC,
                source: Address(source),
                target: Address(target),
            })
        };
        let ask = || solicitation(FROM, target);
        let (claim, improper) = (
            Drop(Reason::NeighbourClaim),
            Drop(Reason::NeighbourImproper),
        );
        for (case, frame, expected) in [
            (
                "to the group",
                with(ask(), &[(0, 0x33), (1, 0x33)]),
                asked(FROM),
            ),
            (
                "to the address itself",
                discovery(135, FROM, target, target),
                asked(FROM),
            ),
            (
                "with the sender's MAC address",
                [
                    with(ask(), &[(LENGTH + 1, 32)]),
                    vec![1, 1, 2, 0, 0, 0, 0, 1],
                ]
                .concat(),
                asked(FROM),
            ),
            (
                "before the address is taken",
                solicitation(NOBODY, target),
                asked(NOBODY),
            ),
            ("for another", solicitation(FROM, ELSEWHERE), Pass),
            (
                "for another, sent to us",
                discovery(135, FROM, target, ELSEWHERE),
                Drop(Reason::NotTcp),
            ),
            ("from another link", with(ask(), &[(HOPS, 254)]), improper),
            ("of another code", with(ask(), &[(CODE, 1)]), improper),
            (
                "too short by its own account",
                with(ask(), &[(LENGTH + 1, 23)]),
                improper,
            ),
            ("version 4", with(ask(), &[(14, 0x45)]), improper),
            ("cut inside the target", cut(ask(), 77), Pass),
            (
                "claim to all",
                discovery(136, FROM, group_of(FROM), target),
                claim,
            ),
            (
                "claim to one",
                discovery(136, FROM, ELSEWHERE, target),
                claim,
            ),
            ("claim to us", discovery(136, FROM, target, target), claim),
            (
                "claim as the service itself",
                discovery(136, target, ELSEWHERE, target),
                claim,
            ),
            (
                "claim by asking",
                discovery(135, target, group_of(target), target),
                claim,
            ),
            (
                "claim by asking for another",
                solicitation(target, ELSEWHERE),
                Drop(Reason::ForgedSource),
            ),
            ("no discovery at all", with(ask(), &[(KIND, 128)]), Pass),
        ] {
            assert_eq!(classify(&frame[..]), expected, "{case}");
        }
    }
}

#[test]
fn where_others_own_an_ipv6_address_only_what_goes_to_it_is_ours() {
    for address in [IPV6, LINK_LOCAL] {
        for (case, frame, others) in [
            ("a question", solicitation(FROM, address), true),
            ("a claim", discovery(136, FROM, ELSEWHERE, address), true),
            (
                "a strange question",
                with(solicitation(FROM, address), &[(HOPS, 1)]),
                true,
            ),
            ("from it", syn6(address, ELSEWHERE), true),
            ("to it", syn6(FROM, address), false),
            ("not about it", syn6(FROM, ELSEWHERE), false),
        ] {
            assert_eq!(classify(&frame[..]).may_be_anothers(), others, "{case}");
        }
    }
}
