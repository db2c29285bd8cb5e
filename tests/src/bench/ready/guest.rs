//! A guest whose TCP is this file: it sends its first SYN whenever it likes, and knows how often it had to.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use crate::frames::{ACK, Ends, METADATA, Mac, SYN, tcp};
use crate::lab::cable::{HEADER, tap};
use crate::lab::{Lab, Reply, Request};

/// In all.
const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const FIRST_PORT: u16 = 20_000;
/// `SIOCBRADDIF` of linux/sockios.h.
const ADD_PORT: libc::c_ulong = 0x89a2;
const LARGEST: usize = HEADER + 65_536 + 64;

/// A tap, and who is behind it.
pub(super) struct Hasty {
    tap: File,
    ends: Ends,
    /// When its tap was there: what the kernel takes to make one is nobody's.
    pub(super) since: Instant,
}

/// What it was told, and how many SYNs that took.
pub(super) struct Given {
    pub(super) body: String,
    pub(super) syns: u64,
}

/// A segment from the metadata service.
struct Segment {
    port: u16,
    flags: u8,
    sequence: u32,
    payload: Vec<u8>,
}

impl Hasty {
    /// Makes a tap, puts it on a bridge, and sets it up.
    pub(super) fn new(lab: &Lab, name: &str, bridge: &str, macs: (Mac, Mac)) -> Result<Self> {
        let tap = tap(lab.host(), name)?;
        let since = Instant::now();
        lab.host().within(|| plug(name, bridge))??;
        let ends = Ends {
            from_mac: macs.0,
            to_mac: macs.1,
            from: ADDRESS,
            to: METADATA,
            from_port: FIRST_PORT,
            to_port: 80,
        };
        Ok(Self { tap, ends, since })
    }

    /// Asks for a path; a SYN that has no answer for so long is followed by another, from a port of its own.
    pub(super) fn ask(&mut self, path: &str, pause: Duration) -> Result<Given> {
        let begun = Instant::now();
        let mut syns = 0;
        let opened = loop {
            ensure!(begun.elapsed() < PATIENCE, "no SYN was answered");
            self.ends.from_port = FIRST_PORT + u16::try_from(syns % 40_000)?;
            self.send(SYN, 0, 0, b"")?;
            syns += 1;
            if let Some(answer) = self.take(Instant::now() + pause)? {
                break answer;
            }
        };
        ensure!(opened.flags == SYN | ACK, "flags {:#x}", opened.flags);
        self.ends.from_port = opened.port;
        let mut expected = opened.sequence.wrapping_add(1);
        let request = Request::get(path).text();
        let after = u32::try_from(1 + request.len())?;
        self.send(ACK, 1, expected, request.as_bytes())?;
        let mut octets = Vec::new();
        loop {
            let segment = self.take(begun + PATIENCE)?.context("no answer")?;
            if segment.port != opened.port || segment.sequence != expected {
                continue;
            }
            expected = expected.wrapping_add(u32::try_from(segment.payload.len())?);
            octets.extend(segment.payload);
            self.send(ACK, after, expected, b"")?;
            if let Ok(reply) = Reply::parse(&octets) {
                ensure!(reply.status == 200, "answered with {}", reply.status);
                return Ok(Given {
                    body: reply.text(),
                    syns,
                });
            }
        }
    }

    fn send(&self, flags: u8, sequence: u32, acknowledged: u32, payload: &[u8]) -> Result<()> {
        let frame = tcp(&self.ends, flags, sequence, acknowledged, payload);
        let frame = [&[0; HEADER], &frame[..]].concat();
        (&self.tap).write_all(&frame).context("cannot send")
    }

    /// The next segment, if there is one before `end`.
    fn take(&self, end: Instant) -> Result<Option<Segment>> {
        let mut frame = vec![0; LARGEST];
        loop {
            match (&self.tap).read(&mut frame) {
                Ok(length) => {
                    let frame = frame.get(HEADER..length).unwrap_or_default();
                    if let Some(segment) = parse(frame) {
                        return Ok(Some(segment));
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot receive"),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let mut ready = [PollFd::new(&self.tap, PollFlags::IN)];
            poll(&mut ready, Some(&Timespec::try_from(left)?))?;
        }
    }
}

/// Reads a TCP segment of the metadata service.
fn parse(frame: &[u8]) -> Option<Segment> {
    let word = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let is_ours = word(12)? == 0x0800 && frame.get(23) == Some(&6);
    if !is_ours || frame.get(26..30)? != METADATA.octets() {
        return None;
    }
    let end = 14 + usize::from(word(16)?);
    let header = usize::from(frame.get(46)? >> 4) * 4;
    Some(Segment {
        port: word(36)?,
        flags: *frame.get(47)? & 0x17,
        sequence: u32::from_be_bytes(frame.get(38..42)?.try_into().ok()?),
        payload: frame.get(34 + header..end)?.to_vec(),
    })
}

/// Makes an interface a port of a bridge, and sets it up: two system calls, where `ip` is a process.
fn plug(name: &str, bridge: &str) -> Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let index = netdevice::name_to_index(&socket, name)?;
    let mut request = named(bridge)?;
    request.ifr_ifru.ifru_ifindex = i32::try_from(index)?;
    control(&socket, ADD_PORT, &mut request).context("cannot add a port to the bridge")?;
    let mut request = named(name)?;
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP)?;
    control(&socket, libc::SIOCSIFFLAGS, &mut request).context("cannot set the tap up")
}

fn named(name: &str) -> Result<libc::ifreq> {
    ensure!(
        name.len() < libc::IFNAMSIZ,
        "{name} is too long for an interface"
    );
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(request)
}

fn control(socket: &OwnedFd, command: libc::c_ulong, request: &mut libc::ifreq) -> Result<()> {
    // SAFETY: the descriptor is open, the name ends with a zero, and the request outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), command, &raw mut *request) };
    if done != 0 {
        bail!("{}", std::io::Error::last_os_error());
    }
    Ok(())
}
