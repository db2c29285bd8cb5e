//! Where a connection came from, as `guest_ingress` wrote it down.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, MapData};
use metad_common::abi::{Address, Flow, FlowKey};
use metad_common::service::Service;

use crate::identity::{self, FlowOrigin, Flows};
use crate::instance::Mac;

/// The kernel's table of connections. Only read here.
#[derive(Debug)]
pub struct KernelFlows {
    map: HashMap<MapData, FlowKey, Flow>,
}

impl KernelFlows {
    pub(super) fn new(map: HashMap<MapData, FlowKey, Flow>) -> Self {
        Self { map }
    }
}

impl Flows for KernelFlows {
    fn origin(&self, peer: SocketAddr, local: SocketAddr) -> Option<FlowOrigin> {
        let service = match local.ip() {
            IpAddr::V4(_) => Service::Ipv4,
            IpAddr::V6(address) => Service::of_ipv6_inside(Address(address.octets()))?,
        };
        let key = FlowKey::new(
            identity::slot_of(peer)?,
            service,
            peer.port().to_be_bytes(),
            local.port().to_be_bytes(),
        );
        let flow = self.map.get(&key, 0).ok()?;
        Some(FlowOrigin {
            ifindex: flow.identity,
            mac: Mac(flow.guest_mac),
            address: match local {
                SocketAddr::V4(_) => IpAddr::from(flow.guest_address.ipv4()),
                SocketAddr::V6(_) => IpAddr::from(flow.guest_address.0),
            },
        })
    }
}
