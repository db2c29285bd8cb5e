//! Hosts as tables of facts, and what is said of them.

mod daemon;

use super::facts::{DaemonFacts, Facts, SourceFacts, effective_set};
use super::judge::judge;
use super::*;
use crate::cli::tests::assert_snapshot;
use crate::config::{Attach, Name, Origin, Role};
use crate::install::Engine;
use crate::interfaces::Interface;

fn interface(index: u32, name: &str) -> Interface {
    Interface {
        index,
        name: name.to_owned(),
        controller: None,
        is_bridge: name.starts_with("virbr"),
        is_tap: name.starts_with("vnet"),
        is_tun: name.starts_with("vnet"),
        is_up: true,
        mac: None,
    }
}

/// A host on which nothing is missing.
fn fine() -> Facts {
    Facts {
        capabilities: Some(0x1ff_ffff_ffff),
        kernel: "6.18.0".to_owned(),
        programs: Some(Ok(true)),
        lockdown: None,
        bpffs: true,
        daemon: DaemonFacts::Absent,
        namespace: false,
        interfaces: vec![interface(1, "lo"), interface(2, "virbr0")],
        sources: vec![
            SourceFacts {
                subjects: Ok(3),
                problems: Vec::new(),
            },
            SourceFacts {
                subjects: Ok(0),
                problems: Vec::new(),
            },
        ],
        templates: Vec::new(),
        roles: Vec::new(),
    }
}

fn printed(findings: &[Finding]) -> String {
    let mut out = Vec::new();
    print(findings, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What is not fine, as `check: verdict`.
fn wrong(config: &Config, facts: &Facts) -> Vec<(String, Verdict)> {
    judge(config, facts)
        .into_iter()
        .filter(|finding| finding.verdict != Verdict::Ok)
        .map(|finding| (finding.what, finding.verdict))
        .collect()
}

/// A case, the host, and what is not fine about it.
type Row = (&'static str, Facts, &'static [(&'static str, Verdict)]);

fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = fine();
    change(&mut facts);
    facts
}

#[track_caller]
fn assert_rows<const N: usize>(rows: [Row; N]) {
    for (case, facts, expected) in rows {
        let expected: Vec<(String, Verdict)> = expected
            .iter()
            .map(|(what, verdict)| ((*what).to_owned(), *verdict))
            .collect();
        assert_eq!(wrong(&Config::default(), &facts), expected, "{case}");
    }
}

#[test]
fn each_lack_of_the_kernel_is_found_alone() {
    use Verdict::{Missing, Warning};
    assert_rows([
        ("nothing", fine(), &[]),
        (
            "no capability",
            with(|f| f.capabilities = Some(0)),
            &[("privileges", Missing)],
        ),
        (
            "CAP_BPF alone is away",
            with(|f| f.capabilities = Some(0x1ff_ffff_ffff & !(1 << 39))),
            &[("privileges", Missing)],
        ),
        (
            "just enough",
            with(|f| f.capabilities = Some(1 << 10 | 1 << 12 | 1 << 21 | 1 << 38 | 1 << 39)),
            &[],
        ),
        (
            "no /proc",
            with(|f| f.capabilities = None),
            &[("privileges", Warning)],
        ),
        (
            "old kernel",
            with(|f| f.kernel = "5.9.16".to_owned()),
            &[("kernel", Missing)],
        ),
        (
            "oldest kernel",
            with(|f| f.kernel = "5.10.0".to_owned()),
            &[],
        ),
        (
            "strange kernel",
            with(|f| f.kernel = "custom".to_owned()),
            &[("kernel", Warning)],
        ),
        (
            "bpf denied",
            with(|f| f.programs = Some(Err("EPERM".to_owned()))),
            &[("bpf", Missing)],
        ),
        (
            "no tc programs",
            with(|f| f.programs = Some(Ok(false))),
            &[("bpf", Missing)],
        ),
        (
            "no bpffs",
            with(|f| f.bpffs = false),
            &[("bpf file system", Missing)],
        ),
    ]);
}

#[test]
fn each_lack_around_it_is_found_alone() {
    use Verdict::{Missing, Warning};
    assert_rows([
        (
            "serving",
            with(|f| (f.daemon, f.namespace) = (DaemonFacts::Serving, true)),
            &[],
        ),
        (
            "left by a crash",
            with(|f| f.namespace = true),
            &[("names", Warning)],
        ),
        (
            "foreign metad0",
            with(|f| f.interfaces.push(interface(9, "metad0"))),
            &[("names", Missing)],
        ),
        (
            "foreign metad1",
            with(|f| f.interfaces.push(interface(9, "metad1"))),
            &[("names", Missing)],
        ),
        (
            "a likely name",
            with(|f| f.interfaces.push(interface(9, "metad00"))),
            &[],
        ),
        (
            "no bridge yet",
            with(|f| f.interfaces.clear()),
            &[("interfaces virbr+", Warning)],
        ),
        (
            "no libvirt",
            with(|f| f.sources[0].subjects = Err("Failed to connect socket".to_owned())),
            &[("libvirt qemu:///system", Warning)],
        ),
        (
            "a template that is none",
            with(|f| {
                f.templates = vec!["autoinstall/user-data: line 3: unexpected end".to_owned()]
            }),
            &[("installers' answers", Warning)],
        ),
        (
            "a role without credentials",
            with(|f| f.roles = vec![("web".to_owned(), "its file is not there".to_owned())]),
            &[("role web", Warning)],
        ),
        (
            "no directory",
            with(|f| f.sources[1].subjects = Err("No such file or directory".to_owned())),
            &[("directory /etc/metad/instances.d", Warning)],
        ),
        (
            "a bad domain",
            with(|f| {
                f.sources[0]
                    .problems
                    .push(("web1".to_owned(), "line 3".to_owned()))
            }),
            &[("metadata of web1", Warning)],
        ),
    ]);
}

#[test]
fn tcx_needs_its_kernel() {
    for (attach, kernel, expected) in [
        (Attach::Auto, "6.6.0", Verdict::Ok),
        (Attach::Auto, "6.5.0", Verdict::Ok),
        (Attach::Tcx, "6.6.0", Verdict::Ok),
        (Attach::Tcx, "6.5.0", Verdict::Missing),
        (Attach::Clsact, "6.5.0", Verdict::Ok),
        (Attach::Clsact, "6.18.0", Verdict::Ok),
    ] {
        let mut config = Config::default();
        config.datapath.attach = attach;
        let findings = judge(
            &config,
            &Facts {
                kernel: kernel.to_owned(),
                ..fine()
            },
        );
        let attaching = findings
            .iter()
            .find(|finding| finding.what == "attaching")
            .unwrap();
        assert_eq!(attaching.verdict, expected, "{attach:?} on {kernel}");
    }
}

#[test]
fn names_follow_the_configuration() {
    let config = Config {
        name: Name::new("lab").unwrap(),
        ..Config::default()
    };
    let mut facts = fine();
    facts.interfaces.push(interface(9, "metad0"));
    assert_eq!(wrong(&config, &facts), []);
    facts.interfaces.push(interface(10, "lab0"));
    assert_eq!(
        wrong(&config, &facts),
        [("names".to_owned(), Verdict::Missing)]
    );
}

#[test]
fn every_lack_has_a_remedy_and_nothing_else_has() {
    let bare = Facts {
        capabilities: Some(0),
        kernel: "5.4.0".to_owned(),
        programs: Some(Err("bpf() failed: Operation not permitted".to_owned())),
        lockdown: Some("none integrity [confidentiality]".to_owned()),
        interfaces: vec![interface(9, "metad0")],
        sources: vec![
            SourceFacts {
                subjects: Err(
                    "Failed to connect socket to '/var/run/libvirt/libvirt-sock-ro'".to_owned(),
                ),
                problems: vec![(
                    "web1".to_owned(),
                    "line 3, column 5: unknown element `x`".to_owned(),
                )],
            },
            SourceFacts {
                subjects: Err("No such file or directory (os error 2)".to_owned()),
                problems: Vec::new(),
            },
        ],
        ..Facts::default()
    };
    for facts in [fine(), bare.clone()] {
        for finding in judge(&Config::default(), &facts) {
            assert_eq!(
                finding.remedy.is_none(),
                finding.verdict == Verdict::Ok,
                "{finding:?}"
            );
        }
    }
    assert_snapshot("check-bare", &printed(&judge(&Config::default(), &bare)));
    assert_snapshot("check-fine", &printed(&judge(&Config::default(), &fine())));
}

#[test]
fn the_effective_set_is_read() {
    for (text, expected) in [
        (
            "Name:\tmetad\nCapInh:\t0000000000000000\nCapEff:\t000001ffffffffff\n",
            Some(0x1ff_ffff_ffff),
        ),
        ("CapEff:\t0000000000000000\n", Some(0)),
        ("CapEff:\tzzz\n", None),
        ("", None),
    ] {
        assert_eq!(effective_set(text), expected, "{text:?}");
    }
}

#[test]
fn sources_are_looked_into() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("web1.yaml", "hostname: web1\n"),
        ("db1.json", "{\"host\": 1}"),
        (".hidden.yaml", "x"),
        ("notes", ""),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut config = Config {
        name: Name::new("check-test").unwrap(),
        sources: vec![
            crate::config::Source::Libvirt {
                uri: "test:///default".to_owned(),
            },
            crate::config::Source::Libvirt {
                uri: "nonsense:///x".to_owned(),
            },
            crate::config::Source::Directory {
                path: dir.path().join("none"),
            },
            crate::config::Source::Directory {
                path: dir.path().to_owned(),
            },
        ],
        ..Config::default()
    };
    let templates = tempfile::tempdir().unwrap();
    std::fs::write(templates.path().join("preseed.cfg"), "{{ instance.").unwrap();
    config.install.templates = templates.path().to_owned();
    config.roles = vec![Role {
        name: "web".to_owned(),
        origin: Origin::File(dir.path().join("credentials.json")),
    }];
    let facts = runtime.block_on(facts::gather(&config, Engine::Here));
    let [test, nonsense, none, some] = facts.sources.as_slice() else {
        panic!("{:?}", facts.sources)
    };
    assert_eq!(
        test.subjects,
        Ok(1),
        "libvirt's own test driver has one domain"
    );
    assert!(nonsense.subjects.is_err());
    assert!(none.subjects.is_err());
    assert_eq!(some.subjects, Ok(2), "web1.yaml and db1.json");
    let [(name, problem)] = some.problems.as_slice() else {
        panic!("{:?}", some.problems)
    };
    assert_eq!(name, "db1.json");
    assert!(problem.contains("line 1"), "{problem}");
    let [template] = facts.templates.as_slice() else {
        panic!("{:?}", facts.templates)
    };
    assert!(template.contains("preseed.cfg"), "{template}");
    let [(role, problem)] = facts.roles.as_slice() else {
        panic!("{:?}", facts.roles)
    };
    assert!(
        role == "web" && problem.contains("credentials.json"),
        "{problem}"
    );
    assert!(
        facts
            .interfaces
            .iter()
            .any(|interface| interface.name == "lo")
    );
}
