//! What NICs claim, as their sources and the host's interfaces say now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Inventory;
use super::bindings::{Claim, NicName};
use crate::config::Identity;
use crate::instance::Nic;
use crate::interfaces::{Interface, Interfaces};

impl Inventory {
    /// Whether NICs may be elsewhere, now that an interface is not as it was `before`.
    pub fn heeds(&self, before: Option<&Interface>, now: &Interface) -> bool {
        let Some(before) = before else { return true };
        let by_bridge = |it: &Interface| match self.identity {
            Identity::Port => None,
            Identity::Mac => Some((it.controller, it.is_bridge)),
        };
        before.name != now.name || by_bridge(before) != by_bridge(now)
    }

    /// Which NIC claims which interface. A NIC whose interface is not there claims nothing, unless it was there until now.
    pub(super) fn claims(
        &self,
        interfaces: &Interfaces,
        doubles: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> BTreeMap<NicName, Claim> {
        let mut claims = BTreeMap::new();
        let machines = self.machines.iter();
        for (machine, it) in
            machines.filter(|(name, it)| it.hosted.running && !doubles.contains_key(&***name))
        {
            for nic in it.instance().nics.iter() {
                let Some(interface) = place(self.identity, nic, interfaces) else {
                    continue;
                };
                let ifindex = interfaces.named(interface).map(|found| found.index);
                let name = NicName {
                    machine: Arc::clone(machine),
                    mac: nic.mac,
                };
                let bound = self.bindings.get(&name);
                if ifindex.is_none() && bound.is_none() {
                    continue;
                }
                let known = bound
                    .map(|it| &it.interface)
                    .filter(|it| ***it == *interface);
                let claim = Claim {
                    interface: known.map_or_else(|| interface.into(), Arc::clone),
                    ifindex,
                    reading: it.reading,
                    owner: (it.instance().uuid, it.instance().epoch),
                };
                claims.insert(name, claim);
            }
        }
        claims
    }
}

/// The interface whose index stands beside the MAC address in the kernel's table.
fn place<'a>(identity: Identity, nic: &'a Nic, interfaces: &'a Interfaces) -> Option<&'a str> {
    let tap = nic.interface.as_deref();
    match identity {
        Identity::Port => tap,
        Identity::Mac => {
            let of_tap = || {
                interfaces
                    .bridge_of(tap?)
                    .map(|bridge| bridge.name.as_str())
            };
            nic.bridge.as_deref().or_else(of_tap).or(tap)
        }
    }
}
