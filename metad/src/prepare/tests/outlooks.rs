//! What metad will answer: the XML's own options, the site's and the daemon's word in; the URL and the notes out.

use uuid::Uuid;

use super::{EC2, PLAIN};
use crate::instance::{Given, HttpTokens};
use crate::prepare::outlook::{Daemon, Outlook, Plan, identity, outlook};
use crate::prepare::{Datasource, SEED_URL};

const KNOWN: &str = "http://169.254.169.254/nocloud/5ec2e7/";

fn document(uuid: &str, options: &str) -> String {
    format!(
        "<domain type='kvm'><name>web1</name><uuid>{uuid}</uuid><metadata><instance xmlns='urn:metad:instance:1'>{options}</instance></metadata><devices><interface type='network'/></devices></domain>"
    )
}

fn knows(url: Option<&str>) -> Daemon {
    Daemon::Knows {
        nocloud_url: url.map(str::to_owned),
    }
}

fn plan<'a>(document: &'a str, datasource: Datasource, daemon: &'a Daemon) -> Plan<'a> {
    Plan {
        document,
        datasource,
        seed_url: None,
        new_uuid: false,
        is_file: false,
        site: Given::default(),
        daemon,
    }
}

/// A user who may read no secret.
fn looked(plan: &Plan<'_>) -> Outlook {
    outlook(plan, |_| None)
}

/// Each note must hold its words, and there must be as many notes as words.
#[track_caller]
fn assert_notes(case: &str, found: &Outlook, words: &[&str]) {
    assert_eq!(found.notes.len(), words.len(), "{case}: {:?}", found.notes);
    for (note, words) in found.notes.iter().zip(words) {
        assert!(note.contains(words), "{case}: {note}");
    }
}

const REQUIRED: &str = "<options http-tokens='required'/>";
const SECRET: &str = "<options nocloud-prefix='secret'/>";
const OPEN: &str = "<options http-tokens='required' nocloud-prefix='open'/>";

#[test]
fn a_secret_prefix_is_looked_up_or_said_to_be_unknown() {
    let (silent, unaware) = (Daemon::Silent, Daemon::Unaware);
    let (plain, secret, none) = (knows(Some(SEED_URL)), knows(Some(KNOWN)), knows(None));
    let lost = "`sudo metad status --json` says where, as `nocloud-url`";
    let unasked = "metad does not run, or this user may not ask it";
    for (case, options, is_file, daemon, url, words) in [
        ("open, unasked", "", false, &silent, None, vec![unasked]),
        ("open, a file", "", true, &silent, None, vec![]),
        ("open, known", "", false, &plain, Some(SEED_URL), vec![]),
        ("a record's secret", "", false, &secret, Some(KNOWN), vec![]),
        (
            "tokens, unasked",
            REQUIRED,
            false,
            &silent,
            None,
            vec![lost],
        ),
        ("tokens, a file", REQUIRED, true, &silent, None, vec![lost]),
        (
            "tokens, a file, undefined",
            REQUIRED,
            true,
            &unaware,
            None,
            vec![lost],
        ),
        (
            "tokens, a file, known",
            REQUIRED,
            true,
            &secret,
            Some(KNOWN),
            vec![],
        ),
        ("secret, a file", SECRET, true, &silent, None, vec![lost]),
        (
            "secret, a newer file",
            SECRET,
            true,
            &plain,
            None,
            vec![lost],
        ),
        (
            "secret, not yet so",
            SECRET,
            false,
            &plain,
            Some(SEED_URL),
            vec![lost],
        ),
        (
            "tokens, but open, a file",
            OPEN,
            true,
            &silent,
            None,
            vec![],
        ),
        (
            "a record leaves it out",
            "",
            false,
            &none,
            None,
            vec!["no NoCloud files"],
        ),
    ] {
        let document = document(PLAIN, options);
        let plan = Plan {
            is_file,
            ..plan(&document, Datasource::Nocloud, daemon)
        };
        let found = looked(&plan);
        assert_notes(case, &found, &words);
        // The plain prefix is what is taken without a URL.
        let found = found.seed_url.as_deref();
        assert_eq!(
            found.filter(|found| *found != SEED_URL),
            url.filter(|url| *url != SEED_URL),
            "{case}"
        );
    }
}

#[test]
fn who_may_read_the_secret_needs_no_daemon() {
    let made = |uuid: Uuid| Some(format!("of-{uuid}"));
    for (case, uuid, new_uuid, daemon, expected) in [
        (
            "as it is",
            PLAIN,
            false,
            Daemon::Silent,
            "of-0de4d5e6-3d4e-4f60-8182-93a4b5c6d7e8",
        ),
        (
            "under a new UUID",
            EC2,
            true,
            knows(Some(KNOWN)),
            "of-0c24d506-3d4e-4f60-8182-93a4b5c6d7e8",
        ),
    ] {
        let document = document(uuid, REQUIRED);
        let plan = Plan {
            new_uuid,
            ..plan(&document, Datasource::Nocloud, &daemon)
        };
        let found = outlook(&plan, made);
        let expected = format!("{SEED_URL}{expected}/");
        assert_eq!(found.seed_url, Some(expected), "{case}");
        assert_notes(case, &found, &[]);
    }
}

#[test]
fn a_secret_prefix_of_the_old_uuid_is_not_the_new_ones() {
    let (document, daemon) = (document(EC2, REQUIRED), knows(Some(KNOWN)));
    let plan = Plan {
        new_uuid: true,
        ..plan(&document, Datasource::Nocloud, &daemon)
    };
    let found = looked(&plan);
    assert_eq!(found.seed_url, None);
    assert_notes("new UUID", &found, &["secret prefix"]);
}

#[test]
fn a_url_that_was_chosen_is_not_questioned() {
    let document = document(PLAIN, REQUIRED);
    let plan = Plan {
        seed_url: Some("http://seed/"),
        ..plan(&document, Datasource::Nocloud, &Daemon::Silent)
    };
    assert_eq!(looked(&plan), Outlook::default());
}

#[test]
fn what_will_be_refused_is_said_with_the_remedy() {
    use Datasource::{Ec2, Nocloud, Openstack};
    for (case, datasource, options, words) in [
        ("ec2", Ec2, "", vec![]),
        ("ec2, tokens", Ec2, REQUIRED, vec![]),
        (
            "ec2, endpoint",
            Ec2,
            "<options endpoint='disabled'/>",
            vec!["with 403, since the domain's endpoint is disabled: `endpoint='enabled'`"],
        ),
        (
            "ec2, dialects",
            Ec2,
            "<options dialects='nocloud'/>",
            vec!["with 403, since the domain's `dialects` leave it out: `dialects='nocloud ec2'`"],
        ),
        ("openstack", Openstack, "", vec![]),
        (
            "openstack, endpoint",
            Openstack,
            "<options endpoint='disabled'/>",
            vec![],
        ),
        (
            "openstack, tokens",
            Openstack,
            REQUIRED,
            vec![
                "with 404, since tokens are required and OpenStack has none: `dialects='ec2 nocloud openstack'`",
            ],
        ),
        (
            "openstack, tokens, named",
            Openstack,
            "<options http-tokens='required' dialects='openstack'/>",
            vec![],
        ),
        (
            "openstack, dialects",
            Openstack,
            "<options dialects='ec2'/>",
            vec![
                "openstack with 404, since the domain's `dialects` leave it out: `dialects='ec2 openstack'`",
            ],
        ),
        (
            "nocloud, dialects",
            Nocloud,
            "<options dialects='ec2'/>",
            vec![
                "nocloud with 404, since the domain's `dialects` leave it out: `dialects='ec2 nocloud'`",
            ],
        ),
        (
            "unreadable",
            Openstack,
            "<option/>",
            vec!["metad cannot read the domain's metadata"],
        ),
    ] {
        let document = document(PLAIN, options);
        let plan = Plan {
            is_file: true,
            ..plan(&document, datasource, &Daemon::Silent)
        };
        assert_notes(case, &looked(&plan), &words);
    }
}

#[test]
fn the_sites_defaults_count_where_the_domain_is_silent() {
    let site = Given {
        http_tokens: Some(HttpTokens::Required),
        ..Given::default()
    };
    for (case, options, words) in [
        ("silent", "", vec!["tokens are required"]),
        (
            "says otherwise",
            "<options http-tokens='optional'/>",
            vec![],
        ),
    ] {
        let document = document(PLAIN, options);
        let plan = Plan {
            site,
            ..plan(&document, Datasource::Openstack, &Daemon::Silent)
        };
        assert_notes(case, &looked(&plan), &words);
    }
}

#[test]
fn a_domain_that_a_running_metad_does_not_know_is_noted() {
    let document = document(PLAIN, "");
    for datasource in Datasource::ALL {
        for (is_file, daemon, words) in [
            (
                false,
                Daemon::Unaware,
                vec!["metad runs, but knows no such domain"],
            ),
            (true, Daemon::Unaware, vec![]),
            (false, knows(Some(SEED_URL)), vec![]),
        ] {
            let plan = Plan {
                is_file,
                ..plan(&document, datasource, &daemon)
            };
            assert_notes(datasource.word(), &looked(&plan), &words);
        }
    }
}

#[test]
fn a_domain_is_asked_for_by_name_and_uuid() {
    let uuid = Uuid::parse_str(PLAIN).unwrap();
    let named = identity(&document(PLAIN, ""));
    assert_eq!(named, Some(("web1".to_owned(), uuid)));
    assert_eq!(identity("<domain><name>web1</name></domain>"), None);
    assert_eq!(identity("<domain"), None);
}
