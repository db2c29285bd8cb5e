//! The certificate: the public half of the key, under a name, for those who check signatures.
//!
//! One that stands in the directory already is used as it is, so that an authority of the site's own can have signed it.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use aes_gcm::aead::Generate;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use der::pem::LineEnding;
use der::{Encode, EncodePem};
use rsa::PublicKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Keypair;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder, Result as BuilderResult};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages, SubjectKeyIdentifier};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::Error;
use crate::keyfile;

/// Octets of a file that is still looked at: a whole chain fits.
const FILE_MAX: u64 = 65_536;

/// How long a certificate holds that is made here. Nothing renews it, and those who check pin it.
const HOLDS: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// How much before its making it begins to hold, for those whose clock is behind.
const EARLIER: Duration = Duration::from_secs(24 * 3600);

/// A certificate and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    parsed: x509_cert::Certificate,
    der: Vec<u8>,
    pem: String,
    key: PublicKey,
    kid: String,
}

impl Certificate {
    /// Reads the certificate in the state directory `directory`; `None` where there is none yet.
    ///
    /// # Errors
    /// The file cannot be read, or does not begin with a certificate of an RSA key.
    pub fn read(directory: &Path) -> Result<Option<Self>, Error> {
        read(&directory.join(super::CERTIFICATE))
    }

    /// The file's form, with its BEGIN and END lines.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key's name in tokens and key sets: its thumbprint (RFC 7638).
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Value {
        let (modulus, exponent) = components(&self.key);
        json!({
            "keys": [{
                "kty": "RSA",
                "use": "sig",
                "alg": "RS256",
                "kid": self.kid,
                "n": modulus,
                "e": exponent,
                "x5c": [STANDARD.encode(&self.der)],
                "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(&self.der)),
            }],
        })
    }

    pub(super) fn parsed(&self) -> &x509_cert::Certificate {
        &self.parsed
    }

    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// There is none, or it is not of an RSA key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        // What follows the first one is the chain of whoever signed it.
        let chain = x509_cert::Certificate::load_pem_chain(pem)
            .map_err(|error| format!("it is no PEM file of certificates: {error}"))?;
        let Some(parsed) = chain.into_iter().next() else {
            return Err("there is no certificate in it".to_owned());
        };
        let unfit = |error: der::Error| format!("it cannot be read: {error}");
        let spki = parsed.tbs_certificate().subject_public_key_info();
        let spki = spki.to_der().map_err(unfit)?;
        let key = PublicKey::from_public_key_der(&spki)
            .map_err(|error| format!("its key is no RSA key: {error}"))?;
        Ok(Self {
            der: parsed.to_der().map_err(unfit)?,
            pem: parsed.to_pem(LineEnding::LF).map_err(unfit)?,
            kid: thumbprint(&key),
            parsed,
            key,
        })
    }
}

/// Reads the certificate of `key` at `path`, making one called `name` first where there is none.
pub(super) fn open(
    path: &Path,
    key: &SigningKey<Sha256>,
    name: &str,
) -> Result<Certificate, Error> {
    let found = match read(path)? {
        Some(certificate) => certificate,
        None => {
            let pem = make(key, name).map_err(|problem| Error::Make { problem })?;
            let failed = |source| Error::File {
                what: "make the certificate",
                path: path.to_owned(),
                source,
            };
            keyfile::create(path, pem.as_bytes()).map_err(failed)?;
            // Another process may have been quicker: what stands under the name is the certificate.
            read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?
        }
    };
    if found.key == *key.as_ref().as_public_key() {
        Ok(found)
    } else {
        Err(Error::Certificate {
            path: path.to_owned(),
            problem: "it is of another key".to_owned(),
        })
    }
}

fn read(path: &Path) -> Result<Option<Certificate>, Error> {
    let pem = match bounded(path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::File {
                what: "read the certificate",
                path: path.to_owned(),
                source,
            });
        }
    };
    let certificate = Certificate::from_pem(&pem).map_err(|problem| Error::Certificate {
        path: path.to_owned(),
        problem,
    })?;
    Ok(Some(certificate))
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut octets = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_MAX)
        .read_to_end(&mut octets)?;
    Ok(octets)
}

/// Makes a certificate that the key itself has signed.
fn make(key: &SigningKey<Sha256>, name: &str) -> Result<String, String> {
    let text = |error: der::Error| error.to_string();
    let serial: [u8; 16] =
        Generate::try_generate().map_err(|_cause| "the system gives no random numbers")?;
    // Positive, and as long as every other: the first bit is 0, the second 1.
    let mut serial = serial;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    let serial = SerialNumber::new(&serial).map_err(text)?;
    let now = SystemTime::now();
    // A host whose clock begins with the epoch has nothing earlier.
    let begin = now
        .checked_sub(EARLIER)
        .unwrap_or(now)
        .max(SystemTime::UNIX_EPOCH);
    let end = now.checked_add(HOLDS).unwrap_or(now);
    let time = |time| Time::try_from(time).map_err(text);
    let validity = Validity::new(time(begin)?, time(end)?);
    let spki = SubjectPublicKeyInfo::from_key(&key.verifying_key()).map_err(|e| e.to_string())?;
    let profile = SelfSigned {
        subject: Name::from_str(&common_name(name)).map_err(text)?,
    };
    let builder = CertificateBuilder::new(profile, serial, validity, spki)
        .map_err(|error| error.to_string())?;
    let certificate = builder
        .build::<_, rsa::pkcs1v15::Signature>(key)
        .map_err(|error| error.to_string())?;
    certificate.to_pem(LineEnding::LF).map_err(text)
}

/// A common name that needs no quoting; X.509 gives it 64 characters.
fn common_name(name: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | ' ');
    let name: String = name.chars().filter(|char| plain(*char)).take(64).collect();
    format!("CN={}", name.trim())
}

/// What a key that signs data and no certificates says of itself.
struct SelfSigned {
    subject: Name,
}

impl BuilderProfile for SelfSigned {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        spk: SubjectPublicKeyInfoRef<'_>,
        _issuer_spk: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> BuilderResult<Vec<Extension>> {
        let mut extensions = Vec::new();
        let ski = SubjectKeyIdentifier::try_from(spk)?;
        extensions.push(ski.to_extension(tbs.subject(), &extensions)?);
        let usage = KeyUsage(KeyUsages::DigitalSignature.into());
        extensions.push(usage.to_extension(tbs.subject(), &extensions)?);
        Ok(extensions)
    }
}

/// The members that RFC 7638 names, in its order and spelling, hashed.
fn thumbprint(key: &PublicKey) -> String {
    let (modulus, exponent) = components(key);
    let text = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// Modulus and exponent as JWKs have them.
fn components(key: &PublicKey) -> (String, String) {
    (
        URL_SAFE_NO_PAD.encode(key.n_bytes()),
        URL_SAFE_NO_PAD.encode(key.e_bytes()),
    )
}
