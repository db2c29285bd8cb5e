//! A NIC as QEMU makes one: a tap on the host, and a process that carries frames between it and the guest.
//!
//! The guest is a namespace and its NIC a tap too, so both ends are the kernel's own network stack: offloaded
//! segmentation and partial checksums cross the cable as they cross virtio.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use super::Namespace;

/// What the reader of a tap can take: partial checksums, and segments of TCP in one piece.
const OFFLOADS: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// Octets of a `struct virtio_net_hdr`, which precedes each frame. All zero: nothing is left to do.
pub(crate) const HEADER: usize = 10;
/// The largest frame.
const LARGEST: usize = HEADER + 65_536 + 64;
/// How long a thread waits for frames before it sees whether it is still wanted.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The process between two taps; the taps go with it.
#[derive(Debug)]
pub struct Cable {
    host: Arc<File>,
    unplugged: Arc<AtomicBool>,
    /// Processor time that went into carrying frames to the host: the host's work on them included, since the kernel
    /// does it while they are written.
    to_host_ns: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Makes both taps, down and without addresses.
    pub(super) fn new(host: (&Namespace, &str), guest: (&Namespace, &str)) -> Result<Self> {
        let host = Arc::new(tap(host.0, host.1)?);
        let guest = Arc::new(tap(guest.0, guest.1)?);
        let unplugged = Arc::new(AtomicBool::new(false));
        let to_host_ns = Arc::new(AtomicU64::new(0));
        let ways = [
            (
                Arc::clone(&guest),
                Arc::clone(&host),
                Arc::clone(&to_host_ns),
            ),
            (Arc::clone(&host), guest, Arc::default()),
        ];
        let threads = ways.map(|(from, to, time)| {
            let unplugged = Arc::clone(&unplugged);
            thread::spawn(move || carry(&from, &to, &unplugged, &time))
        });
        Ok(Self {
            host,
            unplugged,
            to_host_ns,
            threads: threads.into(),
        })
    }

    /// Puts a frame, behind its header, into the host's tap.
    pub(super) fn put(&self, frame: &[u8]) -> Result<()> {
        let done = (&*self.host).write(frame);
        // What the flood guard drops, the driver takes all the same.
        done.map(drop).context("cannot write to the tap")
    }

    /// Processor time that it took until now to carry frames to the host, and of the host to take them.
    pub fn to_host(&self) -> Duration {
        Duration::from_nanos(self.to_host_ns.load(Ordering::Relaxed))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.unplugged.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// Opens a new tap as QEMU does: frames have virtio's header, and reading does not block, without which the driver
/// would take every frame the long way.
pub(crate) fn tap(space: &Namespace, name: &str) -> Result<File> {
    space.within(|| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .context("cannot open /dev/net/tun")?;
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_flags: i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR)?,
            },
        };
        ensure!(name.len() < libc::IFNAMSIZ, "{name} is too long for a tap");
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        // SAFETY: the name ends with a zero, and the request outlives the call.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        ensure!(
            made == 0,
            "cannot make the tap {name}: {}",
            std::io::Error::last_os_error()
        );
        // SAFETY: the command takes a number.
        let set = unsafe {
            libc::ioctl(
                file.as_raw_fd(),
                libc::TUNSETOFFLOAD,
                libc::c_ulong::from(OFFLOADS),
            )
        };
        ensure!(
            set == 0,
            "cannot switch on the offloads of {name}: {}",
            std::io::Error::last_os_error()
        );
        Ok(file)
    })?
}

fn carry(from: &File, to: &File, unplugged: &AtomicBool, time: &AtomicU64) {
    let mut frame = vec![0; LARGEST];
    while !unplugged.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(from, PollFlags::IN)];
        if poll(&mut ready, Some(&GLANCE)).is_err() {
            return;
        }
        loop {
            match (&*from).read(&mut frame) {
                // A tap that is down, or a frame that its driver refuses, is a frame lost on the wire.
                Ok(length) => drop((&*to).write(frame.get(..length).unwrap_or_default())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The tap was deleted.
                Err(_) => return,
            }
        }
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let used = u64::try_from(used.tv_sec * 1_000_000_000 + used.tv_nsec);
        time.store(used.unwrap_or_default(), Ordering::Relaxed);
    }
}
