//! A conversation with a small guest, over its second serial port: commands for its shell, and questions that it puts
//! to the metadata service.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::virt::{Guest, until};

/// An emulated processor under load takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guest's shell, one command at a time.
#[derive(Debug)]
pub struct SmallGuest {
    stream: UnixStream,
    /// What has arrived and is not yet a line.
    pending: Vec<u8>,
    asked: u64,
}

/// What a command printed, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub code: i32,
    pub bytes: Vec<u8>,
}

/// What the metadata service answered inside the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl SmallGuest {
    /// Waits until the guest is up, and speaks to it.
    pub fn meet(guest: &Guest, patience: Duration) -> Result<Self> {
        guest.wait_for("small guest: up", patience)?;
        Self::meet_again(guest, patience)
    }

    /// Speaks to a guest that is up, as after its memory was restored.
    pub fn meet_again(guest: &Guest, patience: Duration) -> Result<Self> {
        let socket = guest.control_socket();
        let stream = UnixStream::connect(&socket)
            .with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut met = Self {
            stream,
            pending: Vec::new(),
            asked: 0,
        };
        // What is written before the guest's program listens is lost: ask until there is an answer.
        until(patience, "a small guest to answer", || {
            Ok(met.attempt("true", Duration::from_secs(2)).ok())
        })?;
        Ok(met)
    }

    /// Runs a command in the guest's shell.
    pub fn run(&mut self, command: &str) -> Result<Output> {
        self.attempt(command, PATIENCE)
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn must(&mut self, command: &str) -> Result<String> {
        let output = self.run(command)?;
        let text = String::from_utf8_lossy(&output.bytes).into_owned();
        ensure!(
            output.code == 0,
            "`{command}` in the guest ended with {}: {text}",
            output.code
        );
        Ok(text)
    }

    /// What the guest calls the NIC with this MAC: its kernel finds NICs in any order.
    pub fn interface(&mut self, mac: &str) -> Result<String> {
        let found = self.must(&format!("grep -l {mac} /sys/class/net/*/address"))?;
        let name = found.trim().split('/').rev().nth(1);
        Ok(name
            .with_context(|| format!("the guest has no NIC {mac}"))?
            .to_owned())
    }

    /// Waits until an interface of the guest has its lease, and returns the address.
    pub fn lease(&mut self, interface: &str) -> Result<String> {
        until(PATIENCE, &format!("a lease on {interface}"), || {
            let output = self.run(&format!("cat /run/{interface}.lease 2>/dev/null"))?;
            let address = String::from_utf8_lossy(&output.bytes).trim().to_owned();
            Ok((!address.is_empty()).then_some(address))
        })
    }

    /// One request without a token.
    pub fn get(&mut self, path: &str) -> Result<Reply> {
        self.ask("GET", path, &[])
    }

    /// One request; each header as `Name:value` without blanks.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[&str]) -> Result<Reply> {
        self.question(&format!(
            "small-guest ask {method} '{path}' {}",
            headers.join(" ")
        ))
    }

    /// A token, then one request with it.
    pub fn session(&mut self, path: &str) -> Result<Reply> {
        self.question(&format!("small-guest session '{path}'"))
    }

    fn question(&mut self, command: &str) -> Result<Reply> {
        let text = self.run(command)?;
        let words = String::from_utf8_lossy(&text.bytes).into_owned();
        ensure!(text.code == 0, "no answer in the guest: {}", words.trim());
        let end = text
            .bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .context("no status line")?;
        let (status, body) = text.bytes.split_at(end);
        let status = String::from_utf8_lossy(status);
        Ok(Reply {
            status: status
                .parse()
                .with_context(|| format!("`{status}` is no status"))?,
            body: body.get(1..).unwrap_or_default().to_vec(),
        })
    }

    fn attempt(&mut self, command: &str, patience: Duration) -> Result<Output> {
        ensure!(!command.contains('\n'), "a command is one line");
        self.asked += 1;
        let id = self.asked;
        self.stream
            .write_all(format!("{id} {command}\n").as_bytes())?;
        let end = Instant::now() + patience;
        while Instant::now() < end {
            let line = self.next_line()?;
            // Anything else answers a question that was given up.
            if let Some(output) = line.and_then(|line| parse(&line, id)) {
                return Ok(output);
            }
        }
        bail!(
            "the guest did not answer `{command}` within {} s",
            patience.as_secs()
        )
    }

    /// The next whole line, or nothing if none came for a moment.
    fn next_line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the guest is gone"),
                Ok(count) => self
                    .pending
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error).context("cannot read from the guest"),
            }
        }
    }
}

/// Reads `ID STATUS OUTPUT`.
fn parse(line: &str, id: u64) -> Option<Output> {
    let mut words = line.splitn(3, ' ');
    if words.next()?.parse() != Ok(id) {
        return None;
    }
    let code = words.next()?.parse().ok()?;
    Some(Output {
        code,
        bytes: unescape(words.next().unwrap_or_default())?,
    })
}

/// Turns `%XX` back into octets.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let expected = Output {
            code: 0,
            bytes: b"200\ni-1".to_vec(),
        };
        for (case, line, expected) in [
            ("answer", "7 0 200%0Ai-1", Some(expected)),
            (
                "nothing printed",
                "7 1 ",
                Some(Output {
                    code: 1,
                    bytes: vec![],
                }),
            ),
            ("an earlier one", "6 0 200", None),
            ("kernel noise", "[    1.2] something", None),
            ("cut short", "7", None),
            ("half an escape", "7 0 a%4", None),
        ] {
            assert_eq!(parse(line, 7), expected, "{case}");
        }
    }
}
