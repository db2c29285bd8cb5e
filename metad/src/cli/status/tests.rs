//! Status as it is printed, against the snapshots.

use std::collections::BTreeMap;

use super::*;
use crate::admin::{InterfaceStatus, NicStatus, Problem, SourceStatus};
use crate::cli::tests::assert_snapshot;

fn nic(mac: &str, seat: Option<(&str, u32, u32)>) -> NicStatus {
    NicStatus {
        mac: mac.to_owned(),
        interface: seat.map(|(interface, _, _)| interface.to_owned()),
        ifindex: seat.map(|(_, ifindex, _)| ifindex),
        slot: seat.map(|(_, _, slot)| slot),
    }
}

fn interface(
    name: &str,
    ifindex: u32,
    role: Role,
    attached: Result<AttachedBy, &str>,
) -> InterfaceStatus {
    InterfaceStatus {
        name: name.to_owned(),
        ifindex,
        role,
        attached: attached.ok(),
        guarded: role == Role::Port && attached.is_ok(),
        problem: attached.err().map(str::to_owned),
    }
}

fn instance(name: &str, running: bool, nics: Vec<NicStatus>) -> InstanceStatus {
    InstanceStatus {
        name: name.to_owned(),
        instance_id: format!("i-{name:0>17}"),
        uuid: "6b7d8f06-0000-4000-8000-000000000001".to_owned(),
        running,
        nics,
        nocloud_url: Some("http://169.254.169.254/nocloud/".to_owned()),
        limits: BTreeMap::new(),
    }
}

fn busy() -> Status {
    Status {
        name: "metad".to_owned(),
        interfaces: vec![
            interface("virbr0", 4, Role::Bridge, Ok(AttachedBy::Tcx)),
            interface("vnet0", 12, Role::Port, Ok(AttachedBy::Clsact)),
            interface("vnet1", 13, Role::Port, Err("cannot attach guest_ingress to vnet1: no such device")),
        ],
        instances: vec![
            instance("db1", false, vec![nic("52:54:00:00:00:03", None)]),
            InstanceStatus {
                limits: BTreeMap::from([("requests".to_owned(), 12), ("waiters".to_owned(), 4)]),
                ..instance("stub", true, Vec::new())
            },
            InstanceStatus {
                limits: BTreeMap::from([("connections".to_owned(), 46), ("requests".to_owned(), 5000)]),
                ..instance(
                    "web1",
                    true,
                    vec![
                        nic("52:54:00:00:00:01", Some(("vnet0", 12, 1))),
                        nic("52:54:00:00:00:02", Some(("vnet1", 13, 2))),
                    ],
                )
            },
        ],
        sources: vec![
            SourceStatus { name: "libvirt qemu:///system".to_owned(), away: None, subjects: 3 },
            SourceStatus {
                name: "directory /etc/metad/instances.d".to_owned(),
                away: Some("cannot read /etc/metad/instances.d: Permission denied (os error 13)".to_owned()),
                subjects: 0,
            },
        ],
        problems: vec![Problem {
            subject: "db1".to_owned(),
            problem: "the domain's metadata cannot be read: line 12, column 7: unknown element `instanceid`".to_owned(),
        }],
        counters: Counters {
            arp_answered: 2,
            neighbour_answered: 1,
            delivered: 3100,
            returned: 2987,
            recalled: 4,
            dropped: BTreeMap::from([
                ("connection-limit".to_owned(), 46),
                ("unknown-sender".to_owned(), 3),
                ("not-tcp".to_owned(), 0),
                ("reason-of-tomorrow".to_owned(), 1),
            ]),
        },
        limits: BTreeMap::from([
            ("connections".to_owned(), 46),
            ("requests".to_owned(), 5012),
            ("waiters".to_owned(), 4),
            ("limit-of-tomorrow".to_owned(), 1),
        ]),
    }
}

fn printed(status: &Status) -> String {
    let mut out = Vec::new();
    print(status, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_busy_host_is_shown_in_full() {
    assert_snapshot("status-busy", &printed(&busy()));
}

#[test]
fn an_idle_host_says_what_is_not_there() {
    let idle = Status {
        name: "lab".to_owned(),
        ..Status::default()
    };
    assert_snapshot("status-idle", &printed(&idle));
}
