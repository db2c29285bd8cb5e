//! A listed name answers, whatever the instance; and every request has an answer.

use proptest::prelude::*;

use super::*;

/// Asks for everything that is listed below `path`, the way cloud-init does.
fn crawl(guest: &Guest, path: &str, found: &mut Vec<String>) -> Result<(), TestCaseError> {
    let listing = guest.get(path);
    prop_assert_eq!(listing.status, 200, "{}", path);
    prop_assert_eq!(&guest.get(path.trim_end_matches('/')).body, &listing.body);
    prop_assert!(!text(&listing).ends_with('\n'), "{}", path);
    prop_assert!(!listing.body.is_empty(), "{} lists nothing", path);
    for name in text(&listing).split('\n') {
        let key = name
            .split_once('=')
            .filter(|(index, _)| index.parse::<i64>().is_ok());
        if let Some((index, _)) = key {
            crawl(guest, &format!("{path}{index}/"), found)?;
            let key = format!("{path}{index}/openssh-key");
            prop_assert_eq!(guest.get(&key).status, 200, "{}", key);
        } else if name.ends_with('/')
            || matches!(name, "meta-data" | "dynamic") && below_version(path)
        {
            crawl(
                guest,
                &format!("{path}{}/", name.trim_end_matches('/')),
                found,
            )?;
        } else {
            let leaf = format!("{path}{name}");
            prop_assert_eq!(guest.get(&leaf).status, 200, "{:?}", leaf);
            let slashed = guest.get(&format!("{leaf}/"));
            prop_assert_eq!(slashed.status, 200, "{:?}/", leaf);
            found.push(leaf);
        }
    }
    Ok(())
}

fn below_version(path: &str) -> bool {
    path != "/nocloud/"
        && path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .count()
            == 1
}

#[test]
fn everything_the_sample_lists_answers() {
    let mut found = Vec::new();
    crawl(&Guest::new(), "/latest/", &mut found).unwrap();
    assert!(found.len() > 40, "{found:?}");
    assert!(found.contains(&"/latest/meta-data/tags/instance/role".to_owned()));
}

proptest! {
    #[test]
    fn everything_that_any_instance_lists_answers(instance in sample::any_instance()) {
        let guest = Guest::of(instance);
        for version in ["1.0", "2019-10-01", "latest"] {
            crawl(&guest, &format!("/{version}/"), &mut Vec::new())?;
        }
        crawl(&guest, "/nocloud/", &mut Vec::new())?;
        let over_ipv6 = Guest { ipv6: true, ..Guest::of(guest.instance.clone()) };
        crawl(&over_ipv6, "/latest/", &mut Vec::new())?;
        let id = guest.get("/latest/meta-data/instance-id");
        prop_assert!(!text(&id).trim().is_empty());
    }

    #[test]
    fn every_request_has_an_answer_with_its_length(
        method in "GET|HEAD|PUT|POST|[A-Z]{1,8}",
        path in "(/|//|/latest|/1\\.0|/nocloud)(/(meta-data|user-data|api|token|\\.\\.|%2e|.{0,5})){0,4}",
        names in prop::collection::vec(("x-aws-ec2-metadata-token(-ttl-seconds)?|x-forwarded-for", "[^\\x00-\\x1f\\x7f]{0,60}"), 0..4),
        required in proptest::bool::ANY,
    ) {
        let guest = if required { Guest::required() } else { Guest::new() };
        let headers: Vec<(&str, &str)> = names.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let reply = guest.ask(&method, &path, &headers);
        prop_assert!([200, 400, 401, 403, 404, 405].contains(&reply.status.as_u16()), "{}", reply.status);
        prop_assert_eq!(header(&reply, "content-length").unwrap(), reply.body.len().to_string());
        prop_assert!(!reply.status.is_redirection());
    }
}
