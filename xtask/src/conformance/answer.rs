//! An HTTP answer, taken apart as it came. Nothing is put right; what is odd can be asked for.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// In the order they came, names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// Without the framing of chunks.
    pub(super) body: Vec<u8>,
    /// Octets after the end of the body.
    pub(super) extra: usize,
}

impl Answer {
    /// Reads one answer; `None` where the octets do not begin with one.
    pub(super) fn parse(octets: &[u8], head: bool) -> Option<Self> {
        let (head_octets, rest) = split(octets)?;
        let text = String::from_utf8_lossy(head_octets);
        let mut lines = text.lines();
        let mut words = lines.next()?.split(' ');
        if !words.next()?.starts_with("HTTP/1.") {
            return None;
        }
        let status: u16 = words.next()?.parse().ok()?;
        if status == 100 {
            return Self::parse(rest, head);
        }
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self {
            status,
            headers,
            body: Vec::new(),
            extra: 0,
        };
        answer.take_body(rest, head);
        Some(answer)
    }

    fn take_body(&mut self, rest: &[u8], head: bool) {
        if head {
            self.extra = rest.len();
        } else if self.is_chunked() {
            let (body, used, _) = dechunk(rest);
            self.body = body;
            self.extra = rest.len().saturating_sub(used);
        } else {
            let length = self.length().unwrap_or(rest.len()).min(rest.len());
            self.body = rest.iter().take(length).copied().collect();
            self.extra = rest.len() - length;
        }
    }

    /// Whether these octets hold an answer to its end, by its own account. Without a length only a close ends it.
    pub(super) fn is_whole(octets: &[u8], head: bool) -> bool {
        let Some((_, rest)) = split(octets) else {
            return false;
        };
        let Some(answer) = Self::parse(octets, head) else {
            return false;
        };
        let body = if octets.starts_with(b"HTTP/1.1 100") {
            match split(rest) {
                Some((_, rest)) => rest,
                None => return false,
            }
        } else {
            rest
        };
        if head {
            true
        } else if answer.is_chunked() {
            dechunk(body).2
        } else {
            answer.length().is_some_and(|length| body.len() >= length)
        }
    }

    /// The first header of this name, in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The length that it claims.
    pub(super) fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    pub(super) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Splits after the head; bare line feeds count too.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = |mark: &[u8]| {
        let at = octets.windows(mark.len()).position(|it| it == mark)?;
        Some((at, at + mark.len()))
    };
    let (at, rest) = match (end(b"\r\n\r\n"), end(b"\n\n")) {
        (Some(strict), Some(loose)) => strict.min(loose),
        (one, other) => one.or(other)?,
    };
    Some((octets.get(..at)?, octets.get(rest..)?))
}

/// Returns what the chunks hold, how many octets they took, and whether the last one came.
fn dechunk(octets: &[u8]) -> (Vec<u8>, usize, bool) {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = octets.get(at..).unwrap_or_default();
        let Some(end) = rest.windows(2).position(|it| it == b"\r\n") else {
            return (body, at, false);
        };
        let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            return (body, at, false);
        };
        let Some(chunk) = rest.get(end + 2..end.saturating_add(size).saturating_add(2)) else {
            return (body, at, false);
        };
        body.extend(chunk);
        at += end + 2 + size + 2;
        if size == 0 {
            return (body, at.min(octets.len()), at <= octets.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_it_says_so() {
        for (case, text, head, whole, body, extra) in [
            (
                "a length",
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                false,
                true,
                "hi",
                0,
            ),
            (
                "too short",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
                false,
                false,
                "hi",
                0,
            ),
            (
                "too long",
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nhi",
                false,
                true,
                "h",
                1,
            ),
            (
                "no length",
                "HTTP/1.0 200 OK\r\n\r\nhi",
                false,
                false,
                "hi",
                0,
            ),
            (
                "a HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
                true,
                true,
                "",
                0,
            ),
            (
                "a HEAD with a body",
                "HTTP/1.1 200 OK\r\n\r\nhi",
                true,
                true,
                "",
                2,
            ),
            (
                "chunks",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                false,
                true,
                "hi",
                0,
            ),
            (
                "chunks cut short",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                false,
                false,
                "hi",
                0,
            ),
            (
                "first 100",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                false,
                true,
                "hi",
                0,
            ),
        ] {
            assert_eq!(Answer::is_whole(text.as_bytes(), head), whole, "{case}");
            let answer = Answer::parse(text.as_bytes(), head).expect(case);
            assert_eq!(
                (answer.text().as_str(), answer.extra),
                (body, extra),
                "{case}"
            );
            assert_eq!(answer.status, 200, "{case}");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for (case, octets) in [
            ("nothing", &b""[..]),
            ("half a head", b"HTTP/1.1 200 OK\r\n"),
            ("another protocol", b"SSH-2.0-x\r\n\r\n"),
            ("no status", b"HTTP/1.1 OK\r\n\r\n"),
        ] {
            assert_eq!(Answer::parse(octets, false), None, "{case}");
            assert!(!Answer::is_whole(octets, false), "{case}");
        }
    }
}
