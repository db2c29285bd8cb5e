//! An answer as it comes in, in pieces of any size: right, not yet whole, or wrong. Pure.

use anyhow::{Context, Result, bail, ensure};

use super::Expected;

/// A head that is longer is none.
const HEAD_MAX: usize = 8 * 1024;
/// A longer token fits into no header.
const TOKEN_MAX: usize = 256;

/// How far an answer is.
#[derive(Debug, Default)]
pub(super) struct Answer {
    head: Vec<u8>,
    body: Option<Progress>,
    /// What there is of a token.
    token: Vec<u8>,
}

/// The octets of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    length: usize,
    read: usize,
}

impl Answer {
    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.body = None;
        self.token.clear();
    }

    /// The body of a token's answer.
    pub(super) fn token(&self) -> &[u8] {
        &self.token
    }

    /// The octets of the body that came so far.
    pub(super) fn octets(&self) -> usize {
        self.body.map_or(0, |body| body.read)
    }

    /// Takes the next octets; `true`: the answer is whole.
    ///
    /// # Errors
    /// It is not the expected one.
    pub(super) fn take(&mut self, mut octets: &[u8], expected: &Expected) -> Result<bool> {
        if self.body.is_none() {
            let before = self.head.len();
            self.head.extend_from_slice(octets);
            let Some(end) = end_of_head(&self.head) else {
                ensure!(self.head.len() <= HEAD_MAX, "a head without an end");
                return Ok(false);
            };
            octets = octets.get(end - before..).unwrap_or_default();
            let length = length(self.head.get(..end).unwrap_or_default())?;
            if let Expected::Body(body) = expected {
                ensure!(length == body.len(), "{length} octets, not {}", body.len());
            }
            self.body = Some(Progress { length, read: 0 });
        }
        let body = self.body.as_mut().context("a body before its head")?;
        let from = body.read;
        body.read += octets.len();
        ensure!(body.read <= body.length, "more than the announced length");
        match expected {
            Expected::Body(all) if all.get(from..body.read) != Some(octets) => {
                bail!("another body: {}", String::from_utf8_lossy(octets))
            }
            Expected::Body(_) => {}
            Expected::Token => {
                ensure!((1..=TOKEN_MAX).contains(&body.length), "no token");
                self.token.extend_from_slice(octets);
            }
        }
        Ok(body.read == body.length)
    }
}

/// Where the body begins.
fn end_of_head(octets: &[u8]) -> Option<usize> {
    let mut windows = octets.windows(4);
    windows
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The announced length of an answer that is a success.
fn length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "{status}");
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    lengths.next().context("no length is announced")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nDate: x\r\n\r\nhello";

    /// How it ends when it comes in pieces of this size: whole, not yet, or wrong.
    fn ends(text: &str, expected: &Expected, piece: usize) -> Option<bool> {
        let mut answer = Answer::default();
        let mut whole = false;
        for piece in text.as_bytes().chunks(piece) {
            assert!(!whole, "there is more to come");
            whole = answer.take(piece, expected).ok()?;
        }
        Some(whole)
    }

    #[test]
    fn an_answer_is_right_wrong_or_not_yet_whole_in_pieces_of_any_size() {
        let body = Expected::Body(b"hello".to_vec());
        for (case, text, expected, outcome) in [
            ("right", RIGHT, &body, Some(true)),
            ("a token", RIGHT, &Expected::Token, Some(true)),
            (
                "cut in the body",
                &RIGHT[..RIGHT.len() - 1],
                &body,
                Some(false),
            ),
            ("cut in the head", &RIGHT[..20], &body, Some(false)),
            (
                "another body",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhullo",
                &body,
                None,
            ),
            (
                "another length",
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
                &body,
                None,
            ),
            (
                "another status",
                "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello",
                &body,
                None,
            ),
            ("no length", "HTTP/1.1 200 OK\r\n\r\nhello", &body, None),
            (
                "an empty token",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                &Expected::Token,
                None,
            ),
        ] {
            for piece in [1, 3, 7, 4096] {
                assert_eq!(ends(text, expected, piece), outcome, "{case}, {piece}");
            }
        }
        assert_eq!(
            ends(&format!("{RIGHT}!"), &body, 4096),
            None,
            "more than announced"
        );
    }

    #[test]
    fn a_head_without_an_end_is_given_up() {
        let text = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(2 * HEAD_MAX));
        assert_eq!(ends(&text, &Expected::Token, 1024), None);
    }
}
