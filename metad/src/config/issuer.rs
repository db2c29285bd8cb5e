//! `[identity]`: who vouches for instances, in the tokens that name them.

use toml::Spanned;
use toml::de::DeValue;

use super::Config;
use super::section::{Mistake, Section};

/// Characters of an issuer, as OpenID Connect has them for a subject.
const MAX: usize = 255;

impl Config {
    /// What tokens say that they are from.
    pub fn issuer(&self) -> String {
        match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => format!("urn:metad:{}", self.name),
        }
    }
}

/// Reads `[identity]`; `None` where it names no issuer.
pub(super) fn issuer(value: &Spanned<DeValue<'_>>) -> Result<Option<String>, Mistake> {
    if value.get_ref().as_str().is_some() {
        let mistake = Mistake::kind("[identity]", "a table", value);
        return Err(mistake.help("what a guest is known by is `identity` under [datapath]"));
    }
    let table = Section::of("[identity]", value)?;
    table.only(&["issuer"])?;
    let Some((issuer, at)) = table.text("issuer")? else {
        return Ok(None);
    };
    let plain = |char: char| char.is_ascii_graphic() && !matches!(char, '"' | '\\' | '<' | '>');
    let problem = if issuer.len() > MAX {
        "is longer than 255 characters"
    } else if !issuer.contains(':') || !issuer.chars().all(plain) {
        "is no URI"
    } else if issuer.starts_with("https://") && issuer.contains(['?', '#']) {
        "has a query or a fragment, which OpenID Connect forbids"
    } else {
        return Ok(Some(issuer.to_owned()));
    };
    let mistake = Mistake::at(&at, format!("`issuer` {problem}"));
    Err(mistake
        .help("write the URL below which the key set is published, such as https://id.example.org"))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn issuer_is_a_uri() {
        let long = format!("https://{}", "x".repeat(248));
        for (issuer, good) in [
            ("https://id.example.org", true),
            ("https://id.example.org/kvm/", true),
            ("urn:example:kvm", true),
            ("id.example.org", false),
            ("https://id.example.org/?x", false),
            ("https://id.example.org/#x", false),
            ("https://id example.org", false),
            ("https://id.example.org/\u{f6}", false),
            ("", false),
            (&long, false),
        ] {
            let text = format!("[identity]\nissuer = \"{issuer}\"\n");
            let read = Config::parse(&text, Path::new("/"));
            assert_eq!(read.is_ok(), good, "{issuer}: {read:?}");
            if let Ok(config) = read {
                assert_eq!(config.issuer(), issuer);
            }
        }
    }

    #[test]
    fn issuer_follows_from_the_name() {
        for text in ["name = \"lab\"", "name = \"lab\"\n[identity]\n"] {
            let config = Config::parse(text, Path::new("/")).unwrap();
            assert_eq!(config.issuer(), "urn:metad:lab", "{text}");
        }
    }

    #[test]
    fn what_belongs_to_the_datapath_is_sent_there() {
        let fault = Config::parse("identity = \"mac\"\n", Path::new("/")).unwrap_err();
        let help = "what a guest is known by is `identity` under [datapath]";
        assert_eq!(fault.help.as_deref(), Some(help), "{fault}");
    }
}
