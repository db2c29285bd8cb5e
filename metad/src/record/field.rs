//! Single values of a record: text in, the checked value out. Knows neither XML nor YAML; a refusal is a predicate
//! ("is empty") that the reader of either puts behind the name of the place. Never quotes what may be a secret.

use crate::instance::Placement;
use crate::nearest::nearest;

mod key;
mod option;

pub use key::openssh_key;
pub use option::{OPTIONS, option};

/// Why a value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("is empty")]
    Empty,
    #[error("is {length} octets long, {most} is the limit")]
    TooLong { length: usize, most: usize },
    #[error("holds the character {character:?}; {allowed}")]
    Character {
        character: char,
        allowed: &'static str,
    },
    #[error("is `{0}`, which guests cannot ask for by name")]
    Reserved(String),
    #[error("is not `{}`{}", .known.join("` or `"), did_you_mean(.nearest.as_deref()))]
    NotOneOf {
        known: &'static [&'static str],
        nearest: Option<String>,
    },
    #[error("is not a number from {least} to {most}")]
    NotANumber { least: u32, most: u32 },
    #[error("is {length} characters long, not {exact}")]
    NotLong { length: usize, exact: usize },
    #[error("is no path of a file from `/` on")]
    NotAPath,
    #[error("is no IPv4 address")]
    NotIpv4,
    #[error("is no SSH key; one is a line like `ssh-ed25519 AAAA… me@host`")]
    NotAKey,
    #[error("is nested more than {0} levels deep")]
    TooDeep(usize),
}

const LINE_MAX: usize = 255;
const HOSTNAME_MAX: usize = 253;
const KEY_TEXT_MAX: usize = 16 * 1024;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
const TREE_DEPTH_MAX: usize = 16;

/// The end of a refusal that knows better.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|known| format!(", did you mean `{known}`?"))
        .unwrap_or_default()
}

/// Reads one line of text without control characters.
pub fn line(text: &str) -> Result<String, FieldError> {
    bounded(text, LINE_MAX)
}

/// Reads one word that may stand in a path.
pub fn word(text: &str) -> Result<String, FieldError> {
    let word = line(text)?;
    only(&word, "neither spaces nor `/` may stand here", |c| {
        !c.is_whitespace() && c != '/'
    })?;
    Ok(word)
}

/// Reads the number of an account, by EC2's rule.
pub fn account_id(text: &str) -> Result<String, FieldError> {
    let number = line(text)?;
    only(&number, "an account is twelve digits", |c| {
        c.is_ascii_digit()
    })?;
    match number.len() {
        12 => Ok(number),
        length => Err(FieldError::NotLong { length, exact: 12 }),
    }
}

/// The names of what says where a machine stands, in XML and in records alike.
pub const PLACEMENT: [&str; 6] = [
    "availability-zone",
    "availability-zone-id",
    "region",
    "group-name",
    "host-id",
    "partition-number",
];

/// Puts a value into the field of one of the names in [`PLACEMENT`].
pub fn place(placement: &mut Placement, name: &str, value: String) {
    let field = match name {
        "availability-zone" => &mut placement.availability_zone,
        "availability-zone-id" => &mut placement.availability_zone_id,
        "region" => &mut placement.region,
        "group-name" => &mut placement.group_name,
        "host-id" => &mut placement.host_id,
        _ => &mut placement.partition_number,
    };
    *field = Some(value);
}

/// Reads where a guest puts a file.
pub fn file_path(text: &str) -> Result<String, FieldError> {
    let path = line(text)?;
    if path.starts_with('/') && !path.ends_with('/') {
        Ok(path)
    } else {
        Err(FieldError::NotAPath)
    }
}

/// Reads an IPv4 address.
pub fn ipv4(text: &str) -> Result<std::net::Ipv4Addr, FieldError> {
    text.trim().parse().ok().ok_or(FieldError::NotIpv4)
}

/// Reads a host name, with or without a domain.
pub fn hostname(text: &str) -> Result<String, FieldError> {
    let name = bounded(text, HOSTNAME_MAX)?;
    let allowed = "letters, digits, `-`, `_` and `.` make a host name";
    only(&name, allowed, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })?;
    let edge = "a host name starts and ends with a letter or a digit";
    for character in [name.chars().next(), name.chars().last()]
        .into_iter()
        .flatten()
    {
        if !character.is_ascii_alphanumeric() {
            return Err(FieldError::Character {
                character,
                allowed: edge,
            });
        }
    }
    Ok(name)
}

/// Reads the name of an SSH key.
pub fn key_name(text: &str) -> Result<String, FieldError> {
    let name = line(text)?;
    only(&name, "`/` may not stand here", |c| c != '/')?;
    Ok(name)
}

/// Reads the text of an SSH key: lines of an `authorized_keys` file, without blank ones.
pub fn key_text(text: &str) -> Result<String, FieldError> {
    if text.len() > KEY_TEXT_MAX {
        return Err(FieldError::TooLong {
            length: text.len(),
            most: KEY_TEXT_MAX,
        });
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return Err(FieldError::Empty);
    }
    let text = lines.join("\n");
    only(&text, "control characters may not stand here", |c| {
        c == '\n' || !c.is_control()
    })?;
    Ok(text)
}

/// Reads a tag's key, by EC2's rule for tags that guests may read.
pub fn tag_key(text: &str) -> Result<String, FieldError> {
    let key = bounded(text, TAG_KEY_MAX)?;
    let allowed = "letters, digits and `+-=.,_:@` make a tag's key";
    only(&key, allowed, |c| {
        c.is_alphanumeric() || "+-=.,_:@".contains(c)
    })?;
    if matches!(key.as_str(), "." | ".." | "_index") {
        return Err(FieldError::Reserved(key));
    }
    Ok(key)
}

/// Reads a tag's value, which may be empty.
pub fn tag_value(text: &str) -> Result<String, FieldError> {
    match bounded(text, TAG_VALUE_MAX) {
        Err(FieldError::Empty) => Ok(String::new()),
        read => read,
    }
}

/// Checks that every key of a free tree can stand in a path and that the tree is not too deep.
pub fn tree(tree: &serde_json::Map<String, serde_json::Value>) -> Result<(), FieldError> {
    let mut open = Vec::new();
    open.push((1, tree.values().collect::<Vec<_>>()));
    tree.keys().try_for_each(|key| path_segment(key))?;
    while let Some((depth, values)) = open.pop() {
        if depth > TREE_DEPTH_MAX {
            return Err(FieldError::TooDeep(TREE_DEPTH_MAX));
        }
        for value in values {
            if let Some(object) = value.as_object() {
                object.keys().try_for_each(|key| path_segment(key))?;
                open.push((depth + 1, object.values().collect()));
            } else if let Some(array) = value.as_array() {
                open.push((depth + 1, array.iter().collect()));
            }
        }
    }
    Ok(())
}

fn path_segment(key: &str) -> Result<(), FieldError> {
    let key = bounded(key, LINE_MAX)?;
    only(&key, "`/` may not stand in a key", |c| c != '/')?;
    if matches!(key.as_str(), "." | "..") {
        return Err(FieldError::Reserved(key));
    }
    Ok(())
}

fn bounded(text: &str, most: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(FieldError::Empty);
    }
    if text.len() > most {
        return Err(FieldError::TooLong {
            length: text.len(),
            most,
        });
    }
    only(text, "control characters may not stand here", |c| {
        !c.is_control()
    })?;
    Ok(text.to_owned())
}

fn only(
    text: &str,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), FieldError> {
    match text.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(FieldError::Character { character, allowed }),
        None => Ok(()),
    }
}

fn not_one_of(word: &str, known: &'static [&'static str]) -> FieldError {
    FieldError::NotOneOf {
        known,
        nearest: nearest(word, known.iter().copied()).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::too_many_lines, reason = "a table of cases")]
    #[test]
    fn values_are_taken_or_refused_with_a_reason() {
        type Read = fn(&str) -> Result<String, FieldError>;
        for (case, read, text, expected) in [
            ("line", line as Read, " c3.large\n", Ok("c3.large")),
            ("blank line", line, " \n", Err("is empty")),
            (
                "two lines",
                line,
                "a\nb",
                Err("holds the character '\\n'; control characters may not stand here"),
            ),
            ("word", word, "i-1234", Ok("i-1234")),
            (
                "word in a path",
                word,
                "i/1",
                Err("holds the character '/'; neither spaces nor `/` may stand here"),
            ),
            (
                "hostname",
                hostname,
                "web_1.example.org",
                Ok("web_1.example.org"),
            ),
            (
                "hostname with space",
                hostname,
                "web 1",
                Err("holds the character ' '; letters, digits, `-`, `_` and `.` make a host name"),
            ),
            (
                "hostname like an option",
                hostname,
                "-web",
                Err(
                    "holds the character '-'; a host name starts and ends with a letter or a digit",
                ),
            ),
            ("key name", key_name, "me@host", Ok("me@host")),
            (
                "key name in a path",
                key_name,
                "../me",
                Err("holds the character '/'; `/` may not stand here"),
            ),
            (
                "key text",
                key_text,
                "\n  ssh-ed25519 AAAA me\n\n",
                Ok("ssh-ed25519 AAAA me"),
            ),
            ("blank key text", key_text, "\n \n", Err("is empty")),
            ("tag key", tag_key, "team:role", Ok("team:role")),
            (
                "tag key in a path",
                tag_key,
                "team/role",
                Err("holds the character '/'; letters, digits and `+-=.,_:@` make a tag's key"),
            ),
            (
                "tag key that AWS reserves",
                tag_key,
                "_index",
                Err("is `_index`, which guests cannot ask for by name"),
            ),
            ("empty tag value", tag_value, "", Ok("")),
            ("account", account_id, "123456789012", Ok("123456789012")),
            (
                "short account",
                account_id,
                "1234",
                Err("is 4 characters long, not 12"),
            ),
            ("file", file_path, "/etc/motd", Ok("/etc/motd")),
            (
                "relative file",
                file_path,
                "etc/motd",
                Err("is no path of a file from `/` on"),
            ),
            (
                "directory",
                file_path,
                "/etc/",
                Err("is no path of a file from `/` on"),
            ),
        ] {
            let read = read(text).map_err(|error| error.to_string());
            assert_eq!(read.as_deref().map_err(String::as_str), expected, "{case}");
        }
        let long = "x".repeat(LINE_MAX + 1);
        assert_eq!(
            line(&long).map_err(|e| e.to_string()),
            Err("is 256 octets long, 255 is the limit".to_owned())
        );
    }

    #[test]
    fn a_tree_is_only_as_deep_and_as_odd_as_paths_allow() {
        let nested = |levels: usize| {
            (1..levels).fold(
                serde_json::json!({"leaf": 1}),
                |inner, _| serde_json::json!({ "a": inner }),
            )
        };
        for (case, value, taken) in [
            ("at the limit", nested(TREE_DEPTH_MAX), true),
            ("beyond the limit", nested(TREE_DEPTH_MAX + 1), false),
            (
                "key with slash below an array",
                serde_json::json!({"a": [{"b/c": 1}]}),
                false,
            ),
            ("key that walks up", serde_json::json!({"..": 1}), false),
            (
                "array of objects",
                serde_json::json!({"a": [{"b": 1}]}),
                true,
            ),
        ] {
            let map = value.as_object().cloned().unwrap_or_default();
            assert_eq!(tree(&map).is_ok(), taken, "{case}");
        }
    }
}
