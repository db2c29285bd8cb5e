//! Frames by name: what guests send to the metadata address, proper and improper.
//!
//! In come addresses, out go octets with right checksums. Nothing here sends anything.

pub mod ipv6;

use std::net::Ipv4Addr;

/// Where guests look for metadata.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The address that every NIC takes.
pub const EVERYONE: Mac = [0xff; 6];

/// TCP flags.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Prints an Ethernet address in lower case with colons.
pub fn mac_text(mac: Mac) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

/// Reads six octets with colons.
pub fn read_mac(text: &str) -> Option<Mac> {
    let octets = text.split(':').map(|octet| u8::from_str_radix(octet, 16));
    let octets: Vec<u8> = octets.collect::<Result<_, _>>().ok()?;
    octets.try_into().ok()
}

/// The two ends of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub from_mac: Mac,
    pub to_mac: Mac,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub from_port: u16,
    pub to_port: u16,
}

/// A TCP segment without options.
pub fn tcp(ends: &Ends, flags: u8, sequence: u32, acknowledged: u32, payload: &[u8]) -> Vec<u8> {
    segment(ends, (0x50, flags), (sequence, acknowledged), payload)
}

/// The first segment of a connection.
pub fn syn(ends: &Ends) -> Vec<u8> {
    tcp(ends, SYN, 1, 0, b"")
}

/// The first segment of a connection, with TCP options: whole words, 40 octets at most.
pub fn syn_with(ends: &Ends, options: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(u8::MAX);
    segment(ends, (words << 4, SYN), (1, 0), options)
}

/// Length of the header and flags; numbers sent and acknowledged; whatever follows the plain header.
fn segment(ends: &Ends, kind: (u8, u8), numbers: (u32, u32), rest: &[u8]) -> Vec<u8> {
    let mut segment = tcp_header([ends.from_port, ends.to_port], kind, numbers);
    segment.extend(rest);
    let sum = checksum(&[&pseudo_header(ends, TCP, segment.len()), &segment]);
    put(&mut segment, 16, sum);
    ip(ends, TCP, &segment)
}

/// A UDP datagram.
pub fn udp(ends: &Ends, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ends.from_port.to_be_bytes());
    datagram.extend(ends.to_port.to_be_bytes());
    datagram.extend(length(8 + payload.len()));
    datagram.extend([0; 2]);
    datagram.extend(payload);
    let sum = checksum(&[&pseudo_header(ends, UDP, datagram.len()), &datagram]);
    put(&mut datagram, 6, sum);
    ip(ends, UDP, &datagram)
}

/// An ICMP echo request.
pub fn echo(ends: &Ends) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(&[&message]);
    put(&mut message, 2, sum);
    ip(ends, ICMP, &message)
}

/// An ARP request for `target`.
pub fn who_has(from_mac: Mac, from: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(from_mac, EVERYONE, ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(from_mac);
    frame.extend(from.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

/// An unasked ARP answer by which `from_mac` claims `claimed`.
pub fn claim(from_mac: Mac, claimed: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(from_mac, EVERYONE, ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(from_mac);
    frame.extend(claimed.octets());
    frame.extend(EVERYONE);
    frame.extend(claimed.octets());
    frame
}

/// Source and destination of an IPv4 frame.
pub fn addresses(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let kind: [u8; 2] = frame.get(12..14)?.try_into().ok()?;
    let from: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
    let to: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
    (u16::from_be_bytes(kind) == IPV4).then(|| (from.into(), to.into()))
}

/// Whether the frame comes from, goes to, or (as ARP) speaks of an address.
pub fn concerns(frame: &[u8], address: Ipv4Addr) -> bool {
    let octets = address.octets();
    frame
        .get(12..)
        .is_some_and(|rest| rest.windows(4).any(|window| window == octets))
}

/// An IPv4 packet of any protocol.
pub fn ip(ends: &Ends, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend(length(20 + payload.len()));
    header.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(ends.from.octets());
    header.extend(ends.to.octets());
    let sum = checksum(&[&header]);
    put(&mut header, 10, sum);
    let mut frame = ethernet(ends.from_mac, ends.to_mac, IPV4);
    frame.extend(header);
    frame.extend(payload);
    frame
}

/// TCP's header, without options or checksum; arguments as of [`segment`].
fn tcp_header(ports: [u16; 2], kind: (u8, u8), numbers: (u32, u32)) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    header.extend(numbers.0.to_be_bytes());
    header.extend(numbers.1.to_be_bytes());
    header.extend([kind.0, kind.1]);
    header.extend(64_240_u16.to_be_bytes());
    header.extend([0; 4]);
    header
}

fn ethernet(from: Mac, to: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to);
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame
}

fn pseudo_header(ends: &Ends, protocol: u8, payload: usize) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(ends.from.octets());
    header.extend(ends.to.octets());
    header.extend([0, protocol]);
    header.extend(length(payload));
    header
}

/// A length field; no frame here comes near its end.
fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}

fn put(octets: &mut [u8], at: usize, value: u16) {
    if let Some(field) = octets.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// The internet checksum over parts of even length, the last one excepted (RFC 1071).
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        let high = pair.first().copied().unwrap_or_default();
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        from_mac: [2, 0, 0, 0, 0, 1],
        to_mac: [2, 0, 0, 0, 0, 2],
        from: Ipv4Addr::new(10, 0, 0, 5),
        to: METADATA,
        from_port: 40_000,
        to_port: 80,
    };

    #[test]
    fn checksums_add_up() {
        for (case, frame, protocol) in [
            ("syn", syn(&ENDS), TCP),
            ("odd payload", tcp(&ENDS, ACK, 7, 9, b"abc"), TCP),
            ("udp", udp(&ENDS, b"hello"), UDP),
        ] {
            let (header, rest) = frame[14..].split_at(20);
            assert_eq!(checksum(&[header]), 0, "{case}: header");
            let pseudo = pseudo_header(&ENDS, protocol, rest.len());
            assert_eq!(checksum(&[&pseudo, rest]), 0, "{case}: payload");
        }
        let message = &echo(&ENDS)[34..];
        assert_eq!(checksum(&[message]), 0, "echo");
    }

    #[test]
    fn a_frame_concerns_whom_it_names() {
        let other = Ipv4Addr::new(10, 0, 0, 6);
        for (case, frame, address, expected) in [
            ("from", syn(&ENDS), ENDS.from, true),
            ("to", syn(&ENDS), METADATA, true),
            ("neither", syn(&ENDS), other, false),
            (
                "asked for",
                who_has(ENDS.from_mac, ENDS.from, METADATA),
                METADATA,
                true,
            ),
            ("claimed", claim(ENDS.from_mac, METADATA), METADATA, true),
            ("cut short", vec![0; 5], METADATA, false),
        ] {
            assert_eq!(concerns(&frame, address), expected, "{case}");
        }
        assert_eq!(addresses(&syn(&ENDS)), Some((ENDS.from, METADATA)));
        assert_eq!(
            addresses(&who_has(ENDS.from_mac, ENDS.from, METADATA)),
            None
        );
    }
}
