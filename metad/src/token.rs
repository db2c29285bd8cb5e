//! Session tokens: sealed expiry times, bound to one instance and kept nowhere.
//!
//! In: an instance, a time to live, the time since boot. Out: opaque header-safe text, and later whether such a text
//! still holds. A token never opens another instance, nor the same one under a later epoch, and the key never leaves
//! the process but for the root-only file that carries it over a restart of the daemon.

pub(crate) mod key;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use aes_gcm::aead::{Aead, Generate, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::instance::Instance;

pub use key::{Key, KeyError};

/// The longest life of a token, in seconds: six hours, as EC2 documents.
pub const TTL_MAX: u32 = 21_600;

/// The length of every token that is handed out, in characters.
pub const TOKEN_CHARS: usize = (NONCE + SEALED) / 3 * 4;

const NONCE: usize = 12;
/// The expiry in whole seconds, and GCM's tag.
const SEALED: usize = 8 + 16;
const _: () = assert!((NONCE + SEALED).is_multiple_of(3));

/// How long a token lives, 1 to [`TTL_MAX`] seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(u32);

impl Ttl {
    /// Returns `None` outside 1 to [`TTL_MAX`] seconds.
    pub fn new(seconds: u32) -> Option<Self> {
        (1..=TTL_MAX).contains(&seconds).then_some(Self(seconds))
    }

    pub fn seconds(self) -> u32 {
        self.0
    }
}

/// Time since the host booted, suspended time included, so that neither a stepped clock nor a nap lengthens a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(pub Duration);

impl BootTime {
    /// Reads CLOCK_BOOTTIME.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }
}

/// Why a text is no valid token; guests are told 401 in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the token is not one of ours")]
    Malformed,
    #[error("the token was not made here for this instance")]
    Foreign,
    #[error("the token has expired")]
    Expired,
}

/// The system gave no random numbers, so no token could be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot seal a token: the system gives no random numbers")]
pub struct NoRandomness;

/// Grants tokens and checks them; holds the key and nothing else.
#[derive(Clone)]
pub struct Tokens {
    cipher: Aes256Gcm,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Takes the key from `path`, or makes one there that only root may read.
    ///
    /// # Errors
    /// The file cannot be read or made, or is not what only its owner can have written.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        key::open(Key::Token, path).map(|key| Self::with_key(&key))
    }

    /// Takes the key itself.
    pub fn with_key(key: &[u8; key::LENGTH]) -> Self {
        Self {
            cipher: Aes256Gcm::new(key.into()),
        }
    }

    /// Makes a token for `instance` that lives exactly `ttl` from `now`.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn grant(
        &self,
        instance: &Instance,
        ttl: Ttl,
        now: BootTime,
    ) -> Result<String, NoRandomness> {
        let nonce: [u8; NONCE] = Generate::try_generate().map_err(|_cause| NoRandomness)?;
        let expiry = now.0.as_secs().saturating_add(u64::from(ttl.0));
        let sealed = self
            .cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: &expiry.to_be_bytes(),
                    aad: &binding(instance),
                },
            )
            .map_err(|_too_long| NoRandomness)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// Returns the seconds that `token` has left for `instance`, counting the current one: 0 in its last.
    ///
    /// # Errors
    /// The text is no token, another's token, or an old one.
    pub fn check(&self, instance: &Instance, token: &[u8], now: BootTime) -> Result<u32, Refused> {
        if token.len() != TOKEN_CHARS {
            return Err(Refused::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_not_base64| Refused::Malformed)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE>()
            .ok_or(Refused::Malformed)?;
        // Comparing the tag in constant time is the cipher's own duty, and it opens nothing before.
        let opened = self
            .cipher
            .decrypt(
                &Nonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: &binding(instance),
                },
            )
            .map_err(|_tag| Refused::Foreign)?;
        let expiry: [u8; 8] = opened
            .try_into()
            .map_err(|_length: Vec<u8>| Refused::Malformed)?;
        // Whole seconds on both sides: a token is good to the end of its last one.
        let left = u64::from_be_bytes(expiry)
            .checked_sub(now.0.as_secs())
            .ok_or(Refused::Expired)?;
        Ok(u32::try_from(left).unwrap_or(TTL_MAX).min(TTL_MAX))
    }
}

/// What a token is tied to without saying so.
fn binding(instance: &Instance) -> [u8; 24] {
    let mut bound = [0; 24];
    let (uuid, epoch) = bound.split_at_mut(16);
    uuid.copy_from_slice(instance.uuid.as_bytes());
    epoch.copy_from_slice(&instance.epoch.to_be_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample::instance;

    fn at(seconds: u64, millis: u64) -> BootTime {
        BootTime(Duration::from_millis(seconds * 1000 + millis))
    }

    fn ttl(seconds: u32) -> Ttl {
        Ttl::new(seconds).unwrap()
    }

    #[test]
    fn ttl_is_one_second_to_six_hours() {
        for (seconds, granted) in [
            (0, false),
            (1, true),
            (21_600, true),
            (21_601, false),
            (u32::MAX, false),
        ] {
            assert_eq!(Ttl::new(seconds).is_some(), granted, "{seconds}");
        }
    }

    #[test]
    fn token_is_48_header_safe_characters() {
        let tokens = Tokens::with_key(&[7; 32]);
        for _ in 0..200 {
            let token = tokens.grant(&instance(), ttl(60), at(5, 0)).unwrap();
            assert_eq!(token.len(), TOKEN_CHARS);
            assert!((48..=64).contains(&token.len()), "{token}");
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
                "{token}"
            );
        }
    }

    #[test]
    fn token_holds_to_the_end_of_its_last_second() {
        let tokens = Tokens::with_key(&[7; 32]);
        let token = tokens.grant(&instance(), ttl(1), at(100, 999)).unwrap();
        for (case, now, expected) in [
            ("at once", at(100, 999), Ok(1)),
            ("its last second", at(101, 0), Ok(0)),
            ("the end of it", at(101, 999), Ok(0)),
            ("a second later", at(102, 0), Err(Refused::Expired)),
            ("a day later", at(90_000, 0), Err(Refused::Expired)),
        ] {
            assert_eq!(
                tokens.check(&instance(), token.as_bytes(), now),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn token_opens_only_its_own_instance_and_epoch() {
        let tokens = Tokens::with_key(&[7; 32]);
        let own = instance();
        let token = tokens.grant(&own, ttl(60), at(1, 0)).unwrap();
        let mut reborn = own.clone();
        reborn.epoch += 1;
        let mut other = own.clone();
        other.uuid = uuid::Uuid::from_u128(9);
        let mut renamed = own.clone();
        renamed.hostname = "other".into();
        for (case, tokens, instance, expected) in [
            ("its own", &tokens, &own, Ok(60)),
            ("edited", &tokens, &renamed, Ok(60)),
            ("reborn", &tokens, &reborn, Err(Refused::Foreign)),
            ("another", &tokens, &other, Err(Refused::Foreign)),
            (
                "another key",
                &Tokens::with_key(&[8; 32]),
                &own,
                Err(Refused::Foreign),
            ),
        ] {
            assert_eq!(
                tokens.check(instance, token.as_bytes(), at(1, 0)),
                expected,
                "{case}"
            );
        }
    }

    #[test]
    fn altered_text_is_refused() {
        let tokens = Tokens::with_key(&[7; 32]);
        let good = tokens.grant(&instance(), ttl(60), at(1, 0)).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[index] = if bad[index] == b'A' { b'B' } else { b'A' };
            assert!(
                tokens.check(&instance(), &bad, at(1, 0)).is_err(),
                "character {index}"
            );
        }
        for (case, text) in [
            ("empty", String::new()),
            ("cut", good[..47].to_owned()),
            ("longer", format!("{good}A")),
            ("padded", format!("{good}==")),
            ("quoted", format!("\"{}\"", &good[..46])),
            ("not base64", " ".repeat(48)),
        ] {
            assert_eq!(
                tokens.check(&instance(), text.as_bytes(), at(1, 0)),
                Err(Refused::Malformed),
                "{case}"
            );
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Tokens::with_key(&[7; 32])), "Tokens { .. }");
    }

    #[test]
    fn boot_time_runs() {
        let first = BootTime::now();
        assert!(first.0 > Duration::ZERO);
        assert!(BootTime::now() >= first);
    }
}
