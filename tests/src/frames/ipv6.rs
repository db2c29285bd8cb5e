//! The same for IPv6, and neighbour discovery, which takes ARP's place there.

use std::net::Ipv6Addr;

use super::{Mac, SYN, TCP, UDP, checksum, ethernet, length, put, tcp_header};

/// Where guests look for metadata: EC2's address, and OpenStack's on the guest's own link.
pub const METADATA: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];
/// Every node on a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const KIND: u16 = 0x86dd;
const ICMP: u8 = 58;

/// The two ends of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub from_mac: Mac,
    pub to_mac: Mac,
    pub from: Ipv6Addr,
    pub to: Ipv6Addr,
    pub from_port: u16,
    pub to_port: u16,
}

/// A TCP segment without options.
pub fn tcp(ends: &Ends, flags: u8, sequence: u32, acknowledged: u32, payload: &[u8]) -> Vec<u8> {
    let ports = [ends.from_port, ends.to_port];
    let segment = [
        &tcp_header(ports, (0x50, flags), (sequence, acknowledged))[..],
        payload,
    ];
    packet(ends, TCP, 64, &summed(ends, TCP, segment.concat(), 16))
}

/// The first segment of a connection.
pub fn syn(ends: &Ends) -> Vec<u8> {
    tcp(ends, SYN, 1, 0, b"")
}

/// A UDP datagram.
pub fn udp(ends: &Ends, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ends.from_port.to_be_bytes());
    datagram.extend(ends.to_port.to_be_bytes());
    datagram.extend(length(8 + payload.len()));
    datagram.extend([0; 2]);
    datagram.extend(payload);
    packet(ends, UDP, 64, &summed(ends, UDP, datagram, 6))
}

/// An ICMPv6 echo request.
pub fn echo(ends: &Ends) -> Vec<u8> {
    let message = vec![128, 0, 0, 0, 0, 1, 0, 1];
    packet(ends, ICMP, 64, &summed(ends, ICMP, message, 2))
}

/// What a router in the guest says once it has given up an answer of the service's.
pub fn given_up(ends: &Ends) -> Vec<u8> {
    let back = Ends {
        from: ends.to,
        to: ends.from,
        from_port: ends.to_port,
        to_port: ends.from_port,
        ..*ends
    };
    let answer = tcp(&back, 0x10, 1, 2, b"answer");
    let quoted = answer.get(14..).unwrap_or_default();
    let message = [&[3, 0, 0, 0, 0, 0, 0, 0][..], quoted].concat();
    packet(ends, ICMP, 64, &summed(ends, ICMP, message, 2))
}

/// A neighbour solicitation for `target`, with options of any kind.
pub fn who_has(ends: &Ends, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    discovery(ends, 135, 0, target, options)
}

/// A neighbour advertisement that says where `target` is. `flags`: 0x40 answers, 0x20 replaces.
pub fn is_at(ends: &Ends, flags: u8, target: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let option = [&[2, 1][..], &mac].concat();
    discovery(ends, 136, flags, target, &option)
}

/// A router advertisement by which the sender offers itself as the default router for half an hour.
pub fn router(ends: &Ends) -> Vec<u8> {
    let message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    packet(ends, ICMP, 255, &summed(ends, ICMP, message, 2))
}

/// The group that a solicitation for `target` goes to, and the MAC address that stands for it.
pub fn group_of(target: Ipv6Addr) -> (Ipv6Addr, Mac) {
    let [.., a, b, c] = target.octets();
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    (group, [0x33, 0x33, 0xff, a, b, c])
}

/// Source and destination of an IPv6 frame.
pub fn addresses(frame: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let kind: [u8; 2] = frame.get(12..14)?.try_into().ok()?;
    let from: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
    let to: [u8; 16] = frame.get(38..54)?.try_into().ok()?;
    (u16::from_be_bytes(kind) == KIND).then(|| (from.into(), to.into()))
}

/// Whether the frame comes from, goes to, or speaks of an address.
pub fn concerns(frame: &[u8], address: Ipv6Addr) -> bool {
    let octets = address.octets();
    frame
        .get(12..)
        .is_some_and(|rest| rest.windows(16).any(|window| window == octets))
}

/// An IPv6 packet of any next header.
pub fn packet(ends: &Ends, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(ends.from_mac, ends.to_mac, KIND);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length(payload.len()));
    frame.extend([next, hops]);
    frame.extend(ends.from.octets());
    frame.extend(ends.to.octets());
    frame.extend(payload);
    frame
}

fn discovery(ends: &Ends, kind: u8, flags: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let start = [kind, 0, 0, 0, flags, 0, 0, 0];
    let message = [&start[..], &target.octets(), options].concat();
    packet(ends, ICMP, 255, &summed(ends, ICMP, message, 2))
}

/// Whether the checksum behind the IPv6 header is right.
pub fn checksum_holds(frame: &[u8]) -> bool {
    let (Some(addresses), Some(next), Some(payload)) =
        (frame.get(22..54), frame.get(20), frame.get(54..))
    else {
        return false;
    };
    let pseudo = [&[0, 0][..], &length(payload.len()), &[0, 0, 0, *next]].concat();
    checksum(&[addresses, &pseudo, payload]) == 0
}

/// `payload` with its checksum at `at`.
fn summed(ends: &Ends, next: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let (from, to) = (ends.from.octets(), ends.to.octets());
    let pseudo = [&[0, 0][..], &length(payload.len()), &[0, 0, 0, next]].concat();
    let sum = checksum(&[&from, &to, &pseudo, &payload]);
    put(&mut payload, at, sum);
    payload
}

#[cfg(test)]
mod tests {
    use super::super::ACK;
    use super::*;

    const ENDS: Ends = Ends {
        from_mac: [2, 0, 0, 0, 0, 1],
        to_mac: [2, 0, 0, 0, 0, 2],
        from: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 5),
        to: METADATA[0],
        from_port: 40_000,
        to_port: 80,
    };

    #[test]
    fn checksums_add_up_and_a_flipped_bit_shows() {
        for (case, frame) in [
            ("syn", syn(&ENDS)),
            ("odd payload", tcp(&ENDS, ACK, 7, 9, b"abc")),
            ("udp", udp(&ENDS, b"hello")),
            ("echo", echo(&ENDS)),
            ("who has", who_has(&ENDS, METADATA[1], &[])),
            ("is at", is_at(&ENDS, 0x60, METADATA[0], [2; 6])),
        ] {
            assert!(checksum_holds(&frame), "{case}");
            let mut frame = frame;
            frame[30] ^= 1;
            assert!(!checksum_holds(&frame), "{case}, source changed");
        }
    }

    #[test]
    fn a_frame_concerns_whom_it_names() {
        for (case, frame, address, expected) in [
            ("from", syn(&ENDS), ENDS.from, true),
            ("to", syn(&ENDS), METADATA[0], true),
            ("neither", syn(&ENDS), METADATA[1], false),
            (
                "asked for",
                who_has(&ENDS, METADATA[1], &[]),
                METADATA[1],
                true,
            ),
            ("cut short", vec![0; 5], METADATA[0], false),
        ] {
            assert_eq!(concerns(&frame, address), expected, "{case}");
        }
        assert_eq!(addresses(&syn(&ENDS)), Some((ENDS.from, METADATA[0])));
        let (group, mac) = group_of(METADATA[1]);
        assert_eq!(group.to_string(), "ff02::1:fffe:a9fe");
        assert_eq!(mac, [0x33, 0x33, 0xff, 0xfe, 0xa9, 0xfe]);
    }
}
