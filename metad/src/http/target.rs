//! What a request asks for, in one spelling.
//!
//! In: the path as the guest wrote it. Out: the same, decoded once, without doubled, leading or trailing slashes.
//! Nothing is resolved: a `.` or `..` asks for nothing that exists.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::instance::Dialect;

/// The path of the one request that may be a PUT.
pub(super) const TOKEN: &str = "latest/api/token";

/// The first segment of each dialect's paths; all others are EC2's, which begin with a version.
pub(super) const PREFIXES: [(&str, Dialect); 8] = [
    ("nocloud", Dialect::NoCloud),
    ("openstack", Dialect::OpenStack),
    ("install", Dialect::Install),
    ("computeMetadata", Dialect::Gce),
    ("metadata", Dialect::DigitalOcean),
    ("hetzner", Dialect::Hetzner),
    ("v1", Dialect::Vultr),
    ("v1.json", Dialect::Vultr),
];

/// What must be escaped again for a path to be an URI's.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A normalised path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: String,
    dotted: bool,
    /// As it was written; only what asks for one looks at it.
    query: Option<String>,
}

/// A path that holds a NUL or another control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path holds a control character")]
pub struct Malformed;

/// Which dialect a path belongs to, and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Token,
    /// Any dialect but EC2, and what stands behind its prefix.
    Other(Dialect, &'a str),
    Ec2(&'a str),
}

impl Target {
    /// Normalises the path of a request, which has no query any more.
    ///
    /// # Errors
    /// The path, once decoded, holds a control character.
    pub fn new(path: &str) -> Result<Self, Malformed> {
        match plain(path) {
            Some(path) => Ok(Self {
                path: path.to_owned(),
                dotted: false,
                query: None,
            }),
            None => Self::spelt_anew(path),
        }
    }

    /// Any path, and slower.
    fn spelt_anew(path: &str) -> Result<Self, Malformed> {
        let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
        if decoded.iter().any(u8::is_ascii_control) {
            return Err(Malformed);
        }
        let decoded = String::from_utf8_lossy(&decoded);
        let segments = || decoded.split('/').filter(|segment| !segment.is_empty());
        let mut path = String::with_capacity(decoded.len());
        for segment in segments() {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(segment);
        }
        let dotted = segments().any(|segment| matches!(segment, "." | ".."));
        Ok(Self {
            path,
            dotted,
            query: None,
        })
    }

    /// The same with the query of the request.
    #[must_use]
    pub fn with_query(self, query: Option<&str>) -> Self {
        let query = query.map(str::to_owned);
        Self { query, ..self }
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Returns the value that the query gives `name`, decoded; the first of several.
    pub(super) fn asks(&self, name: &str) -> Option<String> {
        let mut pairs = self.query().unwrap_or_default().split('&');
        let value = pairs.find_map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (pair == name).then_some(""),
        })?;
        let decoded = percent_decode_str(value).decode_utf8_lossy();
        Some(decoded.into_owned())
    }

    /// Whether a segment is `.` or `..`.
    pub(super) fn is_dotted(&self) -> bool {
        self.dotted
    }

    pub(super) fn route(&self) -> Route<'_> {
        match self.path.as_str() {
            TOKEN => Route::Token,
            path => {
                let (first, rest) = path.split_once('/').unwrap_or((path, ""));
                let known = PREFIXES.iter().find(|(prefix, _)| *prefix == first);
                known.map_or(Route::Ec2(path), |(_, dialect)| {
                    Route::Other(*dialect, rest)
                })
            }
        }
    }

    /// The whole path, without slashes at its ends.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path as the router wants it: escaped, with one leading slash.
    pub(super) fn escaped(&self) -> String {
        format!("/{}", utf8_percent_encode(&self.path, ESCAPED))
    }
}

/// The path without slashes at its ends, if nothing else about it is to be changed: what nearly all clients write.
fn plain(path: &str) -> Option<&str> {
    let mut before = b'/';
    for (at, octet) in path.bytes().enumerate() {
        let is_plain = match octet {
            // The first octet has none before it.
            b'/' => before != b'/' || at == 0,
            b'.' => before != b'/',
            b'%' => false,
            _ => octet.is_ascii_graphic(),
        };
        if !is_plain {
            return None;
        }
        before = octet;
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    Some(path.strip_suffix('/').unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_spelt_one_way() {
        for (path, expected) in [
            ("/", Some(("", false))),
            ("", Some(("", false))),
            ("//", Some(("", false))),
            ("/latest", Some(("latest", false))),
            ("/latest/", Some(("latest", false))),
            ("//latest///meta-data//", Some(("latest/meta-data", false))),
            ("/Latest", Some(("Latest", false))),
            ("/macs/52%3A54", Some(("macs/52:54", false))),
            ("/a%2Fb", Some(("a/b", false))),
            ("/a%2f%2fb", Some(("a/b", false))),
            ("/%252e", Some(("%2e", false))),
            ("/a%zz", Some(("a%zz", false))),
            ("/a%2", Some(("a%2", false))),
            ("/a/./b", Some(("a/./b", true))),
            ("/a/../b", Some(("a/../b", true))),
            ("/%2e%2e/b", Some(("../b", true))),
            ("/...", Some(("...", false))),
            ("/%ff", Some(("\u{fffd}", false))),
            ("/gr%C3%B6%C3%9Fe", Some(("größe", false))),
            ("*", Some(("*", false))),
            ("/%00", None),
            ("/a%0d%0aX: y", None),
            ("/%7f", None),
            ("/\u{1}", None),
        ] {
            let read = Target::new(path).ok();
            let read = read.as_ref().map(|read| (read.path.as_str(), read.dotted));
            assert_eq!(read, expected, "{path}");
        }
    }

    #[test]
    fn paths_belong_to_one_dialect() {
        for (path, expected) in [
            ("/latest/api/token", Route::Token),
            ("/latest/api/token/", Route::Token),
            ("/latest/api/%74oken", Route::Token),
            ("/latest/api/token/x", Route::Ec2("latest/api/token/x")),
            ("/1.0/api/token", Route::Ec2("1.0/api/token")),
            ("/nocloud", Route::Other(Dialect::NoCloud, "")),
            (
                "/nocloud/meta-data",
                Route::Other(Dialect::NoCloud, "meta-data"),
            ),
            ("/nocloudy", Route::Ec2("nocloudy")),
            (
                "/openstack/latest/user_data",
                Route::Other(Dialect::OpenStack, "latest/user_data"),
            ),
            ("/v1.json", Route::Other(Dialect::Vultr, "")),
            ("/", Route::Ec2("")),
        ] {
            assert_eq!(Target::new(path).unwrap().route(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_spelt_as_anything_else_would_be(path in "[/.%a~\u{1}é]{0,9}") {
            prop_assert_eq!(Target::new(&path), Target::spelt_anew(&path));
        }

        #[test]
        fn escaping_comes_back_to_the_same_target(path in ".{0,40}") {
            if let Ok(target) = Target::new(&path) {
                let escaped = target.escaped();
                prop_assert!(escaped.parse::<http::Uri>().is_ok(), "{}", escaped);
                prop_assert_eq!(Target::new(&escaped).unwrap(), target);
            }
        }
    }
}
