//! Single options of the service's behaviour: a word in, the choice out.

use super::{FieldError, not_one_of};
use crate::instance::{Dialect, Dialects, Endpoint, Given, HttpTokens, Prefix, Switch};

/// The names of all options, in XML, in records and in the configuration alike.
pub const OPTIONS: [&str; 7] = [
    "http-tokens",
    "hop-limit",
    "endpoint",
    "dialects",
    "http-protocol-ipv6",
    "nocloud-prefix",
    "password",
];

/// The hop limits that EC2 knows.
const HOP_LIMIT: std::ops::RangeInclusive<u8> = 1..=64;

/// Reads the option called `name` into `given`. Dialects are words with blanks or commas between them.
pub fn option(given: &mut Given, name: &str, text: &str) -> Result<(), FieldError> {
    let text = text.trim();
    match name {
        "http-tokens" => given.http_tokens = Some(http_tokens(text)?),
        "hop-limit" => given.hop_limit = Some(hop_limit(text)?),
        "endpoint" => {
            given.endpoint = Some(match switch(text)? {
                Switch::Enabled => Endpoint::Enabled,
                Switch::Disabled => Endpoint::Disabled,
            });
        }
        "dialects" => {
            let words = text.split(|c: char| c == ',' || c.is_whitespace());
            given.dialects = Some(dialects(words.filter(|word| !word.is_empty()))?);
        }
        "http-protocol-ipv6" => given.ipv6 = Some(switch(text)?),
        "nocloud-prefix" => given.nocloud = Some(prefix(text)?),
        "password" => given.password = Some(switch(text)?),
        other => return Err(not_one_of(other, &OPTIONS)),
    }
    Ok(())
}

fn http_tokens(text: &str) -> Result<HttpTokens, FieldError> {
    match text {
        "optional" => Ok(HttpTokens::Optional),
        "required" => Ok(HttpTokens::Required),
        other => Err(not_one_of(other, &["optional", "required"])),
    }
}

fn hop_limit(text: &str) -> Result<u8, FieldError> {
    let refusal = FieldError::NotANumber {
        least: u32::from(*HOP_LIMIT.start()),
        most: u32::from(*HOP_LIMIT.end()),
    };
    match text.parse::<u8>() {
        Ok(hops) if HOP_LIMIT.contains(&hops) => Ok(hops),
        Ok(_) | Err(_) => Err(refusal),
    }
}

/// None at all is a choice, too.
fn dialects<'a>(words: impl Iterator<Item = &'a str>) -> Result<Dialects, FieldError> {
    words
        .map(|word| Dialect::named(word).ok_or_else(|| not_one_of(word, &Dialect::NAMES)))
        .collect()
}

fn prefix(text: &str) -> Result<Prefix, FieldError> {
    match text {
        "open" => Ok(Prefix::Open),
        "secret" => Ok(Prefix::Secret),
        other => Err(not_one_of(other, &["open", "secret"])),
    }
}

fn switch(text: &str) -> Result<Switch, FieldError> {
    match text {
        "enabled" => Ok(Switch::Enabled),
        "disabled" => Ok(Switch::Disabled),
        other => Err(not_one_of(other, &["enabled", "disabled"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::too_many_lines, reason = "a table of cases")]
    #[test]
    fn options_are_taken_or_refused_with_a_reason() {
        let dialects = |all: &[Dialect]| Some(all.iter().copied().collect::<Dialects>());
        let none = Given::default;
        for (name, text, expected) in [
            (
                "http-tokens",
                " required ",
                Ok(Given {
                    http_tokens: Some(HttpTokens::Required),
                    ..none()
                }),
            ),
            (
                "http-tokens",
                "require",
                Err("is not `optional` or `required`, did you mean `required`?"),
            ),
            (
                "hop-limit",
                "64",
                Ok(Given {
                    hop_limit: Some(64),
                    ..none()
                }),
            ),
            ("hop-limit", "0", Err("is not a number from 1 to 64")),
            ("hop-limit", "65", Err("is not a number from 1 to 64")),
            ("hop-limit", "two", Err("is not a number from 1 to 64")),
            (
                "endpoint",
                "disabled",
                Ok(Given {
                    endpoint: Some(Endpoint::Disabled),
                    ..none()
                }),
            ),
            ("endpoint", "off", Err("is not `enabled` or `disabled`")),
            (
                "dialects",
                "ec2, gce\nhetzner",
                Ok(Given {
                    dialects: dialects(&[Dialect::Ec2, Dialect::Gce, Dialect::Hetzner]),
                    ..none()
                }),
            ),
            (
                "dialects",
                "",
                Ok(Given {
                    dialects: dialects(&[]),
                    ..none()
                }),
            ),
            (
                "dialects",
                "ec3",
                Err(
                    "is not `ec2` or `nocloud` or `openstack` or `install` or `gce` or `digitalocean` or `hetzner` \
                     or `vultr`, did you mean `ec2`?",
                ),
            ),
            (
                "nocloud-prefix",
                "secret",
                Ok(Given {
                    nocloud: Some(Prefix::Secret),
                    ..none()
                }),
            ),
            (
                "http-protocol-ipv6",
                "disabled",
                Ok(Given {
                    ipv6: Some(Switch::Disabled),
                    ..none()
                }),
            ),
            (
                "password",
                "enabled",
                Ok(Given {
                    password: Some(Switch::Enabled),
                    ..none()
                }),
            ),
        ] {
            let mut given = none();
            let read = option(&mut given, name, text).map(|()| given);
            let read = read.map_err(|error| error.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{name} {text:?}");
        }
    }
}
