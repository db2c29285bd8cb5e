//! Tokens that OpenID Connect consumers take: who an instance is, for one audience and a few minutes.
//!
//! In: claims about an instance, whom the token is for, the time. Out: a JSON Web Token in its compact form (RFC 7519).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aes_gcm::aead::Generate;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode;
use serde_json::{Map, Value, json};

use super::{CannotSign, Signer};

/// How long a token holds: long enough for a log-in, too short to be worth stealing.
pub const LIFE: Duration = Duration::from_secs(300);

/// Octets of the longest audience.
pub const AUDIENCE_MAX: usize = 512;

/// The key of a query that says whom the token is for.
const KEY: &[u8] = b"audience";

/// Whom a token is for; checked by [`Audience::in_query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience(String);

/// A query that does not name one audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongAudience {
    #[error("the query has no `audience`")]
    Missing,
    #[error("the query has more than one `audience`")]
    Several,
    #[error("the audience is not 1 to 512 octets of text without control characters")]
    Malformed,
}

impl Audience {
    /// Finds the one audience in the query of a request; other keys are ignored.
    ///
    /// # Errors
    /// There is none, more than one, or one that is empty, long, or no text.
    pub fn in_query(query: Option<&str>) -> Result<Self, WrongAudience> {
        let mut named = query
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(key, _)| decoded(key) == KEY);
        let (_, value) = named.next().ok_or(WrongAudience::Missing)?;
        if named.next().is_some() {
            return Err(WrongAudience::Several);
        }
        let value =
            String::from_utf8(decoded(value)).map_err(|_octets| WrongAudience::Malformed)?;
        if value.trim().is_empty()
            || value.len() > AUDIENCE_MAX
            || value.chars().any(char::is_control)
        {
            return Err(WrongAudience::Malformed);
        }
        Ok(Self(value))
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One part of a query, as forms are written: `+` is a space.
fn decoded(part: &str) -> Vec<u8> {
    let spaced: Vec<u8> = part
        .bytes()
        .map(|byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    percent_decode(&spaced).collect()
}

impl Signer {
    /// Makes a token with `claims`, which name the instance, for `audience`, from `now` on.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn token(
        &self,
        claims: Map<String, Value>,
        audience: &Audience,
        now: SystemTime,
    ) -> Result<String, CannotSign> {
        let id: [u8; 16] = Generate::try_generate().map_err(|_cause| CannotSign)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut payload = Map::new();
        payload.insert("iss".to_owned(), self.0.issuer.as_str().into());
        payload.insert("aud".to_owned(), audience.0.as_str().into());
        payload.insert("iat".to_owned(), now.into());
        payload.insert("nbf".to_owned(), now.into());
        payload.insert("exp".to_owned(), (now + LIFE.as_secs()).into());
        payload.insert("jti".to_owned(), URL_SAFE_NO_PAD.encode(id).into());
        for (name, value) in claims {
            // What the token is must not be said by whom it names.
            payload.entry(name).or_insert(value);
        }
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.0.certificate.kid()});
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(Value::from(payload).to_string(), &mut token);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::sample;

    #[test]
    fn query_names_one_audience() {
        use WrongAudience::{Malformed, Missing, Several};
        let longest = "a".repeat(AUDIENCE_MAX);
        for (query, expected) in [
            (Some("audience=vault"), Ok("vault")),
            (
                Some("audience=https://vault.example.org/x"),
                Ok("https://vault.example.org/x"),
            ),
            (Some("audience=https%3A%2F%2Fci"), Ok("https://ci")),
            (Some("audience=a+b%2Bc"), Ok("a b+c")),
            (Some("audience=a=b"), Ok("a=b")),
            (Some("%61udience=a"), Ok("a")),
            (Some("format=full&audience=a&x"), Ok("a")),
            (Some(&format!("audience={longest}")), Ok(&longest)),
            (None, Err(Missing)),
            (Some(""), Err(Missing)),
            (Some("audiences=a"), Err(Missing)),
            (Some("Audience=a"), Err(Missing)),
            (Some("audience"), Err(Malformed)),
            (Some("audience="), Err(Malformed)),
            (Some("audience=+%20"), Err(Malformed)),
            (Some("audience=a&audience=a"), Err(Several)),
            (Some("audience=a&%61udience=b"), Err(Several)),
            (Some("audience=a%00"), Err(Malformed)),
            (Some("audience=a%0d%0ab"), Err(Malformed)),
            (Some("audience=%c2%85"), Err(Malformed)),
            (Some("audience=%ff"), Err(Malformed)),
            (Some(&format!("audience={longest}a")), Err(Malformed)),
        ] {
            let read = Audience::in_query(query);
            let read = read.as_ref().map(|audience| audience.0.as_str());
            assert_eq!(read, expected.as_ref().map(|text| *text), "{query:?}");
        }
    }

    fn parts(token: &str) -> (Value, Value) {
        let mut parts = token
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!(parts.next().unwrap().len(), 256, "a signature of 2048 bits");
        assert_eq!(parts.next(), None);
        let json = |octets: Vec<u8>| serde_json::from_slice(&octets).unwrap();
        (json(header), json(payload))
    }

    #[test]
    fn token_holds_five_minutes_for_one_audience() {
        let signer = sample::signer();
        let claims = json!({"sub": "instance:1", "iss": "urn:another", "exp": 9_999_999_999_u64});
        let claims = claims.as_object().unwrap().clone();
        let audience = Audience("https://vault.example.org".to_owned());
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let token = signer.token(claims.clone(), &audience, now).unwrap();
        let (header, payload) = parts(&token);
        assert_eq!(
            header,
            json!({"alg": "RS256", "typ": "JWT", "kid": sample::KID})
        );
        let id = payload["jti"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 22);
        assert_eq!(
            payload,
            json!({
                "iss": "urn:metad:sample",
                "aud": "https://vault.example.org",
                "iat": 1_700_000_000,
                "nbf": 1_700_000_000,
                "exp": 1_700_000_300,
                "jti": id,
                "sub": "instance:1",
            })
        );
        let (_, again) = parts(&signer.token(claims, &audience, now).unwrap());
        assert_ne!(again["jti"], id.as_str(), "each has an id of its own");
    }
}
