//! Which room of the daemon may know which: the walk of a request goes one way, and nothing points back.

use super::{File, Finding};

/// Rooms that must not be named in a room, with the reason. What is not listed is free.
const FORBIDDEN: [(&str, &[&str], &str); 11] = [
    (
        "instance",
        &[
            "libvirt",
            "http",
            "axum",
            "virt",
            "quick_xml",
            "aya",
            "inventory",
            "datapath",
            "listen",
            "render",
            "source",
        ],
        "an instance knows no source, no protocol and no kernel",
    ),
    (
        "record",
        &[
            "http",
            "axum",
            "aya",
            "inventory",
            "datapath",
            "listen",
            "render",
        ],
        "a record is what a person wrote",
    ),
    (
        "render",
        &[
            "http",
            "axum",
            "hyper",
            "libvirt",
            "virt",
            "aya",
            "datapath",
            "listen",
            "inventory",
            "token",
        ],
        "rendering knows instances alone",
    ),
    (
        "signer",
        &[
            "http",
            "axum",
            "hyper",
            "libvirt",
            "virt",
            "aya",
            "datapath",
            "listen",
            "inventory",
            "instance",
            "render",
        ],
        "a signer knows octets and claims, not what they say",
    ),
    (
        "identity",
        &[
            "http",
            "axum",
            "hyper",
            "libvirt",
            "virt",
            "listen",
            "directory",
        ],
        "identity comes from the kernel alone",
    ),
    (
        "http",
        &[
            "aya",
            "datapath",
            "libvirt",
            "virt",
            "listen",
            "directory",
            "netns",
            "cli",
        ],
        "a request touches no kernel map and no source",
    ),
    (
        "listen",
        &[
            "aya",
            "datapath",
            "libvirt",
            "virt",
            "directory",
            "netns",
            "cli",
        ],
        "the listener is handed its socket",
    ),
    (
        "inventory",
        &[
            "http",
            "axum",
            "hyper",
            "libvirt",
            "virt",
            "listen",
            "directory",
            "aya",
            "cli",
        ],
        "the inventory knows changes, not where they come from",
    ),
    (
        "libvirt",
        &[
            "http",
            "axum",
            "hyper",
            "datapath",
            "listen",
            "inventory",
            "render",
            "aya",
            "cli",
        ],
        "a source only sends changes",
    ),
    (
        "directory",
        &[
            "http",
            "axum",
            "hyper",
            "datapath",
            "listen",
            "inventory",
            "render",
            "libvirt",
            "virt",
            "aya",
            "cli",
        ],
        "a source only sends changes",
    ),
    (
        "datapath",
        &[
            "http",
            "axum",
            "hyper",
            "libvirt",
            "virt",
            "listen",
            "render",
            "directory",
            "cli",
        ],
        "the datapath knows the inventory alone",
    ),
];

/// Lists the lines of one file that name a room which its own must not know.
pub(super) fn check(file: &File) -> Vec<Finding> {
    match file.path.split('/').collect::<Vec<_>>().as_slice() {
        ["metad", "src", rest @ ..] => daemon(file, rest),
        ["metad-common", "src", ..] => pure(file),
        _ => Vec::new(),
    }
}

fn daemon(file: &File, rest: &[&str]) -> Vec<Finding> {
    let room = rest
        .first()
        .map_or("", |first| first.trim_end_matches(".rs"));
    let Some((_, forbidden, why)) = FORBIDDEN.iter().find(|(name, ..)| *name == room) else {
        return Vec::new();
    };
    code_lines(file)
        .flat_map(|(line, text)| {
            let named = forbidden.iter().filter(move |other| names(text, other));
            named.map(move |other| {
                Finding::new(file, line, format!("`{room}` names `{other}`: {why}"))
            })
        })
        .collect()
}

/// Kernel and daemon share this crate: it may not touch the world.
fn pure(file: &File) -> Vec<Finding> {
    code_lines(file)
        .filter(|(_, text)| {
            ["std::net::Tcp", "std::fs", "std::io", "std::process"]
                .iter()
                .any(|word| text.contains(word))
        })
        .map(|(line, _)| Finding::new(file, line, "metad-common does no input and no output"))
        .collect()
}

/// Numbered lines up to the tests, without comments.
fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// Whether a line names a room of this crate, or another crate: `crate::http::`, `use aya::`, `virt::event::`.
fn names(line: &str, other: &str) -> bool {
    let room = format!("crate::{other}");
    let ends =
        |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let as_room = line
        .match_indices(&room)
        .any(|(at, _)| ends(&line[at + room.len()..]));
    let krate = format!("{other}::");
    let as_crate = line.match_indices(&krate).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':')
    });
    let is_room = FORBIDDEN.iter().any(|(room, ..)| *room == other);
    as_room || (as_crate && !is_room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_points_back() {
        for (case, path, text, expected) in [
            (
                "render and http",
                "metad/src/render/ec2.rs",
                "use crate::http::Refusal;",
                1,
            ),
            (
                "render and instance",
                "metad/src/render.rs",
                "use crate::instance::Nic;",
                0,
            ),
            (
                "http and render",
                "metad/src/http.rs",
                "use crate::render::Answers;",
                0,
            ),
            (
                "http and aya",
                "metad/src/http/guard.rs",
                "use aya::maps::HashMap;",
                1,
            ),
            (
                "a longer name",
                "metad/src/http.rs",
                "use crate::listening::A;",
                0,
            ),
            (
                "a comment",
                "metad/src/render.rs",
                "// like crate::http::x",
                0,
            ),
            (
                "a test",
                "metad/src/render.rs",
                "#[cfg(test)]\nuse crate::http::x;",
                0,
            ),
            (
                "the http crate in the listener",
                "metad/src/listen.rs",
                "use http::Request;",
                0,
            ),
            (
                "the command line is free",
                "metad/src/cli/run.rs",
                "use crate::http::x;",
                0,
            ),
            ("pure", "metad-common/src/slot.rs", "use std::fs;", 1),
        ] {
            let file = File {
                path: path.into(),
                text: text.into(),
            };
            assert_eq!(check(&file).len(), expected, "{case}");
        }
    }
}
