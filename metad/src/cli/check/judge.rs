//! From facts to findings. Pure: what a host lacks is decided here, and tested without one.

use super::facts::{DaemonFacts, Facts, SourceFacts};
use super::{Finding, Verdict};
use crate::config::{Attach, Config, Source};
use crate::datapath::release::{OLDEST, TCX, version};

/// The capabilities that metad needs (linux/capability.h) and what for.
const CAPABILITIES: [(u32, &str, &str); 5] = [
    (10, "CAP_NET_BIND_SERVICE", "port 80 in its own namespace"),
    (12, "CAP_NET_ADMIN", "the veth and attaching programs"),
    (21, "CAP_SYS_ADMIN", "its own network namespace"),
    (38, "CAP_PERFMON", "the verifier's trust in pointers"),
    (39, "CAP_BPF", "loading programs and maps"),
];

/// Judges everything, in the order in which an administrator would set it right.
pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        privileges(facts.capabilities),
        kernel(&facts.kernel),
        attach(config.datapath.attach, &facts.kernel),
        programs(facts),
        bpffs(facts.bpffs),
        names(config, facts),
    ];
    findings.extend(patterns(config, facts));
    for (source, facts) in config.sources.iter().zip(&facts.sources) {
        findings.push(reachable(source, facts));
        findings.extend(facts.problems.iter().map(|(name, problem)| {
            warning(
                &format!("metadata of {name}"),
                problem.clone(),
                edit(source, name),
            )
        }));
    }
    findings.extend(facts.templates.iter().map(|problem| {
        let place = config.install.templates.display();
        let remedy = format!("mend it in {place}; the other templates are rendered");
        warning("installers' answers", problem.clone(), remedy)
    }));
    findings.extend(facts.roles.iter().map(|(role, problem)| {
        let remedy = "guests with this role are told of no credentials until they are there";
        warning(&format!("role {role}"), problem.clone(), remedy)
    }));
    findings
}

fn ok(what: &str, detail: impl Into<String>) -> Finding {
    Finding {
        what: what.to_owned(),
        verdict: Verdict::Ok,
        detail: detail.into(),
        remedy: None,
    }
}

fn warning(what: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    let (detail, remedy) = (detail.into(), Some(remedy.into()));
    Finding {
        what: what.to_owned(),
        verdict: Verdict::Warning,
        detail,
        remedy,
    }
}

fn missing(what: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        verdict: Verdict::Missing,
        ..warning(what, detail, remedy)
    }
}

fn privileges(capabilities: Option<u64>) -> Finding {
    let what = "privileges";
    let Some(have) = capabilities else {
        return warning(
            what,
            "the effective set cannot be read",
            "mount /proc, then check again",
        );
    };
    let lacking: Vec<String> = CAPABILITIES
        .iter()
        .filter(|(bit, _, _)| have >> bit & 1 == 0)
        .map(|(_, name, purpose)| format!("{name} ({purpose})"))
        .collect();
    if lacking.is_empty() {
        ok(what, "every capability that metad needs")
    } else {
        let remedy = "run it as root; in a container or a unit, grant these capabilities";
        missing(what, format!("without {}", lacking.join(", ")), remedy)
    }
}

fn kernel(release: &str) -> Finding {
    let (major, minor) = OLDEST;
    match version(release) {
        Some(version) if version >= OLDEST => ok("kernel", release),
        Some(_) => missing(
            "kernel",
            format!("{release} is too old"),
            format!("boot Linux {major}.{minor} or later"),
        ),
        None => warning(
            "kernel",
            format!("cannot read the version from `{release}`"),
            format!("make sure that it is Linux {major}.{minor} or later"),
        ),
    }
}

fn attach(wanted: Attach, release: &str) -> Finding {
    let what = "attaching";
    let tcx = version(release).is_none_or(|version| version >= TCX);
    match (wanted, tcx) {
        (Attach::Auto | Attach::Tcx, true) => ok(what, "tcx"),
        (Attach::Clsact, true | false) => ok(what, "clsact, as configured"),
        (Attach::Auto, false) => ok(what, "clsact; tcx comes with Linux 6.6"),
        (Attach::Tcx, false) => missing(
            what,
            "tcx is configured, and comes with Linux 6.6",
            "set `attach = \"auto\"` in [datapath]",
        ),
    }
}

fn programs(facts: &Facts) -> Finding {
    let what = "bpf";
    let locked = facts
        .lockdown
        .as_deref()
        .is_some_and(|line| line.contains("[confidentiality]"));
    match &facts.programs {
        Some(Ok(true)) => ok(what, "tc programs can be loaded"),
        Some(Ok(false)) => missing(
            what,
            "this kernel knows no tc programs",
            "use a kernel with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS",
        ),
        Some(Err(why)) if locked => missing(
            what,
            format!("the kernel is locked down for confidentiality: {why}"),
            "boot with lockdown=integrity at most, or without it",
        ),
        Some(Err(why)) => missing(
            what,
            format!("cannot load a tc program: {why}"),
            "run as root; in a container, allow the bpf() system call in its seccomp profile",
        ),
        None => warning(what, "not tried", "run `metad check` as root"),
    }
}

fn bpffs(mounted: bool) -> Finding {
    if mounted {
        ok("bpf file system", "on /sys/fs/bpf")
    } else {
        missing(
            "bpf file system",
            "none on /sys/fs/bpf",
            "mount -t bpf bpf /sys/fs/bpf",
        )
    }
}

/// Interfaces and a namespace of metad's name must be metad's own.
fn names(config: &Config, facts: &Facts) -> Finding {
    let what = "names";
    let taken: Vec<String> = [config.veth_host(), config.veth_inner()]
        .into_iter()
        .filter(|link| {
            facts
                .interfaces
                .iter()
                .any(|interface| interface.name == *link)
        })
        .collect();
    if facts.daemon == DaemonFacts::Serving {
        return ok(what, format!("a metad called `{}` is serving", config.name));
    }
    let mut there: Vec<String> = taken
        .iter()
        .map(|link| format!("interface {link}"))
        .collect();
    if facts.namespace {
        there.push(format!("namespace {}", config.name));
    }
    if let DaemonFacts::Mute { why, remedy } = &facts.daemon {
        // It has the name, wherever what is called by it is.
        let remedy = remedy.as_deref().unwrap_or("its log says what it is doing");
        return warning(what, why, remedy);
    }
    if there.is_empty() {
        return ok(what, format!("`{}` is free", config.name));
    }
    if let DaemonFacts::Denied { why } = &facts.daemon {
        // They may well be a healthy daemon's: to remove them would end it.
        let detail = format!(
            "there is {}; whether a daemon of that name serves is not known: {why}",
            there.join(" and ")
        );
        return warning(what, detail, "run `metad check` as root, with sudo");
    }
    let remedy = "if an earlier metad left it, `metad serve` goes on with it and `metad down` removes it; otherwise set another `name`";
    if facts.namespace {
        // What a crash leaves behind, most likely.
        warning(
            what,
            format!("no daemon serves, but there is {}", there.join(" and ")),
            remedy,
        )
    } else {
        missing(
            what,
            format!(
                "there is {}, but no namespace {}",
                there.join(" and "),
                config.name
            ),
            remedy,
        )
    }
}

fn patterns(config: &Config, facts: &Facts) -> Vec<Finding> {
    let judged = config.datapath.interfaces.iter().map(|pattern| {
        let what = format!("interfaces {pattern}");
        let found: Vec<&str> = facts
            .interfaces
            .iter()
            .filter(|interface| pattern.matches(&interface.name))
            .map(|interface| interface.name.as_str())
            .collect();
        if found.is_empty() {
            let remedy =
                "nothing to do if they appear later; `virsh net-start default` brings up virbr0";
            warning(&what, "none is there now", remedy)
        } else {
            ok(&what, found.join(" "))
        }
    });
    judged.collect()
}

fn reachable(source: &Source, facts: &SourceFacts) -> Finding {
    let what = source.to_string();
    match (&facts.subjects, source) {
        (Ok(count), Source::Libvirt { .. }) => ok(&what, format!("domains: {count}")),
        (Ok(count), Source::Directory { .. }) => ok(&what, format!("records: {count}")),
        // `metad serve` starts without it and tries again until it is there.
        (Err(why), Source::Libvirt { uri }) => warning(
            &what,
            why.clone(),
            format!(
                "`virsh -r -c {uri} list` must work before its guests are answered: is libvirtd (or virtqemud) running, and the URI right?"
            ),
        ),
        // An empty directory says the same as none, so nothing fails without it.
        (Err(why), Source::Directory { path }) => warning(
            &what,
            why.clone(),
            format!("mkdir -p {}, or remove the source", path.display()),
        ),
    }
}

fn edit(source: &Source, name: &str) -> String {
    match source {
        Source::Libvirt { .. } => {
            format!("`virsh edit {name}`; metad goes on with what it last understood")
        }
        Source::Directory { path } => format!("edit {} in {}", name, path.display()),
    }
}
