//! One instance on a host, as its record describes it and as metad's own inventory sees it.

use std::sync::Arc;
use std::time::Duration;

use metad::config::Identity;
use metad::directory::record_file::{self, Format};
use metad::interfaces::{Happening, Interface, Interfaces};
use metad::inventory::{Inventory, Seat, Snapshot};
use metad::record::Defaults;
use metad::source::{Change, Event, Subject};

const NAME: &str = "web1";
/// What an ordinary machine says of itself: two NICs, a key, tags, and a page of user-data.
const RECORD: &str = "\
uuid: ec2f2f1c-0000-4000-8000-000000000001
instance-id: i-0000000000000001
hostname: web1.example
public-keys: {admin: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl web1}
tags: {role: web, tier: front}
nics:
- {mac: '52:54:00:00:00:01', interface: vnet0, addresses: [10.1.0.5/24, 'fd00:1::5/64'], bridge: br0}
- {mac: '52:54:00:00:00:03', interface: vnet1}
";
/// Octets of user-data.
const USER_DATA: usize = 4096;

/// All that guests are answered from.
pub(crate) fn snapshot() -> Snapshot {
    let mut inventory = Inventory::new(
        Identity::Port,
        Defaults::default(),
        vec!["directory".to_owned()],
    );
    let event = Event::Put(Box::new(subject()));
    inventory.apply(Change { source: 0, event });
    inventory.resolve(&interfaces(), Duration::ZERO).snapshot
}

/// The instance's first NIC.
pub(crate) fn seat() -> Arc<Seat> {
    seat_in(&snapshot())
}

/// The same as `snapshot` has it.
pub(crate) fn seat_in(snapshot: &Snapshot) -> Arc<Seat> {
    let view = snapshot.instances.get(NAME);
    let seat = view.and_then(|view| view.seats.first()?.as_ref());
    Arc::clone(seat.expect("the instance has a NIC"))
}

fn subject() -> Subject {
    let text = format!("{RECORD}user-data: '{}'\n", "#".repeat(USER_DATA));
    let file = record_file::parse(&text, Format::Yaml).expect("a proper record");
    Subject {
        key: NAME.to_owned(),
        name: NAME.to_owned(),
        uuid: file.uuid,
        epoch: 1,
        running: true,
        nics: file.nics.map(Into::into),
        disks: Vec::new(),
        record: file.record,
        reading: Duration::from_secs(1),
        problem: None,
    }
}

fn interfaces() -> Interfaces {
    let interface = |index, name: &str| Interface {
        index,
        name: name.to_owned(),
        controller: (index != 3).then_some(3),
        is_bridge: index == 3,
        is_tap: index != 3,
        is_tun: index != 3,
        is_up: true,
        mac: None,
    };
    let mut all = Interfaces::default();
    all.apply(Happening::All(vec![
        interface(3, "br0"),
        interface(7, "vnet0"),
        interface(8, "vnet1"),
    ]));
    all
}
