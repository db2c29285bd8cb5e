//! What a hand writes by mistake, and what is said of it.

use super::*;

fn refusal(text: &str, format: Format) -> String {
    parse(text, format).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_value_of_another_kind_is_refused_by_its_key_and_the_form_it_takes() {
    let block = "takes a text; a longer one is a block, ";
    for (text, expected) in [
        (
            "user-data: {packages: [s3cret]}\n",
            format!(
                "line 1, column 12: `user-data` {block}`user-data: |` and its lines indented below"
            ),
        ),
        (
            "user-data:\n  packages: [s3cret]\n",
            format!(
                "line 2, column 3: `user-data` {block}`user-data: |` and its lines indented below"
            ),
        ),
        (
            "network-config: [s3cret]\n",
            format!(
                "line 1, column 17: `network-config` {block}`network-config: |` and its lines indented below"
            ),
        ),
        (
            "options:\n  dialects: \"ec2 s3cret\"\n",
            "line 2, column 13: `dialects` takes a list, like `[one, two]`".to_owned(),
        ),
        (
            "tags: [s3cret]\n",
            "line 1, column 7: `tags` takes a mapping of names to texts".to_owned(),
        ),
        (
            "public-keys: ssh-ed25519 s3cret\n",
            "line 1, column 14: `public-keys` takes a mapping of names to texts".to_owned(),
        ),
        (
            "options: s3cret\n",
            "line 1, column 10: `options` takes a mapping".to_owned(),
        ),
        (
            "nics: [{mtu: s3cret}]\n",
            "line 1, column 14: `mtu` takes a number".to_owned(),
        ),
        (
            "nics: [{dhcp: s3cret}]\n",
            "line 1, column 15: `dhcp` takes `true` or `false`".to_owned(),
        ),
        (
            "nics: [{addresses: s3cret}]\n",
            "line 1, column 20: `addresses` takes a list, like `[one, two]`".to_owned(),
        ),
    ] {
        assert_eq!(refusal(text, Format::Yaml), expected, "{text}");
    }
}

#[test]
fn json_is_told_the_same() {
    for (text, expected) in [
        (
            "{\"user-data\": {\"s3cret\": 1}}",
            "`user-data` takes a text;",
        ),
        ("{\"user-data\": 53}", "`user-data` takes a text;"),
        (
            "{\"tags\": \"s3cret\"}",
            "`tags` takes a mapping of names to texts",
        ),
        (
            "{\"nics\": [{\"mtu\": \"s3cret\"}]}",
            "`mtu` takes a number",
        ),
        (
            "{\"options\": {\"dialects\": \"s3cret\"}}",
            "`dialects` takes a list",
        ),
    ] {
        let error = refusal(text, Format::Json);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(
            !error.contains("s3cret") && !error.contains("53"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_ssh_key_is_refused_by_its_name() {
    assert_eq!(
        refusal("public-keys: {admin: nonsense}\n", Format::Yaml),
        "line 1, column 14: the key `admin` is no SSH key; one is a line like `ssh-ed25519 AAAA… me@host`"
    );
    let taken = parse("public-keys: {admin: ssh-ed25519 AAAA}\n", Format::Yaml);
    assert!(taken.is_ok(), "{taken:?}");
}

#[test]
fn a_nic_without_dhcp_has_prefixes_and_gateways_within_them() {
    let nic = |rest: &str| format!("nics: [{{mac: 52:54:00:12:34:56, interface: a, {rest}}}]\n");
    let bare = "`addresses` holds `10.0.0.5` without a prefix length, which a NIC without DHCP needs, like 10.0.0.5/24";
    let far =
        |host: &str| format!("`gateways` holds `{host}`, which is in no network of `addresses`");
    for (rest, refused) in [
        ("addresses: [10.0.0.5]", None),
        ("dhcp: true, addresses: [10.0.0.5]", None),
        ("dhcp: false, addresses: [10.0.0.5]", Some(bare.to_owned())),
        (
            "dhcp: false, addresses: [10.0.0.5], gateways: [10.0.0.1]",
            Some(bare.to_owned()),
        ),
        (
            "addresses: [10.0.1.5/24, 10.0.0.5], dhcp: false",
            Some(bare.to_owned()),
        ),
        (
            "dhcp: false, addresses: [10.0.0.5/24], gateways: [10.0.0.1]",
            None,
        ),
        (
            "dhcp: false, addresses: [10.0.0.5/24], gateways: [10.0.1.1]",
            Some(far("10.0.1.1")),
        ),
        (
            "dhcp: false, addresses: [10.0.0.5/32], gateways: [10.0.0.1]",
            Some(far("10.0.0.1")),
        ),
        (
            "dhcp: false, addresses: [10.0.0.5/24], gateways: ['fd00::1']",
            Some(far("fd00::1")),
        ),
        (
            "dhcp: false, addresses: [10.0.0.5/24, 'fd00::5/64'], gateways: [10.0.0.1, 'fd00::1']",
            None,
        ),
        (
            "dhcp: false, addresses: ['fd00::5/64'], gateways: ['fe80::1']",
            None,
        ),
    ] {
        let error = parse(&nic(rest), Format::Yaml).err();
        let expected = refused.map(|reason| format!("line 1, column 7: {reason}"));
        assert_eq!(error.map(|error| error.to_string()), expected, "{rest}");
    }
}
