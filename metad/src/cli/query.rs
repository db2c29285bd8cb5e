//! `metad query`: what a guest would be told.

use std::io::Write;
use std::str::FromStr;

use super::{block_on, report::Unwritten, report::printable};
use crate::admin::{Client, Method, Query, Reply};
use crate::config::Config;
use crate::exit;

/// The header that says why a guest would be refused; guests never get it.
const REASON: &str = "x-metad-reason";

/// The methods that read, as words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Verb {
    #[value(name = "GET")]
    Get,
    #[value(name = "HEAD")]
    Head,
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::Get,
            Verb::Head => Self::Head,
        }
    }
}

/// A header's name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header(pub(super) (String, String));

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, value)) = text.split_once(':') else {
            return Err("write it as `Name: value`".to_owned());
        };
        http::HeaderName::from_str(name).map_err(|error| error.to_string())?;
        http::HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?;
        Ok(Self((name.to_owned(), value.trim().to_owned())))
    }
}

/// Asks and prints; the exit code follows the status.
pub(super) fn run(
    config: &Config,
    query: &Query,
    include: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let client = Client::new(&config.admin_socket());
    let reply = block_on(client.query(query))??;
    write(&reply, include, out).map_err(Unwritten)?;
    if reply.status != 200 && !include {
        // The exit code tells too, should nobody read this.
        let _ = std::io::stderr().write_all(refusal(query, &reply).as_bytes());
    }
    Ok(exit::of_status(reply.status))
}

fn write(reply: &Reply, include: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if include {
        writeln!(out, "HTTP/1.1 {}", phrase(reply.status))?;
        for (name, value) in &reply.headers {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)?;
    }
    out.write_all(&reply.body)?;
    out.flush()
}

/// What was asked, the status, and the reason that only the administrator is told.
fn refusal(query: &Query, reply: &Reply) -> String {
    let mut text = format!(
        "metad: {} {} as {}: {}\n",
        method(query.method),
        query.path,
        query.instance,
        phrase(reply.status)
    );
    if let Some((_, reason)) = reply
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(REASON))
    {
        text.push_str(&format!("  {reason}\n"));
    }
    if !query.path.starts_with('/') {
        text.push_str(&format!(
            "  help: a path begins with `/`: /{}\n",
            query.path
        ));
    }
    printable(&text)
}

fn phrase(status: u16) -> String {
    match http::StatusCode::from_u16(status) {
        Ok(code) => code.to_string(),
        Err(_) => status.to_string(),
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_checked() {
        let header = |name: &str, value: &str| Some(Header((name.to_owned(), value.to_owned())));
        for (text, expected) in [
            ("Accept: text/plain", header("Accept", "text/plain")),
            ("X-Empty:", header("X-Empty", "")),
            (
                "X-Forwarded-For:1.2.3.4",
                header("X-Forwarded-For", "1.2.3.4"),
            ),
            ("nothing", None),
            (": value", None),
            ("two words: x", None),
            ("X: a\nY: b", None),
        ] {
            assert_eq!(text.parse::<Header>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn refusals_say_why() {
        let query = Query {
            instance: "web1".to_owned(),
            path: "/latest/x".to_owned(),
            method: Method::Head,
            headers: Vec::new(),
            nic: None,
        };
        let reply = |headers: &[(&str, &str)]| Reply {
            status: 404,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: bytes::Bytes::new(),
        };
        for (case, headers, expected) in [
            (
                "no reason",
                &[][..],
                "metad: HEAD /latest/x as web1: 404 Not Found\n",
            ),
            (
                "reason",
                &[("X-Metad-Reason", "there is no such path")],
                "metad: HEAD /latest/x as web1: 404 Not Found\n  there is no such path\n",
            ),
        ] {
            assert_eq!(refusal(&query, &reply(headers)), expected, "{case}");
        }
        let bare = Query {
            path: "latest/x".to_owned(),
            ..query
        };
        assert_eq!(
            refusal(&bare, &reply(&[])),
            "metad: HEAD latest/x as web1: 404 Not Found\n  help: a path begins with `/`: /latest/x\n"
        );
    }

    #[test]
    fn the_body_is_printed_as_it_is() {
        let reply = Reply {
            status: 404,
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            body: bytes::Bytes::from_static(b"\xff\x00"),
        };
        for (include, expected) in [
            (false, b"\xff\x00".as_slice()),
            (
                true,
                b"HTTP/1.1 404 Not Found\nContent-Type: text/html\n\n\xff\x00",
            ),
        ] {
            let mut out = Vec::new();
            write(&reply, include, &mut out).unwrap();
            assert_eq!(out, expected, "include: {include}");
        }
    }
}
