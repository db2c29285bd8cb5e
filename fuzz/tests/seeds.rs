//! The seeds that are no text: frames and netlink datagrams by name, made here and compared with the files.
//!
//! `METAD_UPDATE_SNAPSHOTS=1 cargo test -p metad-fuzz` rewrites the files.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use metad_tests::frames::{self, Ends, METADATA, SYN, ipv6};
use rtnetlink::packet_core::{ErrorMessage, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

/// A seed's name and its octets.
type Seeds = Vec<(&'static str, Vec<u8>)>;

#[test]
fn seeds_of_octets_are_what_they_are_called() {
    for (target, seeds) in [("verdict", verdict()), ("netlink", netlink())] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(target);
        fs::create_dir_all(&directory).unwrap();
        for (name, octets) in seeds {
            let path = directory.join(name);
            if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_some_and(|it| it == "1") {
                fs::write(&path, &octets).unwrap();
            }
            let found = fs::read(&path).unwrap_or_default();
            assert_eq!(found, octets, "{target}/{name} is another");
        }
    }
}

const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const BRIDGE: [u8; 6] = [0x52, 0x54, 0, 0xff, 0xff, 1];

fn verdict() -> Seeds {
    let ask = Ends {
        from_mac: MAC,
        to_mac: BRIDGE,
        from: Ipv4Addr::new(10, 1, 0, 5),
        to: METADATA,
        from_port: 40_000,
        to_port: 80,
    };
    let back = Ends {
        from: METADATA,
        to: Ipv4Addr::new(100, 64, 0, 1),
        from_port: 80,
        to_port: 40_000,
        ..ask
    };
    let ask6 = ipv6::Ends {
        from_mac: MAC,
        to_mac: BRIDGE,
        from: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5),
        to: ipv6::METADATA[0],
        from_port: 40_000,
        to_port: 80,
    };
    let link6 = ipv6::Ends {
        to: ipv6::METADATA[1],
        ..ask6
    };
    let (group, group_mac) = ipv6::group_of(ipv6::METADATA[1]);
    let to_group = ipv6::Ends {
        to: group,
        to_mac: group_mac,
        ..ask6
    };
    let with = |mut frame: Vec<u8>, at: usize, octets: &[u8]| {
        frame[at..at + octets.len()].copy_from_slice(octets);
        frame
    };
    let tag = |frame: Vec<u8>, tags: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    let one = [0x81, 0, 0, 5];
    vec![
        ("v4_syn", frames::syn(&ask)),
        (
            "v4_request",
            frames::tcp(&ask, 0x18, 2, 1, b"GET / HTTP/1.1\r\n\r\n"),
        ),
        ("v4_options", with(frames::syn(&ask), 14, &[0x46])),
        ("v4_first_fragment", with(frames::syn(&ask), 20, &[0x20, 0])),
        ("v4_later_fragment", with(frames::syn(&ask), 20, &[0, 1])),
        ("v4_short_length", with(frames::syn(&ask), 16, &[0, 39])),
        (
            "v4_from_metadata",
            frames::syn(&Ends {
                from: METADATA,
                to: ask.from,
                ..ask
            }),
        ),
        (
            "v4_loopback_source",
            frames::syn(&Ends {
                from: Ipv4Addr::LOCALHOST,
                ..ask
            }),
        ),
        (
            "v4_to_everybody",
            frames::syn(&Ends {
                to_mac: frames::EVERYONE,
                ..ask
            }),
        ),
        (
            "v4_elsewhere",
            frames::syn(&Ends {
                to: Ipv4Addr::new(10, 1, 0, 1),
                ..ask
            }),
        ),
        ("v4_udp", frames::udp(&ask, b"x")),
        ("v4_echo", frames::echo(&ask)),
        ("v4_cut", frames::syn(&ask)[..40].to_vec()),
        ("v4_reply", frames::tcp(&back, 0x12, 1, 2, b"")),
        (
            "v4_reply_elsewhere",
            frames::tcp(
                &Ends {
                    to: ask.from,
                    ..back
                },
                0x12,
                1,
                2,
                b"",
            ),
        ),
        ("vlan_syn", tag(frames::syn(&ask), &one)),
        (
            "vlan_twice_syn",
            tag(frames::syn(&ask), &[[0x88, 0xa8, 0, 5], one].concat()),
        ),
        ("vlan_four_times", tag(frames::syn(&ask), &one.repeat(4))),
        ("vlan_v6_syn", tag(ipv6::syn(&ask6), &one)),
        ("arp_who_has", frames::who_has(MAC, ask.from, METADATA)),
        (
            "arp_who_has_elsewhere",
            frames::who_has(MAC, ask.from, Ipv4Addr::new(10, 1, 0, 1)),
        ),
        ("arp_claim", frames::claim(MAC, METADATA)),
        (
            "arp_reply",
            with(frames::who_has(MAC, ask.from, METADATA), 20, &[0, 2]),
        ),
        ("v6_syn", ipv6::syn(&ask6)),
        ("v6_link_local_syn", ipv6::tcp(&link6, SYN, 1, 0, b"")),
        ("v6_fragment", with(ipv6::syn(&ask6), 20, &[44])),
        ("v6_hop_by_hop", with(ipv6::syn(&ask6), 20, &[0])),
        ("v6_udp", ipv6::udp(&ask6, b"x")),
        (
            "v6_from_metadata",
            ipv6::syn(&ipv6::Ends {
                from: ask6.to,
                to: ask6.from,
                ..ask6
            }),
        ),
        (
            "v6_cut_behind_its_forged_source",
            ipv6::syn(&ipv6::Ends {
                from: ask6.to,
                to: ask6.from,
                ..ask6
            })[..39]
                .to_vec(),
        ),
        (
            "v6_reply",
            ipv6::tcp(
                &ipv6::Ends {
                    from: ask6.to,
                    to: Ipv6Addr::new(0xfd6d, 0x6574, 0x6164, 1, 0, 0, 0, 1),
                    ..ask6
                },
                0x12,
                1,
                2,
                b"",
            ),
        ),
        (
            "nd_who_has",
            ipv6::who_has(
                &to_group,
                ipv6::METADATA[1],
                &[1, 1, 0x52, 0x54, 0, 0, 0, 1],
            ),
        ),
        (
            "nd_who_has_anonymous",
            ipv6::who_has(
                &ipv6::Ends {
                    from: Ipv6Addr::UNSPECIFIED,
                    ..to_group
                },
                ipv6::METADATA[1],
                &[],
            ),
        ),
        (
            "nd_who_has_hop_limit_64",
            with(ipv6::who_has(&to_group, ipv6::METADATA[1], &[]), 21, &[64]),
        ),
        (
            "nd_claim",
            ipv6::is_at(&to_group, 0x20, ipv6::METADATA[1], MAC),
        ),
    ]
}

fn netlink() -> Seeds {
    let link = |index: u32, name: &str, more: Vec<LinkAttribute>| {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        message.attributes.extend(more);
        message
    };
    let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
    let new = RouteNetlinkMessage::NewLink;
    let del = RouteNetlinkMessage::DelLink;
    let tap = link(
        7,
        "vnet0",
        vec![LinkAttribute::Controller(3), kind(InfoKind::Tun)],
    );
    let renamed = link(
        7,
        "vnet5",
        vec![LinkAttribute::Controller(3), kind(InfoKind::Tun)],
    );
    let taken = link(8, "vnet0", vec![LinkAttribute::Address(MAC.to_vec())]);
    let bridge = link(
        3,
        "br0",
        vec![
            kind(InfoKind::Bridge),
            LinkAttribute::Address(BRIDGE.to_vec()),
        ],
    );
    let mut port = link(7, "vnet0", vec![LinkAttribute::Controller(3)]);
    port.header.interface_family = AddressFamily::Bridge;
    let overrun = datagram(NetlinkPayload::Overrun(vec![0; 4]));
    let error = datagram(NetlinkPayload::Error(ErrorMessage::default()));
    vec![
        ("new_tap", inner(new(tap.clone()))),
        ("gone", inner(del(tap.clone()))),
        (
            "renamed",
            [inner(new(tap.clone())), inner(new(renamed))].concat(),
        ),
        (
            "name_taken_over",
            [inner(new(taken)), inner(del(tap.clone()))].concat(),
        ),
        ("bridge", inner(new(bridge.clone()))),
        ("port_leaves_bridge", inner(del(port))),
        (
            "overrun_then_list",
            [overrun.clone(), inner(new(bridge)), inner(new(tap))].concat(),
        ),
        ("overrun", overrun),
        ("error", error),
        ("done", datagram(NetlinkPayload::Done(Default::default()))),
        ("no_name", inner(new(LinkMessage::default()))),
        (
            "infiniband_address",
            inner(new(link(
                9,
                "ib0",
                vec![LinkAttribute::Address(vec![1; 20])],
            ))),
        ),
    ]
}

fn inner(message: RouteNetlinkMessage) -> Vec<u8> {
    datagram(NetlinkPayload::from(message))
}

fn datagram(payload: NetlinkPayload<RouteNetlinkMessage>) -> Vec<u8> {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
    message.finalize();
    let mut octets = vec![0; message.buffer_len()];
    message.serialize(&mut octets);
    octets
}
