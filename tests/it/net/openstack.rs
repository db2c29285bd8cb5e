//! OpenStack and the other layouts as a guest reads them with curl.

use std::fmt::Write as _;

use anyhow::Result;
use metad_tests::lab::{Guest, Settings};
use metad_tests::needs;
use serde_json::{Value, json};

use super::{guest, host_with_bridge};

/// What curl gets: the status and the body.
fn curl(guest: &Guest, words: &str, path: &str) -> Result<(u16, String)> {
    let mut line = "curl --silent --max-time 30 --write-out \\n%{http_code}".to_owned();
    let _ = write!(line, " {words} http://169.254.169.254{path}");
    let said = guest.space().output(&line)?;
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    Ok((status.parse()?, body.to_owned()))
}

#[test]
fn openstack_is_read_with_curl_and_a_password_left_once() -> Result<()> {
    if !needs::sandbox() || !needs::program("curl") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut record = alice.record();
    record["files"] = json!({"/etc/motd": "hello\n"});
    record["user-data"] = json!("#cloud-config\n");
    record["options"] = json!({"password": "enabled"});
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;

    let get = |path: &str| curl(&alice, "", path);
    let (status, versions) = get("/openstack")?;
    assert_eq!((status, versions.lines().count()), (200, 11));
    let (status, text) = get("/openstack/latest/meta_data.json")?;
    let data: Value = serde_json::from_str(&text)?;
    assert_eq!((status, &data["hostname"]), (200, &json!("alice")));
    assert_eq!(
        data["files"],
        json!([{"path": "/etc/motd", "content_path": "/content/0000"}])
    );
    let (_, text) = get("/openstack/latest/network_data.json")?;
    let network: Value = serde_json::from_str(&text)?;
    assert_eq!(
        network["links"][0]["ethernet_mac_address"],
        record["nics"][0]["mac"]
    );
    for (path, expected) in [
        ("/openstack/content/0000", (200, "hello\n")),
        ("/openstack/content/0001", (404, "")),
        ("/openstack/2012-08-10/user_data", (200, "#cloud-config\n")),
        ("/openstack/2012-08-10/password", (404, "")),
        ("/openstack/1999-01-01/", (404, "")),
        ("/openstack/latest/password", (200, "")),
    ] {
        let (status, body) = get(path)?;
        assert_eq!(status, expected.0, "{path}");
        assert!(status != 200 || body == expected.1, "{path}: {body}");
    }

    let path = "/openstack/latest/password";
    let post = |guest: &Guest, word: &str| curl(guest, &format!("--data {word}"), path);
    assert_eq!(post(&alice, "first")?.0, 200);
    assert_eq!(post(&alice, "second")?.0, 409);
    assert_eq!(get(path)?, (200, "first".to_owned()));
    assert_eq!(post(&bob, "first")?.0, 405, "its owner wants none");
    assert_eq!(
        curl(&bob, "", path)?,
        (200, String::new()),
        "another's is not told"
    );
    Ok(())
}

#[test]
fn google_answers_its_own_guests_alone() -> Result<()> {
    if !needs::sandbox() || !needs::program("curl") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let (alice, bob) = (guest(&lab, "alice", 5)?, guest(&lab, "bob", 6)?);
    let mut record = alice.record();
    record["options"] = json!({"dialects": ["gce"]});
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice", "bob"])?;

    let path = "/computeMetadata/v1/instance/hostname";
    let flavor = "--header Metadata-Flavor:Google";
    assert_eq!(curl(&alice, flavor, path)?, (200, "alice".to_owned()));
    assert_eq!(curl(&alice, "", path)?.0, 403);
    assert_eq!(curl(&bob, flavor, path)?.0, 404);
    let path = "/computeMetadata/v1/instance/network-interfaces/?recursive=true";
    let (status, text) = curl(&alice, flavor, path)?;
    let nics: Value = serde_json::from_str(&text)?;
    assert_eq!((status, &nics[0]["ip"]), (200, &json!("10.77.0.5")));
    Ok(())
}
