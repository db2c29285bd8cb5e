//! User-data and its kin as a configuration holds them: text in, the octets that the guest gets out. Bounded: nothing
//! larger than [`USER_DATA_MAX`] leaves, and a packed bomb is not unpacked further than that.

use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::USER_DATA_MAX;
use super::field::did_you_mean;
use crate::nearest::nearest;

/// How octets are written down as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is, see [`dedent`].
    Plain,
    Base64,
    /// Base64 of a gzip file, whose content is what counts.
    GzipBase64,
}

/// Why a payload cannot be used; predicates, as in [`super::field`].
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("is encoded as `{word}`, which is not known{}", did_you_mean(.nearest.as_deref()))]
    UnknownEncoding {
        word: String,
        nearest: Option<String>,
    },
    #[error("is not base64: {0}")]
    Base64(base64::DecodeError),
    #[error("is not gzip: {0}")]
    Gzip(std::io::Error),
    #[error("is {0} octets, the limit is {USER_DATA_MAX}")]
    TooLarge(usize),
    #[error("unpacks to more than {USER_DATA_MAX} octets")]
    Bomb,
}

const ENCODINGS: [(&str, Encoding); 3] = [
    ("plain", Encoding::Plain),
    ("base64", Encoding::Base64),
    ("gzip+base64", Encoding::GzipBase64),
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl std::str::FromStr for Encoding {
    type Err = PayloadError;

    fn from_str(word: &str) -> Result<Self, PayloadError> {
        let known = ENCODINGS.iter().find(|(name, _)| *name == word);
        known
            .map(|(_, encoding)| *encoding)
            .ok_or_else(|| PayloadError::UnknownEncoding {
                nearest: nearest(word, ENCODINGS.map(|(name, _)| name)).map(str::to_owned),
                word: word.chars().take(40).collect(),
            })
    }
}

/// Makes octets of text. White space within base64 does not count.
pub fn decode(text: &str, encoding: Encoding) -> Result<Bytes, PayloadError> {
    match encoding {
        Encoding::Plain => bounded(text.as_bytes().to_vec()),
        Encoding::Base64 => bounded(from_base64(text)?),
        Encoding::GzipBase64 => bounded(unpack(&from_base64(text)?)?),
    }
}

/// Takes away the indentation that a text has only because it stands in an indented document.
///
/// A text whose first line is not blank is returned untouched. Otherwise blank lines at both ends go, the white space
/// that all other lines start with goes, lines of white space alone become empty, and the result ends with one LF.
pub fn dedent(text: &str) -> String {
    let starts_on_own_line = match text.split_once('\n') {
        Some((first, _)) => is_blank(first),
        None => is_blank(text),
    };
    if !starts_on_own_line {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let first = lines.iter().position(|line| !is_blank(line));
    let last = lines.iter().rposition(|line| !is_blank(line));
    let body = first
        .zip(last)
        .and_then(|(first, last)| lines.get(first..=last))
        .unwrap_or_default();
    let indent = body
        .iter()
        .filter(|line| !is_blank(line))
        .map(|line| indent_of(line))
        .reduce(common_start)
        .unwrap_or_default();
    let mut result = String::with_capacity(text.len());
    for line in body {
        if !is_blank(line) {
            result.push_str(line.strip_prefix(indent).unwrap_or(line));
        }
        result.push('\n');
    }
    result
}

fn is_blank(line: &str) -> bool {
    line.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

fn indent_of(line: &str) -> &str {
    let text = line.trim_start_matches([' ', '\t']);
    line.strip_suffix(text).unwrap_or_default()
}

fn common_start<'a>(one: &'a str, other: &'a str) -> &'a str {
    let length = one
        .bytes()
        .zip(other.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    one.get(..length).unwrap_or_default()
}

fn from_base64(text: &str) -> Result<Vec<u8>, PayloadError> {
    let dense: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64.decode(dense).map_err(PayloadError::Base64)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, PayloadError> {
    let mut unpacked = Vec::new();
    let limit = u64::try_from(USER_DATA_MAX).unwrap_or(u64::MAX);
    flate2::read::MultiGzDecoder::new(packed)
        .take(limit + 1)
        .read_to_end(&mut unpacked)
        .map_err(PayloadError::Gzip)?;
    if unpacked.len() > USER_DATA_MAX {
        return Err(PayloadError::Bomb);
    }
    Ok(unpacked)
}

fn bounded(octets: Vec<u8>) -> Result<Bytes, PayloadError> {
    if octets.len() > USER_DATA_MAX {
        return Err(PayloadError::TooLarge(octets.len()));
    }
    Ok(Bytes::from(octets))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// The rule of LM-30 and every trap of LM-31.
    #[allow(clippy::too_many_lines, reason = "a table of cases")]
    #[test]
    fn dedent_takes_away_layout_and_nothing_else() {
        for (case, text, expected) in [
            (
                "indented",
                "\n    #cloud-config\n    a: b\n  ",
                "#cloud-config\na: b\n",
            ),
            (
                "deeper lines keep the rest",
                "\n  a:\n    - b\n  c: d\n ",
                "a:\n  - b\nc: d\n",
            ),
            ("blank line inside", "\n    a\n\n    b\n  ", "a\n\nb\n"),
            (
                "line of spaces inside",
                "\n    a\n  \n    b\n  ",
                "a\n\nb\n",
            ),
            (
                "two leading newlines",
                "\n\n    #cloud-config\n  ",
                "#cloud-config\n",
            ),
            ("spaces behind the tag", "  \n    a\n  ", "a\n"),
            ("closing tag at column 0", "\n    a\n    b\n", "a\nb\n"),
            (
                "no newline before the closing tag",
                "\n    a\n    b",
                "a\nb\n",
            ),
            ("blank lines at the end", "\n    a\n\n   \n  ", "a\n"),
            (
                "tabs",
                "\n\t\t#!/bin/sh\n\t\t\techo\n\t",
                "#!/bin/sh\n\techo\n",
            ),
            (
                "tabs and spaces share only what is the same",
                "\n\t  a\n\t\tb\n",
                "  a\n\tb\n",
            ),
            (
                "no indentation",
                "\n#cloud-config\na: b\n",
                "#cloud-config\na: b\n",
            ),
            (
                "first line least indented",
                "\n  a\n      b\n",
                "a\n    b\n",
            ),
            ("first line most indented", "\n      a\n  b\n", "    a\nb\n"),
            (
                "first line behind the tag",
                "#cloud-config\n    a: b\n  ",
                "#cloud-config\n    a: b\n  ",
            ),
            (
                "first line behind the tag and spaces",
                "  x\n    y\n",
                "  x\n    y\n",
            ),
            ("one line", "#!/bin/true", "#!/bin/true"),
            ("empty", "", ""),
            ("only white space", "\n   \n ", ""),
            (
                "trailing spaces of a line stay",
                "\n  a  \n  b\n",
                "a  \nb\n",
            ),
        ] {
            assert_eq!(dedent(text), expected, "{case}");
        }
    }

    #[test]
    fn encodings_give_octets() {
        let packed = BASE64.encode(gzip(b"#cloud-config\n"));
        for (case, text, encoding, expected) in [
            ("plain", "a\n", "plain", Ok(&b"a\n"[..])),
            ("base64", "AP8K", "base64", Ok(&[0, 255, 10])),
            (
                "base64 with white space",
                "\n  AP\n\t8K \n",
                "base64",
                Ok(&[0, 255, 10]),
            ),
            ("base64 without padding", "YQ", "base64", Ok(b"a")),
            ("base64 with padding", "YQ==", "base64", Ok(b"a")),
            ("gzip", &packed, "gzip+base64", Ok(b"#cloud-config\n")),
            ("no base64", "?", "base64", Err("is not base64: ")),
            ("no gzip", "YQ==", "gzip+base64", Err("is not gzip: ")),
            (
                "unknown",
                "",
                "bas64",
                Err("is encoded as `bas64`, which is not known, did you mean `base64`?"),
            ),
        ] {
            let read = encoding.parse().and_then(|encoding| decode(text, encoding));
            match (read, expected) {
                (Ok(octets), Ok(expected)) => assert_eq!(&octets[..], expected, "{case}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().starts_with(expected), "{case}: {error}")
                }
                (read, _) => panic!("{case}: {read:?}"),
            }
        }
    }

    #[test]
    fn nothing_larger_than_a_mebibyte_leaves() {
        let full = "x".repeat(USER_DATA_MAX);
        assert_eq!(
            decode(&full, Encoding::Plain)
                .map(|octets| octets.len())
                .ok(),
            Some(USER_DATA_MAX)
        );
        let over = "x".repeat(USER_DATA_MAX + 1);
        let refused = decode(&over, Encoding::Plain).map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err("is 1048577 octets, the limit is 1048576".to_owned())
        );
        let bomb = BASE64.encode(gzip(&vec![0; 64 * USER_DATA_MAX]));
        assert!(matches!(
            decode(&bomb, Encoding::GzipBase64),
            Err(PayloadError::Bomb)
        ));
        let packed = BASE64.encode(gzip(full.as_bytes()));
        assert_eq!(
            decode(&packed, Encoding::GzipBase64)
                .map(|octets| octets.len())
                .ok(),
            Some(USER_DATA_MAX)
        );
    }

    proptest! {
        #[test]
        fn a_dedented_text_stays_the_same(text in "[ \t\na-c]{0,60}") {
            let once = dedent(&format!("\n{text}"));
            prop_assert_eq!(dedent(&format!("\n{once}")), once);
        }

        #[test]
        fn decoding_is_total(text in any::<String>()) {
            for (_, encoding) in ENCODINGS {
                let _ = decode(&text, encoding);
            }
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }
}
