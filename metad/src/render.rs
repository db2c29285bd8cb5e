//! Instance to text: what each path answers, made when a guest first asks in a dialect and only looked up from then on.
//!
//! In: an instance and the NIC that will ask. Out: every answer, ready to send. Nothing listed may be missing, and
//! nothing here knows HTTP, tokens or the clock, but for the time at which the answers came to be.

mod claims;
mod digitalocean;
mod document;
mod ec2;
pub(crate) mod gce;
mod hetzner;
mod iam;
mod install;
mod interfaces;
mod names;
mod network;
mod network_config;
mod nocloud;
pub(crate) mod openstack;
mod overlay;
#[cfg(test)]
pub(crate) mod sample;
mod text;
mod tree;
mod version;
mod vultr;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use once_cell::race::OnceBox;

use crate::instance::{Dialect, Instance};
use crate::signer::{Form, Proofs};

pub use claims::claims;
pub(crate) use names::{is_segment, is_tag_key};
pub use tree::{Answer, Content, ETag, Tree};
pub use version::{Version, Versions};

/// Where the identity document is, below an EC2 version.
pub const DOCUMENT: &str = "dynamic/instance-identity/document";

/// Every answer for one NIC of one instance.
///
/// An instance that nobody asks for costs nothing but itself, and each dialect is rendered with the first question in it:
/// a guest asks in one or two of them, and only while it boots. No lock: two that come first at once render the same, and
/// one of the two is kept.
pub struct Answers {
    /// What they are rendered from; `None`: nothing is answered.
    of: Option<(Arc<Instance>, usize)>,
    /// The trees that were asked for, by paths below the dialect's own prefix. EC2's stand below `/<version>/`: `""` is
    /// that directory itself, `meta-data/instance-id` a leaf.
    trees: OnceBox<Trees>,
    /// What an installer asks for: made by a child, which no guest may wait for.
    install: Option<Box<Installed>>,
    /// When these answers came to be, for `Last-Modified`.
    pub made: SystemTime,
    /// What was signed for this NIC.
    pub proofs: Arc<Proofs>,
}

/// One for each dialect, in the order of [`Dialect::ALL`].
type Trees = [OnceBox<Tree>; Dialect::ALL.len()];

/// Installers' files.
#[derive(Debug, Clone, PartialEq)]
struct Installed {
    tree: Tree,
    /// Files that there should be and are not, by path.
    failed: BTreeSet<String>,
}

impl Default for Answers {
    /// Answers nothing.
    fn default() -> Self {
        Self {
            of: None,
            trees: OnceBox::new(),
            install: None,
            made: SystemTime::UNIX_EPOCH,
            proofs: Arc::default(),
        }
    }
}

impl Clone for Answers {
    /// What was rendered until now is rendered anew where it is asked for.
    fn clone(&self) -> Self {
        Self {
            of: self.of.clone(),
            trees: OnceBox::new(),
            install: self.install.clone(),
            made: self.made,
            proofs: Arc::clone(&self.proofs),
        }
    }
}

impl fmt::Debug for Answers {
    /// Says whose they are: what they hold may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.as_ref();
        let of = of.map(|(instance, nic)| (instance.name.as_str(), nic));
        f.debug_tuple("Answers").field(&of).finish()
    }
}

impl Answers {
    /// Everything that the guest of `instance` may read through its NIC number `nic`, which came to be at `made`.
    pub fn of(instance: Arc<Instance>, nic: usize, made: SystemTime) -> Self {
        Self {
            of: Some((instance, nic)),
            made,
            ..Self::default()
        }
    }

    /// Adds the files that an installer asks for, by path, and the paths of those that could not be made.
    pub fn install(&mut self, files: &BTreeMap<String, Bytes>, failed: BTreeSet<String>) {
        let tree = Tree::from(install::directory(files));
        self.install = Some(Box::new(Installed { tree, failed }));
    }

    /// Whether an installer's file should be at `path` and could not be made.
    pub fn is_failed(&self, path: &str) -> bool {
        let install = self.install.as_ref();
        install.is_some_and(|install| install.failed.contains(path))
    }

    /// Looks `path` up, which has neither a leading, a trailing nor a double slash.
    pub fn get(&self, dialect: Dialect, version: Version, path: &str) -> Option<Answer<'_>> {
        self.tree(dialect)?.get(version, path)
    }

    /// Returns everything below `path`, each with what is left of its path; `None` for a directory.
    pub fn below(
        &self,
        dialect: Dialect,
        version: Version,
        path: &str,
    ) -> impl Iterator<Item = (&str, Option<Answer<'_>>)> {
        let tree = self.tree(dialect).into_iter();
        tree.flat_map(move |tree| tree.below(version, path))
    }

    /// The tree of a dialect that answers this instance.
    fn tree(&self, dialect: Dialect) -> Option<&Tree> {
        if dialect == Dialect::Install {
            return self.install.as_ref().map(|install| &install.tree);
        }
        let (instance, nic) = self.of.as_ref()?;
        if !instance.options.dialects.has(dialect) {
            return None;
        }
        let trees = self.trees.get_or_init(Box::default);
        let mut all = Dialect::ALL.into_iter().zip(trees);
        let (_, tree) = all.find(|(one, _)| *one == dialect)?;
        Some(tree.get_or_init(|| Box::new(directory(instance, *nic, dialect).into())))
    }
}

/// A body that is known beforehand, or that depends on the connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    Bytes(Bytes),
    /// The IPv4 address that the request came from.
    CallerIpv4,
    /// The same with known text on both sides, and the whole text for callers that have none.
    AroundCallerIpv4 {
        before: Bytes,
        after: Bytes,
        without: Bytes,
    },
    /// Known text on both sides of random text that is new for each request.
    AroundSeed {
        before: Bytes,
        after: Bytes,
    },
    /// A listing that holds names which callers without an IPv4 address must not see; `None`: they see nothing at all.
    Listing {
        all: Bytes,
        without: Option<Bytes>,
    },
    /// What proves the identity document, made when it is asked for.
    Proof(Form),
}

impl Body {
    /// Returns the octets to send; `None` where they need the caller's address and it is not known, or a signature, or
    /// random text and the system gives none.
    pub fn bytes(&self, caller: Option<Ipv4Addr>) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) | Self::Listing { all: bytes, .. } => Some(bytes.clone()),
            Self::CallerIpv4 => caller.map(|address| address.to_string().into()),
            Self::AroundCallerIpv4 { before, after, .. } => caller.map(|address| {
                [before.as_ref(), address.to_string().as_bytes(), after]
                    .concat()
                    .into()
            }),
            Self::AroundSeed { before, after } => seeded(before, after),
            Self::Proof(_) => None,
        }
    }

    /// Returns the octets to send to a caller that has no IPv4 address; `None` where there is nothing for it.
    pub fn without_ipv4(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) | Self::AroundCallerIpv4 { without: bytes, .. } => {
                Some(bytes.clone())
            }
            Self::Listing { without, .. } => without.clone(),
            Self::AroundSeed { before, after } => seeded(before, after),
            Self::CallerIpv4 | Self::Proof(_) => None,
        }
    }
}

fn seeded(before: &Bytes, after: &Bytes) -> Option<Bytes> {
    let seed = openstack::seed()?;
    Some([before.as_ref(), seed.as_bytes(), after].concat().into())
}

impl fmt::Debug for Body {
    /// Says how long it is: what it holds may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::CallerIpv4 => f.write_str("CallerIpv4"),
            Self::AroundCallerIpv4 { without, .. } => {
                write!(f, "AroundCallerIpv4({})", without.len())
            }
            Self::AroundSeed { before, after } => {
                write!(f, "AroundSeed({})", before.len() + after.len())
            }
            Self::Listing { all, .. } => write!(f, "Listing({})", all.len()),
            Self::Proof(form) => write!(f, "Proof({form:?})"),
        }
    }
}

/// Everything that the guest of `instance` may read through its NIC number `nic`.
pub fn answers(instance: &Instance, nic: usize) -> Answers {
    Answers::of(Arc::new(instance.clone()), nic, SystemTime::now())
}

/// Renders one dialect.
fn directory(instance: &Instance, nic: usize, dialect: Dialect) -> tree::Directory {
    // The other dialects say the same as EC2's, in their own words.
    let ec2 = ec2::directory(instance, nic);
    match dialect {
        Dialect::Ec2 => ec2,
        Dialect::NoCloud => nocloud::directory(instance, &ec2),
        Dialect::OpenStack => openstack::directory(instance, &ec2),
        Dialect::Gce => gce::directory(instance, nic, &ec2),
        Dialect::DigitalOcean => digitalocean::directory(instance, &ec2),
        Dialect::Hetzner => hetzner::directory(instance, nic, &ec2),
        Dialect::Vultr => vultr::directory(instance, &ec2),
        // Made elsewhere, see [`Answers::install`].
        Dialect::Install => tree::Directory::default(),
    }
}

#[cfg(test)]
mod tests;
