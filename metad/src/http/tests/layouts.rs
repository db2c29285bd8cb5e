//! The layouts that some images are locked to: off unless asked for, and whatever is listed answers.

use proptest::prelude::*;

use super::*;
use crate::instance::Dialect;

/// A place to start from, and the headers that one needs there.
type Root = (
    Dialect,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const ROOTS: [Root; 5] = [
    (Dialect::OpenStack, "/openstack/", &[]),
    (
        Dialect::Gce,
        "/computeMetadata/",
        &[("metadata-flavor", "Google")],
    ),
    (Dialect::DigitalOcean, "/metadata/", &[]),
    (Dialect::Hetzner, "/hetzner/", &[]),
    (Dialect::Vultr, "/v1/", &[]),
];

fn all(mut instance: Instance) -> Guest {
    instance.options.dialects = Dialect::ALL.into_iter().collect();
    Guest::of(instance)
}

/// Asks for everything that is listed below `path`.
fn crawl(
    guest: &Guest,
    path: &str,
    headers: &[(&str, &str)],
    found: &mut Vec<String>,
) -> Result<(), TestCaseError> {
    let listing = guest.ask("GET", path, headers);
    prop_assert_eq!(listing.status, 200, "{}", path);
    let bare = guest.ask("GET", path.trim_end_matches('/'), headers);
    prop_assert_eq!(&bare.body, &listing.body);
    for name in text(&listing).split('\n').filter(|name| !name.is_empty()) {
        let below = format!("{path}{name}");
        // OpenStack lists its versions without slashes.
        if name.ends_with('/') || path == "/openstack/" {
            let below = format!("{}/", below.trim_end_matches('/'));
            crawl(guest, &below, headers, found)?;
        } else {
            prop_assert_eq!(guest.ask("GET", &below, headers).status, 200, "{:?}", below);
            found.push(below);
        }
    }
    Ok(())
}

#[test]
fn everything_that_the_sample_lists_answers() {
    for (dialect, root, headers) in ROOTS {
        let mut found = Vec::new();
        crawl(&all(sample::instance()), root, headers, &mut found).unwrap();
        let least = if dialect == Dialect::Hetzner { 2 } else { 10 };
        assert!(found.len() >= least, "{dialect:?}: {found:?}");
    }
}

#[test]
fn layouts_are_off_unless_an_instance_asks_for_them() {
    for (dialect, path) in [
        (Dialect::Gce, "/computeMetadata/v1/instance/id"),
        (Dialect::DigitalOcean, "/metadata/v1.json"),
        (Dialect::DigitalOcean, "/metadata/v1/id"),
        (Dialect::Hetzner, "/hetzner/v1/metadata"),
        (Dialect::Hetzner, "/hetzner/v1/metadata/hostname"),
        (Dialect::Hetzner, "/hetzner/v1/userdata"),
        (Dialect::Vultr, "/v1.json"),
        (Dialect::Vultr, "/v1/hostname"),
    ] {
        let headers = [("Metadata-Flavor", "Google")];
        assert_eq!(
            Guest::new().ask("GET", path, &headers).status,
            404,
            "{path}"
        );
        let asking = Guest::with(|instance| {
            instance.options.dialects = [dialect].into_iter().collect();
        });
        assert_eq!(asking.ask("GET", path, &headers).status, 200, "{path}");
        assert_eq!(asking.ask("HEAD", path, &headers).status, 200, "{path}");
        for method in ["PUT", "POST", "DELETE"] {
            assert_eq!(
                asking.ask(method, path, &headers).status,
                405,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn documents_say_what_they_are() {
    let guest = all(sample::instance());
    for (path, expected) in [
        ("/metadata/v1.json", "application/json"),
        ("/v1.json", "application/json"),
        ("/hetzner/v1/metadata", "text/yaml; charset=utf-8"),
        ("/hetzner/v1/userdata", "application/octet-stream"),
        ("/v1/hostname", "text/plain"),
        ("/openstack/latest/network_data.json", "application/json"),
    ] {
        assert_eq!(
            header(&guest.get(path), "content-type").as_deref(),
            Some(expected),
            "{path}"
        );
    }
    assert_ne!(guest.get("/v1").body, guest.get("/v1.json").body);
}

proptest! {
    #[test]
    fn everything_that_any_instance_lists_answers(instance in sample::any_instance()) {
        let guest = all(instance);
        for (_, root, headers) in ROOTS {
            crawl(&guest, root, headers, &mut Vec::new())?;
        }
        for path in ["/metadata/v1.json", "/v1.json", "/openstack/latest/network_data.json", "/openstack/2018-08-27/meta_data.json"] {
            let reply = guest.get(path);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok(), "{}", path);
        }
    }
}
