//! The file that carries the token key over a restart of the daemon.
//!
//! In: a path under a directory that only root writes. Out: 32 secret octets. A file that someone else may have read
//! or written is never used.

use std::io;
use std::path::{Path, PathBuf};

use aes_gcm::aead::Generate;

use crate::keyfile::{self, Fault, Refusal};

/// Octets of an AES-256 key.
pub(super) const LENGTH: usize = 32;

/// What is wrong with the key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the token key {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot make the token key {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot make the token key {}: the system gives no random numbers", path.display())]
    NoRandomness { path: PathBuf },
    #[error(
        "refusing the token key {}: {fault}\n  help: remove the file; the next start makes a new one, and guests ask for new tokens",
        path.display()
    )]
    Unsafe { path: PathBuf, fault: Fault },
}

/// Reads the key at `path`, making one first where there is none.
///
/// # Errors
/// See [`KeyError`].
pub(super) fn open(path: &Path) -> Result<[u8; LENGTH], KeyError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    make(path)?;
    // Another process may have been quicker: what stands under the name is the key.
    read(path)?.ok_or_else(|| missing(path))
}

fn read(path: &Path) -> Result<Option<[u8; LENGTH]>, KeyError> {
    let length = LENGTH as u64;
    match keyfile::read(path, &(length..=length)) {
        Ok(None) => Ok(None),
        Ok(Some(octets)) => match octets.try_into() {
            Ok(key) => Ok(Some(key)),
            // It was cut while it was read.
            Err(_length) => Err(missing(path)),
        },
        Err(Refusal::Unreadable(source)) => Err(KeyError::Read {
            path: path.to_owned(),
            source,
        }),
        Err(Refusal::Unsafe(fault)) => Err(KeyError::Unsafe {
            path: path.to_owned(),
            fault,
        }),
    }
}

fn make(path: &Path) -> Result<(), KeyError> {
    let key: [u8; LENGTH] = Generate::try_generate().map_err(|_cause| KeyError::NoRandomness {
        path: path.to_owned(),
    })?;
    keyfile::create(path, &key).map_err(|source| KeyError::Make {
        path: path.to_owned(),
        source,
    })
}

fn missing(path: &Path) -> KeyError {
    KeyError::Read {
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
        let first = open(&path).unwrap();
        assert_ne!(first, [0; LENGTH]);
        assert_eq!(open(&path).unwrap(), first);
    }

    #[test]
    fn a_lost_race_takes_the_winners_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let first = open(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(open(&path).unwrap(), first);
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
            let refused = matches!(open(&path), Err(KeyError::Unsafe { .. }));
            assert!(refused, "{case}");
        }
    }

    #[test]
    fn error_names_the_file_and_the_way_out() {
        let missing = Path::new("/nonexistent/token.key");
        let error = open(missing).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot make the token key /nonexistent/token.key"
        );
        let error = KeyError::Unsafe {
            path: "/run/metad/token.key".into(),
            fault: Fault::Mode { mode: 0o644 },
        };
        let text = error.to_string();
        assert!(text.contains("its mode is 644, not 600"), "{text}");
        assert!(text.contains("help: remove the file"), "{text}");
    }
}
