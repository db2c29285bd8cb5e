//! From a connection to the guest behind it. Trusts the kernel programs alone.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::instance::Mac;
use crate::inventory::Seat;

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
#[derive(Debug, Clone)]
pub struct Caller {
    pub seat: Arc<Seat>,
    /// The source address as the guest wrote it; `None` where the kernel has forgotten the connection.
    pub address: Option<Ipv4Addr>,
}
