//! Neighbour solicitations, answered in place.

use super::*;

#[test]
fn solicitation_is_turned_into_its_advertisement() {
    if !needs::sandbox() {
        return;
    }
    let mut loaded = Loaded::new();
    let source_mac = [&[1, 1][..], &GUEST_MAC].concat();
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6].to_vec();
    let two = [&source_mac[..], &nonce].concat();
    let mut answered = 0;
    for target in METADATA {
        let (group, group_mac) = ipv6::group_of(target);
        for (case, from, to, to_mac, options) in [
            ("first of all", GUEST, group, group_mac, source_mac.clone()),
            ("two options", GUEST, group, group_mac, two.clone()),
            ("no option", GUEST, group, group_mac, Vec::new()),
            ("still there?", GUEST, target, BRIDGE_MAC, Vec::new()),
            (
                "about to take it",
                Ipv6Addr::UNSPECIFIED,
                group,
                group_mac,
                Vec::new(),
            ),
            (
                "with a nonce",
                Ipv6Addr::UNSPECIFIED,
                group,
                group_mac,
                nonce.clone(),
            ),
        ] {
            let asked = Ends {
                from,
                to,
                to_mac,
                ..ask(0)
            };
            let outcome = loaded.run(GUEST_INGRESS, &ipv6::who_has(&asked, target, &options));
            let anonymous = from.is_unspecified();
            let told = Ends {
                from_mac: BRIDGE_MAC,
                to_mac: if anonymous {
                    [0x33, 0x33, 0, 0, 0, 1]
                } else {
                    GUEST_MAC
                },
                from: target,
                to: if anonymous { ipv6::ALL_NODES } else { GUEST },
                ..ask(0)
            };
            let flags = if anonymous { 0x20 } else { 0x60 };
            let expected = ipv6::is_at(&told, flags, target, BRIDGE_MAC);
            assert_eq!(outcome, redirected(expected), "{target}: {case}");
            assert!(ipv6::checksum_holds(&outcome.frame), "{target}: {case}");
            answered += 1;
        }
    }
    let tally = Counted::Tally(Tally::NeighbourAnswered);
    assert_eq!(loaded.count(tally), answered);
}
