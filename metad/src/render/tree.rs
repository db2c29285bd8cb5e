//! A tree of answers: first as directories that can be changed, then as a table that is only read.
//!
//! A listing is made from the very entries that the table gets, so that no name is listed which does not answer.

mod listing;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use bytes::Bytes;

use super::{Body, Version};

/// The format that every client asks of a public key.
const KEY: &str = "openssh-key";

/// What kind of text or octets a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Text,
    Yaml,
    Json,
    /// User-data: what its owner gave, octet for octet.
    Octets,
}

/// One path's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    pub content: Content,
    pub body: &'a Body,
    /// The tag of a body that is known beforehand.
    pub etag: Option<ETag>,
    /// Whether there are, or may be, names below it.
    pub is_directory: bool,
}

/// Tells two bodies apart, as HTTP's entity tag does; prints as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(u64);

impl ETag {
    /// The same for the same octets, in every run of the same release.
    pub fn of(octets: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(octets);
        Self(hasher.finish())
    }

    /// As headers say it, in hexadecimal.
    pub fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        let octets = self.0.to_be_bytes().into_iter();
        let halves = octets.flat_map(|octet| [octet >> 4, octet & 0xf]);
        for (digit, half) in digits.iter_mut().zip(halves) {
            *digit = half + if half < 10 { b'0' } else { b'a' - 10 };
        }
        digits
    }
}

/// Every path of one dialect and what it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    content: Content,
    is_directory: bool,
    /// Oldest first: each holds from its version to the next one's.
    bodies: Vec<(Version, Tagged)>,
}

/// A body and its tag, made once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tagged {
    body: Body,
    etag: Option<ETag>,
}

impl From<Body> for Tagged {
    fn from(body: Body) -> Self {
        let etag = match &body {
            Body::Bytes(octets) => Some(ETag::of(octets)),
            // The seed tells nothing: with all else the same, the same was said.
            Body::AroundSeed { before, after } => {
                Some(ETag::of(&[before.as_ref(), after].concat()))
            }
            Body::CallerIpv4
            | Body::AroundCallerIpv4 { .. }
            | Body::Listing { .. }
            | Body::Proof(_) => None,
        };
        Self { body, etag }
    }
}

impl Tree {
    /// Looks `path` up, which has neither a leading, a trailing nor a double slash.
    pub fn get(&self, version: Version, path: &str) -> Option<Answer<'_>> {
        self.nodes.get(path)?.seen(version)
    }

    /// Returns everything below `path`, in the order of the paths, each with what is left of its path; `None` for a
    /// directory.
    pub fn below<'a>(
        &'a self,
        version: Version,
        path: &str,
    ) -> impl Iterator<Item = (&'a str, Option<Answer<'a>>)> + use<'a> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        self.nodes
            .iter()
            .filter_map(move |(path, node)| {
                let rest = path.strip_prefix(&prefix)?;
                let answer = node.seen(version)?;
                Some((rest, (!node.is_directory).then_some(answer)))
            })
            .filter(|(rest, _)| !rest.is_empty())
    }
}

impl Node {
    fn leaf(content: Content, bodies: Vec<(Version, Tagged)>) -> Self {
        Self {
            content,
            is_directory: false,
            bodies,
        }
    }

    fn seen(&self, version: Version) -> Option<Answer<'_>> {
        let mut newest_first = self.bodies.iter().rev();
        let (_, tagged) = newest_first.find(|(since, _)| *since <= version)?;
        Some(Answer {
            content: self.content,
            body: &tagged.body,
            etag: tagged.etag,
            is_directory: self.is_directory,
        })
    }
}

impl From<Directory> for Tree {
    fn from(root: Directory) -> Self {
        let mut nodes = BTreeMap::new();
        freeze(&mut nodes, "", root, Version::OLDEST);
        Self { nodes }
    }
}

fn freeze(nodes: &mut BTreeMap<String, Node>, path: &str, directory: Directory, oldest: Version) {
    let (content, bodies) = match directory.own.clone() {
        Some((content, body)) => (content, vec![(oldest, body.into())]),
        None => (Content::Text, listing::of(&directory, oldest)),
    };
    for (name, entry) in directory.entries {
        let path = if path.is_empty() {
            name
        } else {
            format!("{path}/{name}")
        };
        let since = entry.since.max(oldest);
        match entry.node {
            Branch::Leaf { content, body } => {
                let bodies = vec![(since, body.into())];
                nodes.insert(path, Node::leaf(content, bodies));
            }
            Branch::Grown { content, bodies } => {
                let later = |(since, body): (Version, Body)| (since.max(oldest), body.into());
                let bodies = bodies.into_iter().map(later).collect();
                nodes.insert(path, Node::leaf(content, bodies));
            }
            Branch::Directory(below) if below.first().is_some() => {
                freeze(nodes, &path, below, since);
            }
            Branch::Directory(_empty) => {}
        }
    }
    let is_directory = true;
    let node = Node {
        content,
        is_directory,
        bodies,
    };
    nodes.insert(path.to_owned(), node);
}

/// A directory in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    entries: BTreeMap<String, Entry>,
    /// What it answers itself, instead of a list.
    own: Option<(Content, Body)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    since: Version,
    shown: Shown,
    node: Branch,
}

/// How a name stands in its parent's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    /// As it is, a directory with a slash behind it.
    Plainly,
    /// As it is, directory or not.
    Bare,
    /// As `INDEX=NAME`, but only with an OpenSSH key below: clients ask for that without looking.
    AsKey(String),
    /// Not at all: something else says that it is there.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Branch {
    Leaf {
        content: Content,
        body: Body,
    },
    /// A leaf with another body from each of these versions on, oldest first.
    Grown {
        content: Content,
        bodies: Vec<(Version, Body)>,
    },
    Directory(Directory),
}

impl Entry {
    /// The first version that sees it; `None` where there is nothing to see.
    fn first(&self) -> Option<Version> {
        match &self.node {
            Branch::Leaf { .. } => Some(self.since),
            Branch::Grown { bodies, .. } => bodies.first().map(|(since, _)| *since),
            Branch::Directory(below) => Some(below.first()?.max(self.since)),
        }
    }

    /// Whether there is nothing to see for a caller without an IPv4 address.
    fn needs_ipv4(&self) -> bool {
        match &self.node {
            Branch::Leaf { body, .. } => *body == Body::CallerIpv4,
            Branch::Grown { .. } => false,
            Branch::Directory(below) if below.own.is_some() => false,
            Branch::Directory(below) => {
                let mut seen = below
                    .entries
                    .values()
                    .filter(|entry| entry.first().is_some());
                seen.all(Self::needs_ipv4)
            }
        }
    }
}

impl Directory {
    /// Puts a text leaf, whatever stood there before.
    pub fn text(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.leaf(name, Content::Text, Body::Bytes(value.into()));
    }

    /// Puts a leaf, whatever stood there before.
    pub fn leaf(&mut self, name: impl Into<String>, content: Content, body: Body) {
        let node = Branch::Leaf { content, body };
        self.put(name.into(), Shown::Plainly, node);
    }

    /// Puts a leaf with another body from each of these versions on, oldest first.
    pub fn leaf_grown(
        &mut self,
        name: impl Into<String>,
        content: Content,
        bodies: Vec<(Version, Body)>,
    ) {
        let node = Branch::Grown { content, bodies };
        self.put(name.into(), Shown::Plainly, node);
    }

    /// Puts a leaf that no list shows; its name may be a path.
    pub fn leaf_unlisted(&mut self, path: impl Into<String>, content: Content, body: Body) {
        let node = Branch::Leaf { content, body };
        self.put(path.into(), Shown::Never, node);
    }

    /// Has the directory itself answer `body` instead of a list, even with nothing in it.
    pub fn answer(&mut self, content: Content, body: Body) {
        self.own = Some((content, body));
    }

    /// Puts a directory, whatever stood there before. An empty one is neither listed nor answered.
    pub fn directory(&mut self, name: impl Into<String>, below: Self) {
        let node = Branch::Directory(below);
        self.put(name.into(), Shown::Plainly, node);
    }

    /// Hides what stands at `path`, if anything does, from versions before `since`.
    pub fn hide_before(&mut self, path: &str, since: Version) {
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        match (rest, &mut entry.node) {
            (None, _) => entry.since = since,
            (Some(rest), Branch::Directory(below)) => below.hide_before(rest, since),
            (Some(_), Branch::Leaf { .. } | Branch::Grown { .. }) => {}
        }
    }

    /// Puts a directory that its parent lists without a slash, as EC2 does right below a version.
    pub fn directory_bare(&mut self, name: impl Into<String>, below: Self) {
        let node = Branch::Directory(below);
        self.put(name.into(), Shown::Bare, node);
    }

    /// Puts the directory of a public key, which its parent lists as `INDEX=NAME`.
    pub fn public_key(&mut self, index: usize, name: String, formats: Self) {
        let node = Branch::Directory(formats);
        self.put(index.to_string(), Shown::AsKey(name), node);
    }

    pub fn remove(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// Whether it holds nothing that any version sees.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Returns the directory of that name, if it is one.
    pub fn below_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.entries.get_mut(name)?.node {
            Branch::Directory(below) => Some(below),
            Branch::Leaf { .. } | Branch::Grown { .. } => None,
        }
    }

    /// Returns the body of the leaf at `path`.
    pub fn body(&self, path: &str) -> Option<&Body> {
        let (name, rest) = match path.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        match (&self.entries.get(name)?.node, rest) {
            (Branch::Leaf { body, .. }, None) => Some(body),
            (Branch::Directory(below), Some(rest)) => below.body(rest),
            (Branch::Grown { bodies, .. }, None) => bodies.last().map(|(_, body)| body),
            (Branch::Leaf { .. } | Branch::Grown { .. }, Some(_))
            | (Branch::Directory(_), None) => None,
        }
    }

    /// Returns the text of the leaf at `path`, if it is text that is known beforehand.
    pub fn read(&self, path: &str) -> Option<&str> {
        match self.body(path)? {
            Body::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            Body::CallerIpv4
            | Body::AroundCallerIpv4 { .. }
            | Body::AroundSeed { .. }
            | Body::Listing { .. }
            | Body::Proof(_) => None,
        }
    }

    fn put(&mut self, name: String, shown: Shown, node: Branch) {
        let since = Version::OLDEST;
        self.entries.insert(name, Entry { since, shown, node });
    }

    fn first(&self) -> Option<Version> {
        let own = self.own.as_ref().map(|_own| Version::OLDEST);
        let entries = self.entries.values().filter_map(Entry::first);
        entries.chain(own).min()
    }
}

#[cfg(test)]
mod tests;
