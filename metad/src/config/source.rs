//! Where instances come from, and what they are called in logs.

use std::fmt;
use std::path::PathBuf;

use super::DEFAULT_RECORDS;

/// Where instances come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Libvirt { uri: String },
    Directory { path: PathBuf },
}

impl fmt::Display for Source {
    /// As in logs and `metad status`: `libvirt qemu:///system`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Libvirt { uri } => write!(f, "libvirt {uri}"),
            Self::Directory { path } => write!(f, "directory {}", path.display()),
        }
    }
}

/// What holds where no source is named.
pub(super) fn default_sources() -> Vec<Source> {
    vec![
        Source::Libvirt {
            uri: "qemu:///system".to_owned(),
        },
        Source::Directory {
            path: PathBuf::from(DEFAULT_RECORDS),
        },
    ]
}
