//! What `metad query` shows: what the guest would read, and never a token.

use super::*;

fn query(
    guest: &Guest,
    method: &str,
    target: &str,
    address: Option<Ipv4Addr>,
) -> (u16, HeaderMap, Bytes) {
    let (status, headers, body) = answer_as(
        &guest.signer,
        &guest.instance,
        &guest.answers,
        address,
        &method.parse().unwrap(),
        target,
        &HeaderMap::new(),
    );
    (status.as_u16(), headers, body)
}

#[test]
fn administrator_reads_as_with_a_valid_token() {
    for (target, status) in [
        ("/latest/meta-data/instance-id", 200),
        ("latest/meta-data/instance-id", 200),
        ("http://169.254.169.254//latest/meta-data/?x=y", 200),
        ("/", 200),
        ("", 200),
        ("/nowhere", 404),
        ("/latest/%00", 400),
        ("/latest/ x", 400),
        ("http://", 400),
        ("/nocloud/meta-data", 200),
    ] {
        let (read, headers, _) = query(&Guest::required(), "GET", target, None);
        assert_eq!(read, status, "{target}");
        assert_eq!(headers.contains_key(&REASON), status != 200, "{target}");
    }
    assert_eq!(query(&Guest::disabled(), "GET", "/", None).0, 403);
}

#[test]
fn administrator_gets_no_token() {
    let (status, headers, body) = answer_as(
        &keys::signer(),
        &Guest::new().instance,
        &Guest::new().answers,
        None,
        &Method::PUT,
        "/latest/api/token",
        &header_map(&[(TTL, "60")]),
    );
    assert_eq!(status, 403);
    assert_eq!(headers[REASON], "tokens are handed to the guest alone");
    assert!(body.starts_with(b"<html>"));
}

#[test]
fn head_has_the_length_and_no_body() {
    let (status, headers, body) = query(&Guest::new(), "HEAD", "/latest/user-data", None);
    assert_eq!(status, 200);
    assert_eq!(headers["content-length"], "14");
    assert!(body.is_empty());
}

#[test]
fn unknown_address_is_said_to_be_unknown() {
    let (status, headers, _) = query(&Guest::new(), "GET", "/latest/meta-data/local-ipv4", None);
    assert_eq!(status, 503);
    assert!(headers[REASON].to_str().unwrap().contains("address"));
    let (status, _, body) = query(
        &Guest::new(),
        "GET",
        "/latest/meta-data/local-ipv4",
        Some(CALLER),
    );
    assert_eq!((status, &body[..]), (200, &b"192.0.2.7"[..]));
}
