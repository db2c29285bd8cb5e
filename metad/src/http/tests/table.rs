//! The decision table of the EC2 dialect, step by step.

use super::*;

#[test]
fn endpoint_disabled_is_403_on_every_method_and_path() {
    let guest = Guest::disabled();
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/latest/meta-data/", "/latest/api/token", "/x", "/.."] {
            let reply = guest.ask(method, path, &[(TTL, "60")]);
            assert_eq!(reply.status, 403, "{method} {path}");
        }
    }
    assert_eq!(Guest::new().get("/latest/meta-data/").status, 200);
}

#[test]
fn token_path_takes_nothing_but_put() {
    for method in ["GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS"] {
        for path in [
            "/latest/api/token",
            "//latest/api/token/",
            "/latest/api/%74oken",
        ] {
            let reply = Guest::required().ask(method, path, &[(TTL, "60")]);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(header(&reply, "allow").as_deref(), Some("OPTIONS, PUT"));
            assert_eq!(
                header(&reply, "content-type").as_deref(),
                Some("text/plain")
            );
            assert_eq!(header(&reply, "content-length").as_deref(), Some("0"));
            assert!(reply.body.is_empty());
        }
    }
}

#[test]
fn token_is_not_given_through_a_proxy() {
    for (case, headers) in [
        ("one", &[(TTL, "60"), ("X-Forwarded-For", "10.0.0.1")][..]),
        ("empty", &[(TTL, "60"), ("x-forwarded-for", "")]),
        ("upper case", &[("X-FORWARDED-FOR", "x"), (TTL, "60")]),
        ("bad TTL too", &[("x-forwarded-for", "x"), (TTL, "0")]),
    ] {
        let reply = Guest::new().ask("PUT", "/latest/api/token", headers);
        assert_eq!(reply.status, 403, "{case}");
    }
    let reply = Guest::new().ask("PUT", "/latest/api/token", &[(TTL, "60")]);
    assert_eq!(reply.status, 200);
}

#[test]
fn time_to_live_is_read_strictly() {
    for (case, values, granted) in [
        ("least", &["1"][..], Some("1")),
        ("most", &["21600"], Some("21600")),
        ("in between", &["60"], Some("60")),
        ("white space", &[" 60 "], Some("60")),
        ("tab", &["\t60"], Some("60")),
        ("leading zero", &["060"], Some("60")),
        ("twice the same", &["60", "60"], Some("60")),
        ("twice the same but for space", &["60", " 60"], Some("60")),
        ("missing", &[], None),
        ("empty", &[""], None),
        ("blank", &["  "], None),
        ("zero", &["0"], None),
        ("too long", &["21601"], None),
        ("minus", &["-1"], None),
        ("plus", &["+1"], None),
        ("hexadecimal", &["0x1"], None),
        ("fraction", &["1.0"], None),
        ("exponent", &["1e2"], None),
        ("word", &["abc"], None),
        ("inner space", &["6 0"], None),
        ("list", &["60, 60"], None),
        ("overflow", &["4294967297"], None),
        ("more overflow", &["99999999999999999999999999"], None),
        ("other digits", &["６０"], None),
        ("two different", &["60", "61"], None),
        ("second is bad", &["60", ""], None),
    ] {
        let headers: Vec<(&str, &str)> = values.iter().map(|value| (TTL, *value)).collect();
        let reply = Guest::new().ask("PUT", "/latest/api/token", &headers);
        let status = if granted.is_some() { 200 } else { 400 };
        assert_eq!(reply.status, status, "{case}");
        assert_eq!(header(&reply, TTL).as_deref(), granted, "{case}");
    }
}

#[test]
fn token_reply_is_the_bare_token_with_a_hop_limit() {
    let guest = Guest::with(|instance| instance.options.hop_limit = 3);
    let reply = guest.ask("PUT", "/latest/api/token", &[(TTL, "60")]);
    assert_eq!(reply.hop_limit, Some(3));
    assert_eq!(
        header(&reply, "content-type").as_deref(),
        Some("text/plain")
    );
    let token = text(&reply);
    assert_eq!(
        header(&reply, "content-length").unwrap(),
        token.len().to_string()
    );
    let read = guest.ask("GET", "/latest/meta-data/instance-id", &[(TOKEN, token)]);
    assert_eq!(read.status, 200);
    assert_eq!(header(&read, TTL).as_deref(), Some("60"));
    assert_eq!(read.hop_limit, None);
}

#[test]
fn dated_token_path_is_403_and_put_elsewhere_405() {
    for (path, status) in [
        ("/2021-01-03/api/token", 403),
        ("/1.0/api/token/", 403),
        ("/2030-01-01/api/token", 405),
        ("/latest/api/token/x", 405),
        ("/latest/api", 405),
        ("/latest/meta-data/", 405),
        ("/latest/./api/token", 405),
        ("/", 405),
        ("/x", 405),
    ] {
        let reply = Guest::required().ask("PUT", path, &[(TTL, "60")]);
        assert_eq!(reply.status, status, "{path}");
    }
}

#[test]
fn other_methods_are_405_and_say_what_is_allowed() {
    for method in [
        "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW",
    ] {
        for path in ["/latest/meta-data/", "/latest/user-data", "/", "/nowhere"] {
            let reply = Guest::required().ask(method, path, &[]);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(
                header(&reply, "allow").as_deref(),
                Some("GET, HEAD"),
                "{method} {path}"
            );
            assert!(reply.body.is_empty());
        }
    }
}

#[test]
fn presented_token_must_be_good_in_any_mode() {
    for guest in [Guest::new(), Guest::required()] {
        let good = guest.token(60);
        let other = Guest::with(|instance| instance.uuid = uuid::Uuid::from_u128(1)).token(60);
        let long = "A".repeat(129);
        for (case, values, status) in [
            ("good", &[good.as_str()][..], 200),
            ("white space", &[&format!(" {good}\t")], 200),
            ("another guest's", &[&other], 401),
            ("unknown", &["A".repeat(48).as_str()], 401),
            ("empty", &[""], 401),
            ("garbage", &["\u{e9}"], 401),
            ("cut", &[&good[..40]], 401),
            ("128 long", &["A".repeat(128).as_str()], 401),
            ("too long", &[&long], 401),
            ("twice", &[&good, &good], 401),
            ("good and bad", &[&good, "x"], 401),
        ] {
            let headers: Vec<(&str, &str)> = values.iter().map(|value| (TOKEN, *value)).collect();
            let reply = guest.ask("GET", "/latest/meta-data/mac", &headers);
            assert_eq!(reply.status, status, "{case}");
        }
    }
}

#[test]
fn expired_token_is_401_and_a_second_before_it_is_not() {
    let guest = Guest::new();
    let token = guest.token(5);
    for (after, status) in [(0, 200), (5, 200), (6, 401), (100_000, 401)] {
        let now = BootTime(NOW.0 + Duration::from_secs(after));
        let reply = guest.ask_at(now, "GET", "/latest/user-data", &[(TOKEN, &token)]);
        assert_eq!(reply.status, status, "{after} s");
    }
}

#[test]
fn absent_token_is_401_where_one_is_required_before_any_404() {
    for path in [
        "/",
        "//",
        "/latest",
        "/latest/meta-data/",
        "/latest/user-data",
        "/nowhere",
        "/latest/..",
    ] {
        let guest = Guest::required();
        assert_eq!(guest.get(path).status, 401, "{path}");
        assert_ne!(Guest::new().get(path).status, 401, "{path}");
        let with = guest.ask("GET", path, &[(TOKEN, &guest.token(60))]);
        assert_ne!(with.status, 401, "{path}");
    }
    let forwarded = Guest::new().ask("GET", "/latest/user-data", &[("x-forwarded-for", "x")]);
    assert_eq!(
        forwarded.status, 200,
        "a proxy may read where none is required"
    );
}

#[test]
fn versions_are_the_listed_ones() {
    let guest = Guest::new();
    let listing = guest.get("/");
    assert_eq!(text(&listing).lines().count(), 31);
    for version in text(&listing).lines() {
        for path in [
            format!("/{version}"),
            format!("/{version}/"),
            format!("/{version}/meta-data/instance-id"),
        ] {
            assert_eq!(guest.get(&path).status, 200, "{path}");
        }
    }
    for path in [
        "/2030-01-01/",
        "/Latest/",
        "/1.1",
        "/openstacks",
        "/favicon.ico",
        "/latest1",
    ] {
        assert_eq!(guest.get(path).status, 404, "{path}");
    }
}

#[test]
fn tags_are_hidden_from_old_versions() {
    let guest = Guest::new();
    for (version, seen) in [
        ("2009-04-04", false),
        ("2021-01-03", false),
        ("2021-03-23", true),
        ("latest", true),
    ] {
        let listing = guest.get(&format!("/{version}/meta-data/"));
        assert_eq!(text(&listing).contains("tags/"), seen, "{version}");
        let status = if seen { 200 } else { 404 };
        for path in ["tags", "tags/instance/", "tags/instance/role"] {
            let reply = guest.get(&format!("/{version}/meta-data/{path}"));
            assert_eq!(reply.status, status, "{version} {path}");
        }
    }
}
