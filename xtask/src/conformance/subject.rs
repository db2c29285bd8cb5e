//! The server under test: how it is asked, and what it turned out to have.
//!
//! In comes an address, out go answers, and the facts that decide which rules can be looked at: does it want tokens,
//! is there user-data, are there keys. Each request has a connection of its own, as with most clients.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::time::Duration;

use super::answer::Answer;
use super::crawl::Found;
use super::expect::fail;
use super::row::{Dialect, Miss};
use super::wire::{self, End, Exchange, Script, Until};

pub(super) const TOKEN: &str = "X-aws-ec2-metadata-token";
pub(super) const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";
pub(super) const TOKEN_PATH: &str = "/latest/api/token";

/// How time passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The longest wait for one answer.
    pub(super) patience: Duration,
    /// What clients in a hurry allow for one answer.
    pub(super) hurry: Duration,
    /// What a second of a token's life takes.
    pub(super) second: Duration,
    /// How long a server may hold a connection that says nothing.
    pub(super) silence: Duration,
}

/// Whether reading takes a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tokens {
    Optional,
    Required,
}

/// What the server has.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) tokens: Tokens,
    /// One that is good for the whole run; none where the server gives none.
    pub(super) token: Option<String>,
    pub(super) dialects: Vec<Dialect>,
    /// The names in `/latest/meta-data/`.
    pub(super) names: Vec<String>,
    pub(super) user_data: Option<Vec<u8>>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) address: SocketAddr,
    /// As in `Host`.
    pub(super) authority: String,
    /// Where NoCloud lives, without a slash at the end.
    pub(super) nocloud: String,
    pub(super) pace: Pace,
    pub(super) facts: Facts,
    /// What a walk through EC2's tree found, once there was one.
    pub(super) walked: OnceCell<Result<Found, Miss>>,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    host: Option<String>,
    body: Option<Vec<u8>>,
    anonymous: bool,
}

impl Ask {
    pub(super) fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            host: None,
            body: None,
            anonymous: false,
        }
    }

    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// PUT for a token of so many seconds.
    pub(super) fn token(seconds: &str) -> Self {
        Self::new("PUT", TOKEN_PATH).with(TTL, seconds)
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a `Host`, where it is empty.
    pub(super) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    pub(super) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    pub(super) fn body(mut self, octets: Vec<u8>) -> Self {
        self.body = Some(octets);
        self
    }

    /// Without the token that the server may require.
    pub(super) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Whether something between head and body would be waited for.
    fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

impl Subject {
    /// The octets of a request.
    pub(super) fn text(&self, ask: &Ask, close: bool) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", ask.method, ask.target, ask.version);
        match ask.host.as_deref() {
            Some("") => {}
            Some(host) => text.push_str(&format!("Host: {host}\r\n")),
            None => text.push_str(&format!("Host: {}\r\n", self.authority)),
        }
        if close {
            text.push_str("Connection: close\r\n");
        }
        if self.needs_token(ask)
            && let Some(token) = &self.facts.token
        {
            text.push_str(&format!("{TOKEN}: {token}\r\n"));
        }
        for (name, value) in &ask.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &ask.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut octets = text.into_bytes();
        octets.extend(ask.body.iter().flatten());
        octets
    }

    fn needs_token(&self, ask: &Ask) -> bool {
        let elsewhere = ask.target.contains(&self.nocloud)
            || ask.target.trim_start_matches('/').starts_with("openstack");
        self.facts.tokens == Tokens::Required && !ask.anonymous && !elsewhere && ask.method != "PUT"
    }

    /// Asks, and waits for one answer.
    pub(super) fn send(&self, ask: &Ask) -> Result<Answer, Miss> {
        let text = self.text(ask, true);
        let mut script = Script::new(&[], self.pace.patience);
        let pieces = [text.as_slice()];
        script.pieces = &pieces;
        script.head = ask.is_head();
        let what = format!("{} {}", ask.method, ask.target);
        let exchange = self.play(&what, &script)?;
        Self::answer(&what, &exchange, ask.is_head())
    }

    /// Plays a script of any octets.
    pub(super) fn play(&self, what: &str, script: &Script<'_>) -> Result<Exchange, Miss> {
        wire::exchange(self.address, script)
            .map_err(|error| fail(format!("an answer to {what}"), error))
    }

    /// Sends a request that does not ask for the connection to be closed, and reads until it is, or a client in a
    /// hurry would have left.
    pub(super) fn until_closed(&self, ask: &Ask) -> Result<Exchange, Miss> {
        let text = self.text(ask, false);
        let pieces = [text.as_slice()];
        let mut script = Script::new(&pieces, self.pace.hurry);
        script.until = Until::Closed;
        script.head = ask.is_head();
        self.play(&format!("{} {}", ask.method, ask.target), &script)
    }

    /// The answer in an exchange.
    pub(super) fn answer(what: &str, exchange: &Exchange, head: bool) -> Result<Answer, Miss> {
        Answer::parse(&exchange.octets, head).ok_or_else(|| {
            let how = match exchange.end {
                End::Closed => "the connection was closed",
                End::Reset => "the connection was reset",
                End::Open | End::Whole => "nothing within the time",
                End::TooMuch => "far too much",
            };
            fail(
                format!("an HTTP answer to {what}"),
                format!("{how}, after {} octets", exchange.octets.len()),
            )
        })
    }

    /// GET.
    pub(super) fn get(&self, target: &str) -> Result<Answer, Miss> {
        self.send(&Ask::get(target))
    }

    /// GET that must succeed.
    pub(super) fn read(&self, target: &str) -> Result<Answer, Miss> {
        let answer = self.get(target)?;
        super::expect::status(&format!("GET {target}"), &answer, 200)?;
        Ok(answer)
    }

    /// The names in a directory, whose path ends with a slash.
    pub(super) fn list(&self, directory: &str) -> Result<Vec<String>, Miss> {
        Ok(lines(&self.read(directory)?.text()))
    }

    /// Whether `/latest/meta-data/` lists a name, with or without a slash.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut names = self.facts.names.iter();
        names.any(|it| it.trim_end_matches('/') == name)
    }
}

/// The lines that hold something.
pub(super) fn lines(text: &str) -> Vec<String> {
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}
