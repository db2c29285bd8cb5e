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

const LOST: &[&str] = &["`sudo metad status --json` says where, as `nocloud-url`"];
const UNASKED: &[&str] = &["metad does not run, or this user may not ask it"];
const NONE: &[&str] = &["metad gives this instance no NoCloud files"];

/// A case, the options, the daemon, and the URL and notes that follow; no URL is the plain one.
type Row<'a> = (&'a str, &'a str, &'a Daemon, Option<&'a str>, &'a [&'a str]);

#[track_caller]
fn assert_nocloud<const N: usize>(is_file: bool, rows: [Row<'_>; N]) {
    for (case, options, daemon, url, words) in rows {
        let document = document(PLAIN, options);
        let plan = Plan {
            is_file,
            ..plan(&document, Datasource::Nocloud, daemon)
        };
        let found = looked(&plan);
        assert_notes(case, &found, words);
        assert_eq!(found.seed_url.as_deref(), url, "{case}");
    }
}

#[test]
fn a_domains_secret_prefix_is_asked_for_or_said_to_be_unknown() {
    let (silent, plain, secret) = (Daemon::Silent, knows(Some(SEED_URL)), knows(Some(KNOWN)));
    assert_nocloud(
        false,
        [
            ("open, unasked", "", &silent, None, UNASKED),
            ("open", "", &plain, None, &[]),
            ("a record's secret", "", &secret, Some(KNOWN), &[]),
            ("a record's dialects", "", &knows(None), None, NONE),
            ("tokens, unasked", REQUIRED, &silent, None, LOST),
            ("tokens", REQUIRED, &secret, Some(KNOWN), &[]),
            ("secret from the next start", SECRET, &plain, None, LOST),
            ("tokens, but open", OPEN, &plain, None, &[]),
        ],
    );
}

#[test]
fn a_files_secret_prefix_is_asked_for_or_said_to_be_unknown() {
    let (silent, plain, secret) = (Daemon::Silent, knows(Some(SEED_URL)), knows(Some(KNOWN)));
    assert_nocloud(
        true,
        [
            ("open", "", &silent, None, &[]),
            ("tokens, unasked", REQUIRED, &silent, None, LOST),
            ("tokens, undefined", REQUIRED, &Daemon::Unaware, None, LOST),
            ("tokens", REQUIRED, &secret, Some(KNOWN), &[]),
            ("secret, unasked", SECRET, &silent, None, LOST),
            ("secret once defined", SECRET, &plain, None, LOST),
            ("tokens, but open", OPEN, &silent, None, &[]),
        ],
    );
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
