//! What a host has, as text, to be compared before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Lab, until};

/// One text for each thing that a daemon could change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    parts: BTreeMap<String, String>,
}

/// What is asked in the host's namespace. Learned neighbours and forwarding entries come and go with the traffic, so
/// only permanent ones count.
const QUESTIONS: [&str; 13] = [
    "ip -details link show",
    "ip -oneline address show",
    "ip route show table all",
    "ip -6 route show table all",
    "ip rule show",
    "ip -6 rule show",
    "ip neighbour show nud permanent",
    "ip maddress show",
    "ip netconf show",
    "bridge fdb show",
    "nft list ruleset",
    "tc qdisc show",
    "tc -details chain show",
];

/// Kernel settings that a route, a proxy or a socket of ours would need.
const SETTINGS: [&str; 4] = [
    "/proc/sys/net/ipv4",
    "/proc/sys/net/ipv6",
    "/proc/sys/net/core",
    "/proc/sys/net/netfilter",
];

/// Where a daemon could leave something that is called like it.
const PLACES: [&str; 7] = [
    "/run/netns",
    "/sys/fs/bpf",
    "/run",
    "/var/lib",
    "/var/tmp",
    "/tmp",
    "/etc",
];

/// A link that has just come up does its next thing within this time.
const QUIET: Duration = Duration::from_millis(2500);

/// Settings that the kernel itself keeps changing, or that cannot be read.
const RESTLESS: [&str; 4] = [
    "tcp_fastopen_key",
    "stable_secret",
    "flush",
    "nf_conntrack_count",
];

impl Snapshot {
    /// Asks the host for everything. The text of a question that fails is its error, so that a tool that is missing
    /// cannot hide a difference by being missing twice in different ways.
    ///
    /// # Errors
    /// The host's namespace cannot be entered.
    pub fn take(lab: &Lab) -> Result<Self> {
        let host = lab.host();
        let mut parts = BTreeMap::new();
        for question in QUESTIONS {
            let mut text = host.output(question)?;
            if question.starts_with("bridge") {
                text = keep(&text, |line| line.contains("permanent"));
            }
            text = without_timers(&text);
            parts.insert(question.to_owned(), text);
        }
        for link in links(parts.get("tc qdisc show").map_or("", String::as_str)) {
            for side in ["ingress", "egress"] {
                let question = format!("tc filter show dev {link} {side}");
                // Without a qdisc there is nothing to ask; the list of qdiscs tells.
                let text = host.output(&question).unwrap_or_default();
                parts.insert(question, text);
            }
        }
        for root in SETTINGS {
            host.within(|| settings(Path::new(root), &mut parts))?;
        }
        for place in PLACES {
            parts.insert(
                format!("files in {place}"),
                names(Path::new(place), lab.name()),
            );
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = keep(&mounts, |line| {
            let mut words = line.split(['/', ' ']);
            words.any(|word| is_called(word, lab.name()))
        });
        parts.insert("mounts".to_owned(), mounts);
        parts.insert("processes".to_owned(), processes(lab));
        Ok(Self { parts })
    }

    /// Waits until the host is as it was in this snapshot.
    ///
    /// # Errors
    /// It does not become so; the differences are in the error.
    pub fn restored(&self, lab: &Lab) -> Result<()> {
        let mut left = Vec::new();
        until("the host as it was", Duration::from_secs(60), || {
            left = Self::take(lab).map_or_else(
                |error| vec![format!("{error:#}")],
                |now| self.differences(&now),
            );
            left.is_empty().then_some(())
        })
        .with_context(|| left.join("\n"))
    }

    /// Takes the host once links that have just come up have finished with themselves: address detection, multicast
    /// groups.
    ///
    /// # Errors
    /// It does not come to rest.
    pub fn settled(lab: &Lab) -> Result<Self> {
        let mut last = (Self::take(lab)?, Instant::now());
        until("a quiet host", Duration::from_secs(30), || {
            let now = Self::take(lab).ok()?;
            if now != last.0 {
                last = (now, Instant::now());
            }
            let at_rest = !last.0.is_tentative() && last.1.elapsed() >= QUIET;
            at_rest.then(|| last.0.clone())
        })
    }

    /// Whether an address is still being detected, which a busy machine may take its time for.
    fn is_tentative(&self) -> bool {
        self.parts.values().any(|text| text.contains(" tentative"))
    }

    /// Every difference, one per line: `-` was there before, `+` is there now.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let keys: Vec<&String> = self.parts.keys().chain(after.parts.keys()).collect();
        let mut seen = BTreeSet::new();
        for key in keys.into_iter().filter(|key| seen.insert(key.as_str())) {
            let before = self.parts.get(key).map_or("", String::as_str);
            let now = after.parts.get(key).map_or("", String::as_str);
            let gone = before
                .lines()
                .filter(|line| !now.lines().any(|it| it == *line));
            let new = now
                .lines()
                .filter(|line| !before.lines().any(|it| it == *line));
            differences.extend(gone.map(|line| format!("- {key}: {line}")));
            differences.extend(new.map(|line| format!("+ {key}: {line}")));
        }
        differences
    }

    /// How many lines it holds; an empty snapshot proves nothing.
    pub fn lines(&self) -> usize {
        self.parts.values().map(|text| text.lines().count()).sum()
    }
}

/// Leaves out how far the timers of a bridge have run.
fn without_timers(text: &str) -> String {
    let mut kept = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ').filter(|word| !word.is_empty()).peekable();
        let mut line = String::new();
        while let Some(word) = words.next() {
            line.push_str(word);
            line.push(' ');
            if word.ends_with("_timer") {
                words.next();
            }
        }
        kept.push(line);
    }
    kept.join("\n")
}

fn keep(text: &str, suits: impl Fn(&str) -> bool) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| suits(line)).collect();
    lines.join("\n")
}

/// The links that have a queueing discipline.
fn links(qdiscs: &str) -> BTreeSet<String> {
    let mut links = BTreeSet::new();
    for line in qdiscs.lines() {
        let mut words = line.split_whitespace().skip_while(|word| *word != "dev");
        links.extend(words.nth(1).map(str::to_owned));
    }
    links
}

fn settings(directory: &Path, parts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if RESTLESS.iter().any(|restless| name == *restless) {
            continue;
        }
        if path.is_dir() {
            settings(&path, parts);
        } else if let Ok(text) = fs::read_to_string(&path) {
            parts.insert(path.display().to_string(), text);
        }
    }
}

/// Names that could be this daemon's, and what is below them; other labs of the sandbox have others.
fn names(directory: &Path, daemon: &str) -> String {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = Vec::new();
    for entry in entries.filter(|it| is_called(&it.file_name().to_string_lossy(), daemon)) {
        list(&entry.path(), &mut names);
    }
    names.sort();
    names.join("\n")
}

fn list(path: &Path, names: &mut Vec<String>) {
    names.push(path.display().to_string());
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            list(&entry.path(), names);
        }
    }
}

fn is_called(name: &str, daemon: &str) -> bool {
    let rest = name.strip_prefix(daemon);
    rest.is_some_and(|rest| !rest.starts_with(|it: char| it.is_ascii_digit()))
}

/// Processes of a metad in the host's namespace: a daemon, or a child that it has forgotten.
fn processes(lab: &Lab) -> String {
    let inode = |path: &Path| fs::metadata(path).map(|found| found.ino()).ok();
    let host = inode(&lab.host().path());
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let is_metad = fs::read_link(process.join("exe"))
            .is_ok_and(|file| file.file_name().is_some_and(|name| name == "metad"));
        if is_metad && inode(&process.join("ns/net")) == host {
            let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
            lines.push(line.replace('\0', " "));
        }
    }
    lines.sort();
    lines.join("\n")
}
