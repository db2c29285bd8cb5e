//! What the maps hold. Padding is named and zero, since the kernel compares keys byte by byte.

use crate::service::Service;

/// Key of [`crate::names::NICS`]: a MAC address on the interface that its frames must arrive on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct NicKey {
    /// The tap's index; the bridge's where identity is by MAC address alone.
    pub ifindex: u32,
    pub mac: [u8; 6],
    pub zero: [u8; 2],
}
const _: () = assert!(size_of::<NicKey>() == 12);

impl NicKey {
    pub const fn new(ifindex: u32, mac: [u8; 6]) -> Self {
        Self {
            ifindex,
            mac,
            zero: [0; 2],
        }
    }
}

/// Value of [`crate::names::NICS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct NicSlot {
    /// See [`crate::slot`].
    pub slot: u32,
    /// Non-zero: the IPv6 addresses refuse this NIC's connections.
    pub without_ipv6: u32,
}
const _: () = assert!(size_of::<NicSlot>() == 8);

impl NicSlot {
    pub const fn new(slot: u32, ipv6: bool) -> Self {
        Self {
            slot,
            without_ipv6: !ipv6 as u32,
        }
    }
}

/// Key of [`crate::names::FLOWS`]: a connection as the daemon sees it. Ports in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// The slot that the rewritten source address carries, see [`crate::slot`].
    pub slot: u32,
    pub guest_port: [u8; 2],
    pub daemon_port: [u8; 2],
    /// A [`Service`]: its address is the other end's.
    pub service: u8,
    pub zero: [u8; 3],
}
const _: () = assert!(size_of::<FlowKey>() == 12);

impl FlowKey {
    #[inline(always)]
    pub const fn new(
        slot: u32,
        service: Service,
        guest_port: [u8; 2],
        daemon_port: [u8; 2],
    ) -> Self {
        Self {
            slot,
            guest_port,
            daemon_port,
            service: service as u8,
            zero: [0; 3],
        }
    }
}

/// A port of the daemon's that nobody can ever listen on: what is sent there is refused by metad's namespace itself.
pub const CLOSED_PORT: [u8; 2] = [0; 2];

/// Value of [`crate::names::FLOWS`]: where a connection came from and how its guest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// The interface that the connection's first frame arrived on; answers leave there.
    pub ifindex: u32,
    /// The interface that stands in the guest's [`NicKey`].
    pub identity: u32,
    /// The guest's own source address.
    pub guest_address: Address,
    pub guest_mac: [u8; 6],
    /// The MAC address that the guest wrote to, so that answers come from the neighbour that it asked.
    pub asked_mac: [u8; 6],
    /// The port that the guest wrote to; the daemon's may be [`CLOSED_PORT`].
    pub asked_port: [u8; 2],
    pub zero: [u8; 2],
}
const _: () = assert!(size_of::<Flow>() == 40);

/// An IPv6 address, or an IPv4 address and zeros; which of them, the connection's [`Service`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Address(pub [u8; 16]);

impl Address {
    #[inline(always)]
    pub const fn of_ipv4(address: [u8; 4]) -> Self {
        let [a, b, c, d] = address;
        Self([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Two numbers, since the kernel's machine would compare octets one by one.
    #[inline(always)]
    pub const fn words(self) -> (u64, u64) {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        (
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes(rest),
        )
    }

    #[inline(always)]
    pub const fn is_unspecified(self) -> bool {
        matches!(self.words(), (0, 0))
    }

    /// The address as a packet of IPv4 has it.
    #[inline(always)]
    pub const fn ipv4(self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

/// Value of [`crate::names::PORTS`]: what an interface that we are attached to is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Port {
    /// The interface to look up in [`NicKey`] for frames that arrive here.
    pub identity: u32,
    /// What ARP requests for the metadata address are answered with: the bridge's own address, on the bridge and on
    /// its ports. A bridge floods frames for any other address instead of handing them up.
    pub mac: [u8; 6],
    /// Non-zero: frames from outside the host arrive here too, see [`crate::verdict::Verdict::may_be_anothers`].
    pub outside: u8,
    pub zero: [u8; 1],
}
const _: () = assert!(size_of::<Port>() == 12);

/// Record of [`crate::names::STRANGERS`]: a sender that no NIC is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Stranger {
    pub ifindex: u32,
    pub mac: [u8; 6],
    pub zero: [u8; 2],
}
const _: () = assert!(size_of::<Stranger>() == 12);

/// Value of [`crate::names::BUCKETS`]: the new connections of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Bucket {
    /// When the bucket is full again, see [`crate::limit`] (nanoseconds of the boot clock).
    pub full_at: u64,
    /// Connections that were refused since the bucket is remembered.
    pub refused: u64,
}
const _: () = assert!(size_of::<Bucket>() == 16);

/// Implements `Pod` for types without padding bytes.
#[cfg(feature = "user")]
macro_rules! pod {
    ($($name:ty)*) => {$(
        // SAFETY: repr(C), `Copy`, made of integers and octet arrays only; the size assertions beside the types rule
        // out padding. A field of another kind would break this.
        unsafe impl aya::Pod for $name {}
    )*};
}

#[cfg(feature = "user")]
pod!(NicKey NicSlot FlowKey Flow Port Stranger Bucket);
