//! The narrow path: the plain requests that nearly all clients make, from octets to octets past the router's layers.
//!
//! In: what a guest has sent. Out: the answer, ready to be written, if that is one whole request of the plainest kind:
//! a read or a token's PUT, a path that has one spelling, no query and no body. Everything else is left to the router, as
//! it came. What is answered is decided by [`decide()`] here and there, and a test holds the octets of both side by side.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::decide::READ;
use super::headers::spell_date;
use super::reply::Reply;
use super::target::{Route, Target};
use super::{App, Ask, Asker, Line, decide, ipv4, limit_hops, log};
use crate::identity::Peer;
use crate::token::BootTime;

/// More headers than this are the router's.
const HEADERS_MAX: usize = 32;

/// An answer whose head is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub body: Bytes,
    /// Whether the connection ends with it.
    pub ends: bool,
}

/// A request that the narrow path understands.
struct Plain<'a> {
    method: Method,
    /// As the guest wrote it.
    path: &'a str,
    target: Target,
    /// Those that a decision may read.
    headers: HeaderMap,
    /// Whether the guest wants to ask no more.
    is_last: bool,
}

impl App {
    /// Answers `octets` for the guest of `peer`, and puts the answer's head at the end of `head`. `None`: nothing was done, and
    /// the router must see the same octets.
    pub fn quick(
        &self,
        peer: &Peer,
        line: &dyn Line,
        octets: &[u8],
        head: &mut Vec<u8>,
    ) -> Option<Written> {
        let began = Instant::now();
        let plain = plain(octets)?;
        let caller = peer.identify(&self.snapshot.load()).ok()?;
        let now = BootTime::now();
        // Last of what may say no: what is taken here is not taken once more on the long way.
        let meter = &caller.seat.meter;
        self.bounds
            .request(meter, now.0, std::time::Duration::ZERO)
            .ok()?;
        let wall = SystemTime::now();
        let reply = decide(&Ask {
            method: &plain.method,
            target: &plain.target,
            headers: &plain.headers,
            instance: &caller.seat.instance,
            answers: &caller.seat.answers,
            address: caller.address.and_then(ipv4),
            signer: &self.signer,
            wall,
            ipv6: caller.over_ipv6,
            asker: Asker::Guest {
                tokens: &self.tokens,
                now,
            },
        });
        let reply = limit_hops(reply, Some(line));
        log::Entry {
            method: &plain.method,
            status: reply.status,
            began,
            reason: reply.reason,
            beyond: reply.beyond,
        }
        .of_guest(&self.bounds, &caller, || log::shown(plain.path));
        let ends = plain.is_last || !self.keep_alive;
        write_head(head, &reply, ends, wall);
        let body = match plain.method == Method::HEAD {
            true => Bytes::new(),
            false => reply.body,
        };
        Some(Written { body, ends })
    }
}

/// Reads a request, if it is whole, plain, and alone.
fn plain(octets: &[u8]) -> Option<Plain<'_>> {
    let mut space = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut space);
    match request.parse(octets) {
        Ok(httparse::Status::Complete(length)) if length == octets.len() => {}
        _ => return None,
    }
    // Those of HTTP/1.0 are answered in their own way.
    if request.version != Some(1) {
        return None;
    }
    let path = request.path?;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._/:".contains(&octet);
    if !path.starts_with('/') || !path.bytes().all(is_plain) {
        return None;
    }
    let target = Target::new(path).ok()?;
    let method = match request.method? {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "PUT" if target.route() == Route::Token => Method::PUT,
        _ => return None,
    };
    let mut headers = HeaderMap::new();
    let (mut is_last, mut has_length) = (false, false);
    for header in request.headers.iter() {
        let is = |name: &HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
        if is(&CONNECTION) {
            match header.value {
                b"close" => is_last = true,
                b"keep-alive" => {}
                _ => return None,
            }
        } else if is(&CONTENT_LENGTH) {
            if header.value != b"0" || has_length {
                return None;
            }
            has_length = true;
        } else if [TRANSFER_ENCODING, EXPECT, UPGRADE].iter().any(is) {
            return None;
        } else if let Some(name) = READ.into_iter().find(is) {
            headers.append(name, HeaderValue::from_bytes(header.value).ok()?);
        }
    }
    Some(Plain {
        method,
        path,
        target,
        headers,
        is_last,
    })
}

/// Writes a reply's head as the router's machinery writes it.
fn write_head(into: &mut Vec<u8>, reply: &Reply, ends: bool, now: SystemTime) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(reply.status.as_str().as_bytes());
    into.push(b' ');
    let phrase = reply.status.canonical_reason().unwrap_or_default();
    into.extend_from_slice(phrase.as_bytes());
    into.extend_from_slice(b"\r\n");
    reply.headers.write(into);
    if ends {
        into.extend_from_slice(b"Connection: close\r\n");
    }
    into.extend_from_slice(b"Date: ");
    into.extend_from_slice(&spell_date(now));
    into.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_plain_requests_are_taken() {
        let head = |rest: &str| format!("GET /latest/ HTTP/1.1\r\n{rest}\r\n");
        for (request, taken) in [
            (head(""), true),
            (head("Host: x\r\nAccept: */*\r\n"), true),
            (head("Connection: close\r\n"), true),
            (head("Connection: keep-alive\r\n"), true),
            (head("Content-Length: 0\r\n"), true),
            (head("Connection: Close, x\r\n"), false),
            (head("Content-Length: 1\r\n"), false),
            (head("Content-Length: 0\r\nContent-Length: 0\r\n"), false),
            (head("Content-Length: +0\r\n"), false),
            (head("Transfer-Encoding: chunked\r\n"), false),
            (head("Expect: 100-continue\r\n"), false),
            (head("Upgrade: h2c\r\n"), false),
            (head(" folded\r\n"), false),
            (head("Host : x\r\n"), false),
            (head(&"X: y\r\n".repeat(HEADERS_MAX)), true),
            (head(&"X: y\r\n".repeat(HEADERS_MAX + 1)), false),
            (head("") + "GET / HTTP/1.1\r\n\r\n", false),
            (head("") + " ", false),
            ("GET /latest/ HTTP/1.1\r\n".into(), false),
            ("GET /latest/ HTTP/1.0\r\n\r\n".into(), false),
            ("HEAD /latest/ HTTP/1.1\r\n\r\n".into(), true),
            ("PUT /latest/api/token HTTP/1.1\r\n\r\n".into(), true),
            ("PUT /latest/ HTTP/1.1\r\n\r\n".into(), false),
            ("POST /latest/api/token HTTP/1.1\r\n\r\n".into(), false),
            ("GET /a?b HTTP/1.1\r\n\r\n".into(), false),
            ("GET /%61 HTTP/1.1\r\n\r\n".into(), false),
            ("GET http://x/a HTTP/1.1\r\n\r\n".into(), false),
            ("GET * HTTP/1.1\r\n\r\n".into(), false),
            ("GET a HTTP/1.1\r\n\r\n".into(), false),
            (String::new(), false),
        ] {
            assert_eq!(plain(request.as_bytes()).is_some(), taken, "{request:?}");
        }
    }
}
