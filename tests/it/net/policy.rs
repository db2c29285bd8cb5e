//! What an administrator decides for one guest or for all, as guests see it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Guest, Request, Settings, until};
use metad_tests::needs;
use serde_json::{Value, json};

use super::path::carries_data;
use super::{SOON, guest, host_with_bridge, text, token};

const DATA: &str = "/latest/meta-data/hostname";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

fn status(guest: &Guest, path: &str) -> Result<u16> {
    Ok(guest.get(path)?.status)
}

fn becomes(guest: &Guest, path: &str, expected: u16) -> Result<()> {
    until(&format!("{expected} at {path}"), SOON, || {
        (status(guest, path).ok()? == expected).then_some(())
    })
}

#[test]
fn options_of_a_record_count_for_its_guest_alone_and_at_once() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;
    for (case, options, ec2, nocloud, granted) in [
        ("nothing said", json!({}), 200, 200, 200),
        ("tokens", json!({"http-tokens": "required"}), 401, 404, 200),
        (
            "tokens, and NoCloud for everybody",
            json!({"http-tokens": "required", "nocloud-prefix": "open"}),
            401,
            200,
            200,
        ),
        (
            "endpoint off",
            json!({"endpoint": "disabled"}),
            403,
            200,
            403,
        ),
        (
            "NoCloud alone",
            json!({"dialects": ["nocloud"]}),
            403,
            200,
            403,
        ),
        ("EC2 alone", json!({"dialects": ["ec2"]}), 200, 404, 200),
        ("nothing at all", json!({"dialects": []}), 403, 404, 403),
    ] {
        let mut record = alice.record();
        record["options"] = options;
        lab.record("alice", &record)?;
        becomes(&alice, DATA, ec2).context(case)?;
        becomes(&alice, "/nocloud/user-data", nocloud).context(case)?;
        let put = alice.ask(&Request::token("60"))?;
        assert_eq!(put.status, granted, "{case}");
        if granted == 200 {
            let token = put.text();
            let with = Request::get(DATA).with("X-aws-ec2-metadata-token", &token);
            assert_eq!(alice.ask(&with)?.text(), "alice", "{case}");
        }
        assert_eq!(text(&bob, DATA)?, "bob", "{case}");
        assert_eq!(status(&bob, "/nocloud/user-data")?, 200, "{case}");
    }
    Ok(())
}

#[test]
fn hop_limit_of_a_record_is_on_the_wire() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let wire = alice.wire()?;
    for hops in [2_u8, 64, 1] {
        let mut record = alice.record();
        record["options"] = json!({"hop-limit": hops});
        lab.record("alice", &record)?;
        let mut last = None;
        let seen = until("the hop limit on the wire", SOON, || {
            wire.drain().ok()?;
            alice.ask(&Request::token("60")).ok()?;
            let frames = wire.drain().ok()?;
            let answers = frames.iter().filter(|frame| carries_data(frame));
            let hops_left: Vec<Option<u8>> = answers.map(|frame| frame.get(22).copied()).collect();
            last = Some(hops_left.clone());
            let right = |left: &Option<u8>| *left == Some(hops);
            (!hops_left.is_empty() && hops_left.iter().all(right)).then_some(())
        });
        seen.with_context(|| format!("{hops} hops; last seen: {last:?}"))?;
    }
    Ok(())
}

#[test]
fn defaults_of_the_site_hold_where_a_record_says_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut record = bob.record();
    record["options"] = json!({"http-tokens": "optional"});
    record["placement"] = json!({"region": "south"});
    lab.record("bob", &record)?;
    let settings = Settings {
        more: "[defaults]\nhttp-tokens = \"required\"\n[site]\nregion = \"north\"\naccount-id = \"123456789012\"\n",
        ..Settings::default()
    };
    let daemon = lab.serve(&settings)?;
    daemon.seated(&["alice", "bob"])?;
    assert_eq!(status(&alice, DATA)?, 401);
    assert_eq!(text(&bob, DATA)?, "bob");
    assert_eq!(text(&bob, "/latest/meta-data/placement/region")?, "south");
    let token = token(&alice, "60")?;
    let region = Request::get("/latest/meta-data/placement/region");
    let region = region.with("X-aws-ec2-metadata-token", &token);
    assert_eq!(alice.ask(&region)?.text(), "north");
    let document = text(&bob, "/latest/dynamic/instance-identity/document")?;
    let document: Value = serde_json::from_str(&document)?;
    assert_eq!(document["accountId"], "123456789012");
    assert_eq!(document["region"], "south");
    Ok(())
}

fn put_credentials(path: &Path, key: &str) -> Result<()> {
    let credentials = json!({
        "Version": 1, "AccessKeyId": key, "SecretAccessKey": "h0sh-h0sh", "SessionToken": "t0ken-t0ken",
        "Expiration": "2999-01-01T00:00:00Z",
    });
    let new = path.with_extension("new");
    fs::write(&new, credentials.to_string())?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(())
}

fn problem(daemon: &Daemon, subject: &str) -> Result<()> {
    daemon.status_until(&format!("a problem of {subject}"), |status| {
        let problems = status["problems"].as_array();
        problems.is_some_and(|all| all.iter().any(|it| it["subject"] == subject))
    })
}

#[test]
fn role_has_the_credentials_of_its_file_as_they_change() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut record = alice.record();
    record["iam-role"] = json!("web");
    lab.record("alice", &record)?;
    let file = lab.directory().join("web.json");
    let settings = Settings {
        more: "[iam.web]\ncredentials-file = \"web.json\"\n",
        ..Settings::default()
    };
    let daemon = lab.serve(&settings)?;
    daemon.seated(&["alice", "bob"])?;
    problem(&daemon, "iam role web")?;
    for path in [ROLES, "/latest/meta-data/iam/"] {
        assert_eq!(status(&alice, path)?, 404, "{path}: nothing to list");
    }
    for key in ["ASIA1", "ASIA2"] {
        put_credentials(&file, key)?;
        until("the file's credentials", SOON, || {
            let leaf = text(&alice, &format!("{ROLES}web")).ok()?;
            let leaf: Value = serde_json::from_str(&leaf).ok()?;
            (leaf["AccessKeyId"] == key && leaf["Token"] == "t0ken-t0ken").then_some(())
        })?;
        assert_eq!(text(&alice, ROLES)?, "web");
    }
    assert_eq!(status(&bob, ROLES)?, 404, "bob has no role");
    let told = format!("{}{}", daemon.log(), daemon.status()?);
    for secret in ["h0sh-h0sh", "t0ken-t0ken"] {
        ensure!(!told.contains(secret), "{secret} is in log or status");
    }
    Ok(())
}

#[test]
fn role_has_the_credentials_that_a_command_prints() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut record = alice.record();
    record["iam-role"] = json!("web");
    lab.record("alice", &record)?;
    put_credentials(&lab.directory().join("printed"), "ASIA3")?;
    let command = format!("cat {}", lab.directory().join("printed").display());
    let more = format!("[iam.web]\ncredentials-command = [\"/bin/sh\", \"-c\", {command:?}]\n");
    let settings = Settings {
        more: &more,
        ..Settings::default()
    };
    let daemon = lab.serve(&settings)?;
    daemon.seated(&["alice"])?;
    until("the command's credentials", SOON, || {
        let leaf = text(&alice, &format!("{ROLES}web")).ok()?;
        leaf.contains("\"AccessKeyId\" : \"ASIA3\"").then_some(())
    })?;
    let info = text(&alice, "/latest/meta-data/iam/info")?;
    ensure!(info.contains(":instance-profile/web\""), "{info}");
    Ok(())
}

#[test]
fn network_config_is_told_where_there_is_no_dhcp() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    assert_eq!(text(&alice, "/nocloud/network-config")?, "");
    let mut record = alice.record();
    record["nics"][0]["addresses"] = json!(["10.77.0.5/24"]);
    record["nics"][0]["dhcp"] = json!(false);
    record["nics"][0]["gateways"] = json!(["10.77.0.1"]);
    lab.record("alice", &record)?;
    let told = until("a network-config", SOON, || {
        let told = text(&alice, "/nocloud/network-config").ok()?;
        (!told.is_empty()).then_some(told)
    })?;
    let told: Value = serde_json::from_str(&told)?;
    let nic = &told["ethernets"]["nic0"];
    assert_eq!(nic["match"]["macaddress"], record["nics"][0]["mac"]);
    assert_eq!(nic["addresses"], json!(["10.77.0.5/24"]));
    assert_eq!(
        nic["routes"],
        json!([{"to": "0.0.0.0/0", "via": "10.77.0.1"}])
    );
    Ok(())
}
