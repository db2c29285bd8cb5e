//! Frames by name, with right checksums: what guests send and what the daemon answers.

/// The metadata service's address.
pub(crate) const METADATA: [u8; 4] = [169, 254, 169, 254];

/// TCP flags.
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// Who sends a frame to whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) from_mac: [u8; 6],
    pub(crate) to_mac: [u8; 6],
    pub(crate) from: [u8; 4],
    pub(crate) to: [u8; 4],
}

/// A TCP segment without options: `ports` are source and destination.
pub(crate) fn tcp(ends: &Ends, ports: [u16; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports[0].to_be_bytes());
    segment.extend(ports[1].to_be_bytes());
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let pseudo = [&ends.from[..], &ends.to[..], &[0, 6], &length.to_be_bytes()].concat();
    let checksum = checksum(&[pseudo, segment.clone()].concat());
    segment.splice(16..18, checksum);
    ipv4(ends, 6, &segment)
}

/// A UDP datagram to port 80, without a checksum.
pub(crate) fn udp(ends: &Ends) -> Vec<u8> {
    ipv4(ends, 17, &[0x9c, 0x40, 0, 80, 0, 8, 0, 0])
}

/// An IPv4 packet of any protocol.
pub(crate) fn ipv4(ends: &Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let [l0, l1] = length.to_be_bytes();
    let mut header = vec![0x45, 0, l0, l1, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    header.extend(ends.from);
    header.extend(ends.to);
    let checksum = checksum(&header);
    header.splice(10..12, checksum);
    [
        &ends.to_mac[..],
        &ends.from_mac,
        &[0x08, 0x00],
        &header,
        payload,
    ]
    .concat()
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
    checksum(header) == [0, 0] && checksum(&pseudo) == [0, 0]
}

/// The internet checksum (RFC 1071).
fn checksum(octets: &[u8]) -> [u8; 2] {
    let pairs = octets.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let folded = u16::try_from(sum).unwrap_or(u16::MAX);
    (!folded).to_be_bytes()
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
