//! Two machines on one host, as records describe them, and what follows from them in the daemon's own inventory.

use std::sync::OnceLock;
use std::time::Duration;

use metad::config::Identity;
use metad::directory::record_file::{self, Format};
use metad::interfaces::{Happening, Interface, Interfaces};
use metad::inventory::{Inventory, Resolution};
use metad::keyfile;
use metad::record::Defaults;
use metad::signer::Signer;
use metad::source::{Change, Event, Subject};

/// The machine that asks. Its secrets hold [`OWN_SECRET`].
pub(crate) const OWN: &str = "asker";
/// The machine that never asks. Its secrets hold [`OTHERS_SECRET`].
pub(crate) const OTHER: &str = "other";
pub(crate) const OWN_SECRET: &str = "6f1d-own";
pub(crate) const OTHERS_SECRET: &str = "9c2e-other";

/// Answers in every layout there is, without tokens.
pub(crate) const OPEN: &str = "\
uuid: ec2f2f1c-0000-4000-8000-000000000001
instance-id: i-0000000000000001
hostname: own.6f1d-own
public-keys: {admin: ssh-ed25519 AAAA 6f1d-own}
user-data: '#cloud-config 6f1d-own'
vendor-data: '6f1d-own'
tags: {role: 6f1d-own}
meta-data: {rack: {row: 7, units: [1, 2]}}
files: {/etc/motd: 6f1d-own}
options: {password: enabled, dialects: [ec2, nocloud, openstack, gce, digitalocean, hetzner, vultr]}
nics:
- {mac: '52:54:00:00:00:01', interface: vnet0, addresses: [10.1.0.5/24, 'fd00:1::5/64'], bridge: br0}
- {mac: '52:54:00:00:00:03', interface: vnet2}
";
/// The same machine where tokens are required.
pub(crate) const STRICT: &str = "\
uuid: ec2f2f1c-0000-4000-8000-000000000001
hostname: own.6f1d-own
public-keys: {admin: ssh-ed25519 AAAA 6f1d-own}
user-data: '#cloud-config 6f1d-own'
tags: {role: 6f1d-own}
options: {http-tokens: required}
nics:
- {mac: '52:54:00:00:00:01', interface: vnet0, addresses: [10.1.0.5/24]}
";
/// The other machine, as open as can be.
const OTHERS: &str = "\
uuid: ec2f2f1c-0000-4000-8000-000000000002
hostname: other.9c2e-other
public-keys: {admin: ssh-ed25519 AAAA 9c2e-other}
user-data: '#cloud-config 9c2e-other'
tags: {role: 9c2e-other}
nics:
- {mac: '52:54:00:00:00:02', interface: vnet1, addresses: [10.1.0.6/24]}
";

/// What a record's text says of the machine called `name`.
pub(crate) fn subject(name: &str, record: &str) -> Subject {
    let file = record_file::parse(record, Format::Yaml).expect("a proper record");
    Subject {
        key: name.to_owned(),
        name: name.to_owned(),
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

/// An inventory that one source has told of these.
pub(crate) fn inventory(subjects: impl IntoIterator<Item = Subject>) -> Inventory {
    let sources = vec!["directory".to_owned()];
    let mut inventory = Inventory::new(Identity::Port, Defaults::default(), sources);
    for subject in subjects {
        let event = Event::Put(Box::new(subject));
        inventory.apply(Change { source: 0, event });
    }
    inventory
}

/// [`OWN`] as `record` describes it, and [`OTHER`].
pub(crate) fn two_machines(record: &str) -> Inventory {
    inventory([subject(OWN, record), subject(OTHER, OTHERS)])
}

/// The same on a host with their taps.
pub(crate) fn resolved(record: &str) -> Resolution {
    two_machines(record).resolve(&interfaces(), Duration::ZERO)
}

/// A bridge and three taps.
pub(crate) fn interfaces() -> Interfaces {
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
        interface(9, "vnet2"),
    ]));
    all
}

/// A key that everybody knows, since making one takes as long as a thousand inputs.
const KEY: &str = include_str!("../../metad/src/signer/sample/identity.key");
const CERTIFICATE: &str = include_str!("../../metad/src/signer/sample/identity.crt");

/// A signer that is opened once for the process.
pub(crate) fn signer() -> Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    let make = || {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in [("identity.key", KEY), ("identity.crt", CERTIFICATE)] {
            let path = directory.path().join(name);
            keyfile::create(&path, text.as_bytes()).expect("a key file");
        }
        Signer::open(directory.path(), "fuzz", "urn:metad:fuzz").expect("a signer")
    };
    SIGNER.get_or_init(make).clone()
}
