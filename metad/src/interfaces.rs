//! The host's network interfaces, as rtnetlink tells of them.

mod asking;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::asking::ask;

use crate::instance::Mac;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    /// The bridge (or other controller) that it is a port of.
    pub controller: Option<u32>,
    pub is_bridge: bool,
    /// Something on this host is plugged in: a guest. What is neither this nor a bridge may lead out of the host.
    pub is_tap: bool,
    /// It is a tap of the tun driver, as QEMU's are. That one runs XDP programs itself and changes nothing else for it; a
    /// veth would lose its other end's offloads.
    pub is_tun: bool,
    /// Somebody has set it up (`IFF_UP`, netdevice(7)): frames may come in.
    pub is_up: bool,
    /// `None` for interfaces without an Ethernet address.
    pub mac: Option<Mac>,
}

/// Something that happened to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It is new, or something about it has changed.
    Is(Interface),
    Gone {
        index: u32,
    },
    /// Events were lost: these are all that there are.
    All(Vec<Interface>),
}

/// All interfaces now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    by_index: BTreeMap<u32, Interface>,
    by_name: BTreeMap<String, u32>,
}

impl Interfaces {
    /// Takes in one happening. `false`: nothing that matters has changed.
    pub fn apply(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Is(interface) => self.put(interface),
            Happening::Gone { index } => self.remove(index),
            Happening::All(all) => {
                let mut anew = Self::default();
                for interface in all {
                    anew.put(interface);
                }
                let changed = *self != anew;
                *self = anew;
                changed
            }
        }
    }

    /// Those that are not among `all` as they are known: they are gone, or another interface has their index now.
    pub fn missing_from(&self, all: &[Interface]) -> BTreeSet<u32> {
        let names: BTreeMap<u32, &str> =
            all.iter().map(|it| (it.index, it.name.as_str())).collect();
        let known = self.iter();
        known
            .filter(|known| names.get(&known.index) != Some(&known.name.as_str()))
            .map(|known| known.index)
            .collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.by_index.values()
    }

    pub fn get(&self, index: u32) -> Option<&Interface> {
        self.by_index.get(&index)
    }

    pub fn named(&self, name: &str) -> Option<&Interface> {
        self.get(*self.by_name.get(name)?)
    }

    /// The bridge that the interface called `name` is a port of.
    pub fn bridge_of(&self, name: &str) -> Option<&Interface> {
        self.get(self.named(name)?.controller?)
            .filter(|controller| controller.is_bridge)
    }
}

impl Interfaces {
    fn put(&mut self, interface: Interface) -> bool {
        if self.get(interface.index) == Some(&interface) {
            return false;
        }
        self.remove(interface.index);
        self.by_name.insert(interface.name.clone(), interface.index);
        self.by_index.insert(interface.index, interface);
        true
    }

    fn remove(&mut self, index: u32) -> bool {
        let Some(interface) = self.by_index.remove(&index) else {
            return false;
        };
        // The name may have passed to another interface already.
        if self.by_name.get(&interface.name) == Some(&index) {
            self.by_name.remove(&interface.name);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, controller: Option<u32>) -> Interface {
        Interface {
            index,
            name: name.to_owned(),
            controller,
            is_bridge: index == 1,
            is_tap: index != 1,
            is_tun: false,
            is_up: true,
            mac: None,
        }
    }

    /// Found by fuzzing. The kernel takes a name from one interface before another gets it; should the news of the first
    /// be missing, its old name must not lead to it again.
    #[test]
    fn a_name_that_two_had_is_nobodys_once_the_later_one_leaves_it() {
        let mut all = Interfaces::default();
        all.apply(Happening::Is(interface(8, "vnet1", Some(1))));
        all.apply(Happening::Is(interface(7, "vnet1", Some(1))));
        assert_eq!(all.named("vnet1").map(|named| named.index), Some(7));
        all.apply(Happening::Is(interface(7, "other", Some(1))));
        assert_eq!(all.named("vnet1"), None);
        all.apply(Happening::Is(interface(8, "vnet2", Some(1))));
        assert_eq!(all.named("vnet2").map(|named| named.index), Some(8));
    }

    #[test]
    fn what_is_missing_from_a_list_is_gone_or_another() {
        let mut all = Interfaces::default();
        let known = [
            interface(1, "virbr0", None),
            interface(2, "vnet0", Some(1)),
            interface(3, "vnet1", Some(1)),
        ];
        all.apply(Happening::All(known.to_vec()));
        for (case, list, expected) in [
            ("the same", known.to_vec(), vec![]),
            (
                "one more, and one in another bridge",
                vec![
                    known[0].clone(),
                    interface(2, "vnet0", Some(9)),
                    known[2].clone(),
                    interface(9, "virbr1", None),
                ],
                vec![],
            ),
            ("one gone", known[..2].to_vec(), vec![3]),
            (
                "another under its index",
                vec![
                    known[0].clone(),
                    known[1].clone(),
                    interface(3, "vnet7", Some(1)),
                ],
                vec![3],
            ),
            (
                "under other indices",
                vec![interface(4, "vnet0", None)],
                vec![1, 2, 3],
            ),
        ] {
            let missing: Vec<u32> = all.missing_from(&list).into_iter().collect();
            assert_eq!(missing, expected, "{case}");
        }
    }

    #[test]
    fn names_and_bridges_follow_what_happens() {
        let mut all = Interfaces::default();
        assert!(all.apply(Happening::Is(interface(1, "virbr0", None))));
        assert!(all.apply(Happening::Is(interface(2, "vnet0", Some(1)))));
        assert!(
            !all.apply(Happening::Is(interface(2, "vnet0", Some(1)))),
            "nothing new"
        );
        assert_eq!(all.bridge_of("vnet0").map(|bridge| bridge.index), Some(1));
        assert!(all.apply(Happening::Is(interface(2, "renamed", Some(1)))));
        assert_eq!(all.named("vnet0"), None);
        assert!(all.apply(Happening::Gone { index: 1 }));
        assert!(!all.apply(Happening::Gone { index: 1 }), "gone already");
        assert_eq!(all.bridge_of("renamed"), None);
        assert!(all.apply(Happening::All(vec![interface(5, "vnet0", None)])));
        assert_eq!(all.iter().count(), 1);
    }
}
