//! Google's tree as lists, texts and JSON, against values written by hand.

use serde_json::json;

use super::*;
use crate::instance::{Dialect, Offer};
use crate::render::{self, Answers, Version, sample};

/// Guests may have written it down.
const ID: &str = "3259341669838212";

fn with(change: impl FnOnce(&mut Instance)) -> Answers {
    let mut instance = sample::instance();
    instance.options.dialects = [Dialect::Gce].into_iter().collect();
    change(&mut instance);
    render::answers(&instance, 0)
}

fn read(answers: &Answers, path: &str) -> Option<String> {
    let path = format!("v1/{path}");
    let answer = answers.get(Dialect::Gce, Version::LATEST, path.trim_end_matches('/'))?;
    let body = answer.body.bytes(Some([192, 0, 2, 7].into())).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn every_value_that_images_ask_for_is_there() {
    let answers = with(|instance| {
        instance.image_id = Some("ami-7".into());
        instance.public_ipv4 = Some([203, 0, 113, 9].into());
        instance.nics[1].mtu = Some(1460);
        instance.nics[1].offer = Offer {
            gateways: vec!["10.0.0.1".parse().unwrap()],
            nameservers: vec!["10.0.0.53".parse().unwrap()],
            ..Offer::default()
        };
    });
    let network = "projects/0/networks/vpc-c764c68944dacbabe";
    for (path, expected) in [
        ("", "instance/\nproject/"),
        ("project", "attributes/\nnumeric-project-id\nproject-id"),
        ("project/project-id", "000000000000"),
        ("project/numeric-project-id", "0"),
        ("project/attributes", ""),
        ("instance/id", "INSTANCE_ID"),
        ("instance/name", "web1"),
        ("instance/hostname", "web1.internal"),
        ("instance/zone", "projects/0/zones/rack-7"),
        ("instance/machine-type", "projects/0/machineTypes/c3.large"),
        ("instance/image", "projects/0/global/images/ami-7"),
        ("instance/tags", "[]"),
        ("instance/attributes", "role\nssh-keys\nuser-data"),
        ("instance/attributes/role", "web"),
        ("instance/attributes/user-data", "#cloud-config\n"),
        (
            "instance/attributes/ssh-keys",
            "cloudinit:ssh-ed25519 AAAA me@host\nadmin:ssh-ed25519 AAAA me@host\ncloudinit:ssh-rsa B\nadmin:ssh-rsa B",
        ),
        ("instance/disks", "0/\n1/"),
        ("instance/disks/1/device-name", "vdb"),
        ("instance/network-interfaces", "0/\n1/"),
        (
            "instance/network-interfaces/0",
            "access-configs/\nip\nmac\nnetwork",
        ),
        ("instance/network-interfaces/0/mac", "52:54:00:00:00:01"),
        ("instance/network-interfaces/0/ip", "192.0.2.7"),
        ("instance/network-interfaces/0/network", network),
        (
            "instance/network-interfaces/0/access-configs/0/external-ip",
            "203.0.113.9",
        ),
        ("instance/network-interfaces/1/ip", "10.0.0.5"),
        ("instance/network-interfaces/1/subnetmask", "255.255.255.0"),
        ("instance/network-interfaces/1/gateway", "10.0.0.1"),
        ("instance/network-interfaces/1/dns-servers/0", "10.0.0.53"),
        ("instance/network-interfaces/1/mtu", "1460"),
    ] {
        let expected = expected.replace("INSTANCE_ID", ID);
        assert_eq!(read(&answers, path), Some(expected), "{path}");
    }
}

#[test]
fn bare_instance_still_has_what_cloud_init_requires() {
    let answers = with(|instance| {
        instance.placement = crate::instance::Placement::default();
        instance.public_keys = vec![];
        instance.tags = std::collections::BTreeMap::new();
        instance.user_data = None;
        instance.nics.clear();
    });
    for (path, expected) in [
        ("instance/zone", Some("projects/0/zones/default")),
        ("instance/attributes", Some("")),
        ("instance/attributes/ssh-keys", None),
        ("instance/attributes/user-data", None),
        ("instance/image", None),
        ("instance/network-interfaces", None),
    ] {
        assert_eq!(read(&answers, path).as_deref(), expected, "{path}");
    }
}

#[test]
fn user_data_that_is_no_text_comes_in_base64() {
    let answers = with(|instance| instance.user_data = Some(vec![0x1f, 0x8b, 0xff].into()));
    let value = |name: &str| read(&answers, &format!("instance/attributes/{name}"));
    assert_eq!(value("user-data").as_deref(), Some("H4v/"));
    assert_eq!(value("user-data-encoding").as_deref(), Some("base64"));
    let text = read(&with(|_| ()), "instance/attributes/user-data-encoding");
    assert_eq!(text, None);
}

#[test]
fn keys_are_for_the_users_that_they_are_named_after() {
    for (name, expected) in [
        ("admin", "cloudinit:k\nadmin:k"),
        ("_svc-1", "cloudinit:k\n_svc-1:k"),
        ("cloudinit", "cloudinit:k"),
        ("Admin", "cloudinit:k"),
        ("me@host", "cloudinit:k"),
        ("-x", "cloudinit:k"),
        ("", "cloudinit:k"),
    ] {
        let mut instance = sample::instance();
        instance.public_keys.truncate(1);
        instance.public_keys[0].name = name.into();
        instance.public_keys[0].formats = [("openssh-key".into(), "k\n".into())].into();
        assert_eq!(ssh_keys(&instance), expected, "{name}");
    }
}

#[test]
fn what_stands_below_a_directory_becomes_one_value() {
    let text = |text: &str| Some((Content::Text, text.to_owned()));
    for (case, below, free, expected) in [
        ("nothing", vec![], false, json!({})),
        (
            "camel case",
            vec![
                ("machine-type", text("a")),
                ("network-interfaces", None),
                ("network-interfaces/0", None),
                ("network-interfaces/0/access-configs", None),
                ("network-interfaces/0/mac", text("m")),
            ],
            false,
            json!({"machineType": "a", "networkInterfaces": [{"accessConfigs": {}, "mac": "m"}]}),
        ),
        (
            "an owner's names",
            vec![
                ("attributes", None),
                ("attributes/0", text("x")),
                ("attributes/ssh-keys", text("k")),
            ],
            false,
            json!({"attributes": {"0": "x", "ssh-keys": "k"}}),
        ),
        (
            "an owner's names alone",
            vec![("0", text("x")), ("id", text("7"))],
            true,
            json!({"0": "x", "id": "7"}),
        ),
        (
            "numbers",
            vec![
                ("id", text("7")),
                ("mtu", text("1460")),
                ("name", text("7")),
                ("numeric-project-id", text("0")),
            ],
            false,
            json!({"id": 7, "mtu": 1460, "name": "7", "numericProjectId": 0}),
        ),
        (
            "more than nine",
            vec![
                ("0", text("a")),
                ("1", text("b")),
                ("10", text("k")),
                ("2", text("c")),
            ],
            false,
            json!(["a", "b", "c", "k"]),
        ),
        (
            "JSON",
            vec![("tags", Some((Content::Json, "[]".to_owned())))],
            false,
            json!({"tags": []}),
        ),
    ] {
        assert_eq!(recursive(below.into_iter(), free), expected, "{case}");
    }
}
