//! Which interfaces get the program, and what the kernel is told of each.

use std::collections::{BTreeMap, BTreeSet};

use metad_common::abi::Port;

use crate::admin::Role;
use crate::config::{Datapath, Identity};
use crate::interfaces::{Interface, Interfaces};

/// What an interface should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) port: Port,
    /// Whether frames may come in now.
    pub(super) up: bool,
    /// Whether it gets the flood guard.
    pub(super) guard: bool,
}

/// A locally administered address for taps that belong to no bridge.
const SINGLE_MAC: [u8; 6] = [0x02, 0x6d, 0x65, 0x74, 0x61, 0x64];

/// Lists the interfaces that the configured patterns name, and the ports of those that are bridges.
///
/// A port that may lead out of the host is left alone: by port no guest can be known there, and the metadata address
/// belongs to others out there, the host's own included. A bridge that has one only keeps from the host what guests
/// send to the address before their tap has its program.
pub(super) fn wanted(config: &Datapath, interfaces: &Interfaces) -> BTreeMap<u32, Wanted> {
    let matched = |interface: &Interface| {
        config
            .interfaces
            .iter()
            .any(|pattern| pattern.matches(&interface.name))
    };
    let uplinked: BTreeSet<u32> = match config.identity {
        Identity::Port => interfaces
            .iter()
            .filter(|port| !port.is_tap)
            .filter_map(|port| port.controller)
            .collect(),
        Identity::Mac => BTreeSet::new(),
    };
    let mut wanted = BTreeMap::new();
    for interface in interfaces.iter() {
        let bridge = interface
            .controller
            .and_then(|index| interfaces.get(index))
            .filter(|controller| controller.is_bridge);
        let of_matched_bridge = bridge.filter(|bridge| matched(bridge));
        let leads_out = !interface.is_tap && config.identity == Identity::Port;
        let (role, answers, identity) = if let Some(bridge) = of_matched_bridge {
            if leads_out && !matched(interface) {
                continue;
            }
            (
                Role::Port,
                bridge.mac,
                identity(config, interface, Some(bridge)),
            )
        } else if !matched(interface) {
            continue;
        } else if interface.is_bridge {
            (Role::Bridge, interface.mac, interface.index)
        } else {
            let mac = bridge.and_then(|bridge| bridge.mac);
            (Role::Single, mac, identity(config, interface, bridge))
        };
        let mac = answers.map_or(SINGLE_MAC, |mac| mac.0);
        let port = Port {
            identity,
            mac,
            outside: u8::from(uplinked.contains(&interface.index)),
            zero: [0; 1],
        };
        wanted.insert(
            interface.index,
            Wanted {
                name: interface.name.clone(),
                role,
                port,
                up: interface.is_up,
                guard: config.flood_guard && interface.is_tun,
            },
        );
    }
    wanted
}

/// The interface that a frame's sender is looked up on.
fn identity(config: &Datapath, interface: &Interface, bridge: Option<&Interface>) -> u32 {
    match config.identity {
        Identity::Port => interface.index,
        Identity::Mac => bridge.map_or(interface.index, |bridge| bridge.index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;
    use crate::instance::Mac;
    use crate::interfaces::Happening;

    const BRIDGE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn host() -> Interfaces {
        let interface = |index, name: &str, controller, is_bridge| Interface {
            index,
            name: name.to_owned(),
            controller,
            is_bridge,
            is_tap: name.contains("net") || name.contains("tap"),
            is_tun: name.contains("net"),
            is_up: index != 5,
            mac: is_bridge.then_some(Mac(BRIDGE_MAC)),
        };
        let mut host = Interfaces::default();
        host.apply(Happening::All(vec![
            interface(1, "lo", None, false),
            interface(2, "eth0", Some(9), false),
            interface(3, "virbr0", None, true),
            interface(4, "vnet0", Some(3), false),
            interface(5, "mytap", Some(3), false),
            interface(6, "vnet1", None, false),
            interface(7, "vnet2", Some(9), false),
            interface(9, "br-lan", None, true),
            interface(10, "virbr1", None, true),
            interface(11, "eth1", Some(10), false),
            interface(12, "vnet3", Some(10), false),
        ]));
        host
    }

    fn all(patterns: &[&str], identity: Identity) -> BTreeMap<u32, Wanted> {
        let interfaces = patterns
            .iter()
            .map(|text| Pattern::new(text).unwrap())
            .collect();
        let config = Datapath {
            interfaces,
            identity,
            ..Datapath::default()
        };
        wanted(&config, &host())
    }

    fn list(patterns: &[&str], identity: Identity) -> Vec<(u32, Role, u32, bool)> {
        all(patterns, identity)
            .into_iter()
            .map(|(index, wanted)| {
                (
                    index,
                    wanted.role,
                    wanted.port.identity,
                    wanted.port.mac == BRIDGE_MAC,
                )
            })
            .collect()
    }

    #[test]
    fn bridges_bring_their_ports_and_nothing_else_is_touched() {
        use Role::{Bridge, Port, Single};
        for (case, patterns, identity, expected) in [
            (
                "a bridge and its ports, whatever they are called",
                &["virbr0"][..],
                Identity::Port,
                vec![(3, Bridge, 3, true), (4, Port, 4, true), (5, Port, 5, true)],
            ),
            (
                "by MAC, ports are looked up on their bridge",
                &["virbr0"],
                Identity::Mac,
                vec![(3, Bridge, 3, true), (4, Port, 3, true), (5, Port, 3, true)],
            ),
            (
                "a bridge with an uplink, without that",
                &["virbr1"],
                Identity::Port,
                vec![(10, Bridge, 10, true), (12, Port, 12, true)],
            ),
            (
                "an uplink too, by its own name",
                &["virbr1", "eth1"],
                Identity::Port,
                vec![
                    (10, Bridge, 10, true),
                    (11, Port, 11, true),
                    (12, Port, 12, true),
                ],
            ),
            (
                "an uplink too, by MAC",
                &["virbr1"],
                Identity::Mac,
                vec![
                    (10, Bridge, 10, true),
                    (11, Port, 10, true),
                    (12, Port, 10, true),
                ],
            ),
            (
                "single taps, in a bridge that is not ours or in none",
                &["vnet+"],
                Identity::Port,
                vec![
                    (4, Single, 4, true),
                    (6, Single, 6, false),
                    (7, Single, 7, true),
                    (12, Single, 12, true),
                ],
            ),
            ("nothing matches", &["tap+"], Identity::Port, vec![]),
        ] {
            assert_eq!(list(patterns, identity), expected, "{case}");
        }
    }

    #[test]
    fn taps_of_the_tun_driver_alone_have_a_guard_and_only_if_asked() {
        let guarded = |flood_guard, identity| {
            let config = Datapath {
                interfaces: vec![Pattern::new("virbr+").unwrap()],
                identity,
                flood_guard,
                ..Datapath::default()
            };
            let wanted = wanted(&config, &host()).into_iter();
            let guarded = wanted.filter(|(_, wanted)| wanted.guard);
            guarded.map(|(index, _)| index).collect::<Vec<_>>()
        };
        for identity in [Identity::Port, Identity::Mac] {
            assert_eq!(guarded(true, identity), [4, 12], "{identity:?}");
            assert_eq!(guarded(false, identity), [0; 0], "{identity:?}");
        }
    }

    #[test]
    fn only_a_bridge_with_an_uplink_leads_outside() {
        for (identity, expected) in [(Identity::Port, &[10][..]), (Identity::Mac, &[])] {
            let outside: Vec<u32> = all(&["virbr+"], identity)
                .into_iter()
                .filter(|(_, wanted)| wanted.port.outside != 0)
                .map(|(index, _)| index)
                .collect();
            assert_eq!(outside, expected, "{identity:?}");
        }
    }
}
