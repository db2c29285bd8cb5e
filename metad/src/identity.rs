//! From a connection to the guest behind it. Trusts the kernel programs alone.
//!
//! In: the rewritten source address of a connection and what the kernel remembers of it. Out: a seat of the inventory,
//! looked up again at each request. Nothing that a guest can write into a frame or a header is ever asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use metad_common::abi::Address;
use metad_common::slot;

use crate::instance::Mac;
use crate::inventory::{Seat, Slot, Snapshot};

/// What the kernel programs remember of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowOrigin {
    pub ifindex: u32,
    pub mac: Mac,
    /// The source address as the guest wrote it.
    pub address: IpAddr,
}

/// Looks up where a connection came from.
pub trait Flows: Send + Sync {
    /// `peer` as `accept` reports it, `local` what it connected to.
    fn origin(&self, peer: SocketAddr, local: SocketAddr) -> Option<FlowOrigin>;
}

/// The guest at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Caller {
    pub seat: Arc<Seat>,
    /// The source address as the guest wrote it; `None` where the kernel has forgotten the connection.
    pub address: Option<IpAddr>,
    /// Whether the connection is one of IPv6.
    pub over_ipv6: bool,
}

/// Why a connection or a request has no guest. All of these pass, so guests are told to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum Unknown {
    NoSeat,
    Mismatch,
    Replaced,
    Crowded,
}

impl Unknown {
    /// What the log says of it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoSeat => "no NIC of an instance has this slot",
            Self::Mismatch => "the frames came from another NIC than the slot's",
            Self::Replaced => "the slot has another NIC than when the connection began",
            Self::Crowded => "the guest has too many connections open",
        }
    }
}

/// What a connection is known by from `accept` to its end. The listener puts it into each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The slot and its generation when the connection began.
    pub seat: Result<(Slot, u64), Unknown>,
    pub address: Option<IpAddr>,
    /// Whether the connection is one of IPv6.
    pub over_ipv6: bool,
}

impl Peer {
    /// Ties a new connection to `seat`, unless the kernel saw it come from elsewhere.
    pub fn seated(seat: &Seat, origin: Option<FlowOrigin>) -> Self {
        // The kernel may have forgotten a flow. It has not forged the address, which only its programs can have made.
        let fits =
            origin.is_none_or(|origin| origin.mac == seat.mac && origin.ifindex == seat.ifindex);
        Self {
            seat: if fits {
                Ok((seat.slot, seat.generation))
            } else {
                Err(Unknown::Mismatch)
            },
            address: origin.map(|origin| origin.address),
            over_ipv6: origin.is_some_and(|origin| origin.address.is_ipv6()),
        }
    }

    /// A connection that belongs to nobody.
    pub fn unknown(why: Unknown) -> Self {
        Self {
            seat: Err(why),
            address: None,
            over_ipv6: false,
        }
    }

    /// Finds the guest as `snapshot` has it now.
    ///
    /// # Errors
    /// There is none, or the slot has gone to another NIC since the connection began.
    pub fn identify(&self, snapshot: &Snapshot) -> Result<Caller, Unknown> {
        let (slot, generation) = self.seat?;
        let seat = snapshot.seats.get(&slot).ok_or(Unknown::NoSeat)?;
        if seat.generation != generation {
            return Err(Unknown::Replaced);
        }
        Ok(Caller {
            seat: Arc::clone(seat),
            address: self.address,
            over_ipv6: self.over_ipv6,
        })
    }
}

/// Reads the slot that the kernel programs put into a source address.
pub fn slot_of(peer: SocketAddr) -> Option<Slot> {
    match peer.ip() {
        IpAddr::V4(address) => slot::of_address(address.octets()),
        IpAddr::V6(address) => slot::of_ipv6(Address(address.octets())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::render::{Answers, sample};

    const ORIGIN: FlowOrigin = FlowOrigin {
        ifindex: 9,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
    };

    fn seat(generation: u64) -> Seat {
        Seat {
            slot: 5,
            generation,
            instance: Arc::new(sample::instance()),
            nic: 0,
            mac: ORIGIN.mac,
            interface: "vnet1".into(),
            ifindex: ORIGIN.ifindex,
            answers: Arc::new(Answers::default()),
            notice: Arc::default(),
            meter: Arc::default(),
        }
    }

    #[test]
    fn connection_belongs_to_the_seat_only_if_its_frames_came_from_there() {
        let other_mac = Mac([2, 0, 0, 0, 0, 2]);
        for (case, origin, expected) in [
            ("its own", Some(ORIGIN), Ok((5, 1))),
            ("forgotten", None, Ok((5, 1))),
            (
                "another MAC",
                Some(FlowOrigin {
                    mac: other_mac,
                    ..ORIGIN
                }),
                Err(Unknown::Mismatch),
            ),
            (
                "another interface",
                Some(FlowOrigin {
                    ifindex: 10,
                    ..ORIGIN
                }),
                Err(Unknown::Mismatch),
            ),
        ] {
            assert_eq!(Peer::seated(&seat(1), origin).seat, expected, "{case}");
        }
        let address = Peer::seated(&seat(1), Some(ORIGIN)).address;
        assert_eq!(address, Some(ORIGIN.address));
    }

    #[test]
    fn guest_is_looked_up_anew_and_never_inherited() {
        let peer = Peer::seated(&seat(1), Some(ORIGIN));
        let found = |seats: &[Seat]| {
            let mut snapshot = Snapshot::default();
            for seat in seats {
                let seat = Seat {
                    instance: Arc::clone(&seat.instance),
                    answers: Arc::clone(&seat.answers),
                    interface: seat.interface.clone(),
                    notice: Arc::clone(&seat.notice),
                    meter: Arc::clone(&seat.meter),
                    ..*seat
                };
                snapshot.seats.insert(seat.slot, Arc::new(seat));
            }
            peer.identify(&snapshot)
                .map(|caller| caller.seat.generation)
        };
        assert_eq!(found(&[seat(1)]), Ok(1), "the same");
        assert_eq!(found(&[seat(2)]), Err(Unknown::Replaced), "another NIC");
        assert_eq!(found(&[]), Err(Unknown::NoSeat), "gone");
        let nobody = Peer::unknown(Unknown::Crowded);
        let mut snapshot = Snapshot::default();
        snapshot.seats.insert(5, Arc::new(seat(1)));
        assert_eq!(nobody.identify(&snapshot).err(), Some(Unknown::Crowded));
    }

    #[test]
    fn only_addresses_of_the_kernel_programs_carry_slots() {
        for (address, expected) in [
            ("100.64.0.1", Some(1)),
            ("100.64.1.0", Some(256)),
            ("100.64.0.0", None),
            ("100.128.0.1", None),
            ("127.0.0.1", None),
            ("::ffff:100.64.0.1", None),
            ("fd6d:6574:6164:1::1", Some(1)),
            ("fd6d:6574:6164:1::100", Some(256)),
            ("fd6d:6574:6164:1::", None),
            ("fd6d:6574:6164::1", None),
            ("fe80::1", None),
        ] {
            let peer = SocketAddr::new(address.parse().unwrap(), 4000);
            assert_eq!(slot_of(peer), expected, "{address}");
        }
    }
}
