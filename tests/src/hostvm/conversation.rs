//! Scripts go out over a serial port, and what they came to comes back: a line each way, in base64.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// A service without KVM, on a busy machine, takes its time.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long one look for the first answer takes.
const LOOK: Duration = Duration::from_secs(3);
/// What the other side may print, in octets; more is a script gone wild.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// What a script printed, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub status: i32,
    /// Standard output and standard error.
    pub text: String,
}

/// The shell at the other end, one script at a time.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: UnixStream,
    /// What has arrived and is not yet a line.
    pending: Vec<u8>,
    asked: u64,
}

impl Conversation {
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
            asked: 0,
        })
    }

    /// Whether the shell answers by now. What is written before it listens is lost, and asked again.
    pub(super) fn is_heard(&mut self) -> Result<bool> {
        Ok(self.attempt("true", LOOK)?.is_some())
    }

    pub(super) fn run(&mut self, script: &str) -> Result<Said> {
        self.attempt(script, PATIENCE)?
            .with_context(|| format!("no answer in {} s to:\n{script}", PATIENCE.as_secs()))
    }

    fn attempt(&mut self, script: &str, patience: Duration) -> Result<Option<Said>> {
        self.asked += 1;
        let number = self.asked;
        let line = format!("{number} {}\n", encode(script.as_bytes()));
        self.stream
            .write_all(line.as_bytes())
            .context("the host's serial port is closed")?;
        let end = Instant::now() + patience;
        while let Some(line) = self.line(end)? {
            if let Some(said) = answer(&line, number)? {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// The next line; `None`: there is none before `end`.
    fn line(&mut self, end: Instant) -> Result<Option<String>> {
        let mut octets = [0; 65_536];
        loop {
            if let Some(length) = self.pending.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=length).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            ensure!(self.pending.len() <= LINE_MAX, "a line without an end");
            match self.stream.read(&mut octets) {
                Ok(0) => bail!("the host has closed its serial port"),
                Ok(count) => self
                    .pending
                    .extend_from_slice(octets.get(..count).unwrap_or_default()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("cannot read the host's serial port"),
            }
        }
    }
}

/// Reads an answer to the question of this number; `None`: it is something else, such as a late answer.
fn answer(line: &str, number: u64) -> Result<Option<Said>> {
    // The terminal may have printed something of its own before.
    let Some((_, words)) = line.split_once("lab: ") else {
        return Ok(None);
    };
    let mut words = words.splitn(3, ' ');
    if words.next() != Some(number.to_string().as_str()) {
        return Ok(None);
    }
    let (Some(status), text) = (words.next(), words.next().unwrap_or_default()) else {
        bail!("half an answer: {line}");
    };
    let octets = decode(text).with_context(|| format!("no base64: {line}"))?;
    Ok(Some(Said {
        status: status
            .parse()
            .with_context(|| format!("no status: {line}"))?,
        text: String::from_utf8_lossy(&octets).into_owned(),
    }))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let joined = chunk
            .iter()
            .fold(0_usize, |joined, octet| joined << 8 | usize::from(*octet));
        let value = joined << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET.get(value >> (18 - 6 * place) & 0x3f);
            text.push(match digit {
                Some(digit) if place <= chunk.len() => char::from(*digit),
                Some(_) | None => '=',
            });
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut value, mut bits) = (0_u32, 0_u32);
    for character in text.trim_end_matches('=').bytes() {
        let digit = ALPHABET.iter().position(|known| *known == character);
        let digit = u32::try_from(digit.context("a character that is none of base64's")?)?;
        value = value << 6 | digit;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push(u8::try_from(value >> bits & 0xff)?);
            value &= (1 << bits) - 1;
        }
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_way_there_and_back() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("ü\n", "w7wK"),
        ] {
            assert_eq!(encode(text.as_bytes()), expected, "{text}");
            assert_eq!(decode(expected).unwrap(), text.as_bytes(), "{text}");
        }
        assert!(decode("a b").is_err());
    }

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let said = |status, text: &str| Said {
            status,
            text: text.to_owned(),
        };
        for (case, line, expected) in [
            ("an answer", "lab: 7 0 Zm9v", Some(said(0, "foo"))),
            ("that printed nothing", "lab: 7 3 ", Some(said(3, ""))),
            ("that was trimmed", "lab: 7 3", Some(said(3, ""))),
            ("behind noise", "\u{1b}[0mlab: 7 1 Zg==", Some(said(1, "f"))),
            ("a late one", "lab: 6 0 Zm9v", None),
            ("a greeting", "lab: listening", None),
            ("the kernel's", "[ 1.0] something", None),
        ] {
            assert_eq!(answer(line, 7).unwrap(), expected, "{case}");
        }
        for line in ["lab: 7", "lab: 7 x Zm9v", "lab: 7 0 *"] {
            assert!(answer(line, 7).is_err(), "{line}");
        }
    }
}
