//! What an instance that says everything is told, path by path.

use std::sync::Arc;

use super::*;
use crate::instance::{Credentials, Details, Disk, Instance, Secret, Site};

fn full() -> Instance {
    let disk = |target: &str, kind| Disk {
        target: target.into(),
        kind,
    };
    let details = Details {
        image_id: Some("debian-12".into()),
        placement: Placement {
            availability_zone: Some("rack-7".into()),
            availability_zone_id: Some("north-az7".into()),
            region: Some("north".into()),
            group_name: Some("spread".into()),
            host_id: Some("h-1".into()),
            partition_number: Some("3".into()),
        },
        public_hostname: Some("web1.example.org".into()),
        public_ipv4: Some(Ipv4Addr::new(203, 0, 113, 7)),
        role: Some("web".into()),
        site: Arc::new(Site {
            account_id: "123456789012".into(),
            partition: "cellar".into(),
            domain: "example.org".into(),
            project_id: None,
        }),
        ..instance().details.into_inner()
    };
    Instance {
        details: details.into(),
        credentials: Some(Arc::new(Credentials {
            access_key_id: "ASIA1".into(),
            secret_access_key: Secret::new("s3cret"),
            token: Secret::new("IQo="),
            updated: "2030-01-01T00:00:00Z".into(),
            expiration: "2030-01-01T06:00:00Z".into(),
        })),
        disks: vec![
            disk("sda", DiskKind::Cdrom),
            disk("vdb", DiskKind::Ephemeral(0)),
            disk("vda", DiskKind::Disk),
            disk("vdc", DiskKind::Swap),
            disk("vdd", DiskKind::Disk),
            disk("vde", DiskKind::Disk),
        ],
        ..instance()
    }
}

fn set(instance: &mut Instance, settings: &Value) {
    instance.settings = settings.as_object().unwrap().clone();
}

#[test]
fn everything_that_was_said_is_told() {
    let answers = answers(&full(), 0);
    for (path, expected) in [
        ("ami-id", "debian-12"),
        (
            "block-device-mapping",
            "ami\nebs1\nebs2\nephemeral0\nroot\nswap",
        ),
        ("block-device-mapping/ami", "vda"),
        ("block-device-mapping/root", "/dev/vda"),
        ("block-device-mapping/ebs1", "vdd"),
        ("block-device-mapping/ebs2", "vde"),
        ("block-device-mapping/ephemeral0", "vdb"),
        ("block-device-mapping/swap", "vdc"),
        ("events", "maintenance/"),
        ("events/maintenance", "history\nscheduled"),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[]"),
        ("iam", "info\nsecurity-credentials/"),
        ("iam/security-credentials", "web"),
        (
            "iam/info",
            "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2030-01-01T00:00:00Z\",\n  \"InstanceProfileArn\" : \
             \"arn:cellar:iam::123456789012:instance-profile/web\",\n  \"InstanceProfileId\" : \
             \"AIPA94BD9F08B4C83F0D1\"\n}",
        ),
        (
            "placement",
            "availability-zone\navailability-zone-id\ngroup-name\nhost-id\npartition-number\nregion",
        ),
        ("placement/availability-zone-id", "north-az7"),
        ("placement/group-name", "spread"),
        ("placement/host-id", "h-1"),
        ("placement/partition-number", "3"),
        ("public-hostname", "web1.example.org"),
        ("public-ipv4", "203.0.113.7"),
        ("services/domain", "example.org"),
        ("services/partition", "cellar"),
    ] {
        let path = format!("meta-data/{path}");
        assert_eq!(read(&answers, &path).as_deref(), Some(expected), "{path}");
    }
    let document = read(&answers, "dynamic/instance-identity/document").unwrap();
    for line in [
        "\"accountId\" : \"123456789012\"",
        "\"imageId\" : \"debian-12\"",
        "\"region\" : \"north\"",
    ] {
        assert!(document.contains(line), "{line} in {document}");
    }
}

#[test]
fn what_is_set_while_it_runs_wins() {
    let mut instance = full();
    let over = json!({"placement": {"region": "south"}, "ami-id": "mine", "spot": {"termination-time": "x"}});
    instance.meta_data = over.as_object().unwrap().clone();
    let settings = json!({
        "ami-id": "set",
        "spot": {"instance-action": "{\"action\": \"terminate\"}"},
        "events": {"recommendations": {"rebalance": "{}"}, "maintenance": {"scheduled": "[1]"}},
        "autoscaling": {"target-lifecycle-state": "InService"},
    });
    set(&mut instance, &settings);
    let answers = answers(&instance, 0);
    for (path, expected) in [
        ("ami-id", "set"),
        ("placement/region", "south"),
        ("placement/availability-zone", "rack-7"),
        ("spot", "instance-action\ntermination-time"),
        ("spot/instance-action", "{\"action\": \"terminate\"}"),
        ("instance-life-cycle", "spot"),
        ("events", "maintenance/\nrecommendations/"),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[1]"),
        ("events/recommendations/rebalance", "{}"),
        ("autoscaling/target-lifecycle-state", "InService"),
    ] {
        let path = format!("meta-data/{path}");
        assert_eq!(read(&answers, &path).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn life_cycle_follows_spot_unless_somebody_says_otherwise() {
    for (case, settings, expected) in [
        ("nothing", json!({}), "on-demand"),
        ("spot", json!({"spot": {"termination-time": "x"}}), "spot"),
        ("nothing of spot", json!({"spot": {}}), "on-demand"),
        (
            "said",
            json!({"spot": {"termination-time": "x"}, "instance-life-cycle": "scheduled"}),
            "scheduled",
        ),
    ] {
        let mut instance = instance();
        set(&mut instance, &settings);
        let answers = answers(&instance, 0);
        let found = read(&answers, "meta-data/instance-life-cycle");
        assert_eq!(found.as_deref(), Some(expected), "{case}");
    }
}

#[test]
fn versions_see_what_ec2_had_by_then() {
    let mut instance = full();
    let settings = json!({"autoscaling": {"target-lifecycle-state": "InService"}, "events": {"recommendations": {"rebalance": "{}"}}});
    set(&mut instance, &settings);
    instance.nics[0].addresses = vec![crate::instance::Cidr {
        address: "2001:db8::7".parse().unwrap(),
        prefix: 64,
    }];
    let answers = answers(&instance, 0);
    for (path, since) in [
        ("autoscaling/target-lifecycle-state", "2021-07-15"),
        ("events/maintenance/history", "2018-08-17"),
        ("events/recommendations/rebalance", "2020-10-27"),
        ("iam/security-credentials/web", "1.0"),
        ("instance-life-cycle", "2019-10-01"),
        ("ipv6", "2021-01-03"),
        ("mac", "1.0"),
        ("network/interfaces/macs/52:54:00:00:00:01/mac", "1.0"),
        (
            "network/interfaces/macs/52:54:00:00:00:01/network-card",
            "2021-01-03",
        ),
        ("placement/availability-zone", "1.0"),
        ("placement/availability-zone-id", "2019-10-01"),
        ("placement/group-name", "2020-08-24"),
        ("placement/region", "2020-08-24"),
        ("public-ipv4", "1.0"),
        ("tags/instance/role", "2021-03-23"),
    ] {
        let path = format!("meta-data/{path}");
        let first = Version::LISTING.lines().find(|version| {
            let version = Version::named(version).unwrap();
            answers.get(Dialect::Ec2, version, &path).is_some()
        });
        assert_eq!(first, Some(since), "{path}");
    }
}
