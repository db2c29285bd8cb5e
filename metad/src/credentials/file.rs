//! Credentials from a file. Never waits for a writer, never reads more than credentials can be.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::parse::LENGTH_MAX;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: io::Error },
    #[error("{} is no regular file", .0.display())]
    NoFile(PathBuf),
    #[error("{} is larger than {LENGTH_MAX} octets", .0.display())]
    TooLarge(PathBuf),
    #[error("the system cannot read files: {0}")]
    Runtime(tokio::task::JoinError),
}

/// A file's content.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) octets: Vec<u8>,
    /// Who else may read it.
    pub(super) warning: Option<String>,
}

/// Tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Looks at a file; `None` where there is none.
pub(super) async fn mark(path: PathBuf) -> Option<Mark> {
    let look = move || {
        let stat = std::fs::metadata(path).ok()?;
        Some(Mark {
            file: (stat.dev(), stat.ino()),
            size: stat.size(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
        })
    };
    tokio::task::spawn_blocking(look).await.ok()?
}

/// Reads a file.
pub(super) async fn read(path: PathBuf) -> Result<Whole, Failure> {
    let read = tokio::task::spawn_blocking(move || whole(&path));
    read.await.map_err(Failure::Runtime)?
}

fn whole(path: &Path) -> Result<Whole, Failure> {
    let failed = |why| Failure::Unreadable {
        path: path.to_owned(),
        why,
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty());
    let file = File::from(file.map_err(|errno| failed(errno.into()))?);
    let stat = file.metadata().map_err(failed)?;
    if !stat.is_file() {
        return Err(Failure::NoFile(path.to_owned()));
    }
    let mut octets = Vec::new();
    let most = u64::try_from(LENGTH_MAX).unwrap_or(u64::MAX);
    file.take(most + 1)
        .read_to_end(&mut octets)
        .map_err(failed)?;
    if octets.len() > LENGTH_MAX {
        return Err(Failure::TooLarge(path.to_owned()));
    }
    let mode = stat.mode() & 0o777;
    let warning = (mode & 0o077 != 0).then(|| {
        format!(
            "{} has the mode {mode:03o}: others on this host can read its credentials, 600 keeps them from it",
            path.display()
        )
    });
    Ok(Whole { octets, warning })
}
