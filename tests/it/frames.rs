//! Frames octet by octet, as the kernel's own floor compares them: the laboratory's, with plain addresses.

use metad_tests::frames;
pub(crate) use metad_tests::frames::{ACK, SYN};

/// The metadata service's address.
pub(crate) const METADATA: [u8; 4] = frames::METADATA.octets();

/// Who sends a frame to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) from_mac: [u8; 6],
    pub(crate) to_mac: [u8; 6],
    pub(crate) from: [u8; 4],
    pub(crate) to: [u8; 4],
}

impl Ends {
    fn with_ports(&self, [from_port, to_port]: [u16; 2]) -> frames::Ends {
        frames::Ends {
            from_mac: self.from_mac,
            to_mac: self.to_mac,
            from: self.from.into(),
            to: self.to.into(),
            from_port,
            to_port,
        }
    }
}

/// A TCP segment without options: `ports` are source and destination.
pub(crate) fn tcp(ends: &Ends, ports: [u16; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    frames::tcp(&ends.with_ports(ports), flags, 1, 0, payload)
}

/// A UDP datagram to port 80.
pub(crate) fn udp(ends: &Ends) -> Vec<u8> {
    frames::udp(&ends.with_ports([40_000, 80]), b"")
}

/// An IPv4 packet of any protocol.
pub(crate) fn ipv4(ends: &Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    frames::ip(&ends.with_ports([0, 0]), protocol, payload)
}

/// What a router in the guest says once it has given up an answer of ours.
pub(crate) fn given_up(ends: &Ends) -> Vec<u8> {
    let back = Ends {
        from: ends.to,
        to: ends.from,
        ..*ends
    };
    let answer = tcp(&back, [80, 40_000], ACK, b"answer");
    let quoted = answer.get(14..42).unwrap_or_default();
    ipv4(ends, 1, &[&[11, 0, 0, 0, 0, 0, 0, 0][..], quoted].concat())
}

/// An ARP message: 1 asks, 2 answers (RFC 826).
pub(crate) fn arp(ends: &Ends, operation: u8) -> Vec<u8> {
    let target = if operation == 1 { [0; 6] } else { ends.to_mac };
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [
        &ends.to_mac[..],
        &ends.from_mac,
        &[0x08, 0x06],
        &head,
        &ends.from_mac,
        &ends.from,
        &target,
        &ends.to,
    ]
    .concat()
}

/// `frame` behind VLAN tags of these EtherTypes.
pub(crate) fn tagged(frame: &[u8], tags: &[[u8; 2]]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    let tags: Vec<u8> = tags.iter().flat_map(|tag| [tag[0], tag[1], 0, 7]).collect();
    [macs, &tags, rest].concat()
}

/// `frame` with single octets changed.
pub(crate) fn with(mut frame: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, octet) in changes {
        if let Some(place) = frame.get_mut(*at) {
            *place = *octet;
        }
    }
    frame
}

/// Whether both checksums of a TCP/IPv4 frame are right.
pub(crate) fn checksums_hold(frame: &[u8]) -> bool {
    let (Some(header), Some(segment)) = (frame.get(14..34), frame.get(34..)) else {
        return false;
    };
    let (Some(addresses), Ok(length)) = (header.get(12..20), u16::try_from(segment.len())) else {
        return false;
    };
    let pseudo = [addresses, &[0, 6], &length.to_be_bytes(), segment].concat();
    frames::checksum(&[header]) == 0 && frames::checksum(&[&pseudo]) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_right_checksums_and_a_flipped_bit_shows() {
        let ends = Ends {
            from_mac: [2; 6],
            to_mac: [4; 6],
            from: [10, 0, 0, 1],
            to: METADATA,
        };
        for (case, payload) in [("empty", &b""[..]), ("even", b"GET / "), ("odd", b"GET /")] {
            let frame = tcp(&ends, [40000, 80], SYN, payload);
            assert!(checksums_hold(&frame), "{case}");
            assert!(
                !checksums_hold(&with(frame, &[(29, 9)])),
                "{case}, source changed"
            );
        }
    }
}
