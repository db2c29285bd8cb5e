//! Edge cases of both dialects, and what every reply looks like.

use super::*;

#[test]
fn one_path_has_many_spellings() {
    let guest = Guest::new();
    for (path, status) in [
        ("/latest/meta-data", 200),
        ("/latest/meta-data/", 200),
        ("/latest/meta-data/instance-id/", 200),
        ("//latest//meta-data///instance-id//", 200),
        ("//", 200),
        ("/latest/user-data/", 200),
        ("/latest/dynamic/instance-identity", 200),
        ("/latest/dynamic/instance-identity/document/", 200),
        (
            "/latest/meta-data/network/interfaces/macs/52%3A54%3a00:00:00:01/mac",
            200,
        ),
        (
            "/latest/meta-data/network/interfaces/macs/52:54:00:00:00:0A/mac",
            404,
        ),
        ("/latest/meta-data/Instance-id", 404),
        ("/latest/meta-data/instance-id/x", 404),
        ("/latest/meta-data/iam/", 404),
        ("/latest/meta-data/spot/instance-action", 404),
        ("/latest/meta-data/public-keys/7/", 404),
        ("/latest/./meta-data/", 404),
        ("/latest/meta-data/..", 404),
        ("/latest/%2e%2e/latest/meta-data/", 404),
        ("/latest/meta-data/%2E", 404),
        ("/latest/meta-data/instance-id%00", 400),
        ("/latest/%0d%0aX-Y:%20z", 400),
        ("/latest/%7f", 400),
        ("/nocloud/meta-data/", 200),
        ("/nocloud//user-data", 200),
        ("/nocloud/../nocloud/user-data", 404),
        ("/nocloud/%00", 400),
        ("/nocloud/latest", 404),
        ("/nocloud/meta-data/x", 404),
    ] {
        assert_eq!(guest.get(path).status, status, "{path}");
    }
}

#[test]
fn absent_and_empty_user_data_differ_and_nocloud_wants_neither() {
    for (case, user_data, ec2, length) in [
        ("none", None, 404, None),
        ("empty", Some(""), 200, Some("0")),
        ("some", Some("x"), 200, Some("1")),
    ] {
        let guest = Guest::with(|instance| instance.user_data = user_data.map(Into::into));
        let reply = guest.get("/latest/user-data");
        assert_eq!(reply.status, ec2, "{case}");
        if length.is_some() {
            assert_eq!(
                header(&reply, "content-length").as_deref(),
                length,
                "{case}"
            );
        }
        let listed = text(&guest.get("/latest/")).contains("user-data");
        assert_eq!(listed, ec2 == 200, "{case}");
        let reply = guest.get("/nocloud/user-data");
        assert_eq!(reply.status, 200, "{case}");
        assert_eq!(text(&reply), user_data.unwrap_or_default(), "{case}");
    }
}

#[test]
fn user_data_goes_out_octet_for_octet() {
    let octets = b"\x1f\x8b\x08\0\xff\xfe\r\n\0";
    let guest = Guest::with(|instance| instance.user_data = Some(octets.to_vec().into()));
    for path in ["/latest/user-data", "/nocloud/user-data"] {
        let headers = [
            ("accept", "application/json"),
            ("accept-encoding", "gzip"),
            ("range", "bytes=0-1"),
        ];
        let reply = guest.ask("GET", path, &headers);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(&reply.body[..], octets, "{path}");
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("application/octet-stream")
        );
        assert_eq!(header(&reply, "accept-ranges").as_deref(), Some("bytes"));
        assert_eq!(header(&reply, "content-encoding").as_deref(), None);
    }
}

#[test]
fn success_looks_like_ec2s() {
    let reply = Guest::new().get("/latest/meta-data/instance-id");
    for (name, expected) in [
        ("content-type", "text/plain"),
        ("content-length", "19"),
        ("server", "EC2ws"),
        ("accept-ranges", "none"),
    ] {
        assert_eq!(header(&reply, name).as_deref(), Some(expected), "{name}");
    }
    let modified = header(&reply, "last-modified").unwrap();
    assert!(httpdate::parse_http_date(&modified).is_ok(), "{modified}");
    assert_eq!(
        header(&reply, TTL).as_deref(),
        None,
        "no token, no time left"
    );
}

#[test]
fn accept_does_not_change_the_body() {
    let guest = Guest::new();
    let plain = guest.get("/latest/meta-data/");
    let reply = guest.ask(
        "GET",
        "/latest/meta-data/",
        &[("accept", "application/json")],
    );
    assert_eq!(reply.body, plain.body);
    assert_eq!(
        header(&reply, "content-type").as_deref(),
        Some("text/plain")
    );
}

#[test]
fn refusals_are_one_line_with_a_title() {
    let put = |headers: &[(&str, &str)]| Guest::new().ask("PUT", "/latest/api/token", headers);
    for (reply, title) in [
        (put(&[]), "400 - Bad Request"),
        (Guest::required().get("/"), "401 - Unauthorized"),
        (Guest::disabled().get("/"), "403 - Forbidden"),
        (Guest::new().get("/x"), "404 - Not Found"),
    ] {
        let body = text(&reply);
        assert_eq!(body.lines().count(), 1, "{body}");
        assert!(body.contains(&format!("<title>{title}</title>")), "{body}");
        assert_eq!(header(&reply, "content-type").as_deref(), Some("text/html"));
        assert!(reply.reason.is_some(), "{title}");
        assert_eq!(header(&reply, "x-metad-reason").as_deref(), None, "{title}");
    }
}

#[test]
fn nocloud_knows_no_tokens_and_no_switch() {
    for guest in [Guest::new(), Guest::required(), Guest::disabled()] {
        for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
            let path = format!("/nocloud/{name}");
            for headers in [&[][..], &[(TOKEN, "bad")], &[("x-forwarded-for", "x")]] {
                let reply = guest.ask("GET", &path, headers);
                assert_eq!(reply.status, 200, "{name} {headers:?}");
            }
            for method in ["PUT", "POST", "DELETE", "OPTIONS"] {
                let reply = guest.ask(method, &path, &[]);
                assert_eq!(reply.status, 405, "{method} {name}");
                assert_eq!(header(&reply, "allow").as_deref(), Some("GET, HEAD"));
            }
        }
        assert_eq!(guest.get("/nocloud/").status, 200);
        assert_eq!(guest.get("/nocloud/other").status, 404);
    }
}

#[test]
fn address_that_the_kernel_forgot_is_asked_for_again() {
    let guest = Guest::new();
    let ask = |path: &str, address| {
        decide(&Ask {
            method: &Method::GET,
            target: &Target::new(path).unwrap(),
            headers: &HeaderMap::new(),
            instance: &guest.instance,
            answers: &guest.answers,
            address,
            signer: &guest.signer,
            wall: WALL,
            ipv6: false,
            asker: Asker::Administrator,
        })
    };
    let path = "/latest/meta-data/local-ipv4";
    assert_eq!(text(&ask(path, Some(CALLER))), "192.0.2.7");
    let reply = ask(path, None);
    assert_eq!(reply.status, 503);
    assert_eq!(header(&reply, "retry-after").as_deref(), Some("1"));
    assert_eq!(ask("/latest/meta-data/mac", None).status, 200);
}
