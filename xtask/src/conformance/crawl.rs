//! Walks the tree as cloud-init does, within bounds: what is listed, what does not answer, what hides a directory.

use std::collections::BTreeSet;

use super::row::Miss;
use super::subject::{Subject, lines};

/// More names than any server lists for one guest.
const MOST: usize = 2000;
const DEEPEST: usize = 12;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Listed names that did not answer 200, with what they did.
    pub(super) dead: Vec<String>,
    /// Directories that were listed like values.
    pub(super) unmarked: Vec<String>,
    asked: usize,
}

/// Asks for everything that is listed below a directory, whose path ends with a slash.
fn everything(subject: &Subject, directory: &str) -> Result<Found, Miss> {
    let mut found = Found::default();
    walk(subject, directory, 0, &mut found)?;
    Ok(found)
}

/// The whole tree of EC2, walked once.
pub(super) fn latest(subject: &Subject) -> Result<&Found, Miss> {
    let walked = subject.walked.get_or_init(|| {
        // A server that lists no version may still list what is below.
        let root = subject.get("/latest/");
        let listed = root.is_ok_and(|answer| answer.status == 200);
        let below = if listed {
            "/latest/"
        } else {
            "/latest/meta-data/"
        };
        everything(subject, below)
    });
    walked.as_ref().map_err(Clone::clone)
}

fn walk(subject: &Subject, directory: &str, depth: usize, found: &mut Found) -> Result<(), Miss> {
    for name in subject.list(directory)? {
        found.asked += 1;
        if found.asked > MOST || depth > DEEPEST {
            let expected = format!("a tree of {MOST} names at most, {DEEPEST} deep");
            return Err(super::expect::fail(
                expected,
                format!("more, at {directory}"),
            ));
        }
        // EC2 lists the branches of a version without their slashes.
        let branch = depth == 0 && matches!(name.as_str(), "meta-data" | "dynamic");
        let key = name
            .split_once('=')
            .filter(|(index, _)| index.parse::<u32>().is_ok());
        if let Some((index, _)) = key {
            leaf(subject, &format!("{directory}{index}/openssh-key"), found);
        } else if name.ends_with('/') || branch {
            let below = format!("{directory}{}/", name.trim_end_matches('/'));
            match subject.get(&below) {
                Ok(answer) if answer.status == 200 => walk(subject, &below, depth + 1, found)?,
                Ok(answer) => found.dead.push(format!("{below} ({})", answer.status)),
                Err(_) => found.dead.push(format!("{below} (no answer)")),
            }
        } else {
            leaf(subject, &format!("{directory}{name}"), found);
        }
    }
    Ok(())
}

fn leaf(subject: &Subject, path: &str, found: &mut Found) {
    match subject.get(path) {
        Ok(answer) if answer.status == 200 => {
            if hides_a_directory(subject, path, &answer.text()) {
                found.unmarked.push(path.to_owned());
            }
        }
        Ok(answer) => found.dead.push(format!("{path} ({})", answer.status)),
        Err(_) => found.dead.push(format!("{path} (no answer)")),
    }
}

/// Whether every line of what seems a value is the name of something below it.
fn hides_a_directory(subject: &Subject, path: &str, text: &str) -> bool {
    let names: BTreeSet<String> = lines(text).into_iter().take(4).collect();
    let plain = |name: &String| {
        name.bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"-_.:=/".contains(&it))
    };
    let is_there = |name: &String| {
        let name = name.split('=').next().unwrap_or_default();
        let answer = subject.get(&format!("{path}/{name}"));
        answer.is_ok_and(|answer| answer.status == 200)
    };
    // User-data and documents are not asked for line by line.
    !names.is_empty() && names.iter().all(plain) && names.iter().all(is_there)
}
