//! Interface patterns as iptables writes them: a name, or a beginning followed by `+`.

use std::fmt;

/// The longest interface name that Linux takes, in octets.
const INTERFACE_MAX: usize = 15;

/// Names one interface, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Exact(String),
    /// Written with a `+` at its end, which is not part of the text here.
    Prefix(String),
}

/// A pattern that no interface can match, or that too many would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("interface pattern `{pattern}` {problem}")]
pub struct BadPattern {
    pattern: String,
    problem: &'static str,
}

impl Pattern {
    /// The bridges of libvirt's own networks: `virbr+`.
    pub fn libvirt_bridges() -> Self {
        Self::Prefix("virbr".to_owned())
    }

    /// Reads a pattern. A lone `+` is refused: it would take in the host's uplinks.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let bad = |problem| {
            Err(BadPattern {
                pattern: pattern.to_owned(),
                problem,
            })
        };
        let (text, prefix) = match pattern.strip_suffix('+') {
            Some(text) => (text, true),
            None => (pattern, false),
        };
        if text.is_empty() {
            bad(if prefix {
                "matches every interface, the host's uplinks too"
            } else {
                "is empty"
            })
        } else if text.len() > INTERFACE_MAX {
            bad("is longer than any interface name (15 characters)")
        } else if text.contains('+') {
            bad("has `+` before its end; it stands for the rest of the name and comes last")
        } else if text.contains(['*', '?', '[']) {
            bad("is no shell pattern; write the beginning of the name and `+`, as in `virbr+`")
        } else if text.contains(['/', ':'])
            || text.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            bad("has a character that no interface name has")
        } else if matches!(text, "." | "..") {
            bad("is no interface name")
        } else if prefix {
            Ok(Self::Prefix(text.to_owned()))
        } else {
            Ok(Self::Exact(text.to_owned()))
        }
    }

    /// Whether an interface of this name is meant.
    pub fn matches(&self, interface: &str) -> bool {
        match self {
            Self::Exact(name) => interface == name,
            Self::Prefix(prefix) => interface.starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}+"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_stands_for_the_rest_of_the_name() {
        for (pattern, interface, matched) in [
            ("virbr+", "virbr0", true),
            ("virbr+", "virbr", true),
            ("virbr+", "virbr0-nic", true),
            ("virbr+", "vnet0", false),
            ("virbr+", "xvirbr0", false),
            ("br0", "br0", true),
            ("br0", "br01", false),
            ("br0", "br", false),
        ] {
            let read = Pattern::new(pattern).unwrap();
            assert_eq!(
                read.matches(interface),
                matched,
                "{pattern} and {interface}"
            );
            assert_eq!(read.to_string(), pattern);
        }
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_refused() {
        for (pattern, problem) in [
            ("", "is empty"),
            ("+", "every interface"),
            ("vir+br", "before its end"),
            ("virbr++", "before its end"),
            ("virbr*", "no shell pattern"),
            ("vnet[0-9]", "no shell pattern"),
            ("a/b", "no interface name has"),
            ("a b", "no interface name has"),
            ("..", "is no interface name"),
            ("abcdefghijklmnop", "longer than"),
            ("abcdefghijklmnop+", "longer than"),
        ] {
            let error = Pattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains(problem), "{pattern}: {error}");
        }
    }
}
