//! The files that carry keys over a restart: of the daemon, or of the host.
//!
//! In: a path under a directory that only root writes. Out: 32 secret octets. A file that someone else may have read
//! or written is never used, and a half-written one never appears under its name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aes_gcm::aead::Generate;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Octets of an AES-256 key.
pub(crate) const LENGTH: usize = 32;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Key {
    /// Seals session tokens.
    #[error("token key")]
    Token,
    /// What is made for a guest alone is made from it.
    #[error("host secret")]
    Host,
}

impl Key {
    /// What becomes of guests when it is made anew.
    fn cost(self) -> &'static str {
        match self {
            Self::Token => "guests ask for new tokens",
            Self::Host => "NoCloud's secret paths are other ones from then on",
        }
    }
}

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the {key} {}", path.display())]
    Read {
        key: Key,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot make the {key} {}", path.display())]
    Make {
        key: Key,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot make the {key} {}: the system gives no random numbers", path.display())]
    NoRandomness { key: Key, path: PathBuf },
    #[error(
        "refusing the {key} {}: {fault}\n  help: remove the file; the next start makes a new one, and {}",
        path.display(),
        key.cost()
    )]
    Unsafe {
        key: Key,
        path: PathBuf,
        fault: Fault,
    },
}

/// Why a key file is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it belongs to user {owner}, not to {expected}")]
    Owner { owner: u32, expected: u32 },
    #[error("its mode is {mode:03o}, not 600")]
    Mode { mode: u32 },
    #[error("it has {length} octets, not {LENGTH}")]
    Length { length: u64 },
}

/// Reads the key at `path`, making one first where there is none.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn open(key: Key, path: &Path) -> Result<[u8; LENGTH], KeyError> {
    if let Some(octets) = read(key, path)? {
        return Ok(octets);
    }
    make(key, path)?;
    // Another process may have been quicker: what stands under the name is the key.
    read(key, path)?.ok_or_else(|| KeyError::Read {
        key,
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })
}

fn read(key: Key, path: &Path) -> Result<Option<[u8; LENGTH]>, KeyError> {
    let failed = |source: io::Error| KeyError::Read {
        key,
        path: path.to_owned(),
        source,
    };
    // A link or a FIFO under this name is somebody's trap: neither follow the one nor wait on the other.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(refuse(key, path, Fault::NotAFile)),
        Err(error) => return Err(failed(error.into())),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
    let expected = rustix::process::geteuid().as_raw();
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    if let Some(fault) = fault(stat.st_mode, stat.st_uid, expected, length) {
        return Err(refuse(key, path, fault));
    }
    let mut octets = [0; LENGTH];
    file.read_exact(&mut octets).map_err(failed)?;
    Ok(Some(octets))
}

fn fault(raw_mode: u32, owner: u32, expected: u32, length: u64) -> Option<Fault> {
    let mode = Mode::from_raw_mode(raw_mode).as_raw_mode() & 0o7777;
    if FileType::from_raw_mode(raw_mode) != FileType::RegularFile {
        Some(Fault::NotAFile)
    } else if owner != expected {
        Some(Fault::Owner { owner, expected })
    } else if mode != 0o600 {
        Some(Fault::Mode { mode })
    } else if length != LENGTH as u64 {
        Some(Fault::Length { length })
    } else {
        None
    }
}

fn refuse(key: Key, path: &Path, fault: Fault) -> KeyError {
    KeyError::Unsafe {
        key,
        path: path.to_owned(),
        fault,
    }
}

fn make(key: Key, path: &Path) -> Result<(), KeyError> {
    let no_randomness = || KeyError::NoRandomness {
        key,
        path: path.to_owned(),
    };
    let octets: [u8; LENGTH] = Generate::try_generate().map_err(|_cause| no_randomness())?;
    let suffix: [u8; 8] = Generate::try_generate().map_err(|_cause| no_randomness())?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".new-{:016x}", u64::from_be_bytes(suffix)));
    let draft = PathBuf::from(draft);
    let made = write(&draft, &octets).and_then(|()| {
        match rustix::fs::renameat_with(CWD, &draft, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => rustix::fs::unlinkat(CWD, &draft, AtFlags::empty()),
            Err(error) => Err(error),
        }
        .map_err(io::Error::from)
    });
    made.map_err(|source| {
        // The draft is of no use to anyone, and that it could not be made is what must be told.
        let _leftover = rustix::fs::unlinkat(CWD, &draft, AtFlags::empty());
        KeyError::Make {
            key,
            path: path.to_owned(),
            source,
        }
    })
}

fn write(path: &Path, octets: &[u8; LENGTH]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    // The umask may have taken more away than the group's and the world's rights.
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    let mut file = File::from(file);
    file.write_all(octets)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn key_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let first = open(Key::Token, &path).unwrap();
        assert_ne!(first, [0; LENGTH]);
        assert_eq!(open(Key::Token, &path).unwrap(), first);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["token.key"], "no draft is left");
    }

    #[test]
    fn a_lost_race_takes_the_winners_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let first = open(Key::Token, &path).unwrap();
        make(Key::Token, &path).unwrap();
        assert_eq!(open(Key::Token, &path).unwrap(), first);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn file_that_others_may_have_touched_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (case, mode, length, expected) in [
            ("group reads", 0o640, LENGTH, Fault::Mode { mode: 0o640 }),
            ("world writes", 0o602, LENGTH, Fault::Mode { mode: 0o602 }),
            ("set-uid", 0o4600, LENGTH, Fault::Mode { mode: 0o4600 }),
            ("cut short", 0o600, 31, Fault::Length { length: 31 }),
            ("too long", 0o600, 33, Fault::Length { length: 33 }),
            ("empty", 0o600, 0, Fault::Length { length: 0 }),
        ] {
            let path = directory.path().join(case);
            fs::write(&path, vec![1; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = matches!(open(Key::Token, &path), Err(KeyError::Unsafe { fault, .. }) if fault == expected);
            assert!(refused, "{case}");
        }
    }

    #[test]
    fn neither_link_nor_directory_nor_stranger_is_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        open(Key::Token, &real).unwrap();
        let link = directory.path().join("link");
        symlink(&real, &link).unwrap();
        for (case, path) in [("link", link.as_path()), ("directory", directory.path())] {
            let refused = matches!(
                open(Key::Token, path),
                Err(KeyError::Unsafe {
                    fault: Fault::NotAFile,
                    ..
                })
            );
            assert!(refused, "{case}");
        }
        assert_eq!(
            fault(0o100_600, 1000, 0, 32),
            Some(Fault::Owner {
                owner: 1000,
                expected: 0
            })
        );
        assert_eq!(fault(0o100_600, 0, 0, 32), None);
    }

    #[test]
    fn error_names_the_file_and_the_way_out() {
        let missing = Path::new("/nonexistent/token.key");
        let error = open(Key::Token, missing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot make the token key /nonexistent/token.key"
        );
        let error = refuse(
            Key::Token,
            Path::new("/run/metad/token.key"),
            Fault::Mode { mode: 0o644 },
        );
        let text = error.to_string();
        assert!(text.contains("its mode is 644, not 600"), "{text}");
        assert!(text.contains("help: remove the file"), "{text}");
        let missing = Path::new("/nonexistent/secret");
        assert_eq!(
            open(Key::Host, missing).unwrap_err().to_string(),
            "cannot make the host secret /nonexistent/secret"
        );
    }
}
