//! The host's secret, and what is made from it for one guest alone.

use std::fmt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::files::{self, FileError};
use crate::instance::Seed;
use crate::token::key::{self, LENGTH};
use crate::token::{Key, KeyError};

/// The secret's name in the state directory.
pub(super) const NAME: &str = "secret";

/// 32 random octets that never leave the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; LENGTH]);

/// A host that can keep no secret.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    #[error(transparent)]
    Directory(#[from] FileError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes the secret of this state directory, making both where they are missing.
    ///
    /// # Errors
    /// See [`NoSecret`].
    pub fn open(state_directory: &Path) -> Result<Self, NoSecret> {
        files::private_directory(state_directory)?;
        Ok(Self(key::open(Key::Host, &state_directory.join(NAME))?))
    }

    /// Takes the secret of this state directory, if there is one that this user may read; makes nothing.
    pub fn look(state_directory: &Path) -> Option<Self> {
        let read = key::read(Key::Host, &state_directory.join(NAME));
        read.ok().flatten().map(Self)
    }

    /// Takes the secret itself.
    pub fn with_key(octets: [u8; LENGTH]) -> Self {
        Self(octets)
    }

    /// The secret segment of an instance's NoCloud prefix: the same for as long as the secret and the UUID are.
    pub fn seed(&self, instance: Uuid) -> Option<Seed> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).ok()?;
        mac.update(b"nocloud");
        mac.update(instance.as_bytes());
        let digest = mac.finalize().into_bytes();
        digest.first_chunk().copied().map(Seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_belongs_to_one_secret_and_one_instance() {
        let uuid = |text| Uuid::parse_str(text).unwrap();
        let (ours, other) = (
            uuid("ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8"),
            uuid("ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e9"),
        );
        let secret = Secret::with_key([7; LENGTH]);
        // HMAC-SHA256 by another implementation, cut to half.
        let expected = "55af7ba385c782aa22c74daf66ebd208";
        assert_eq!(secret.seed(ours).unwrap().to_string(), expected);
        assert_ne!(secret.seed(other).unwrap().to_string(), expected);
        let stranger = Secret::with_key([8; LENGTH]);
        assert_ne!(stranger.seed(ours).unwrap().to_string(), expected);
    }

    #[test]
    fn the_secret_is_made_once_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = Secret::open(&state).unwrap();
        assert_eq!(Secret::open(&state).unwrap(), first);
        assert_eq!(format!("{first:?}"), "Secret");
        let error = Secret::open(Path::new("/nonexistent/state")).unwrap_err();
        assert_eq!(error.to_string(), "cannot use /nonexistent/state");
    }
}
