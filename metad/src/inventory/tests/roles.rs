//! Credentials of IAM roles, as the instances that have the role get them.

use super::*;
use crate::credentials::News;
use crate::instance::{Credentials, Dialect, Secret};
use crate::render::Version;

fn with_role(name: &str, role: &str) -> Subject {
    let mut subject = domain(name, 1);
    subject.record.role = Some(role.to_owned());
    // One MAC address is one guest's.
    subject.running = name == "web1";
    subject
}

fn news(role: &str, key: Option<&str>, problem: Option<&str>) -> News {
    let credentials = key.map(|key| Credentials {
        access_key_id: key.to_owned(),
        secret_access_key: Secret::new("hush"),
        token: Secret::new("hush"),
        updated: "2030-01-01T00:00:00Z".to_owned(),
        expiration: "2030-01-01T06:00:00Z".to_owned(),
    });
    News {
        role: role.to_owned(),
        credentials: credentials.map(Arc::new),
        problem: problem.map(str::to_owned),
    }
}

fn roles_listed(resolution: &Resolution, name: &str) -> Option<String> {
    let hosted = &resolution.snapshot.instances[name];
    let path = "meta-data/iam/security-credentials";
    let answer = hosted.answers[0].get(Dialect::Ec2, Version::LATEST, path)?;
    let body = answer.body.bytes(None).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn role_is_listed_as_long_as_it_has_credentials() {
    let names = ["web".to_owned(), "backup".to_owned()].into_iter();
    let mut inventory = inventory(Identity::Port).with_roles(names);
    inventory.apply(put(0, with_role("web1", "web")));
    inventory.apply(put(0, with_role("db1", "backup")));
    for (case, heard, expected, problem) in [
        ("got", news("web", Some("ASIA1"), None), Some("web"), None),
        (
            "kept in spite of a failure",
            news(
                "web",
                Some("ASIA1"),
                Some("/bin/x ended with exit status: 1"),
            ),
            Some("web"),
            Some("/bin/x ended with exit status: 1"),
        ),
        (
            "expired",
            news("web", None, Some("expired")),
            None,
            Some("expired"),
        ),
        (
            "got again",
            news("web", Some("ASIA2"), None),
            Some("web"),
            None,
        ),
    ] {
        inventory.hear(heard);
        let resolution = resolve(&mut inventory);
        assert_eq!(
            roles_listed(&resolution, "web1").as_deref(),
            expected,
            "{case}"
        );
        assert_eq!(
            roles_listed(&resolution, "db1"),
            None,
            "{case}: another role's"
        );
        let problems: Vec<_> = problem
            .map(|problem| ("iam role web".to_owned(), problem.to_owned()))
            .into_iter()
            .collect();
        assert_eq!(resolution.snapshot.problems, problems, "{case}");
    }
    inventory.apply(put(0, with_role("web2", "web")));
    let resolution = resolve(&mut inventory);
    assert_eq!(
        roles_listed(&resolution, "web2").as_deref(),
        Some("web"),
        "one that comes later"
    );
    assert!(!format!("{:?}", resolution.snapshot).contains("hush"));
}

#[test]
fn role_that_nobody_configured_is_a_problem() {
    let mut inventory = inventory(Identity::Port);
    inventory.apply(put(0, with_role("web1", "web")));
    inventory.hear(news("web", Some("ASIA1"), None));
    let resolution = resolve(&mut inventory);
    assert_eq!(roles_listed(&resolution, "web1"), None);
    let problem = "no credentials for the IAM role web: the configuration has no [iam.web]";
    assert_eq!(
        resolution.snapshot.problems,
        [("web1".to_owned(), problem.to_owned())]
    );
}
