//! Instances for tests: one with everything, and generated ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::instance::{
    Cidr, Credentials, Details, Disk, DiskKind, Fixed, Instance, Mac, Nic, Offer, Options,
    Placement, PublicKey, Secret, Site,
};

/// An instance with two NICs, the first of which has no known address.
pub(crate) fn instance() -> Instance {
    Instance {
        name: "web1".into(),
        uuid: Uuid::from_u128(0xec2f_2f1c_0000_4000_8000_0000_0000_0001),
        epoch: 3,
        instance_id: "i-0123456789abcdef0".into(),
        hostname: "web1.internal".into(),
        credentials: None,
        user_data: Some("#cloud-config\n".into()),
        seed: None,
        options: Options::default(),
        nics: vec![nic(1, None), nic(2, Some("10.0.0.5"))].into(),
        disks: vec![
            disk("sda", DiskKind::Cdrom),
            disk("vda", DiskKind::Disk),
            disk("vdb", DiskKind::Disk),
        ],
        details: details().into(),
    }
}

fn details() -> Details {
    Details {
        instance_type: "c3.large".into(),
        placement: Placement {
            availability_zone: Some("rack-7".into()),
            region: Some("north".into()),
            ..Placement::default()
        },
        public_keys: vec![
            key("admin", "ssh-ed25519 AAAA me@host"),
            key("admin", "ssh-rsa B\n"),
        ],
        tags: BTreeMap::from([
            ("role".into(), "web".into()),
            ("bad key".into(), "x".into()),
        ]),
        ..Details::default()
    }
}

/// Any instance that a source could make up, and more.
pub(crate) fn any_instance() -> impl Strategy<Value = Instance> {
    let names = (
        any::<u128>(),
        any::<String>(),
        any::<String>(),
        any::<String>(),
    );
    let texts = (
        vec(
            (
                any::<String>(),
                btree_map("openssh-key|.{0,6}", any::<String>(), 0..3),
            ),
            0..4,
        ),
        option::of(vec(any::<u8>(), 0..40)),
        btree_map(".{0,8}|[a-z0-9=]{0,4}", any::<String>(), 0..5),
        btree_map(word(), any_json(), 0..6),
        btree_map(word(), any_json(), 0..3),
    );
    let given = (
        vec(option::of("[a-z0-9-]{0,4}|.{0,6}"), 10),
        option::of(any::<Ipv4Addr>()),
        any::<bool>(),
    );
    let devices = (
        vec(
            (
                any::<[u8; 6]>(),
                vec((any::<IpAddr>(), any::<u8>()), 0..3),
                option::of("[a-z]{0,4}"),
                option::of(vec(any::<IpAddr>(), 0..2)),
            ),
            0..4,
        ),
        vec(("[vs]d[a-d]|.{0,3}", any_kind()), 0..6),
    );
    let build = |(names, texts, devices, given)| given_to(build(names, texts, devices), given);
    (names, texts, devices, given).prop_map(build)
}

type Names = (u128, String, String, String);
type Texts = (
    Vec<(String, BTreeMap<String, String>)>,
    Option<Vec<u8>>,
    BTreeMap<String, String>,
    BTreeMap<String, Value>,
    BTreeMap<String, Value>,
);
type Devices = (
    Vec<(
        [u8; 6],
        Vec<(IpAddr, u8)>,
        Option<String>,
        Option<Vec<IpAddr>>,
    )>,
    Vec<(String, DiskKind)>,
);
/// What may be given or not; the last says whether a role has credentials.
type Given = (Vec<Option<String>>, Option<Ipv4Addr>, bool);

fn any_kind() -> impl Strategy<Value = DiskKind> {
    prop_oneof![
        Just(DiskKind::Disk),
        any::<u8>().prop_map(DiskKind::Ephemeral),
        Just(DiskKind::Swap),
        Just(DiskKind::Cdrom),
    ]
}

fn given_to(instance: Instance, given: Given) -> Instance {
    let (texts, public_ipv4, has_credentials) = given;
    let mut texts = texts.into_iter();
    let mut next = || texts.next().flatten();
    let role = next();
    let secret = || Secret::new("\"s3cret\"\n");
    let credentials = Credentials {
        access_key_id: "ASIA1".into(),
        secret_access_key: secret(),
        token: secret(),
        updated: "2030-01-01T00:00:00Z".into(),
        expiration: "2030-01-01T06:00:00Z".into(),
    };
    let details = Details {
        image_id: next(),
        placement: Placement {
            availability_zone: next(),
            availability_zone_id: next(),
            region: next(),
            group_name: next(),
            host_id: next(),
            partition_number: next(),
        },
        public_hostname: next(),
        public_ipv4,
        role,
        site: Arc::new(Site {
            domain: next().unwrap_or_default(),
            ..Site::default()
        }),
        ..instance.details.into_inner()
    };
    Instance {
        credentials: has_credentials.then(|| Arc::new(credentials)),
        details: details.into(),
        ..instance
    }
}

fn build(names: Names, texts: Texts, devices: Devices) -> Instance {
    let (uuid, instance_id, hostname, instance_type) = names;
    let (keys, user_data, tags, meta_data, settings) = texts;
    let (nics, disks) = devices;
    let details = Details {
        instance_type,
        public_keys: keys
            .into_iter()
            .map(|(name, formats)| PublicKey { name, formats })
            .collect(),
        tags,
        meta_data: meta_data.into_iter().collect(),
        settings: settings.into_iter().collect(),
        ..details()
    };
    Instance {
        uuid: Uuid::from_u128(uuid),
        instance_id,
        hostname,
        user_data: user_data.map(Into::into),
        details: details.into(),
        nics: nics
            .into_iter()
            .map(|(mac, addresses, network, gateways)| Nic {
                mac: Mac(mac),
                addresses: addresses
                    .into_iter()
                    .map(|(address, prefix)| Cidr { address, prefix })
                    .collect(),
                network,
                fixed: gateways.map(|gateways| {
                    Box::new(Fixed {
                        gateways,
                        ..Fixed::default()
                    })
                }),
                ..nic(0, None)
            })
            .collect::<Vec<Nic>>()
            .into(),
        disks: disks
            .iter()
            .map(|(target, kind)| disk(target, *kind))
            .collect(),
        ..instance()
    }
}

/// A name that the tree already has, or any.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("placement".to_owned()),
        Just("spot".to_owned()),
        Just("iam".to_owned()),
        Just("instance-life-cycle".to_owned()),
        Just("autoscaling".to_owned()),
        Just("events".to_owned()),
        Just("public-keys".to_owned()),
        Just("network".to_owned()),
        Just("instance-id".to_owned()),
        Just("tags".to_owned()),
        Just("local-ipv4".to_owned()),
        Just("0".to_owned()),
        Just("openssh-key".to_owned()),
        Just("name".to_owned()),
        "[a-z/=. %]{0,4}",
        any::<String>(),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!([{"openssh-key": "ssh-rsa A", "name": "x"}])),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(word(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn key(name: &str, text: &str) -> PublicKey {
    PublicKey {
        name: name.into(),
        formats: BTreeMap::from([("openssh-key".into(), text.into())]),
    }
}

fn nic(last: u8, address: Option<&str>) -> Nic {
    Nic {
        mac: Mac([0x52, 0x54, 0, 0, 0, last]),
        interface: Some(format!("vnet{last}")),
        bridge: Some("virbr0".into()),
        network: Some("default".into()),
        addresses: address
            .map(|address| Cidr {
                address: address.parse().unwrap(),
                prefix: 24,
            })
            .into_iter()
            .collect(),
        subnets: Vec::new(),
        mtu: None,
        fixed: None,
        offer: Offer::default(),
    }
}

fn disk(target: &str, kind: DiskKind) -> Disk {
    Disk {
        target: target.into(),
        kind,
    }
}
