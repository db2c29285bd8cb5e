//! The files that carry keys over a restart: of the daemon, or of the host.
//!
//! In: a path under a directory that only root writes. Out: 32 secret octets. A file that someone else may have read
//! or written is never used.

use std::io;
use std::path::{Path, PathBuf};

use aes_gcm::aead::Generate;

use crate::keyfile::{self, Fault, Refusal};

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
    read(key, path)?.ok_or_else(|| missing(key, path))
}

/// Reads the key at `path`; `None` where there is none.
///
/// # Errors
/// See [`KeyError`].
pub(crate) fn read(key: Key, path: &Path) -> Result<Option<[u8; LENGTH]>, KeyError> {
    let length = LENGTH as u64;
    match keyfile::read(path, &(length..=length)) {
        Ok(None) => Ok(None),
        Ok(Some(octets)) => match octets.try_into() {
            Ok(octets) => Ok(Some(octets)),
            // It was cut while it was read.
            Err(_length) => Err(missing(key, path)),
        },
        Err(Refusal::Unreadable(source)) => Err(KeyError::Read {
            key,
            path: path.to_owned(),
            source,
        }),
        Err(Refusal::Unsafe(fault)) => Err(KeyError::Unsafe {
            key,
            path: path.to_owned(),
            fault,
        }),
    }
}

fn make(key: Key, path: &Path) -> Result<(), KeyError> {
    let octets: [u8; LENGTH] =
        Generate::try_generate().map_err(|_cause| KeyError::NoRandomness {
            key,
            path: path.to_owned(),
        })?;
    keyfile::create(path, &octets).map_err(|source| KeyError::Make {
        key,
        path: path.to_owned(),
        source,
    })
}

fn missing(key: Key, path: &Path) -> KeyError {
    KeyError::Read {
        key,
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let first = open(Key::Token, &path).unwrap();
        assert_ne!(first, [0; LENGTH]);
        assert_eq!(open(Key::Token, &path).unwrap(), first);
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
    fn key_that_others_may_have_touched_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (case, mode, length) in [
            ("group reads", 0o640, LENGTH),
            ("cut short", 0o600, 31),
            ("too long", 0o600, 33),
        ] {
            let path = directory.path().join(case);
            fs::write(&path, vec![1; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = matches!(open(Key::Token, &path), Err(KeyError::Unsafe { .. }));
            assert!(refused, "{case}");
        }
    }

    #[test]
    fn error_names_the_file_and_the_way_out() {
        let missing = Path::new("/nonexistent/token.key");
        let error = open(Key::Token, missing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot make the token key /nonexistent/token.key"
        );
        let error = KeyError::Unsafe {
            key: Key::Token,
            path: "/run/metad/token.key".into(),
            fault: Fault::Mode { mode: 0o644 },
        };
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
