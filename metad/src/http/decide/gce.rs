//! Google Compute Engine's rules: a header that no browser and no open proxy sends, and the recursive form.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, SERVER};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::super::headers::FieldValue;
use super::super::reply::Reply;
use super::{Ask, FORWARDED_FOR, answer, is_read, missing, told};
use crate::instance::Dialect;
use crate::render::gce::{ATTRIBUTES, recursive, single};
use crate::render::{Answer, Content, Version};

pub(super) const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: &str = "Google";
/// What the header was called before.
pub(super) const REQUEST: HeaderName = HeaderName::from_static("x-google-metadata-request");

/// How a directory or a value is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A directory as a list, a value as it is.
    Plain,
    /// As one JSON value.
    Json,
    /// Everything below, one path and value a line.
    Lines,
}

/// Decides a request for what stands at `path` below `/computeMetadata/`.
pub(super) fn decide(ask: &Ask<'_>, path: &str) -> Reply {
    flavored(decided(ask, path))
}

/// Decides a request for `/` of a guest that may take this host for Google's: that is where clients look for the header.
/// `None` where EC2 has something to say there; the header goes with it all the same.
pub(super) fn root(ask: &Ask<'_>, ec2_is_off: bool) -> Option<Reply> {
    let mine = ec2_is_off || is_flavored(ask.headers);
    (mine && is_read(ask.method)).then(|| {
        let listing = Bytes::from_static(b"computeMetadata/");
        flavored(super::found(ask, Content::Text, listing))
    })
}

/// Puts the headers on a reply by which clients know where they are.
pub(super) fn flavored(mut reply: Reply) -> Reply {
    let headers = &mut reply.headers;
    headers.insert(FLAVOR, FieldValue::Text(GOOGLE));
    headers.insert(SERVER, FieldValue::Text("Metadata Server for VM"));
    if headers.get(&CONTENT_TYPE) == Some(FieldValue::Text("text/plain")) {
        headers.insert(CONTENT_TYPE, FieldValue::Text("application/text"));
    }
    reply
}

fn decided(ask: &Ask<'_>, path: &str) -> Reply {
    if !is_read(ask.method) {
        return Reply::not_allowed("GET, HEAD");
    }
    if !path.is_empty() && !is_flavored(ask.headers) {
        let reason = "the header `Metadata-Flavor: Google` is missing";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    }
    if ask.headers.contains_key(FORWARDED_FOR) {
        let reason = "the request came through a proxy";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    }
    let found = ask.answers.get(Dialect::Gce, Version::LATEST, path);
    let found = match found {
        Some(found) if !ask.target.is_dotted() => found,
        Some(_) | None => return missing(),
    };
    match form(ask, found.is_directory) {
        Some(Form::Plain) => answer(ask, Some(found)),
        Some(Form::Json) => super::found(
            ask,
            Content::Json,
            json(ask, path, found).to_string().into(),
        ),
        Some(Form::Lines) => {
            let lines: Vec<String> = below(ask, path)
                .filter_map(|(name, found)| Some(format!("{name} {}", found?.1)))
                .collect();
            super::found(ask, Content::Text, lines.join("\n").into())
        }
        None => {
            let reason = "`alt` is neither `json` nor `text`";
            Reply::refused(StatusCode::BAD_REQUEST, reason)
        }
    }
}

/// Lists are plain unless everything below them is asked for; a single value is a text unless JSON is.
fn form(ask: &Ask<'_>, is_directory: bool) -> Option<Form> {
    let recursive = ask.target.asks("recursive");
    let recursive = recursive.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let whole = recursive && is_directory;
    match ask.target.asks("alt").as_deref() {
        Some("json") if whole || !is_directory => Some(Form::Json),
        None if whole => Some(Form::Json),
        Some("text") if whole => Some(Form::Lines),
        None | Some("json" | "text") => Some(Form::Plain),
        Some(_) => None,
    }
}

fn json(ask: &Ask<'_>, path: &str, found: Answer<'_>) -> Value {
    let free = path.split('/').any(|name| name == ATTRIBUTES);
    if found.is_directory {
        return recursive(below(ask, path), free);
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let text = told(ask, found.body)
        .ok()
        .map(|octets| String::from_utf8_lossy(&octets).into_owned());
    text.map_or(Value::Null, |text| single(name, found.content, text, free))
}

/// Everything below a directory, as far as it can be said on this connection.
fn below<'a>(
    ask: &'a Ask<'_>,
    path: &str,
) -> impl Iterator<Item = (&'a str, Option<(Content, String)>)> {
    let all = ask.answers.below(Dialect::Gce, Version::LATEST, path);
    all.filter_map(|(name, found)| match found {
        None => Some((name, None)),
        Some(found) => {
            let octets = told(ask, found.body).ok()?;
            let text = String::from_utf8_lossy(&octets).into_owned();
            Some((name, Some((found.content, text))))
        }
    })
}

fn is_flavored(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, wanted: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    says(&FLAVOR, GOOGLE) || says(&REQUEST, "True")
}
