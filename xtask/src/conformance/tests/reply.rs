//! Requests as the model reads them, and replies as it writes them.

use std::time::Duration;

/// A request.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it came.
    pub(super) target: String,
    pub(super) version: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: usize,
    pub(super) head: usize,
    /// The head as it came.
    pub(super) raw: String,
}

impl Request {
    /// Takes a whole request off the octets.
    pub(super) fn parse(octets: &mut Vec<u8>) -> Option<Self> {
        let end = octets.windows(4).position(|it| it == b"\r\n\r\n");
        let Some(end) = end else {
            // Too long already: no need to see its end.
            return (octets.len() > 8192).then(|| Self {
                head: octets.len(),
                version: "HTTP/1.1".into(),
                ..Self::default()
            });
        };
        let head = String::from_utf8_lossy(&octets[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let mut request = Self {
            head: end + 4,
            raw: head.clone(),
            ..Self::default()
        };
        if let [method, target, version] = words[..] {
            request.method = method.into();
            request.target = target.into();
            request.version = version.into();
        }
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        request.body = request
            .header("content-length")
            .and_then(|it| it.parse().ok())
            .unwrap_or(0);
        // A body that is too long is not waited for.
        if request.body <= 4096 && octets.len() < end + 4 + request.body {
            return None;
        }
        let used = (end + 4 + request.body).min(octets.len());
        octets.drain(..used);
        Some(request)
    }

    /// What could not be read.
    pub(super) fn noise() -> Self {
        Self::default()
    }

    pub(super) fn is_odd(&self) -> bool {
        !self.version.starts_with("HTTP/1.") && self.head <= 8192
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// Asks by this method for exactly this.
    pub(super) fn is(&self, method: &str, target: &str) -> bool {
        self.method == method && self.target == target
    }

    pub(super) fn gets(&self, target: &str) -> bool {
        self.is("GET", target)
    }
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    Nothing,
    /// So many too many.
    Over(usize),
}

/// A reply.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) framing: Framing,
    /// Leaves the connection open.
    pub(super) stays: bool,
    pub(super) delay: Duration,
    /// Sends the body of a HEAD too.
    pub(super) talkative: bool,
    /// How many tokens were given so far.
    pub(super) given: usize,
}

impl Reply {
    pub(super) fn new(status: u16, kind: &str, body: &[u8]) -> Self {
        let headers = [
            ("Server", "EC2ws"),
            ("Connection", "close"),
            ("Content-Type", kind),
        ];
        Self {
            status,
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            body: body.to_vec(),
            framing: Framing::Length,
            stays: false,
            delay: Duration::ZERO,
            talkative: false,
            given: 0,
        }
    }

    pub(super) fn text(body: &str) -> Self {
        Self::new(200, "text/plain", body.as_bytes())
    }

    pub(super) fn refused(status: u16) -> Self {
        Self::new(status, "text/html", b"<html/>\n")
    }

    pub(super) fn not_allowed(allow: &str) -> Self {
        let mut reply = Self::new(405, "text/plain", b"");
        reply.set("Allow", allow);
        reply
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.drop(name);
        self.headers.push((name.into(), value.into()));
    }

    pub(super) fn drop(&mut self, name: &str) {
        self.headers.retain(|(it, _)| it != name);
    }

    /// Becomes a refusal.
    pub(super) fn refuse(&mut self, status: u16) {
        *self = Self::refused(status);
    }

    /// Says something else.
    pub(super) fn say(&mut self, body: &str) {
        *self = Self::text(body);
    }

    pub(super) fn edit(&mut self, change: impl Fn(&str) -> String) {
        self.body = change(&String::from_utf8_lossy(&self.body)).into_bytes();
    }

    pub(super) fn octets(&self, head: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::Length => text.push_str(&format!("Content-Length: {}\r\n", self.body.len())),
            Framing::Over(more) => {
                text.push_str(&format!("Content-Length: {}\r\n", self.body.len() + more));
            }
            Framing::Chunked => text.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Nothing => {}
        }
        text.push_str("\r\n");
        let mut octets = text.into_bytes();
        if head && !self.talkative {
            return octets;
        }
        if self.framing == Framing::Chunked {
            octets.extend(format!("{:x}\r\n", self.body.len()).into_bytes());
            octets.extend(&self.body);
            octets.extend(b"\r\n0\r\n\r\n");
        } else {
            octets.extend(&self.body);
        }
        octets
    }
}
