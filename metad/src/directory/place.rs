//! Paths that may not exist yet, resolved as far as they do, and what tells one state of a file from another.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EMPTIED: Duration = Duration::from_millis(250);

/// A path without symbolic links as far as it exists, and the nearest directory that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Where inotify tells of `path` or of what is still missing above it.
    pub(super) watch: PathBuf,
}

/// Resolves everything but the last component, so that a link is a place of its own.
pub(super) fn locate(path: &Path) -> io::Result<Place> {
    let path = std::path::absolute(path)?;
    let mut missing: Vec<_> = path.file_name().into_iter().collect();
    let mut above = path.parent().unwrap_or(Path::new("/"));
    loop {
        if let Ok(watch) = fs::canonicalize(above)
            && watch.is_dir()
        {
            let path = missing
                .iter()
                .rev()
                .fold(watch.clone(), |path, name| path.join(name));
            return Ok(Place { path, watch });
        }
        missing.extend(above.file_name());
        above = above.parent().unwrap_or(Path::new("/"));
    }
}

/// Which state of a file was read; another state has another mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Follows symbolic links; `None` where there is nothing.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path)
            .ok()
            .map(|metadata| Self::from(&metadata))
    }

    /// Whether it was emptied so lately that its writer may not have been noticed: the kernel empties a file first and
    /// queues the notice then, and a busy file system takes its time in between. Whatever is written after that
    /// comes after the notice.
    pub(super) fn is_just_emptied(self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = Duration::new(
            seconds.try_into().unwrap_or(0),
            nanoseconds.try_into().unwrap_or(0),
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.size == 0 && now.checked_sub(changed).is_some_and(|age| age < EMPTIED)
    }

    /// Whether both are states of the same file.
    pub(super) fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<&Metadata> for Mark {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is no regular file")]
    NotAFile,
    #[error("it is larger than {0} octets")]
    TooLarge(usize),
}

/// Reads a regular file of at most `most` octets; never waits for a pipe's other end.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file: File = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(FileError::NotAFile);
    }
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut content)?;
    if content.len() > most {
        return Err(FileError::TooLarge(most));
    }
    Ok(content)
}
