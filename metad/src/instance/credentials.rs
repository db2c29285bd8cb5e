//! The credentials of an IAM role, as a guest reads them. What is secret in them never shows in a log or an error.

use std::fmt;

/// Temporary credentials; all texts are printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// The session token that goes with them.
    pub token: Secret,
    /// When metad got them, as EC2 writes it: `2030-01-31T12:00:00Z`.
    pub updated: String,
    /// Until when they are good, likewise.
    pub expiration: String,
}

/// A text that is shown to its guest alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let credentials = Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: Secret::new("hush"),
            token: Secret::new("hush"),
            updated: String::new(),
            expiration: String::new(),
        };
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("ASIA1") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
