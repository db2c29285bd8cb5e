//! A NIC as raw frames: whatever an attacker could put on the wire, and whatever comes back.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use super::Namespace;
use crate::sandbox;

/// All protocols, as AF_PACKET wants it: ETH_P_ALL in network order.
const EVERYTHING: u16 = 0x0003_u16.to_be();
/// The largest frame that segmentation offload hands to a packet socket.
const LARGEST: usize = 65_536 + 64;

/// A packet socket bound to one NIC.
#[derive(Debug)]
pub struct Wire {
    socket: File,
}

impl Wire {
    /// Opens a NIC of a namespace; only frames from now on are seen.
    ///
    /// # Errors
    /// There is no such NIC, or the kernel refuses.
    pub fn open(space: &Namespace, nic: &str) -> Result<Self> {
        sandbox::demand()?;
        let socket = space.within(|| open(nic))??;
        let socket = File::from(socket);
        Ok(Self { socket })
    }

    /// Sends one frame as it is.
    ///
    /// # Errors
    /// The NIC is gone or down.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = (&self.socket).write(frame).context("cannot send a frame")?;
        ensure!(sent == frame.len(), "half a frame was sent");
        Ok(())
    }

    /// Takes every frame that has arrived so far (and those that this NIC sent, since the socket sees both).
    ///
    /// # Errors
    /// The NIC is gone.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut room = vec![0; LARGEST];
        loop {
            match (&self.socket).read(&mut room) {
                Ok(length) => frames.push(room.iter().take(length).copied().collect()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(frames),
                Err(error) => return Err(error).context("cannot read a frame"),
            }
        }
    }

    /// Waits for a frame that suits.
    ///
    /// # Errors
    /// None comes within `limit`.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        suits: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let mut seen = 0;
        super::until(what, limit, || {
            let frames = self.drain().ok()?;
            seen += frames.len();
            frames.into_iter().find(|frame| suits(frame))
        })
        .with_context(|| format!("{seen} other frames were seen"))
    }
}

fn open(nic: &str) -> Result<OwnedFd> {
    let protocol = rustix::net::Protocol::from_raw(
        std::num::NonZeroU32::new(EVERYTHING.into()).context("a protocol of zero")?,
    );
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(protocol),
    )
    .context("cannot open a packet socket")?;
    let index =
        netdevice::name_to_index(&socket, nic).with_context(|| format!("there is no NIC {nic}"))?;
    // A read that finds nothing returns at once, for all practical purposes.
    let moment = Some(Duration::from_millis(1));
    set_socket_timeout(&socket, Timeout::Recv, moment).context("cannot set a time limit")?;
    bind(&socket, index)?;
    Ok(socket)
}

/// Binds to one interface; rustix has no address type for packet sockets.
fn bind(socket: &OwnedFd, index: u32) -> Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET)?,
        sll_protocol: EVERYTHING,
        sll_ifindex: i32::try_from(index)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address))?;
    // SAFETY: the descriptor is open, and the address is a whole `sockaddr_ll` of the length given.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    ensure!(
        bound == 0,
        "cannot bind a packet socket: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
