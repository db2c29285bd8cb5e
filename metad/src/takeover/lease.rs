//! For how long an heir may act.

use std::os::fd::OwnedFd;

use rustix::net::{RecvFlags, recv};

/// The heir's right to write to the kernel's tables. It ends as soon as the elder says anything more: it has waited too
/// long, and goes on. A clock would not do: an heir that was stopped meanwhile reads old words as new ones.
#[derive(Debug)]
pub struct Lease {
    socket: OwnedFd,
    /// It was over before it began.
    over: bool,
}

impl Lease {
    /// `socket` leads to the elder, which has stood aside, or is `over` that already.
    pub(super) fn new(socket: OwnedFd, over: bool) -> Self {
        Self { socket, over }
    }

    /// Whether the elder has said nothing since. One that is gone will not go on either.
    pub fn holds(&self) -> bool {
        let mut octet = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let has_spoken = matches!(recv(&self.socket, &mut octet, flags), Ok((1.., _)));
        !self.over && !has_spoken
    }
}
