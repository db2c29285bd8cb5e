//! Where a connection came from, as `guest_ingress` wrote it down.

use std::net::Ipv4Addr;

use aya::maps::{HashMap, MapData};
use metad_common::abi::{Flow, FlowKey};

use crate::identity::{FlowOrigin, Flows};
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
    fn origin(&self, peer: Ipv4Addr, port: u16, local_port: u16) -> Option<FlowOrigin> {
        let key = FlowKey {
            address: peer.octets(),
            guest_port: port.to_be_bytes(),
            daemon_port: local_port.to_be_bytes(),
        };
        let flow = self.map.get(&key, 0).ok()?;
        Some(FlowOrigin {
            ifindex: flow.identity,
            mac: Mac(flow.guest_mac),
            address: Ipv4Addr::from(flow.guest_address),
        })
    }
}
