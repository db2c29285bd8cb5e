//! The private key: made once, kept in a file that only root reads.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use der::pem::LineEnding;
use getrandom::SysRng;
use rsa::PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::traits::PublicKeyParts;
use sha2::Sha256;

use super::Error;
use crate::keyfile::{self, Refusal};

/// What `rsa2048` promises.
const BITS: usize = 2048;

/// Octets of the file. A key of this size takes about 1700.
const LENGTHS: RangeInclusive<u64> = 1..=16_384;

/// Reads the key at `path`, making one first where there is none.
pub(super) fn open(path: &Path) -> Result<SigningKey<Sha256>, Error> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    make(path)?;
    // Another process may have been quicker: what stands under the name is the key.
    read(path)?.ok_or_else(|| Error::File {
        what: "read the identity key",
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })
}

fn read(path: &Path) -> Result<Option<SigningKey<Sha256>>, Error> {
    let octets = match keyfile::read(path, &LENGTHS) {
        Ok(None) => return Ok(None),
        Ok(Some(octets)) => octets,
        Err(Refusal::Unreadable(source)) => {
            return Err(Error::File {
                what: "read the identity key",
                path: path.to_owned(),
                source,
            });
        }
        Err(Refusal::Unsafe(fault)) => {
            return Err(Error::Unsafe {
                path: path.to_owned(),
                fault,
            });
        }
    };
    let bad = |problem: String| Error::Key {
        path: path.to_owned(),
        problem,
    };
    let pem = String::from_utf8(octets).map_err(|_not_text| bad("it is no PEM file".to_owned()))?;
    let key = PrivateKey::from_pkcs8_pem(&pem)
        .map_err(|error| bad(format!("it is no RSA key in PKCS #8: {error}")))?;
    let bits = key.n().bit_width();
    if usize::try_from(bits) != Ok(BITS) {
        return Err(bad(format!("it has {bits} bits, not {BITS}")));
    }
    Ok(Some(SigningKey::new(key)))
}

fn make(path: &Path) -> Result<(), Error> {
    let unmade = |problem: String| Error::Make { problem };
    let key = PrivateKey::new(&mut SysRng, BITS).map_err(|error| unmade(error.to_string()))?;
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| unmade(error.to_string()))?;
    keyfile::create(path, pem.as_bytes()).map_err(|source| Error::File {
        what: "make the identity key",
        path: path.to_owned(),
        source,
    })
}
