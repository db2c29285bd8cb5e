//! A tiny HTTP client: one request, one connection, the answer as it came.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

/// A request, written exactly as told.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    pub fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            target,
            headers: Vec::new(),
        }
    }

    /// PUT for a session token of so many seconds.
    pub fn token(seconds: &'a str) -> Self {
        Self {
            method: "PUT",
            target: "/latest/api/token",
            headers: vec![("X-aws-ec2-metadata-token-ttl-seconds", seconds)],
        }
    }

    #[must_use]
    pub fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sends it and reads to the end of the stream.
    ///
    /// # Errors
    /// The connection breaks, times out, or the answer is no HTTP.
    pub fn send(&self, mut stream: TcpStream) -> Result<Reply> {
        stream
            .write_all(self.text().as_bytes())
            .context("cannot send the request")?;
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .with_context(|| format!("no whole answer to {} {}", self.method, self.target))?;
        Reply::parse(&bytes)
    }

    /// The bytes of the request.
    pub fn text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        text.push_str("Host: 169.254.169.254\r\nConnection: close\r\n");
        if self.method != "GET" {
            text.push_str("Content-Length: 0\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads a whole answer.
    ///
    /// # Errors
    /// It is no HTTP, or its body is not as long as it says.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .with_context(|| format!("{} octets are no HTTP answer", bytes.len()))?;
        let (head, rest) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .context("an answer without a status")?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let reply = Self {
            status,
            headers,
            body: rest.get(4..).unwrap_or_default().to_vec(),
        };
        let length = reply.header("content-length");
        let length: usize = length.and_then(|it| it.parse().ok()).unwrap_or(0);
        ensure!(
            reply.body.len() == length,
            "content-length says {length}, {} octets came",
            reply.body.len()
        );
        Ok(reply)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_or_refused() {
        for (case, text, expected) in [
            (
                "whole",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                Some((200, "hi")),
            ),
            (
                "empty",
                "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n",
                Some((405, "")),
            ),
            (
                "cut short",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
                None,
            ),
            ("only a head", "HTTP/1.1 200 OK\r\n", None),
            ("nothing", "", None),
        ] {
            let read = Reply::parse(text.as_bytes()).ok();
            let read = read.map(|reply| (reply.status, reply.text()));
            let expected = expected.map(|(status, body)| (status, body.to_owned()));
            assert_eq!(read, expected, "{case}");
        }
    }
}
