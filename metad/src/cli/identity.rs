//! `metad identity`: what others need to check who an instance is. All of it is public; none of it is the key.

use std::io::Write;

use serde_json::{Value, json};

use super::{block_on, report::Unwritten};
use crate::admin::{Client, ClientError};
use crate::config::Config;
use crate::exit;
use crate::signer::Certificate;

/// Where the key set is, below the issuer's URL, unless the command line says otherwise.
const JWKS_PATH: &str = ".well-known/jwks.json";

/// An identity that cannot be shown.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "no metad called `{name}` is running, and it has no identity in {directory} yet\nhelp: the first `metad serve` makes one"
    )]
    NotYet { name: String, directory: String },
    #[error(
        "the issuer `{issuer}` is no https URL, and OpenID Connect looks nothing else up\nhelp: set `issuer` under [identity] in the configuration to the URL below which you publish, or give consumers the key set itself"
    )]
    NoUrl { issuer: String },
}

/// Prints the certificate, as text or as it is.
pub(super) fn certificate(config: &Config, der: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let certificate = fetch(config)?;
    let octets = if der {
        certificate.der()
    } else {
        certificate.pem().as_bytes()
    };
    out.write_all(octets).map_err(Unwritten)?;
    out.flush().map_err(Unwritten)?;
    Ok(exit::SUCCESS)
}

/// Prints the key set.
pub(super) fn jwks(config: &Config, out: &mut dyn Write) -> anyhow::Result<u8> {
    print(&fetch(config)?.jwks(), out)
}

/// Prints what an OpenID Connect consumer looks for below the issuer's URL.
pub(super) fn openid_configuration(
    config: &Config,
    jwks_uri: Option<&str>,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    print(&discovery(&config.issuer(), jwks_uri)?, out)
}

/// The running daemon's certificate, or the one that the next one will have.
fn fetch(config: &Config) -> anyhow::Result<Certificate> {
    match block_on(Client::new(&config.admin_socket()).certificate())? {
        Ok(certificate) => Ok(certificate),
        Err(ClientError::NotRunning { .. }) => {
            let directory = config.state_dir();
            Certificate::read(&directory)?.ok_or_else(|| {
                let (name, directory) = (config.name.to_string(), directory.display().to_string());
                Error::NotYet { name, directory }.into()
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn discovery(issuer: &str, jwks_uri: Option<&str>) -> Result<Value, Error> {
    if !issuer.starts_with("https://") {
        return Err(Error::NoUrl {
            issuer: issuer.to_owned(),
        });
    }
    let usual = format!("{}/{JWKS_PATH}", issuer.trim_end_matches('/'));
    Ok(json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri.unwrap_or(&usual),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid"],
        "claims_supported": [
            "iss", "aud", "sub", "iat", "nbf", "exp", "jti", "instance_id", "instance_name", "instance_type",
            "uuid", "image_id", "account", "region", "zone", "private_ip", "hostname", "tags",
        ],
    }))
}

fn print(value: &Value, out: &mut dyn Write) -> anyhow::Result<u8> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(|error| Unwritten(error.into()))?;
    writeln!(out).map_err(Unwritten)?;
    Ok(exit::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Name;
    use crate::signer::sample;

    /// A metad that does not run.
    fn config(directory: &std::path::Path) -> Config {
        Config {
            name: Name::new("no-such-metad").unwrap(),
            state_directory: Some(directory.to_owned()),
            ..Config::default()
        }
    }

    #[test]
    fn without_a_daemon_the_state_directory_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let error = certificate(&config, false, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("`no-such-metad`"), "{error}");
        assert!(error.to_string().contains("\nhelp: "), "{error}");

        sample::put(directory.path());
        let signer = sample::signer();
        let expected = signer.certificate();
        for (der, octets) in [(false, expected.pem().as_bytes()), (true, expected.der())] {
            let mut out = Vec::new();
            assert_eq!(certificate(&config, der, &mut out).unwrap(), exit::SUCCESS);
            assert_eq!(out, octets, "{der}");
        }
        let mut out = Vec::new();
        jwks(&config, &mut out).unwrap();
        let set: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(set["keys"][0]["kid"], sample::KID);
    }

    #[test]
    fn discovery_needs_a_url() {
        for (issuer, given, expected) in [
            (
                "https://id.example.org",
                None,
                Some("https://id.example.org/.well-known/jwks.json"),
            ),
            (
                "https://id.example.org/kvm/",
                None,
                Some("https://id.example.org/kvm/.well-known/jwks.json"),
            ),
            (
                "https://id.example.org",
                Some("https://cdn.example.org/k"),
                Some("https://cdn.example.org/k"),
            ),
            ("urn:metad:metad", None, None),
            ("http://id.example.org", None, None),
        ] {
            let found = discovery(issuer, given);
            let uri = found
                .as_ref()
                .ok()
                .map(|found| found["jwks_uri"].as_str().unwrap());
            assert_eq!(uri, expected, "{issuer}");
            if let Ok(found) = &found {
                assert_eq!(found["issuer"], issuer, "to the letter");
            }
        }
    }
}
