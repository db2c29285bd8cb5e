//! From a connection to the guest behind it. Trusts the kernel programs alone.
//!
//! In: the rewritten source address of a connection and what the kernel remembers of it. Out: a seat of the inventory,
//! looked up again at each request. Nothing that a guest can write into a frame or a header is ever asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::instance::Mac;
use crate::inventory::{Seat, Slot, Snapshot};

/// What the kernel programs remember of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowOrigin {
    pub ifindex: u32,
    pub mac: Mac,
    /// The source address as the guest wrote it.
    pub address: Ipv4Addr,
}

/// Looks up where a connection came from.
pub trait Flows: Send + Sync {
    /// `peer` and `port` as `accept` reports them, `local_port` the port that the guest connected to.
    fn origin(&self, peer: Ipv4Addr, port: u16, local_port: u16) -> Option<FlowOrigin>;
}

/// The guest at the other end of a connection.
///
/// As an extractor it yields what [`Peer::identify`] found and nothing else; there is no other way to a seat.
#[derive(Debug, Clone)]
pub struct Caller {
    pub seat: Arc<Seat>,
    /// The source address as the guest wrote it; `None` where the kernel has forgotten the connection.
    pub address: Option<Ipv4Addr>,
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
    pub address: Option<Ipv4Addr>,
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
        }
    }

    /// A connection that belongs to nobody.
    pub fn unknown(why: Unknown) -> Self {
        Self {
            seat: Err(why),
            address: None,
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
        })
    }
}

/// Reads the slot that the kernel programs put into a source address.
pub fn slot_of(peer: SocketAddr) -> Option<Slot> {
    match peer.ip() {
        IpAddr::V4(address) => slot_of_address(address.octets()),
        IpAddr::V6(_) => None,
    }
}

/// 100.64.0.0/10, whose other 22 bits are the slot.
fn slot_of_address(octets: [u8; 4]) -> Option<Slot> {
    const HOST: u32 = (1 << 22) - 1;
    let address = u32::from_be_bytes(octets);
    let slot = address & HOST;
    (address & !HOST == u32::from_be_bytes([100, 64, 0, 0]) && slot != 0).then_some(slot)
}

/// What [`Peer::identify`] found, on its way to the handlers.
#[derive(Debug, Clone)]
pub(crate) struct Identified(pub(crate) Result<Caller, Unknown>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Unknown;

    fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> impl Future<Output = Result<Self, Unknown>> + Send {
        let found = parts
            .extensions
            .get::<Identified>()
            .map_or(Err(Unknown::NoSeat), |identified| identified.0.clone());
        std::future::ready(found)
    }
}
