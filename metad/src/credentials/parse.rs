//! Credentials as tools print them: text in, credentials out. Total, and no refusal quotes what may be a secret.
//!
//! Read are the answer of EC2's own service, what a `credential_process` prints, and what STS answers.

use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::instance::{Credentials, Secret};

/// Octets; session tokens have some hundreds.
pub(super) const LENGTH_MAX: usize = 64 * 1024;

/// Credentials that were got just now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) credentials: Credentials,
    pub(super) expires: SystemTime,
    /// What is wrong all the same.
    pub(super) warning: Option<String>,
}

/// Why a text holds no credentials; predicates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("holds no JSON object")]
    NotAnObject,
    #[error("has a `Version` that is not 1")]
    Version,
    #[error("has a `Code` that is not `Success`")]
    Code,
    #[error("lacks `{0}`")]
    Lacks(&'static str),
    #[error("has a `{0}` that is no word of printable ASCII")]
    NoWord(&'static str),
    #[error("has an `Expiration` that is no time like 2030-01-31T12:00:00Z")]
    Expiration,
    #[error("holds credentials that expired at {0}")]
    Expired(String),
}

/// Reads credentials that must be good at `now`.
pub(super) fn parse(octets: &[u8], now: SystemTime) -> Result<Fetched, Unusable> {
    let read: Value = serde_json::from_slice(octets)
        .ok()
        .ok_or(Unusable::NotAnObject)?;
    // STS puts them one level down.
    let read = read.get("Credentials").unwrap_or(&read);
    if !read.is_object() {
        return Err(Unusable::NotAnObject);
    }
    if read.get("Version").is_some_and(|version| *version != 1) {
        return Err(Unusable::Version);
    }
    if read.get("Code").is_some_and(|code| *code != "Success") {
        return Err(Unusable::Code);
    }
    let access_key_id = word(read, "AccessKeyId")?;
    let secret_access_key = Secret::new(word(read, "SecretAccessKey")?);
    let token = match read.get("Token") {
        Some(_) => word(read, "Token")?,
        None => word(read, "SessionToken")?,
    };
    let expires = word(read, "Expiration")?;
    let expires = OffsetDateTime::parse(&expires, &Rfc3339)
        .ok()
        .ok_or(Unusable::Expiration)?;
    let expiration = text(expires).ok_or(Unusable::Expiration)?;
    let expires = SystemTime::from(expires);
    if expires <= now {
        return Err(Unusable::Expired(expiration));
    }
    let credentials = Credentials {
        access_key_id,
        secret_access_key,
        token: Secret::new(token),
        updated: text(OffsetDateTime::from(now)).unwrap_or_default(),
        expiration,
    };
    Ok(Fetched {
        credentials,
        expires,
        warning: None,
    })
}

fn word(read: &Value, name: &'static str) -> Result<String, Unusable> {
    let text = read.get(name).ok_or(Unusable::Lacks(name))?;
    let text = text.as_str().ok_or(Unusable::NoWord(name))?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unusable::NoWord(name));
    }
    Ok(text.to_owned())
}

/// In UTC and whole seconds, as EC2 writes it.
fn text(time: OffsetDateTime) -> Option<String> {
    let time = time.to_offset(time::UtcOffset::UTC);
    time.replace_nanosecond(0).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 2030-01-01T00:00:00Z
    const NOW: Duration = Duration::from_secs(1_893_456_000);

    fn read(octets: &[u8]) -> Result<Fetched, Unusable> {
        parse(octets, SystemTime::UNIX_EPOCH + NOW)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut all = json!({
            "Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "hush/+",
            "SessionToken": "IQo=", "Expiration": "2030-01-31T12:00:00Z",
        });
        all[name] = value;
        if all[name].is_null() {
            all.as_object_mut().unwrap().remove(name);
        }
        all
    }

    #[test]
    fn every_tools_way_is_read() {
        let expected = Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: Secret::new("hush/+"),
            token: Secret::new("IQo="),
            updated: "2030-01-01T00:00:00Z".to_owned(),
            expiration: "2030-01-31T12:00:00Z".to_owned(),
        };
        for (case, text) in [
            ("credential_process", with("Version", json!(1))),
            (
                "EC2",
                json!({
                    "Code": "Success", "LastUpdated": "2029-12-31T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIA1",
                    "SecretAccessKey": "hush/+", "Token": "IQo=", "Expiration": "2030-01-31T12:00:00Z",
                }),
            ),
            (
                "STS",
                json!({"Credentials": with("Version", Value::Null), "AssumedRoleUser": {}}),
            ),
            (
                "offset",
                with("Expiration", json!("2030-01-31T13:00:00+01:00")),
            ),
            (
                "fraction",
                with("Expiration", json!("2030-01-31T12:00:00.5Z")),
            ),
        ] {
            let read = read(text.to_string().as_bytes());
            let credentials = read.map(|read| read.credentials);
            assert_eq!(credentials.as_ref(), Ok(&expected), "{case}");
        }
    }

    #[test]
    fn what_a_guest_could_not_use_is_refused() {
        for (case, text, expected) in [
            ("no object", json!(["AccessKeyId"]), Unusable::NotAnObject),
            ("version", with("Version", json!(2)), Unusable::Version),
            ("failure", with("Code", json!("Failed")), Unusable::Code),
            (
                "no key",
                with("AccessKeyId", Value::Null),
                Unusable::Lacks("AccessKeyId"),
            ),
            (
                "no secret",
                with("SecretAccessKey", Value::Null),
                Unusable::Lacks("SecretAccessKey"),
            ),
            (
                "for good",
                with("SessionToken", Value::Null),
                Unusable::Lacks("SessionToken"),
            ),
            (
                "for ever",
                with("Expiration", Value::Null),
                Unusable::Lacks("Expiration"),
            ),
            (
                "empty",
                with("SecretAccessKey", json!("")),
                Unusable::NoWord("SecretAccessKey"),
            ),
            (
                "two lines",
                with("SessionToken", json!("a\nb")),
                Unusable::NoWord("SessionToken"),
            ),
            (
                "number",
                with("AccessKeyId", json!(1)),
                Unusable::NoWord("AccessKeyId"),
            ),
            (
                "no time",
                with("Expiration", json!("soon")),
                Unusable::Expiration,
            ),
            (
                "over",
                with("Expiration", json!("2030-01-01T00:00:00Z")),
                Unusable::Expired("2030-01-01T00:00:00Z".to_owned()),
            ),
        ] {
            assert_eq!(read(text.to_string().as_bytes()), Err(expected), "{case}");
        }
        assert_eq!(read(b"{\"AccessKeyId\": "), Err(Unusable::NotAnObject));
        assert_eq!(read(b""), Err(Unusable::NotAnObject));
    }

    proptest! {
        #[test]
        fn no_refusal_tells_a_secret(name in "AccessKeyId|SecretAccessKey|SessionToken|Expiration", junk in "hush[^a]{0,8}") {
            if let Err(error) = read(with(&name, json!(junk)).to_string().as_bytes()) {
                prop_assert!(!error.to_string().contains("hush"), "{}", error);
            }
        }

        #[test]
        fn reading_is_total(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&octets);
        }
    }
}
