//! The conformance suite, run inside guests: every rule holds, and each is looked at in one guest at least.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Guest, Settings, binary};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{guest, host_with_bridge};

/// What the guests below cannot show, and why.
const NOT_SHOWN: [(&str, &str); 1] =
    [("b1-identity-time", "no record says when an instance began")];

/// As a tool leaves them that fetches credentials.
const CREDENTIALS: &str = r#"{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret", "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z"}"#;

/// gzip's first octets, and some that are no UTF-8.
const OCTETS: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\xff\xfe\r\n\0";

#[test]
fn the_conformance_suite_finds_nothing_amiss() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let full = guest(&lab, "full", 5)?;
    let bare = guest(&lab, "bare", 6)?;
    let empty = guest(&lab, "empty", 7)?;
    std::fs::write(lab.records().join("octets.bin"), OCTETS)?;
    let mut record = full.record();
    record["instance-type"] = json!("c3.large");
    record["placement"] = json!({ "region": "cellar", "availability-zone": "cellar-1a" });
    record["public-keys"] = json!({ "me": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host", "a=b": "ssh-rsa AAAAB3 you@host" });
    record["tags"] = json!({ "role": "web", "cost:center": "7" });
    record["user-data-file"] = json!("octets.bin");
    record["iam-role"] = json!("app");
    record["files"] = json!({ "/etc/motd": "hello" });
    lab.record("full", &record)?;
    let mut record = bare.record();
    record["options"] = json!({
        "http-tokens": "required",
        "dialects": ["ec2", "nocloud", "openstack"],
        "nocloud-prefix": "open",
    });
    lab.record("bare", &record)?;
    let mut record = empty.record();
    record["user-data"] = json!("");
    lab.record("empty", &record)?;
    let credentials = lab.directory().join("credentials.json");
    std::fs::write(&credentials, CREDENTIALS)?;
    std::fs::set_permissions(&credentials, Permissions::from_mode(0o600))?;
    let role = format!("[iam.app]\ncredentials-file = {credentials:?}");
    let daemon = lab.serve(&Settings {
        more: &role,
        ..Settings::default()
    })?;
    daemon.seated(&["full", "bare", "empty"])?;

    // At once: most of a run is waiting for tokens and connections to end.
    let reports = thread::scope(|scope| {
        let runs = [&full, &bare, &empty].map(|guest| scope.spawn(|| examined(guest, &daemon)));
        runs.map(|run| run.join().expect("no panic"))
    });
    let mut held: BTreeMap<String, bool> = BTreeMap::new();
    for report in reports {
        let report = report?;
        for row in report["rows"].as_array().context("no rows")? {
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            *held.entry(id).or_default() |= row["verdict"] == "pass";
        }
        needs::note(&format!(
            "{} rules held, {} did not apply",
            report["passed"], report["skipped"]
        ));
    }
    let never: Vec<&String> = held
        .iter()
        .filter(|(id, held)| !**held && !NOT_SHOWN.iter().any(|(name, _)| name == id))
        .map(|(id, _)| id)
        .collect();
    assert!(never.is_empty(), "looked at in no guest: {never:?}");
    Ok(())
}

/// Runs the suite in a guest; every rule must hold or not apply.
fn examined(guest: &Guest, daemon: &Daemon) -> Result<Value> {
    let suite = binary()?.with_file_name("xtask");
    let file = daemon
        .configuration()
        .with_file_name(format!("{}.json", guest.name()));
    let output = guest
        .space()
        .command(&suite.to_string_lossy())
        .args(["conformance", "--url", "http://169.254.169.254"])
        .arg("--json")
        .arg(&file)
        .output()
        .with_context(|| format!("cannot start {}", suite.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}\n{said}{complained}",
        guest.name(),
        output.status
    );
    let report: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    ensure!(report["failed"] == 0, "{}:\n{said}", guest.name());
    Ok(report)
}
