//! The tables of the configuration: what is taken, and how each mistake is told.

mod iam;

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::install::Install;
use crate::instance::{Dialect, Given, HttpTokens, Placement, Site};

fn parse(text: &str) -> Result<Config, Fault> {
    read(text, Path::new("/etc/metad"))
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
    assert_eq!(parse("# nothing\n"), Ok(Config::default()));
}

#[allow(clippy::too_many_lines, reason = "every key and what it becomes")]
#[test]
fn every_key_is_taken() {
    let text = r#"
        name = "lab-1"
        keep-alive = true
        state-directory = "state"
        [site]
        account-id = "123456789012"
        partition = "cellar"
        domain = "example.org"
        project-id = "lab"
        region = "north"
        availability-zone = "rack-7"
        [defaults]
        http-tokens = "required"
        hop-limit = 2
        dialects = ["ec2", "openstack"]
        [install]
        templates = "install"
        [install.variables]
        timezone = "Europe/Berlin"
        packages = ["vim", 1, true]
        mirror = { host = "mirror.example.org" }
        [identity]
        issuer = "https://id.example.org"
        [datapath]
        interfaces = ["virbr+", "br0", "vnet+"]
        identity = "mac"
        attach = "clsact"
        log-drops = true
        flood-guard = "on"
        [limits]
        enabled = false
        [[source]]
        kind = "libvirt"
        uri = "test:///default"
        [[source]]
        kind = "directory"
        path = "records"
        [[source]]
        kind = "directory"
        path = "/srv/records"
    "#;
    let expected = Config {
        name: Name::new("lab-1").unwrap(),
        keep_alive: true,
        state_directory: Some(PathBuf::from("/etc/metad/state")),
        defaults: Defaults {
            site: Arc::new(Site {
                account_id: "123456789012".to_owned(),
                partition: "cellar".to_owned(),
                domain: "example.org".to_owned(),
                project_id: Some("lab".to_owned()),
            }),
            placement: Placement {
                region: Some("north".to_owned()),
                availability_zone: Some("rack-7".to_owned()),
                ..Placement::default()
            },
            options: Given {
                http_tokens: Some(HttpTokens::Required),
                hop_limit: Some(2),
                dialects: Some([Dialect::Ec2, Dialect::OpenStack].into_iter().collect()),
                ..Given::default()
            },
        },
        install: Install {
            templates: PathBuf::from("/etc/metad/install"),
            variables: serde_json::from_str(
                r#"{"mirror": {"host": "mirror.example.org"}, "packages": ["vim", 1, true], "timezone": "Europe/Berlin"}"#,
            )
            .unwrap(),
        },
        issuer: Some("https://id.example.org".to_owned()),
        datapath: Datapath {
            interfaces: vec![
                Pattern::Prefix("virbr".to_owned()),
                Pattern::Exact("br0".to_owned()),
                Pattern::Prefix("vnet".to_owned()),
            ],
            identity: Identity::Mac,
            attach: Attach::Clsact,
            log_drops: true,
            flood_guard: true,
        },
        limits: Limits {
            enabled: false,
            ..Limits::default()
        },
        roles: Vec::new(),
        sources: vec![
            Source::Libvirt {
                uri: "test:///default".to_owned(),
            },
            Source::Directory {
                path: PathBuf::from("/etc/metad/records"),
            },
            Source::Directory {
                path: PathBuf::from("/srv/records"),
            },
        ],
    };
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn choices_are_taken_as_written() {
    for (text, identity, attach) in [
        ("", Identity::Port, Attach::Auto),
        (
            "identity = \"port\"\nattach = \"auto\"",
            Identity::Port,
            Attach::Auto,
        ),
        ("identity = \"mac\"", Identity::Mac, Attach::Auto),
        ("attach = \"tcx\"", Identity::Port, Attach::Tcx),
        ("attach = \"clsact\"", Identity::Port, Attach::Clsact),
    ] {
        let datapath = parse(&format!("[datapath]\n{text}")).unwrap().datapath;
        assert_eq!(
            (datapath.identity, datapath.attach),
            (identity, attach),
            "{text}"
        );
    }
}

#[test]
fn a_libvirt_source_defaults_to_the_system() {
    let sources = parse("[[source]]\nkind = \"libvirt\"").unwrap().sources;
    assert_eq!(
        sources,
        [Source::Libvirt {
            uri: "qemu:///system".to_owned()
        }]
    );
}

#[test]
fn an_empty_list_of_sources_stays_empty() {
    assert_eq!(parse("source = []").unwrap().sources, []);
}

#[track_caller]
fn assert_told(rows: &[(&str, &str, &str)]) {
    for (case, text, expected) in rows {
        assert_eq!(parse(text).unwrap_err().to_string(), *expected, "{case}");
    }
}

#[test]
fn unknown_keys_name_their_place_and_the_nearest() {
    assert_told(&[
        (
            "unknown key at the top",
            "nmae = \"x\"",
            "line 1, column 1: unknown key `nmae` in the configuration\nhelp: did you mean `name`?",
        ),
        (
            "underscore for dash",
            "name = \"x\"\nkeep_alive = true",
            "line 2, column 1: unknown key `keep_alive` in the configuration\nhelp: did you mean `keep-alive`?",
        ),
        (
            "unknown key in datapath",
            "[datapath]\n  interface = [\"virbr+\"]",
            "line 2, column 3: unknown key `interface` in [datapath]\nhelp: did you mean `interfaces`?",
        ),
        (
            "unknown table",
            "[zebra]\nx = 1",
            "line 1, column 2: unknown key `zebra` in the configuration\nhelp: known keys here are `name`, `keep-alive`, `state-directory`, `datapath`, `limits`, `site`, `defaults`, `install`, `identity`, `iam`, `source`",
        ),
        (
            "key of another kind of source",
            "[[source]]\nkind = \"libvirt\"\npath = \"/x\"",
            "line 3, column 1: unknown key `path` in [[source]]\nhelp: known keys here are `kind`, `uri`",
        ),
        (
            "a key of the wrong level",
            "identity = \"mac\"",
            "line 1, column 12: [identity] must be a table, not a text\nhelp: what a guest is known by is `identity` under [datapath]",
        ),
    ]);
}

#[test]
fn variables_of_installers_are_a_tree_that_templates_can_name() {
    assert_told(&[
        (
            "a number",
            "[install]\nvariables = 1",
            "line 2, column 13: [install.variables] must be a table, not a number",
        ),
        (
            "an unknown key beside them",
            "[install]\ntemplate = \"x\"",
            "line 2, column 1: unknown key `template` in [install]\nhelp: did you mean `templates`?",
        ),
        (
            "a key with a slash",
            "[install.variables]\n\"a/b\" = 1",
            "line 1, column 1: [install.variables] holds the character '/'; `/` may not stand in a key",
        ),
        (
            "a number beyond all",
            "[install.variables]\na = [99999999999999999999]",
            "line 2, column 6: this number is larger than any template needs",
        ),
    ]);
}

#[test]
fn bad_choices_name_the_allowed_ones() {
    assert_told(&[
        (
            "a value that is none of the allowed",
            "[datapath]\nidentity = \"ip\"",
            "line 2, column 12: `ip` is no identity\nhelp: identity is one of `port`, `mac`",
        ),
        (
            "a switch where a word must be",
            "[datapath]\nflood-guard = true",
            "line 2, column 15: `flood-guard` must be a text, not true or false\nhelp: write `flood-guard = \"on\"`",
        ),
        (
            "the same, off",
            "[datapath]\nflood-guard = false",
            "line 2, column 15: `flood-guard` must be a text, not true or false\nhelp: write `flood-guard = \"off\"`",
        ),
        (
            "a number where a word must be",
            "[datapath]\nidentity = 1",
            "line 2, column 12: `identity` must be a text, not a number\nhelp: identity is one of `port`, `mac`",
        ),
        (
            "an attach mode that does not exist",
            "[datapath]\nattach = \"xdp\"",
            "line 2, column 10: `xdp` is no attach\nhelp: attach is one of `auto`, `tcx`, `clsact`",
        ),
        (
            "a kind that does not exist",
            "[[source]]\nkind = \"ldap\"",
            "line 2, column 8: `ldap` is no kind\nhelp: kind is one of `libvirt`, `directory`",
        ),
        (
            "a source without kind",
            "[[source]]\nuri = \"qemu:///system\"",
            "line 1, column 1: [[source]] has no `kind`\nhelp: kind is one of `libvirt`, `directory`",
        ),
        (
            "a directory without path",
            "\n[[source]]\nkind = \"directory\"",
            "line 2, column 1: [[source]] of kind `directory` has no `path`",
        ),
        (
            "a source as a plain table",
            "[source]\nkind = \"libvirt\"",
            "line 1, column 1: `source` must be written [[source]], once for each source, not a table",
        ),
        (
            "the same source twice",
            "[[source]]\nkind = \"libvirt\"\n[[source]]\nkind = \"libvirt\"",
            "line 3, column 1: the source `libvirt qemu:///system` is there twice",
        ),
    ]);
}

#[test]
fn bad_values_name_what_belongs_there() {
    assert_told(&[
        (
            "a text for a flag",
            "keep-alive = \"yes\"",
            "line 1, column 14: `keep-alive` must be true or false, not a text",
        ),
        (
            "a number for a text",
            "name = 7",
            "line 1, column 8: `name` must be a text, not a number",
        ),
        (
            "an empty text",
            "name = \"\"",
            "line 1, column 8: `name` is empty",
        ),
        (
            "a bad name",
            "name = \"Metad\"",
            "line 1, column 8: name `Metad` has other characters than a-z, 0-9 and `-`",
        ),
        (
            "a text for a list",
            "[datapath]\ninterfaces = \"virbr+\"",
            "line 2, column 14: `interfaces` must be a list of patterns such as [\"virbr+\"], not a text",
        ),
        (
            "no interface",
            "[datapath]\ninterfaces = []",
            "line 2, column 14: `interfaces` is empty, so no guest would be met\nhelp: leave the key out for [\"virbr+\"], the bridges of libvirt's own networks",
        ),
        (
            "a bad pattern, after wide characters",
            "[datapath]\ninterfaces = [\"brücke\", \"virbr*\"]",
            "line 2, column 25: interface pattern `virbr*` is no shell pattern; write the beginning of the name and `+`, as in `virbr+`",
        ),
        (
            "metad's own link",
            "[datapath]\ninterfaces = [\"meta+\"]",
            "line 1, column 1: interface pattern `meta+` takes in metad's own link (metad0, metad1)\nhelp: narrow the pattern, or give this metad another `name`",
        ),
        (
            "metad's own link by its name",
            "name = \"virbr\"",
            "line 1, column 8: interface pattern `virbr+` takes in metad's own link (virbr0, virbr1)\nhelp: narrow the pattern, or give this metad another `name`",
        ),
    ]);
}

#[test]
fn broken_toml_is_placed() {
    for (text, line) in [
        ("name = ", 1),
        ("name = \"a\"\n[datapath\n", 2),
        ("name = \"a\"\n\nname = \"b\"", 3),
        ("keep-alive = yes", 1),
        ("\u{feff}\u{0}", 1),
    ] {
        let fault = parse(text).unwrap_err();
        assert_eq!(fault.line, line, "{text:?}: {fault}");
        assert!(!fault.problem.is_empty(), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        if let Err(fault) = parse(&text) {
            proptest::prop_assert!(fault.line >= 1 && fault.column >= 1);
        }
    }

    #[test]
    fn no_near_miss_panics(text in "(name|source|datapath|\\[|\\]|=|\"|\n|virbr\\+|kind|true|7| |é){0,24}") {
        if let Err(fault) = parse(&text) {
            proptest::prop_assert!(fault.line <= text.matches('\n').count() + 1);
        }
    }
}
