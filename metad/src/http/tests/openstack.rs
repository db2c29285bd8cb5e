//! OpenStack's rows of the table of edge cases, and what is OpenStack's alone.

use bytes::Bytes;

use super::*;
use crate::instance::{ContentFile, Dialect, Switch};

const BASE: &str = "/openstack/latest/";

fn lets_passwords_in() -> Guest {
    Guest::with(|instance| instance.options.password = Switch::Enabled)
}

fn status(guest: &Guest, method: &str, path: &str) -> u16 {
    guest.ask(method, path, &[]).status.as_u16()
}

#[test]
fn openstack_no_user_data_is_404_and_empty_user_data_is_200() {
    for (case, user_data, expected) in [
        ("none", None, 404),
        ("empty", Some(""), 200),
        ("some", Some("x"), 200),
    ] {
        let guest = Guest::with(|instance| instance.user_data = user_data.map(Into::into));
        let reply = guest.get("/openstack/latest/user_data");
        assert_eq!(reply.status, expected, "{case}");
        if let Some(text) = user_data {
            let length = text.len().to_string();
            assert_eq!(
                header(&reply, "content-length").as_deref(),
                Some(length.as_str()),
                "{case}"
            );
        }
        let listed = text(&guest.get(BASE)).contains("user_data");
        assert_eq!(listed, expected == 200, "{case}");
    }
}

#[test]
fn openstack_binary_user_data_is_raw() {
    let octets = b"\x1f\x8b\x08\0\xff\r\n";
    let guest = Guest::with(|instance| instance.user_data = Some(octets.to_vec().into()));
    let headers = [
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("range", "bytes=0-1"),
    ];
    let reply = guest.ask("GET", "/openstack/2012-08-10/user_data", &headers);
    assert_eq!(reply.status, 200);
    assert_eq!(&reply.body[..], octets);
    assert_eq!(
        header(&reply, "content-type").as_deref(),
        Some("application/octet-stream")
    );
    assert_eq!(header(&reply, "content-encoding").as_deref(), None);
}

#[test]
fn openstack_missing_category_is_404() {
    for path in [
        "nothing",
        "meta-data",
        "user-data",
        "meta_data",
        "content",
        "content/0000",
    ] {
        assert_eq!(
            status(&Guest::new(), "GET", &format!("{BASE}{path}")),
            404,
            "{path}"
        );
    }
    assert_eq!(status(&Guest::new(), "GET", "/openstack/content"), 404);
    assert_eq!(status(&Guest::new(), "GET", "/openstack/content/0000"), 404);
}

#[test]
fn openstack_directory_without_slash_and_leaf_with_slash_are_200() {
    let guest = Guest::new();
    for path in ["/openstack", "/openstack/", "/openstack/latest", BASE] {
        assert_eq!(status(&guest, "GET", path), 200, "{path}");
    }
    for path in ["user_data", "vendor_data.json"] {
        let plain = guest.get(&format!("{BASE}{path}"));
        let slashed = guest.get(&format!("{BASE}{path}/"));
        assert_eq!(
            (plain.status, &plain.body),
            (slashed.status, &slashed.body),
            "{path}"
        );
    }
}

#[test]
fn openstack_slashes_are_collapsed_and_dots_are_404_and_controls_400() {
    for (path, expected) in [
        ("//openstack", 200),
        ("//openstack//latest///user_data//", 200),
        ("/openstack/./latest", 404),
        ("/openstack/latest/..", 404),
        ("/openstack/latest/%2e%2e/latest/user_data", 404),
        ("/openstack/latest/%00", 400),
        ("/openstack/%0d%0a", 400),
    ] {
        assert_eq!(status(&Guest::new(), "GET", path), expected, "{path}");
    }
}

#[test]
fn openstack_post_delete_patch_and_options_are_405_but_for_the_password() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in [
            "/openstack",
            BASE,
            "/openstack/latest/meta_data.json",
            "/openstack/nowhere",
        ] {
            let reply = lets_passwords_in().ask(method, path, &[]);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(
                header(&reply, "allow").as_deref(),
                Some("GET, HEAD"),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn openstack_unknown_and_future_versions_are_404() {
    let guest = Guest::new();
    let listing = guest.get("/openstack");
    let expected = "2012-08-10\n2013-04-04\n2013-10-17\n2015-10-15\n2016-06-30\n2016-10-06\n2017-02-22\n\
                    2018-08-27\n2020-10-14\n2025-04-04\nlatest";
    assert_eq!(text(&listing), expected);
    assert_eq!(
        header(&listing, "content-type").as_deref(),
        Some("text/plain")
    );
    for version in expected.split('\n') {
        let path = format!("/openstack/{version}/meta_data.json");
        let reply = guest.get(&path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("application/json"),
            "{path}"
        );
    }
    for version in ["2009-04-04", "2030-01-01", "Latest", "2012-08-11", "1.0"] {
        let path = format!("/openstack/{version}");
        assert_eq!(status(&guest, "GET", &path), 404, "{version}");
        assert_eq!(
            status(&guest, "GET", &format!("{path}/user_data")),
            404,
            "{version}"
        );
    }
}

#[test]
fn openstack_tokens_and_proxies_are_ignored() {
    let wanting = Guest::with(|instance| {
        instance.options.http_tokens = HttpTokens::Required;
        instance.options.endpoint = Endpoint::Disabled;
    });
    for headers in [
        &[][..],
        &[(TOKEN, "bad")],
        &[("x-forwarded-for", "192.0.2.1")],
        &[("x-instance-id", "other")],
    ] {
        let reply = wanting.ask("GET", "/openstack/latest/user_data", headers);
        assert_eq!(reply.status, 200, "{headers:?}");
    }
}

#[test]
fn openstack_that_is_off_is_404() {
    let guest = Guest::with(|instance| {
        instance.options.dialects = [Dialect::Ec2].into_iter().collect();
    });
    for path in [
        "/openstack",
        BASE,
        "/openstack/latest/password",
        "/openstack/content/0000",
    ] {
        assert_eq!(status(&guest, "GET", path), 404, "{path}");
        assert_eq!(status(&guest, "POST", path), 404, "{path}");
    }
}

#[test]
fn openstack_files_stand_beside_the_versions() {
    let guest = Guest::with(|instance| {
        let file = |path: &str, content: &'static [u8]| ContentFile {
            path: path.into(),
            content: Bytes::from_static(content),
        };
        instance.files = vec![file("/etc/motd", b"hello\n"), file("/x", b"\xff\0")];
    });
    for (path, expected) in [
        ("/openstack/content/0000", Some(&b"hello\n"[..])),
        ("/openstack/content/0001", Some(b"\xff\0")),
        ("/openstack/content/0002", None),
        ("/openstack/content/0", None),
        ("/openstack/content", None),
        ("/openstack/latest/content/0000", None),
    ] {
        let reply = guest.get(path);
        assert_eq!(reply.status == 200, expected.is_some(), "{path}");
        if let Some(expected) = expected {
            assert_eq!(&reply.body[..], expected, "{path}");
            assert_eq!(
                header(&reply, "content-type").as_deref(),
                Some("application/octet-stream")
            );
        }
    }
}

#[test]
fn guest_of_openstack_alone_finds_an_empty_list_instead_of_ec2s() {
    let only = |dialects: &[Dialect]| {
        Guest::with(|instance| instance.options.dialects = dialects.iter().copied().collect())
    };
    let alone = only(&[Dialect::OpenStack]);
    let reply = alone.get("/latest/meta-data/");
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0));
    for path in [
        "/",
        "/latest",
        "/latest/user-data",
        "/latest/meta-data/instance-id",
        "/1.0/meta-data",
    ] {
        assert_eq!(status(&alone, "GET", path), 403, "{path}");
    }
    assert_eq!(status(&alone, "PUT", "/latest/meta-data/"), 403);
    let neither = only(&[Dialect::Gce]);
    assert_eq!(status(&neither, "GET", "/latest/meta-data/"), 403);
    assert_eq!(
        status(&Guest::disabled(), "GET", "/latest/meta-data/"),
        403,
        "closed on purpose"
    );
    let both = only(&[Dialect::OpenStack, Dialect::Ec2]);
    assert!(!both.get("/latest/meta-data/").body.is_empty());
}

#[test]
fn password_may_be_left_where_the_owner_wants_one() {
    let path = "/openstack/latest/password";
    for (guest, allowed, expected) in [
        (Guest::new(), "GET, HEAD", 405),
        (lets_passwords_in(), "GET, HEAD, POST", 200),
    ] {
        assert_eq!(status(&guest, "GET", path), 200);
        assert_eq!(status(&guest, "POST", path), expected);
        let refused = guest.ask("DELETE", path, &[]);
        assert_eq!(header(&refused, "allow").as_deref(), Some(allowed));
    }
    let reply = lets_passwords_in().ask("POST", path, &[]);
    assert_eq!(reply.errand, Some(Errand::KeepPassword));
    for path in [
        "/openstack/2012-08-10/password",
        "/openstack/2030-01-01/password",
    ] {
        assert_eq!(status(&lets_passwords_in(), "GET", path), 404, "{path}");
        assert_eq!(status(&lets_passwords_in(), "POST", path), 405, "{path}");
    }
}
