use super::*;
use crate::instance::{ContentFile, Dialect, Endpoint, Fixed, Given, HttpTokens};

mod limits;
mod slips;

const FULL: &str = "\
# a record
instance-id: i-12345678
hostname: web1
instance-type: 1.10
placement:
  availability-zone: rack-7
  region: north
public-keys:
  zeta: ssh-ed25519 AAAA me@host
  alpha: ssh-rsa BBBB
user-data: |
  #cloud-config
  runcmd: [\"true\"]
vendor-data: \"a\\n\"
network-config: |
  version: 2
tags: {role: web, count: 3}
meta-data:
  rack: {row: 7, units: [1, 2], live: true}
install: {disk: /dev/sda, packages: [vim]}
options: {http-tokens: required, hop-limit: 2, endpoint: disabled, dialects: [ec2, hetzner]}
iam-role: backup
files: {/etc/motd: \"hello\\n\"}
uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
nics:
- mac: 52:54:00:12:34:56
  interface: tap0
  bridge: br0
  addresses: [10.1.2.3/24, \"fd00::1/64\", 10.9.9.9/32]
  mtu: 1400
  dhcp: false
  gateways: [10.1.2.1, \"fd00::ff\"]
  nameservers: [10.9.9.1]
- {mac: 52-54-00-12-34-57, interface: tap1}
";

const FULL_JSON: &str = r##"{
  "instance-id": "i-12345678", "hostname": "web1", "instance-type": "1.10",
  "placement": {"availability-zone": "rack-7", "region": "north"},
  "public-keys": {"zeta": "ssh-ed25519 AAAA me@host", "alpha": "ssh-rsa BBBB"},
  "user-data": "#cloud-config\nruncmd: [\"true\"]\n", "vendor-data": "a\n", "network-config": "version: 2\n",
  "tags": {"role": "web", "count": "3"},
  "meta-data": {"rack": {"row": 7, "units": [1, 2], "live": true}},
  "install": {"disk": "/dev/sda", "packages": ["vim"]},
  "options": {"http-tokens": "required", "hop-limit": 2, "endpoint": "disabled", "dialects": ["ec2", "hetzner"]},
  "iam-role": "backup", "files": {"/etc/motd": "hello\n"},
  "uuid": "4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
  "nics": [
    {"mac": "52:54:00:12:34:56", "interface": "tap0", "bridge": "br0",
     "addresses": ["10.1.2.3/24", "fd00::1/64", "10.9.9.9/32"], "mtu": 1400, "dhcp": false,
     "gateways": ["10.1.2.1", "fd00::ff"], "nameservers": ["10.9.9.1"]},
    {"mac": "52:54:00:12:34:57", "interface": "tap1"}
  ]
}"##;

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = parse(FULL, Format::Yaml).unwrap();
    assert_eq!(parse(FULL_JSON, Format::Json), Ok(yaml.clone()));
    let record = yaml.record;
    assert_eq!(record.instance_id.as_deref(), Some("i-12345678"));
    assert_eq!(
        record.instance_type.as_deref(),
        Some("1.10"),
        "a number is the text that was written"
    );
    assert_eq!(
        record.placement.availability_zone.as_deref(),
        Some("rack-7")
    );
    assert_eq!(record.placement.region.as_deref(), Some("north"));
    let keys: Vec<_> = record
        .public_keys
        .iter()
        .flatten()
        .map(|key| key.name.as_str())
        .collect();
    assert_eq!(keys, ["zeta", "alpha"], "in the file's order");
    assert_eq!(
        record.user_data,
        Some("#cloud-config\nruncmd: [\"true\"]\n".into())
    );
    assert_eq!(record.vendor_data, Some("a\n".into()));
    assert_eq!(
        record
            .tags
            .clone()
            .and_then(|tags| tags.get("count").cloned())
            .as_deref(),
        Some("3")
    );
    let options = Given {
        http_tokens: Some(HttpTokens::Required),
        hop_limit: Some(2),
        endpoint: Some(Endpoint::Disabled),
        dialects: Some([Dialect::Ec2, Dialect::Hetzner].into_iter().collect()),
        ..Given::default()
    };
    assert_eq!(record.options, options);
    assert_eq!(record.role.as_deref(), Some("backup"));
    let motd = ContentFile {
        path: "/etc/motd".to_owned(),
        content: "hello\n".into(),
    };
    assert_eq!(record.files, Some(vec![motd]));
    let nics = yaml.nics.unwrap();
    assert_eq!(nics.len(), 2);
    assert_eq!(nics[0].interface.as_deref(), Some("tap0"));
    assert_eq!(
        (nics[0].bridge.as_deref(), nics[0].mtu),
        (Some("br0"), Some(1400))
    );
    let addresses: Vec<_> = nics[0].addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.2.3/24", "fd00::1/64", "10.9.9.9/32"]);
    let subnets: Vec<_> = nics[0].subnets.iter().map(ToString::to_string).collect();
    assert_eq!(subnets, ["10.1.2.0/24", "fd00::/64"]);
    let fixed = Fixed {
        gateways: vec!["10.1.2.1".parse().unwrap(), "fd00::ff".parse().unwrap()],
        nameservers: vec!["10.9.9.1".parse().unwrap()],
    };
    assert_eq!(nics[0].fixed.as_deref(), Some(&fixed));
    assert_eq!(nics[1].mac.to_string(), "52:54:00:12:34:57");
    assert_eq!(nics[1].fixed, None);
}

#[test]
fn a_record_may_say_little() {
    for (case, text) in [
        ("a comment", "# nothing yet\n"),
        ("an empty mapping", "{}"),
        (
            "nulls",
            "hostname: ~\nplacement:\noptions:\ntags:\npublic-keys:\nmeta-data:\ninstall:\nnics:\nuser-data:\n",
        ),
        ("a byte order mark", "\u{feff}{}"),
    ] {
        assert_eq!(
            parse(text, Format::Yaml),
            Ok(RecordFile::default()),
            "{case}"
        );
    }
    let nulls =
        r#"{"hostname": null, "placement": null, "tags": null, "nics": null, "user-data": null}"#;
    assert_eq!(parse(nulls, Format::Json), Ok(RecordFile::default()));
    let encoded = parse("user-data-base64: AP8K\n", Format::Yaml).unwrap();
    assert_eq!(encoded.record.user_data, Some(vec![0, 255, 10].into()));
    let named = parse("user-data-file: web1.sh\n", Format::Yaml).unwrap();
    assert_eq!(
        (named.user_data_file, named.record.user_data),
        (Some(PathBuf::from("web1.sh")), None)
    );
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn yaml_refusals_name_place_and_reason() {
    for (case, text, expected) in [
        (
            "unknown",
            "hostname: a\nhostnam: b\n",
            "line 2, column 1: unknown key `hostnam`, did you mean `hostname`?",
        ),
        (
            "unknown in placement",
            "placement:\n  zone: a\n",
            "line 2, column 3: unknown key `zone`; known are `availability-zone`, `availability-zone-id`, `region`, `group-name`, `host-id`, `partition-number`",
        ),
        (
            "unknown in a NIC",
            "nics:\n- mac: 52:54:00:12:34:56\n  iface: a\n",
            "line 3, column 3: unknown key `iface`; known are `mac`, `interface`, `bridge`, `addresses`, `mtu`, `dhcp`, \
             `gateways`, `nameservers`",
        ),
        (
            "twice",
            "hostname: a\nhostname: b\n",
            "line 2, column 1: the key `hostname` stands here twice",
        ),
        (
            "tag twice",
            "tags:\n  a: b\n  a: c\n",
            "line 3, column 3: the key `a` stands here twice",
        ),
        (
            "bad value",
            "instance-id: i-1\nhostname: a b\n",
            "line 2, column 11: `hostname` holds the character ' '; letters, digits, `-`, `_` and `.` make a host name",
        ),
        (
            "text for a mapping",
            "placement: a\n",
            "line 1, column 12: `placement` takes a mapping",
        ),
        (
            "mapping for a text",
            "hostname: {a: b}\n",
            "line 1, column 11: `hostname` takes a text",
        ),
        (
            "mapping for a list",
            "nics: {a: b}\n",
            "line 1, column 7: `nics` takes a list of mappings",
        ),
        (
            "null for a tag",
            "tags: {a: ~}\n",
            "line 1, column 11: a text belongs here",
        ),
        (
            "a list",
            "- a\n",
            "line 1, column 1: a mapping belongs here",
        ),
        (
            "not closed",
            "tags: {a: b\n",
            "line 1, column 7: unclosed bracket '{'",
        ),
        (
            "hop limit",
            "options:\n  hop-limit: 65\n",
            "line 2, column 14: `hop-limit` is not a number from 1 to 64",
        ),
        (
            "no number",
            "options:\n  hop-limit: x\n",
            "line 2, column 14: `hop-limit` takes a number",
        ),
        (
            "tokens",
            "options: {http-tokens: requird}\n",
            "line 1, column 24: `http-tokens` is not `optional` or `required`, did you mean `required`?",
        ),
        (
            "tag key",
            "tags: {a/b: c}\n",
            "line 1, column 7: a key of `tags` holds the character '/'; letters, digits and `+-=.,_:@` make a tag's key",
        ),
        (
            "key name",
            "public-keys: {a/b: c}\n",
            "line 1, column 14: a name in `public-keys` holds the character '/'; `/` may not stand here",
        ),
        (
            "uuid",
            "uuid: 1\n",
            "line 1, column 7: `uuid` is no UUID: invalid length: found 1",
        ),
        (
            "base64",
            "user-data-base64: \"%\"\n",
            "line 1, column 19: `user-data-base64` is not base64: Invalid symbol 37, offset 0.",
        ),
        (
            "address",
            "nics: [{mac: 52:54:00:12:34:56, interface: a, addresses: [10.0.0.5/33]}]\n",
            "line 1, column 58: `addresses` holds `10.0.0.5/33`, which is no address like 10.0.0.5/24",
        ),
        (
            "gateway of a NIC with DHCP",
            "nics: [{mac: 52:54:00:12:34:56, interface: a, addresses: [10.0.0.5/24], gateways: [10.0.0.1]}]\n",
            "line 1, column 7: `gateways` and `nameservers` are DHCP's to hand out unless `dhcp` is false",
        ),
        (
            "neither DHCP nor address",
            "nics: [{mac: 52:54:00:12:34:56, interface: a, dhcp: false}]\n",
            "line 1, column 7: an entry of `nics` without DHCP lacks `addresses`",
        ),
        (
            "two gateways",
            "nics: [{mac: 52:54:00:12:34:56, interface: a, dhcp: false, addresses: [10.0.0.5/24], \
             gateways: [10.0.0.1, 10.0.0.2]}]\n",
            "line 1, column 7: `gateways` holds two of one address family",
        ),
        (
            "name server",
            "nics: [{mac: 52:54:00:12:34:56, interface: a, nameservers: [dns.example.org]}]\n",
            "line 1, column 60: `nameservers` holds `dns.example.org`, which is no address like 10.0.0.1",
        ),
        (
            "MAC",
            "nics: [{mac: 52:54}]\n",
            "line 1, column 14: `mac` is broken: `52:54` is no MAC address (six octets in hexadecimal, such as 52:54:00:12:34:56)",
        ),
        (
            "no MAC",
            "nics: [{interface: a}]\n",
            "line 1, column 7: an entry of `nics` lacks `mac`",
        ),
        (
            "no interface",
            "nics: [{mac: 52:54:00:12:34:56}]\n",
            "line 1, column 7: the entry of `nics` for 52:54:00:12:34:56 lacks `interface`",
        ),
        (
            "long interface",
            "nics: [{mac: 52:54:00:12:34:56, interface: abcdefghijklmnop}]\n",
            "line 1, column 44: `interface` is longer than the 15 octets of an interface's name",
        ),
        (
            "MAC twice",
            "nics: [{mac: 52:54:00:12:34:56, interface: a}, {mac: 52:54:00:12:34:56, interface: b}]\n",
            "line 1, column 7: `nics` holds the MAC address 52:54:00:12:34:56 twice",
        ),
        (
            "no NIC",
            "nics: []\n",
            "line 1, column 7: `nics` is empty; leave it out to add to the machine of this name",
        ),
        (
            "user-data twice",
            "user-data: a\nuser-data-file: b\n",
            "`user-data` and `user-data-file` exclude each other",
        ),
        (
            "meta-data key",
            "meta-data: {a: {b/c: 1}}\n",
            "line 1, column 12: `meta-data` holds the character '/'; `/` may not stand in a key",
        ),
        (
            "two documents",
            "hostname: a\n---\nhostname: b\n",
            "line 2, column 1: a second document starts here",
        ),
        (
            "install key",
            "install: {a/b: 1}\n",
            "line 1, column 10: `install` holds the character '/'; `/` may not stand in a key",
        ),
        ("empty", " \n", "it is empty"),
    ] {
        let error = parse(text, Format::Yaml)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert_eq!(error, expected, "{case}");
    }
}

#[test]
fn json_refusals_name_place_and_reason() {
    for (case, text, expected) in [
        (
            "unknown",
            "{\"hostname\": \"a\",\n \"hostnam\": 1}",
            "line 2, column 10: unknown key `hostnam`, did you mean `hostname`?",
        ),
        (
            "twice",
            "{\"hostname\": \"a\", \"hostname\": \"b\"}",
            "line 1, column 28: the key `hostname` stands here twice",
        ),
        (
            "bad value",
            "{\"hostname\": \"a b\"}",
            "line 1, column 19: `hostname` holds the character ' '; letters, digits, `-`, `_` and `.` make a host name",
        ),
        (
            "number for a text",
            "{\"hostname\": 1}",
            "line 1, column 15: `hostname` takes a text",
        ),
        (
            "cut short",
            "{\"hostname\": ",
            "line 1, column 13: EOF while parsing a value",
        ),
        (
            "a list",
            "[]",
            "line 1, column 0: invalid type: sequence, expected a mapping with the keys ",
        ),
        (
            "more behind it",
            "{} x",
            "line 1, column 4: trailing characters",
        ),
        ("YAML", "hostname: a", "line 1, column 1: expected value"),
    ] {
        let error = parse(text, Format::Json)
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{case}: {error}");
    }
}
