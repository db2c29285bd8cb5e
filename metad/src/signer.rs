//! The key that says of an instance who it is, to those who have its certificate.
//!
//! In: a directory that only root writes, and later octets and claims. Out: signatures that anybody can check. The key
//! never leaves the process but for its root-only file, and nothing that is signed for one purpose can be read as
//! another: a document begins with `{`, a token's text with `ey`, a certificate with a DER sequence.

mod certificate;
mod cms;
mod jwt;
mod key;
mod proofs;
#[cfg(test)]
pub(crate) mod sample;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsa::pkcs1v15::SigningKey;
use rsa::signature::{SignatureEncoding, Signer as _};
use sha2::Sha256;

use crate::keyfile;

pub use certificate::Certificate;
pub use jwt::{AUDIENCE_MAX, Audience, LIFE, WrongAudience};
pub use proofs::{Form, Proofs, Refused};

/// The key's file in the state directory.
pub const KEY: &str = "identity.key";

/// The certificate's file in the state directory.
pub const CERTIFICATE: &str = "identity.crt";

/// What stands in the way of signing anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot use the state directory {}\n  help: it must be root's, and only root's to write; `state-directory` in the configuration names another",
        path.display()
    )]
    Directory { path: PathBuf, source: io::Error },
    #[error("cannot {what} {}{}", path.display(), advice(source))]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "refusing the identity key {}: {fault}\n  help: others may have it; remove it and {CERTIFICATE} beside it, and publish the certificate that the next start makes",
        path.display()
    )]
    Unsafe {
        path: PathBuf,
        fault: keyfile::Fault,
    },
    #[error(
        "cannot use the identity key {}: {problem}\n  help: put it back from a copy, or remove it and {CERTIFICATE} beside it for new ones",
        path.display()
    )]
    Key { path: PathBuf, problem: String },
    #[error(
        "cannot use the certificate {}: {problem}\n  help: remove it; the next start makes one for the key",
        path.display()
    )]
    Certificate { path: PathBuf, problem: String },
    #[error("cannot make an identity key: {problem}")]
    Make { problem: String },
}

fn advice(source: &io::Error) -> &'static str {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kind = source.kind();
    if kind == PermissionDenied {
        "\n  help: try again as root, with sudo"
    } else if [QuotaExceeded, ReadOnlyFilesystem, StorageFull].contains(&kind) {
        "\n  help: a few files need room there; `state-directory` in the configuration names another place"
    } else {
        ""
    }
}

/// A signature could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: the system gives no random numbers")]
pub struct CannotSign;

/// Signs; cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

struct Inner {
    key: SigningKey<Sha256>,
    certificate: Certificate,
    issuer: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.0.issuer)
            .field("kid", &self.0.certificate.kid())
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Takes key and certificate from `directory`, or makes there what is missing. A new certificate is called `name`;
    /// tokens say that they are from `issuer`.
    ///
    /// # Errors
    /// A file cannot be read or made, or is not what only its owner can have written, or the two do not fit.
    pub fn open(directory: &Path, name: &str, issuer: &str) -> Result<Self, Error> {
        keyfile::directory(directory).map_err(|source| Error::Directory {
            path: directory.to_owned(),
            source,
        })?;
        let key = key::open(&directory.join(KEY))?;
        let certificate = certificate::open(&directory.join(CERTIFICATE), &key, name)?;
        Ok(Self(Arc::new(Inner {
            key,
            certificate,
            issuer: issuer.to_owned(),
        })))
    }

    pub fn certificate(&self) -> &Certificate {
        &self.0.certificate
    }

    /// Signs with RSA PKCS #1 v1.5 and SHA-256: the same octets always get the same signature.
    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, CannotSign> {
        let signature = self.0.key.try_sign(octets);
        Ok(signature.map_err(|_cause| CannotSign)?.to_vec())
    }
}

#[cfg(test)]
mod tests;
