//! What is signed: for whom, when, and for nobody else.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::signer::{Form, Proofs};

const IDENTITY: &str = "/latest/dynamic/instance-identity";
const JWT: &str = "/latest/dynamic/instance-identity/jwt?audience=vault";

fn ask_jwt(guest: &Guest, path: &str) -> Reply {
    guest.ask("GET", path, &[(TOKEN, &guest.token(60))])
}

#[test]
fn proofs_are_listed_and_have_lines_of_base64() {
    let guest = Guest::new();
    let listing = guest.get(&format!("{IDENTITY}/"));
    assert_eq!(text(&listing), "document\nrsa2048\nsignature");
    for (name, least) in [("signature", 256), ("rsa2048", 600)] {
        let reply = guest.get(&format!("{IDENTITY}/{name}"));
        assert_eq!(reply.status, 200, "{name}");
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("text/plain"),
            "{name}"
        );
        assert!(text(&reply).lines().all(|line| line.len() <= 76), "{name}");
        let octets = STANDARD.decode(text(&reply).replace('\n', "")).unwrap();
        assert!(octets.len() >= least, "{name}: {}", octets.len());
        let old = guest.get(&format!("/2009-04-04/dynamic/instance-identity/{name}"));
        assert_eq!(old.body, reply.body, "{name}: the same in every version");
    }
    assert_eq!(guest.get(&format!("{IDENTITY}/pkcs7")).status, 404);
}

#[test]
fn proof_is_of_the_document_that_the_caller_gets() {
    let guest = Guest::with(|instance| instance.nics[0].addresses.clear());
    let ask = |address, ipv6, name: &str| {
        let reply = decide(&Ask {
            method: &Method::GET,
            target: &Target::new(&format!("{IDENTITY}/{name}")).unwrap(),
            headers: &HeaderMap::new(),
            instance: &guest.instance,
            answers: &guest.answers,
            address,
            ipv6,
            signer: &guest.signer,
            wall: WALL,
            asker: Asker::Administrator,
        });
        (reply.status.as_u16(), reply.body)
    };
    let at = |octets: [u8; 4]| Some(Ipv4Addr::from(octets));
    let mut seen = Vec::new();
    for (address, ipv6, expected) in [
        (at([192, 0, 2, 7]), false, "\"192.0.2.7\""),
        (at([192, 0, 2, 8]), false, "\"192.0.2.8\""),
        (at([192, 0, 2, 7]), false, "\"192.0.2.7\""),
        (at([169, 254, 3, 4]), false, "null"),
        (None, true, "null"),
    ] {
        let case = format!("{address:?} {ipv6}");
        let (_, document) = ask(address, ipv6, "document");
        let line = format!("\n  \"privateIp\" : {expected},\n");
        let text = String::from_utf8(document.to_vec()).unwrap();
        assert!(text.contains(&line), "{case}: {text}");
        for (name, form) in [("signature", Form::Signature), ("rsa2048", Form::Rsa2048)] {
            let proof = Proofs::default().of(&document, form, &guest.signer, None);
            assert_eq!(
                ask(address, ipv6, name),
                (200, proof.unwrap()),
                "{case} {name}"
            );
        }
        seen.push(ask(address, ipv6, "signature"));
    }
    assert_ne!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let unknown = ask(None, false, "signature").0;
    assert_eq!(unknown, 503, "no document, no signature");
}

#[test]
fn guest_that_keeps_asking_for_new_signatures_is_told_to_wait() {
    let guest = Guest::new();
    let mut granted = 0;
    let refused = loop {
        let reply = ask_jwt(&guest, JWT);
        if reply.status != 200 {
            break reply;
        }
        granted += 1;
        assert!(granted < 100);
    };
    assert_eq!(refused.status, 503);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("1"));
    assert!(granted >= 10, "{granted}");
    let data = guest.get("/latest/meta-data/instance-id");
    assert_eq!(data.status, 200, "all else answers");
}

#[test]
fn identity_token_is_for_the_guest_with_a_session_token() {
    for guest in [Guest::new(), Guest::required()] {
        let session = guest.token(60);
        let with = [(TOKEN, session.as_str())];
        let proxied = [(TOKEN, session.as_str()), ("x-forwarded-for", "")];
        let foreign = [(TOKEN, "x")];
        for (case, method, headers, path, expected) in [
            ("as it should", "GET", &with[..], JWT, 200),
            ("only to see", "HEAD", &with, JWT, 200),
            ("without a token", "GET", &[], JWT, 401),
            ("with a wrong one", "GET", &foreign, JWT, 401),
            ("through a proxy", "GET", &proxied, JWT, 403),
            ("as a PUT", "PUT", &with, JWT, 405),
            (
                "an old version",
                "GET",
                &with,
                "/1.0/dynamic/instance-identity/jwt?audience=a",
                200,
            ),
            (
                "no version",
                "GET",
                &with,
                "/0.1/dynamic/instance-identity/jwt?audience=a",
                404,
            ),
            ("no audience", "GET", &with, &JWT[..JWT.len() - 15], 400),
            ("an empty one", "GET", &with, &JWT[..JWT.len() - 5], 400),
            ("two", "GET", &with, &format!("{JWT}&audience=b"), 400),
            (
                "dots",
                "GET",
                &with,
                "/latest/dynamic/./instance-identity/jwt?audience=a",
                404,
            ),
            (
                "below it",
                "GET",
                &with,
                "/latest/dynamic/instance-identity/jwt/x?audience=a",
                404,
            ),
            (
                "first of all a token",
                "GET",
                &[],
                &JWT[..JWT.len() - 15],
                401,
            ),
        ] {
            let reply = guest.ask(method, path, headers);
            assert_eq!(reply.status, expected, "{case}: {:?}", reply.reason);
        }
    }
    assert_eq!(ask_jwt(&Guest::disabled(), JWT).status, 403);
}

#[test]
fn identity_token_names_the_instance_and_the_audience() {
    let guest = Guest::new();
    let reply = ask_jwt(&guest, JWT);
    assert_eq!(header(&reply, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(header(&reply, TTL).as_deref(), Some("60"));
    let payload = text(&reply).split('.').nth(1).unwrap();
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    for (claim, expected) in [
        ("iss", json!("urn:metad:sample")),
        ("aud", json!("vault")),
        ("iat", json!(0)),
        ("exp", json!(300)),
        ("instance_name", json!("web1")),
        ("instance_id", json!(guest.instance.instance_id)),
    ] {
        assert_eq!(payload[claim], expected, "{claim}");
    }
}

#[test]
fn administrator_gets_no_identity_token() {
    let guest = Guest::new();
    let ask = |path: &str| {
        answer_as(
            &guest.signer,
            &guest.instance,
            &guest.answers,
            Some(CALLER),
            &Method::GET,
            path,
            &HeaderMap::new(),
        )
    };
    let (status, headers, _) = ask(JWT);
    assert_eq!(status, 403);
    let reason = "identity tokens are handed to the guest alone";
    assert_eq!(headers[REASON], reason);
    assert_eq!(ask(&format!("{IDENTITY}/signature")).0, 200);
}
