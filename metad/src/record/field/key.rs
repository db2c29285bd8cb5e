//! Keys as OpenSSH's `authorized_keys` has them: text in, the checked text out. Looks at the form alone, and no refusal
//! quotes what might be a private key.

use super::{FieldError, key_text};

/// Reads the lines of an `authorized_keys` file; comments may stand between keys.
pub fn openssh_key(text: &str) -> Result<String, FieldError> {
    let text = key_text(text)?;
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .peekable();
    if lines.peek().is_some() && lines.all(is_key) {
        Ok(text)
    } else {
        Err(FieldError::NotAKey)
    }
}

/// A key's type and its octets, with or without options before them.
fn is_key(line: &str) -> bool {
    let (first, rest) = first_word(line);
    if is_type(first) {
        return is_base64(first_word(rest).0);
    }
    let (second, rest) = first_word(rest);
    is_type(second) && is_base64(first_word(rest).0)
}

/// Splits at the first blank that stands in no quotes: options may hold some.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (mut quoted, mut escaped) = (false, false);
    let ends = |letter: char| {
        let is_quote = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        quoted ^= is_quote;
        letter.is_whitespace() && !quoted
    };
    text.split_once(ends).unwrap_or((text, ""))
}

/// The names of OpenSSH's types, certificates' included.
fn is_type(word: &str) -> bool {
    let plain = word.strip_suffix("-cert-v01@openssh.com").unwrap_or(word);
    let known = ["ssh-ed25519", "ssh-rsa", "ssh-dss"].contains(&plain);
    let of_token = plain.starts_with("sk-") && (plain != word || word.ends_with("@openssh.com"));
    known || of_token || plain.starts_with("ecdsa-sha2-")
}

fn is_base64(word: &str) -> bool {
    let octets = word.trim_end_matches('=');
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "+/".contains(letter);
    !octets.is_empty() && octets.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_of_authorized_keys() {
        for text in [
            "ssh-ed25519 AAAA me@host",
            "ssh-rsa AAAAB3Nza+/w==",
            "ecdsa-sha2-nistp256 AAAA",
            "sk-ssh-ed25519@openssh.com AAAA",
            "ssh-ed25519-cert-v01@openssh.com AAAA",
            "sk-ssh-ed25519-cert-v01@openssh.com AAAA",
            "no-pty,command=\"echo \\\"a b\\\" c\" ssh-ed25519 AAAA me",
            "ssh-ed25519   AAAA a comment of words",
            "# mine\nssh-ed25519 AAAA\nssh-rsa BBBB",
        ] {
            assert_eq!(openssh_key(text).as_deref(), Ok(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        for text in [
            "nonsense",
            "ssh-ed25519",
            "ssh-ed25519 ====",
            "ssh-ed25519 AA\u{2026} me@host",
            "AAAAB3NzaC1lZDI1NTE5 me@host",
            "ssh-nonsense AAAA",
            "# nothing but a comment",
            "ssh-ed25519 AAAA\nnonsense",
            "command=\"ssh-ed25519 AAAA\"",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
        ] {
            assert_eq!(openssh_key(text), Err(FieldError::NotAKey), "{text}");
        }
        assert_eq!(
            FieldError::NotAKey.to_string(),
            "is no SSH key; one is a line like `ssh-ed25519 AAAA… me@host`"
        );
    }
}
