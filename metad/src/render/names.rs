//! Which names can stand in a path and in a listing, and identifiers that are made up but stay the same.

/// Whether `name` can be a path segment and a line of a listing that no client takes apart: what RFC 3986 allows
/// unescaped in a segment but `=`, which listings use for `INDEX=NAME`, and letters beyond ASCII.
pub(crate) fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.chars().all(|letter| letter != '=' && is_plain(letter))
}

/// Whether EC2 would take `key` as a tag that guests may read, and cloud-init would read it back as it stands.
pub(crate) fn is_tag_key(key: &str) -> bool {
    let allowed = |letter: char| letter.is_alphanumeric() || "+-=.,_:@".contains(letter);
    // cloud-init takes `7=x` for a public key, asks for `7/openssh-key`, and gives up on the whole tree without it.
    let like_public_key = key.split_once('=').is_some_and(|(index, _)| {
        !index.is_empty()
            && index
                .chars()
                .all(|letter| letter.is_numeric() || "+-_".contains(letter))
    });
    !matches!(key, "" | "." | ".." | "_index") && key.chars().all(allowed) && !like_public_key
}

/// Makes a key's name fit for an `INDEX=NAME` line: one line, one `=`, and no slash that makes it a directory.
pub(super) fn key_name(name: &str, index: usize) -> String {
    let cleaned: String = name
        .trim()
        .chars()
        .map(|letter| match letter {
            ' ' => ' ',
            '=' | '/' => '_',
            _ if letter.is_control() || letter.is_whitespace() => '_',
            _ => letter,
        })
        .collect();
    if cleaned.is_empty() {
        index.to_string()
    } else {
        cleaned
    }
}

/// Returns `prefix` and 17 hexadecimal digits that depend on `parts` alone, the same on every host and in every
/// release.
pub(super) fn identifier(prefix: &str, parts: &[&[u8]]) -> String {
    format!("{prefix}{:017x}", mixed(parts) >> (128 - 68))
}

/// Returns a number that depends on `parts` alone, as [`identifier`] does; JSON's readers keep all of its 52 bits.
pub(super) fn number(parts: &[&[u8]]) -> u64 {
    u64::try_from(mixed(parts) >> (128 - 52)).unwrap_or_default()
}

fn mixed(parts: &[&[u8]]) -> u128 {
    // FNV-1a with 128 bits: no secret is kept here, the identifiers need only be stable and differ.
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: &u8| (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
    let hash = parts.iter().fold(BASIS, |hash, part| {
        let hash = part.iter().fold(hash, step);
        // Parts must not run into each other.
        step(hash, &0xff)
    });
    // The last octets must show in every digit.
    (hash ^ (hash >> 64)).wrapping_mul(PRIME | (PRIME << 33))
}

fn is_plain(letter: char) -> bool {
    if letter.is_ascii() {
        letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;:@".contains(letter)
    } else {
        !letter.is_control() && !letter.is_whitespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        for (name, expected) in [
            ("instance-id", true),
            ("52:54:00:12:34:56", true),
            ("größe", true),
            ("a.b", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a/b", false),
            ("a b", false),
            ("a\nb", false),
            ("a=b", false),
            ("a%20", false),
            ("a?b", false),
            ("a#b", false),
            ("a<b", false),
            ("a\u{85}b", false),
            ("a\u{2028}b", false),
        ] {
            assert_eq!(is_segment(name), expected, "{name:?}");
        }
    }

    #[test]
    fn tag_keys() {
        for (key, expected) in [
            ("Name", true),
            ("team:owner@site", true),
            ("a=b", true),
            ("ключ", true),
            ("", false),
            (".", false),
            ("..", false),
            ("_index", false),
            ("a b", false),
            ("a/b", false),
            ("a\nb", false),
            ("0=b", false),
            ("-1_0=b", false),
            ("=b", true),
        ] {
            assert_eq!(is_tag_key(key), expected, "{key:?}");
        }
    }

    #[test]
    fn key_names_fit_one_line_with_one_sign() {
        for (name, expected) in [
            ("admin", "admin"),
            ("me@host 2", "me@host 2"),
            ("a=b", "a_b"),
            ("a/", "a_"),
            (" a\n", "a"),
            ("a\u{2028}b", "a_b"),
            ("  ", "3"),
        ] {
            assert_eq!(key_name(name, 3), expected, "{name:?}");
        }
    }

    #[test]
    fn identifiers_stay_the_same() {
        let id = identifier("vpc-", &[b"default"]);
        assert_eq!(id.len(), "vpc-".len() + 17);
        assert_eq!(id, identifier("vpc-", &[b"default"]));
        assert_eq!(
            id, "vpc-c764c68944dacbabe",
            "guests may have written it down"
        );
        assert_ne!(id, identifier("vpc-", &[b"other"]));
        assert_ne!(
            identifier("", &[b"a", b"bc"]),
            identifier("", &[b"ab", b"c"])
        );
        let many: std::collections::BTreeSet<String> = (0..u16::MAX)
            .map(|number| identifier("", &[&number.to_be_bytes()]))
            .collect();
        assert_eq!(many.len(), usize::from(u16::MAX));
    }
}
