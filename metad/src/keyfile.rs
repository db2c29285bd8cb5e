//! Files that carry secrets over a restart, and the directory that they are kept in.
//!
//! In: a path, and what to write there once. Out: the octets that stand there. A file that someone else may have read
//! or written is never used, a half-written one never appears under its name, and none is ever replaced.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use aes_gcm::aead::Generate;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Why a file under a secret's name is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it belongs to user {owner}, not to {expected}")]
    Owner { owner: u32, expected: u32 },
    #[error("its mode is {mode:03o}, not 600")]
    Mode { mode: u32 },
    #[error("it has {length} octets, not {}", span(expected))]
    Length {
        length: u64,
        expected: RangeInclusive<u64>,
    },
}

/// A file that cannot be read, or must not be used.
#[derive(Debug)]
pub enum Refusal {
    Unreadable(io::Error),
    Unsafe(Fault),
}

/// Reads the file at `path`, `None` where there is none.
///
/// # Errors
/// It cannot be read, or it is not what only its owner can have written.
pub fn read(path: &Path, lengths: &RangeInclusive<u64>) -> Result<Option<Vec<u8>>, Refusal> {
    // A link or a FIFO under this name is somebody's trap: neither follow the one nor wait on the other.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Refusal::Unsafe(Fault::NotAFile)),
        Err(error) => return Err(Refusal::Unreadable(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| Refusal::Unreadable(error.into()))?;
    let expected = rustix::process::geteuid().as_raw();
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    if let Some(fault) = fault(stat.st_mode, stat.st_uid, expected, length, lengths) {
        return Err(Refusal::Unsafe(fault));
    }
    let mut octets = Vec::new();
    file.take(*lengths.end())
        .read_to_end(&mut octets)
        .map_err(Refusal::Unreadable)?;
    Ok(Some(octets))
}

/// Writes `octets` under `path`, whole or not at all, for its owner alone. What stands there already stays, and is no
/// error: another process was quicker.
///
/// # Errors
/// The system refused it.
pub fn create(path: &Path, octets: &[u8]) -> io::Result<()> {
    let suffix: [u8; 8] = Generate::try_generate()
        .map_err(|_cause| io::Error::other("the system gives no random numbers"))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".new-{:016x}", u64::from_be_bytes(suffix)));
    let draft = PathBuf::from(draft);
    let made = write(&draft, octets).and_then(|()| {
        match rustix::fs::renameat_with(CWD, &draft, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => rustix::fs::unlinkat(CWD, &draft, AtFlags::empty()),
            Err(error) => Err(error),
        }
        .map_err(io::Error::from)
    });
    if made.is_err() {
        // The draft is of no use to anyone, and that it could not be made is what must be told.
        let _leftover = rustix::fs::unlinkat(CWD, &draft, AtFlags::empty());
    }
    made
}

/// Makes sure that `path` is a directory in which nobody but root and us can put or replace a file.
///
/// # Errors
/// It cannot be made, or others may write it.
pub fn directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = std::fs::metadata(path)?;
    let owner = found.uid();
    if !found.is_dir() {
        Err(io::Error::other("it is no directory"))
    } else if owner != rustix::process::geteuid().as_raw() {
        Err(io::Error::other(format!("it belongs to user {owner}")))
    } else if found.mode() & 0o022 != 0 {
        Err(io::Error::other("others may write it"))
    } else {
        Ok(())
    }
}

fn fault(
    raw_mode: u32,
    owner: u32,
    expected: u32,
    length: u64,
    lengths: &RangeInclusive<u64>,
) -> Option<Fault> {
    let mode = Mode::from_raw_mode(raw_mode).as_raw_mode() & 0o7777;
    if FileType::from_raw_mode(raw_mode) != FileType::RegularFile {
        Some(Fault::NotAFile)
    } else if owner != expected {
        Some(Fault::Owner { owner, expected })
    } else if mode != 0o600 {
        Some(Fault::Mode { mode })
    } else if !lengths.contains(&length) {
        Some(Fault::Length {
            length,
            expected: lengths.clone(),
        })
    } else {
        None
    }
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    // The umask may have taken more away than the group's and the world's rights.
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    file.write_all(octets)?;
    file.sync_all()
}

fn span(lengths: &RangeInclusive<u64>) -> String {
    let (least, most) = (lengths.start(), lengths.end());
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}

#[cfg(test)]
mod tests;
