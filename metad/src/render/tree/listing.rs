//! What a directory answers: its names, as each version and each kind of caller sees them.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Branch, Directory, KEY, Shown, Tagged};
use crate::render::{Body, Version};

/// A name in a listing.
struct Name<'a> {
    since: Version,
    /// `10` comes after `2`.
    number: u32,
    name: &'a str,
    shown: String,
    needs_ipv4: bool,
}

/// Makes one listing for each version at which something appears.
pub(super) fn of(directory: &Directory, oldest: Version) -> Vec<(Version, Tagged)> {
    let mut names: Vec<Name<'_>> = directory
        .entries
        .iter()
        .filter(|(_, entry)| entry.shown != Shown::Never)
        .filter_map(|(name, entry)| {
            let since = entry.first()?.max(oldest);
            let shown = match (&entry.shown, &entry.node) {
                (Shown::AsKey(key), Branch::Directory(below)) if below.body(KEY).is_some() => {
                    format!("{name}={key}")
                }
                (Shown::Plainly | Shown::AsKey(_), Branch::Directory(_)) => format!("{name}/"),
                (Shown::Bare | Shown::Plainly | Shown::AsKey(_) | Shown::Never, _) => name.clone(),
            };
            Some(Name {
                since,
                number: name.parse().unwrap_or(u32::MAX),
                name,
                shown,
                needs_ipv4: entry.needs_ipv4(),
            })
        })
        .collect();
    names.sort_by(|a, b| (a.number, a.name).cmp(&(b.number, b.name)));
    let mut versions: BTreeSet<Version> = names.iter().map(|name| name.since).collect();
    if versions.is_empty() {
        versions.insert(oldest);
    }
    versions
        .into_iter()
        .map(|version| (version, body(&names, version).into()))
        .collect()
}

fn body(names: &[Name<'_>], version: Version) -> Body {
    let lines = |all: bool| -> Bytes {
        let names = names.iter().filter(|name| name.since <= version);
        let shown: Vec<&str> = names
            .filter(|name| all || !name.needs_ipv4)
            .map(|name| name.shown.as_str())
            .collect();
        shown.join("\n").into()
    };
    let all = lines(true);
    let seen = || names.iter().filter(|name| name.since <= version);
    if !seen().any(|name| name.needs_ipv4) {
        return Body::Bytes(all);
    }
    let without = seen().any(|name| !name.needs_ipv4).then(|| lines(false));
    Body::Listing { all, without }
}
