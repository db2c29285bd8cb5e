//! Switches what a NIC computes by itself: checksums and segmentation.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketType, socket};

use super::Namespace;

/// `ETHTOOL_STXCSUM`, `ETHTOOL_SSG`, `ETHTOOL_STSO`, `ETHTOOL_SGSO`, `ETHTOOL_SGRO` (linux/ethtool.h): transmit
/// checksums, scatter-gather, TCP and generic segmentation, generic receive.
const SWITCHES: [u32; 5] = [0x17, 0x19, 0x1f, 0x24, 0x2c];

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

impl Namespace {
    /// Switches the offloads of one NIC on or off.
    ///
    /// # Errors
    /// There is no such NIC, or the kernel refuses.
    pub fn offload(&self, nic: &str, on: bool) -> Result<()> {
        self.within(|| {
            SWITCHES
                .iter()
                .try_for_each(|command| switch(nic, *command, on))
        })?
    }
}

fn switch(nic: &str, command: u32, on: bool) -> Result<()> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).context("no socket")?;
    let mut value = Value {
        command,
        data: on.into(),
    };
    let mut name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    ensure!(nic.len() < name.len(), "{nic} is too long for a NIC");
    for (to, from) in name.iter_mut().zip(nic.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: (&raw mut value).cast(),
        },
    };
    // SAFETY: the name ends with a zero, and `value` has the layout that these commands read; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    ensure!(
        done == 0,
        "cannot switch offload {command:#x} of {nic}: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
