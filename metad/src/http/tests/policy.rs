//! Every option of an instance, where it takes effect.

use super::*;
use crate::instance::{Dialect, Dialects, Given, Prefix};

/// A guest of whom this was said, and nothing else.
fn guest(given: Given) -> Guest {
    Guest::with(|instance| instance.options = given.decide())
}

#[test]
fn hop_limit_is_that_of_the_token_alone() {
    for hops in [1, 2, 63, 64] {
        let guest = guest(Given {
            hop_limit: Some(hops),
            ..Given::default()
        });
        let put = guest.ask("PUT", "/latest/api/token", &[(TTL, "60")]);
        assert_eq!(put.hop_limit, Some(hops));
        assert_eq!(guest.get("/latest/user-data").hop_limit, None, "{hops}");
        let refused = guest.ask("PUT", "/latest/api/token", &[(TTL, "0")]);
        assert_eq!(refused.hop_limit, None, "{hops}");
    }
    let usual = guest(Given::default()).ask("PUT", "/latest/api/token", &[(TTL, "60")]);
    assert_eq!(usual.hop_limit, Some(1));
}

#[test]
fn required_tokens_close_every_way_around_them() {
    let required = Given {
        http_tokens: Some(HttpTokens::Required),
        ..Given::default()
    };
    let open = Given {
        nocloud: Some(Prefix::Open),
        ..Given::default()
    };
    for (case, given, statuses) in [
        ("nothing said", Given::default(), [200, 200]),
        ("required", required, [401, 404]),
        ("required, NoCloud open", open.over(required), [401, 200]),
    ] {
        let guest = guest(given);
        let paths = ["/latest/user-data", "/nocloud/user-data"];
        assert_eq!(
            paths.map(|path| guest.get(path).status.as_u16()),
            statuses,
            "{case}"
        );
    }
}

#[test]
fn a_template_that_failed_is_told_from_a_path_that_is_not_there() {
    let mut guest = guest(Given {
        dialects: Some(Dialects::from_iter([Dialect::Install])),
        ..Given::default()
    });
    let files = [("authorized_keys".to_owned(), "a".into())].into();
    let failed = ["preseed.cfg".to_owned()].into();
    guest.answers.install(&files, failed);
    for (path, status, reason) in [
        ("/install/authorized_keys", 200, None),
        (
            "/install/preseed.cfg",
            404,
            Some("the template could not be rendered; `metad status` says why"),
        ),
        ("/install/else.cfg", 404, Some("there is no such path")),
    ] {
        let reply = guest.get(path);
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.reason, reason, "{path}");
    }
}

#[test]
fn layouts_answer_where_they_are_asked_for_and_say_why_not() {
    let only = |dialects: &[Dialect]| {
        guest(Given {
            dialects: Some(dialects.iter().copied().collect::<Dialects>()),
            ..Given::default()
        })
    };
    let off = "the layout is not one that answers this instance";
    let none = "there is no such path";
    for (case, guest, path, status, reason) in [
        (
            "NoCloud off",
            only(&[Dialect::Ec2]),
            "/nocloud/user-data",
            404,
            off,
        ),
        (
            "GCE off",
            only(&[Dialect::Ec2]),
            "/computeMetadata/v1/",
            404,
            off,
        ),
        (
            "Hetzner off",
            Guest::new(),
            "/hetzner/v1/metadata",
            404,
            off,
        ),
        ("no such name", Guest::new(), "/nocloud/x", 404, none),
        ("no such version", Guest::new(), "/1.1/", 404, none),
        (
            "EC2 off",
            only(&[Dialect::NoCloud]),
            "/latest/dynamic/",
            403,
            "EC2 is not one of the layouts that answer this instance",
        ),
        (
            "endpoint off",
            Guest::disabled(),
            "/latest/meta-data/",
            403,
            "the endpoint is disabled for this instance",
        ),
    ] {
        let reply = guest.get(path);
        assert_eq!(reply.status, status, "{case}");
        assert_eq!(reply.reason, Some(reason), "{case}");
    }
    let token = only(&[Dialect::NoCloud]).ask("PUT", "/latest/api/token", &[(TTL, "60")]);
    assert_eq!(token.status, 403);
}

#[test]
fn caller_without_ipv4_is_told_of_none() {
    let guest = Guest::new();
    let ask = |ipv6, address, path: &str| {
        decide(&Ask {
            method: &Method::GET,
            target: &Target::new(path).unwrap(),
            headers: &HeaderMap::new(),
            instance: &guest.instance,
            answers: &guest.answers,
            signer: &guest.signer,
            address,
            ipv6,
            wall: WALL,
            asker: Asker::Administrator,
        })
    };
    let nic = "/latest/meta-data/network/interfaces/macs/52:54:00:00:00:01/";
    let link_local = Some(Ipv4Addr::new(169, 254, 7, 7));
    for (case, ipv6, address, seen) in [
        ("IPv4", false, Some(CALLER), true),
        ("IPv6", true, None, false),
        (
            "an address that a guest took itself",
            false,
            link_local,
            false,
        ),
    ] {
        let status = if seen { 200 } else { 404 };
        for (directory, name) in [("/latest/meta-data/", "local-ipv4"), (nic, "local-ipv4s")] {
            let listing = ask(ipv6, address, directory);
            let listed = text(&listing).lines().any(|line| line == name);
            assert_eq!(listed, seen, "{case}: {name}");
            let leaf = ask(ipv6, address, &format!("{directory}{name}"));
            assert_eq!(leaf.status, status, "{case}: {name}");
        }
        let document = ask(ipv6, address, "/latest/dynamic/instance-identity/document");
        let document: serde_json::Value = serde_json::from_slice(&document.body).unwrap();
        assert_eq!(document["privateIp"].is_string(), seen, "{case}");
        assert_eq!(document["instanceId"], "i-0123456789abcdef0", "{case}");
    }
}
