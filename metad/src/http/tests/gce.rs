//! Google's header rules, and its recursive form as a guest gets it.

use serde_json::{Value, json};

use super::*;
use crate::instance::Dialect;

const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");
const BASE: &str = "/computeMetadata/v1/";

fn guest(dialects: &[Dialect]) -> Guest {
    Guest::with(|instance| instance.options.dialects = dialects.iter().copied().collect())
}

fn google() -> Guest {
    guest(&[Dialect::Gce])
}

/// Asks through the whole decision with a query.
fn ask_with(guest: &Guest, path: &str, query: &str, headers: &[(&str, &str)]) -> Reply {
    guest.ask("GET", &format!("{path}?{query}"), headers)
}

fn json_of(reply: &Reply) -> Value {
    assert_eq!(
        header(reply, "content-type").as_deref(),
        Some("application/json")
    );
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn nothing_is_told_without_the_header_or_through_a_proxy() {
    for (case, headers, expected) in [
        ("none", &[][..], 403),
        ("Google's", &[FLAVOR], 200),
        ("in any case", &[("METADATA-FLAVOR", "google")], 200),
        (
            "the older one",
            &[("X-Google-Metadata-Request", "True")],
            200,
        ),
        ("another flavour", &[("Metadata-Flavor", "Vanilla")], 403),
        (
            "the older one, untrue",
            &[("X-Google-Metadata-Request", "False")],
            403,
        ),
        (
            "through a proxy",
            &[FLAVOR, ("X-Forwarded-For", "192.0.2.1")],
            403,
        ),
        (
            "through a shy proxy",
            &[FLAVOR, ("x-forwarded-for", "")],
            403,
        ),
    ] {
        for path in [
            BASE,
            "/computeMetadata/v1/instance/id",
            "/computeMetadata/v1/nowhere",
        ] {
            let expected = if expected == 200 && path.ends_with("nowhere") {
                404
            } else {
                expected
            };
            let reply = google().ask("GET", path, headers);
            assert_eq!(reply.status, expected, "{case} {path}");
            assert_eq!(
                header(&reply, "metadata-flavor").as_deref(),
                Some("Google"),
                "{case} {path}"
            );
            assert_eq!(
                header(&reply, "server").as_deref(),
                Some("Metadata Server for VM"),
                "{case}"
            );
        }
    }
}

#[test]
fn directories_are_lists_with_and_without_slash_and_never_redirect() {
    for (path, expected) in [
        ("/computeMetadata", "v1/"),
        ("/computeMetadata/v1", "instance/\nproject/"),
        (BASE, "instance/\nproject/"),
        (
            "/computeMetadata/v1/instance/attributes/",
            "role\nssh-keys\nuser-data",
        ),
        ("/computeMetadata/v1/project/attributes", ""),
    ] {
        let reply = google().ask("GET", path, &[FLAVOR]);
        assert_eq!(
            (reply.status.as_u16(), text(&reply)),
            (200, expected),
            "{path}"
        );
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("application/text"),
            "{path}"
        );
    }
    for path in [
        "/computeMetadata/v1/../v1",
        "/computeMetadata/v2/",
        "/computeMetadata/v1/instance/id/x",
    ] {
        assert_eq!(google().ask("GET", path, &[FLAVOR]).status, 404, "{path}");
    }
}

#[test]
fn only_reading_is_allowed() {
    for method in ["PUT", "POST", "DELETE", "OPTIONS"] {
        let path = "/computeMetadata/v1/instance/guest-attributes/hostkeys/x";
        let reply = google().ask(method, path, &[FLAVOR]);
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(header(&reply, "allow").as_deref(), Some("GET, HEAD"));
    }
    assert_eq!(google().ask("HEAD", BASE, &[FLAVOR]).status, 200);
}

#[test]
fn recursive_form_is_json_of_everything_below() {
    let at = |path: &str, query: &str| {
        let path = format!("/computeMetadata/v1/{path}");
        json_of(&ask_with(&google(), &path, query, &[FLAVOR]))
    };
    let attributes = json!({
        "role": "web",
        "ssh-keys": "cloudinit:ssh-ed25519 AAAA me@host\nadmin:ssh-ed25519 AAAA me@host\n\
                     cloudinit:ssh-rsa B\nadmin:ssh-rsa B",
        "user-data": "#cloud-config\n",
    });
    assert_eq!(
        at("instance/attributes/", "recursive=True"),
        attributes,
        "as cloud-init asks"
    );
    assert_eq!(at("project/attributes", "recursive=true"), json!({}));
    let network = "projects/0/networks/vpc-c764c68944dacbabe";
    let nics = json!([
        {"ip": "192.0.2.7", "mac": "52:54:00:00:00:01", "network": network},
        {"ip": "10.0.0.5", "mac": "52:54:00:00:00:02", "network": network, "subnetmask": "255.255.255.0"},
    ]);
    assert_eq!(
        at("instance/network-interfaces", "recursive=true&alt=json"),
        nics
    );
    let whole = at("", "timeout_sec=60&recursive=true&alt=json&last_etag=0");
    let expected = json!({
        "instance": {
            "attributes": attributes,
            "description": "",
            "disks": [{"deviceName": "vda", "index": 0}, {"deviceName": "vdb", "index": 1}],
            "hostname": "web1.internal",
            "id": 3_259_341_669_838_212_u64,
            "machineType": "projects/0/machineTypes/c3.large",
            "name": "web1",
            "networkInterfaces": nics,
            "tags": [],
            "zone": "projects/0/zones/rack-7",
        },
        "project": {"attributes": {}, "numericProjectId": 0, "projectId": "000000000000"},
    });
    assert_eq!(whole, expected);
}

#[test]
fn query_chooses_the_form() {
    let ask = |path: &str, query: &str| {
        let path = format!("/computeMetadata/v1/{path}");
        let reply = ask_with(&google(), &path, query, &[FLAVOR]);
        (reply.status.as_u16(), text(&reply).to_owned())
    };
    for (path, query, expected) in [
        ("project", "", "attributes/\nnumeric-project-id\nproject-id"),
        (
            "project",
            "recursive=false",
            "attributes/\nnumeric-project-id\nproject-id",
        ),
        (
            "project",
            "recursive=true&alt=text",
            "numeric-project-id 0\nproject-id 000000000000",
        ),
        (
            "project",
            "alt=json",
            "attributes/\nnumeric-project-id\nproject-id",
        ),
        ("project/project-id", "recursive=true", "000000000000"),
        ("project/project-id", "alt=json", "\"000000000000\""),
        ("project/project-id", "alt=%6ason", "\"000000000000\""),
        ("project/numeric-project-id", "alt=json", "0"),
        ("project/project-id", "alt=text", "000000000000"),
        ("instance/attributes/role", "alt=json", "\"web\""),
        ("instance/tags", "alt=json", "[]"),
    ] {
        assert_eq!(
            ask(path, query),
            (200, expected.to_owned()),
            "{path}?{query}"
        );
    }
    assert_eq!(ask("project", "alt=xml").0, 400);
}

#[test]
fn caller_without_an_ipv4_address_is_told_none() {
    let guest = google();
    let path = "/computeMetadata/v1/instance/network-interfaces/0";
    let target = Target::new(path)
        .unwrap()
        .with_query(Some("recursive=true"));
    let reply = decide(&Ask {
        method: &Method::GET,
        target: &target,
        headers: &header_map(&[FLAVOR]),
        instance: &guest.instance,
        answers: &guest.answers,
        address: None,
        signer: &guest.signer,
        wall: WALL,
        ipv6: true,
        asker: Asker::Administrator,
    });
    assert_eq!(json_of(&reply).get("ip"), None);
}

#[test]
fn root_says_where_the_guest_is() {
    let both = guest(&[Dialect::Ec2, Dialect::Gce]);
    for (case, guest, headers, expected) in [
        ("alone", google(), &[][..], Some("computeMetadata/")),
        (
            "alone, asked",
            google(),
            &[FLAVOR],
            Some("computeMetadata/"),
        ),
        ("with EC2", both, &[], None),
        (
            "with EC2, asked",
            guest(&[Dialect::Ec2, Dialect::Gce]),
            &[FLAVOR],
            Some("computeMetadata/"),
        ),
    ] {
        let reply = guest.ask("GET", "/", headers);
        assert_eq!(reply.status, 200, "{case}");
        assert_eq!(
            header(&reply, "metadata-flavor").as_deref(),
            Some("Google"),
            "{case}"
        );
        match expected {
            Some(expected) => assert_eq!(text(&reply), expected, "{case}"),
            None => assert!(text(&reply).starts_with("1.0\n"), "{case}"),
        }
    }
    let reply = Guest::new().ask("GET", "/", &[FLAVOR]);
    assert_eq!(
        header(&reply, "metadata-flavor").as_deref(),
        None,
        "no guest of Google's"
    );
    assert_eq!(google().get("/latest/meta-data/").status, 403);
}
