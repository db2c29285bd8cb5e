//! One mistake each, and the rules that it must fail: those and no others.

mod requests;
mod stacks;
mod tokens;
mod transport;
mod tree;
mod values;

use super::model::{Quirk, Twist, World};

/// A server that makes one mistake.
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) world: fn() -> World,
    pub(super) quirk: Quirk,
    pub(super) twist: Twist,
    pub(super) fails: &'static [&'static str],
    /// What is looked at, where it is not everything; the suite is then told that tokens are optional.
    pub(super) only: &'static [&'static str],
}

/// In a world that has everything.
const fn fault(name: &'static str, fails: &'static [&'static str], twist: Twist) -> Fault {
    Fault {
        name,
        world: World::full,
        quirk: Quirk::None,
        twist,
        fails,
        only: &[],
    }
}

impl Fault {
    const fn in_world(mut self, world: fn() -> World) -> Self {
        self.world = world;
        self
    }

    const fn said_to_be_optional(mut self, only: &'static [&'static str]) -> Self {
        self.only = only;
        self
    }

    const fn with_quirk(mut self, quirk: Quirk) -> Self {
        self.quirk = quirk;
        self
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Fault> {
    let groups = [
        transport::FAULTS,
        requests::FAULTS,
        tokens::FAULTS,
        tree::FAULTS,
        values::FAULTS,
        stacks::FAULTS,
    ];
    groups.into_iter().flatten()
}

/// The mistake of one of them.
pub(super) fn named(name: &str) -> Twist {
    let found = all().find(|fault| fault.name == name);
    found.expect("a fault of this name").twist
}
