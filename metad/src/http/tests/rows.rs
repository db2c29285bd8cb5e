//! Every row of the edge cases that EC2 and NoCloud can be told apart by; those of the connection itself are the
//! listener's (`listen/tests`), those of a configuration its readers' (`record/payload`).

use super::*;
use crate::instance::{Dialect, Dialects};

const EC2: &str = "/latest/user-data";
const NOCLOUD: &str = "/nocloud/user-data";

fn with_user_data(octets: Option<&'static [u8]>) -> Guest {
    Guest::with(|instance| instance.user_data = octets.map(|it| Bytes::from_static(it).into()))
}

#[track_caller]
fn assert_status(guest: &Guest, method: &str, rows: &[(&str, u16)]) {
    for (path, status) in rows {
        let reply = guest.ask(method, path, &[(TTL, "60")]);
        assert_eq!(reply.status, *status, "{method} {path}");
    }
}

#[test]
fn no_user_data() {
    let guest = with_user_data(None);
    assert_status(&guest, "GET", &[(EC2, 404), (NOCLOUD, 200)]);
    assert_eq!(
        header(&guest.get(NOCLOUD), "content-length").as_deref(),
        Some("0")
    );
    assert_eq!(text(&guest.get("/latest/")), "dynamic\nmeta-data");
}

#[test]
fn empty_user_data_stored() {
    let guest = with_user_data(Some(b""));
    for path in [EC2, NOCLOUD] {
        let reply = guest.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(
            header(&reply, "content-length").as_deref(),
            Some("0"),
            "{path}"
        );
        assert!(reply.body.is_empty(), "{path}");
    }
    assert_eq!(
        text(&guest.get("/latest/")),
        "dynamic\nmeta-data\nuser-data"
    );
}

#[test]
fn gzip_binary_and_non_utf8_user_data() {
    for octets in [&b"\x1f\x8b\x08\0rest"[..], b"\0\x01\r\n", b"\xff\xfe"] {
        let guest = with_user_data(Some(octets));
        for path in [EC2, NOCLOUD] {
            let reply = guest.get(path);
            assert_eq!(&reply.body[..], octets, "{path}");
            let kind = header(&reply, "content-type");
            assert_eq!(kind.as_deref(), Some("application/octet-stream"), "{path}");
        }
    }
}

#[test]
fn missing_category() {
    let rows = [
        ("/latest/meta-data/elastic-gpus", 404),
        ("/latest/meta-data/spot/termination-time", 404),
        ("/latest/meta-data/managed-ssh-keys/active-keys/root/", 404),
        ("/nocloud/other", 404),
        ("/nocloud/vendor-data", 200),
        ("/nocloud/network-config", 200),
    ];
    assert_status(&Guest::new(), "GET", &rows);
    assert_status(&Guest::new(), "HEAD", &rows);
}

#[test]
fn directory_without_slash() {
    let guest = Guest::new();
    for path in [
        "/latest",
        "/latest/meta-data",
        "/latest/dynamic/instance-identity",
    ] {
        let reply = guest.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.body, guest.get(&format!("{path}/")).body, "{path}");
    }
}

#[test]
fn leaf_with_slash() {
    let guest = Guest::new();
    for path in ["/latest/meta-data/instance-id", EC2, NOCLOUD] {
        let reply = guest.get(&format!("{path}/"));
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.body, guest.get(path).body, "{path}");
    }
}

#[test]
fn doubled_slashes_anywhere() {
    for (guest, status) in [(Guest::new(), 200), (Guest::required(), 401)] {
        for path in ["//", "//latest///meta-data//", "/latest//user-data"] {
            assert_eq!(guest.get(path).status, status, "{path}");
        }
    }
    assert_eq!(Guest::new().get("//nocloud//user-data//").status, 200);
    assert_eq!(Guest::new().get("//x//").status, 404);
}

#[test]
fn dot_segments() {
    for dots in [".", "..", "%2e", "%2e%2e", ".%2E"] {
        let rows = [
            (&*format!("/latest/{dots}/latest/user-data"), 404),
            (&*format!("/latest/meta-data/{dots}"), 404),
            (&*format!("/nocloud/{dots}/user-data"), 404),
            (&*format!("/{dots}"), 404),
        ];
        assert_status(&Guest::new(), "GET", &rows);
    }
}

#[test]
fn control_characters_in_the_path() {
    for escape in ["%00", "%0a", "%1f", "%7f"] {
        let rows = [
            (&*format!("{EC2}{escape}"), 400),
            (&*format!("{NOCLOUD}{escape}"), 400),
        ];
        assert_status(&Guest::required(), "GET", &rows);
    }
}

#[test]
fn post_delete_and_patch() {
    for method in ["POST", "DELETE", "PATCH"] {
        assert_status(&Guest::required(), method, &[(EC2, 405), (NOCLOUD, 405)]);
        let reply = Guest::new().ask(method, NOCLOUD, &[]);
        assert_eq!(
            header(&reply, "allow").as_deref(),
            Some("GET, HEAD"),
            "{method}"
        );
    }
}

#[test]
fn options_method() {
    let rows = [(EC2, 405), (NOCLOUD, 405), ("/latest/api/token", 405)];
    assert_status(&Guest::new(), "OPTIONS", &rows);
}

#[test]
fn unknown_and_future_version() {
    let rows = [
        ("/2010-01-01/meta-data/", 404),
        ("/2099-01-01/meta-data/", 404),
        ("/2021-03-23/meta-data/", 200),
    ];
    assert_status(&Guest::new(), "GET", &rows);
}

#[test]
fn token_none_bad_expired_or_another_guests() {
    let foreign = Guest::with(|instance| instance.uuid = uuid::Uuid::from_u128(1)).token(60);
    for (guest, without) in [(Guest::new(), 200), (Guest::required(), 401)] {
        let old = guest.token(1);
        let late = BootTime(NOW.0 + Duration::from_secs(100));
        assert_eq!(guest.get(EC2).status, without, "none");
        for (case, token) in [("bad", "x"), ("expired", &old), ("foreign", &foreign)] {
            let headers = [(TOKEN, token)];
            let status = |path| guest.ask_at(late, "GET", path, &headers).status;
            assert_eq!(status(EC2), 401, "{case}");
            assert_eq!(status(NOCLOUD), 200, "{case}: ignored");
        }
    }
}

#[test]
fn time_to_live_out_of_bounds_or_no_number() {
    for (ttl, status) in [
        (Some("0"), 400),
        (Some("-1"), 400),
        (Some("21601"), 400),
        (Some("abc"), 400),
        (Some(""), 400),
        (None, 400),
        (Some(" 60 "), 200),
    ] {
        let headers: Vec<(&str, &str)> = ttl.map(|ttl| (TTL, ttl)).into_iter().collect();
        let reply = Guest::new().ask("PUT", "/latest/api/token", &headers);
        assert_eq!(reply.status, status, "{ttl:?}");
    }
}

#[test]
fn forwarded_for_on_put_and_get() {
    let forwarded = [(TTL, "60"), ("x-forwarded-for", "192.0.2.1")];
    let guest = Guest::new();
    let status = |method, path| guest.ask(method, path, &forwarded).status;
    assert_eq!(status("PUT", "/latest/api/token"), 403);
    assert_eq!(status("GET", EC2), 200);
    assert_eq!(status("GET", NOCLOUD), 200);
}

#[test]
fn accept_json_and_range_change_nothing() {
    let guest = Guest::new();
    for path in [EC2, NOCLOUD, "/latest/meta-data/", "/nocloud/meta-data"] {
        let plain = guest.get(path);
        let headers = [("accept", "application/json"), ("range", "bytes=0-1")];
        let reply = guest.ask("GET", path, &headers);
        assert_eq!(reply, plain, "{path}");
        assert_eq!(reply.status, 200, "{path}");
    }
}

#[test]
fn two_nics_ask() {
    let of = |nic| Guest {
        answers: render::answers(&sample::instance(), nic),
        ..Guest::new()
    };
    let (first, second) = (of(0), of(1));
    for (path, same) in [
        ("/latest/meta-data/instance-id", true),
        ("/latest/meta-data/mac", true),
        ("/latest/user-data", true),
        ("/nocloud/meta-data", true),
        ("/latest/meta-data/local-ipv4", false),
        ("/latest/dynamic/instance-identity/document", false),
    ] {
        let equal = first.get(path).body == second.get(path).body;
        assert_eq!(equal, same, "{path}");
    }
}

#[test]
fn known_guest_with_the_protocol_disabled() {
    let without = |dialect: Dialect| {
        Guest::with(|instance| {
            let all = instance.options.dialects.iter();
            instance.options.dialects = all.filter(|other| *other != dialect).collect();
        })
    };
    assert_status(&without(Dialect::Ec2), "GET", &[(EC2, 403), (NOCLOUD, 200)]);
    assert_status(
        &without(Dialect::NoCloud),
        "GET",
        &[(EC2, 200), (NOCLOUD, 404)],
    );
    let nothing = Guest::with(|instance| instance.options.dialects = Dialects::default());
    assert_status(&nothing, "GET", &[(EC2, 403), (NOCLOUD, 404), ("/", 403)]);
}
