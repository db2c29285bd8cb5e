//! The decision: one request against one instance's answers.
//!
//! In: what was asked, by whom, and the time. Out: the reply. No clock, no socket, no lock; every input has an answer.

mod gce;
mod openstack;

use std::net::Ipv4Addr;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::headers::FieldValue;
use super::proof;
use super::reply::{Reply, TOKEN_TTL};
use super::target::{Route, Target};
use crate::instance::{Dialect, Endpoint, HttpTokens, Instance, Prefix};
use crate::render::{Answer, Answers, Body, Content, ETag, Version};
use crate::signer::Signer;
use crate::token::{BootTime, Refused, Tokens, Ttl};

/// Carries a session token.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// All that a decision reads of a request's headers.
pub(super) const READ: [HeaderName; 5] =
    [TOKEN, TOKEN_TTL, FORWARDED_FOR, gce::FLAVOR, gce::REQUEST];

/// No token of ours is half as long; what is longer is not even looked at. Octets.
const TOKEN_MAX: usize = 128;

/// One request and everything that its answer depends on.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub method: &'a Method,
    pub target: &'a Target,
    pub headers: &'a HeaderMap,
    pub instance: &'a Instance,
    pub answers: &'a Answers,
    /// The source address as the guest wrote it.
    pub address: Option<Ipv4Addr>,
    pub signer: &'a Signer,
    /// The time of day, for what is signed; [`Asker`] has the one that cannot be stepped.
    pub wall: SystemTime,
    /// Whether it came over IPv6, so that no IPv4 address of the guest's is behind it.
    pub ipv6: bool,
    pub asker: Asker<'a>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    Guest {
        tokens: &'a Tokens,
        now: BootTime,
    },
    /// The host's administrator in the guest's place: sees what a valid token opens, but is never handed one.
    Administrator,
}

/// Decides any request.
pub fn decide(ask: &Ask<'_>) -> Reply {
    match ask.target.route() {
        Route::Token => token(ask),
        Route::Other(..) => other(ask),
        Route::Ec2(_) => ec2(ask),
    }
}

/// Decides a request to the token path.
pub(super) fn token(ask: &Ask<'_>) -> Reply {
    if let Some(why) = off(ask) {
        return Reply::refused(StatusCode::FORBIDDEN, why);
    }
    if ask.method != Method::PUT {
        return Reply::not_allowed("OPTIONS, PUT");
    }
    // A proxy in the guest would hand the token to whoever it serves.
    if ask.headers.contains_key(FORWARDED_FOR) {
        let reason = "a token was asked for through a proxy";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    }
    let Some(ttl) = requested_ttl(ask.headers) else {
        let reason = "the token's time to live is not 1 to 21600 seconds";
        return Reply::refused(StatusCode::BAD_REQUEST, reason);
    };
    let Asker::Guest { tokens, now } = ask.asker else {
        let reason = "tokens are handed to the guest alone";
        return Reply::refused(StatusCode::FORBIDDEN, reason);
    };
    match tokens.grant(ask.instance, ttl, now) {
        Ok(token) => Reply::token(token, ttl, ask.instance.options.hop_limit),
        Err(_no_randomness) => {
            let reason = "the system gives no random numbers";
            Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, reason)
        }
    }
}

/// Decides a request below the prefix of any dialect but EC2. None of them knows tokens or the endpoint's switch.
pub(super) fn other(ask: &Ask<'_>) -> Reply {
    let Route::Other(dialect, path) = ask.target.route() else {
        return missing();
    };
    if !ask.instance.options.dialects.has(dialect) {
        let reason = "the layout is not one that answers this instance";
        return Reply::refused(StatusCode::NOT_FOUND, reason);
    }
    let path = match dialect {
        Dialect::OpenStack => return openstack::decide(ask, path),
        Dialect::Gce => return gce::decide(ask, path),
        // Two prefixes are its own.
        Dialect::Vultr => ask.target.path(),
        Dialect::Ec2
        | Dialect::NoCloud
        | Dialect::Install
        | Dialect::DigitalOcean
        | Dialect::Hetzner => path,
    };
    if !is_read(ask.method) {
        return Reply::not_allowed("GET, HEAD");
    }
    if ask.target.is_dotted() {
        return missing();
    }
    if dialect == Dialect::NoCloud {
        return nocloud(ask, path);
    }
    if dialect == Dialect::Install && ask.answers.is_failed(path) {
        let reason = "the template could not be rendered; `metad status` says why";
        return Reply::refused(StatusCode::NOT_FOUND, reason);
    }
    answer(ask, ask.answers.get(dialect, Version::LATEST, path))
}

/// Answers NoCloud's `path`, which may begin with the instance's secret and must where plain paths are closed.
fn nocloud(ask: &Ask<'_>, path: &str) -> Reply {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let seed = ask.instance.seed.map(|seed| seed.to_string());
    let path = if seed.is_some_and(|seed| is_same(&seed, first)) {
        rest
    } else if ask.instance.options.nocloud == Prefix::Open || is_administrator(ask) {
        path
    } else {
        let reason = "NoCloud answers this instance below its secret prefix alone";
        return Reply::refused(StatusCode::NOT_FOUND, reason);
    };
    answer(
        ask,
        ask.answers.get(Dialect::NoCloud, Version::LATEST, path),
    )
}

/// Compares in a time that does not tell how much of `given` is right.
fn is_same(secret: &str, given: &str) -> bool {
    let octets = secret.bytes().zip(given.bytes());
    let differences = octets.fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    secret.len() == given.len() && differences == 0
}

/// What stands in EC2's place for instances that it does not answer.
fn instead_of_ec2(ask: &Ask<'_>) -> Option<Reply> {
    let dialects = ask.instance.options.dialects;
    if dialects.has(Dialect::Ec2) || !is_read(ask.method) {
        return None;
    }
    let name = ask.target.path().strip_prefix("latest/")?;
    if dialects.has(Dialect::OpenStack) {
        // cloud-init reads EC2's tree after OpenStack's, whatever it found there, and takes five seconds over a refusal.
        return (name == "meta-data").then(|| found(ask, Content::Text, Bytes::new()));
    }
    // Where other services have had NoCloud's files; EC2 has directories under the same names.
    let known = ["meta-data", "user-data", "vendor-data", "network-config"].contains(&name);
    (dialects.has(Dialect::NoCloud) && known).then(|| nocloud(ask, name))
}

/// Decides a request to the EC2 tree, and to what others have there.
pub(super) fn ec2(ask: &Ask<'_>) -> Reply {
    let dialects = ask.instance.options.dialects;
    if ask.target.path().is_empty() && dialects.has(Dialect::Gce) {
        let is_off = off(ask).is_some();
        return gce::root(ask, is_off).unwrap_or_else(|| gce::flavored(ec2_tree(ask)));
    }
    ec2_tree(ask)
}

fn ec2_tree(ask: &Ask<'_>) -> Reply {
    if let Some(why) = off(ask) {
        let refused = || Reply::refused(StatusCode::FORBIDDEN, why);
        return instead_of_ec2(ask).unwrap_or_else(refused);
    }
    let path = ask.target.path();
    let (version, below) = path.split_once('/').unwrap_or((path, ""));
    let version = Version::named(version);
    if !is_read(ask.method) {
        return if ask.method == Method::PUT && below == "api/token" && version.is_some() {
            let reason = "tokens are only at /latest/api/token";
            Reply::refused(StatusCode::FORBIDDEN, reason)
        } else {
            Reply::not_allowed("GET, HEAD")
        };
    }
    // Before any 404: clients learn from the 401 that they need a token.
    let left = match session(ask) {
        Ok(left) => left,
        Err(reason) => return Reply::refused(StatusCode::UNAUTHORIZED, reason),
    };
    let mut reply = match version {
        _ if ask.target.is_dotted() => missing(),
        Some(_) if below == proof::JWT => proof::jwt(ask, left),
        Some(version) => answer(ask, ask.answers.get(Dialect::Ec2, version, below)),
        None if path.is_empty() => found(
            ask,
            Content::Text,
            Bytes::from_static(Version::LISTING.as_bytes()),
        ),
        None => missing(),
    };
    if let Some(left) = left {
        reply
            .headers
            .insert(TOKEN_TTL, FieldValue::Number(left.into()));
    }
    reply
}

/// Returns the seconds that the request's token has left, `None` where there need not be one.
fn session(ask: &Ask<'_>) -> Result<Option<u32>, &'static str> {
    let Asker::Guest { tokens, now } = ask.asker else {
        return Ok(None);
    };
    let mut values = ask.headers.get_all(TOKEN).iter();
    match (values.next(), values.next()) {
        (None, _) => match ask.instance.options.http_tokens {
            HttpTokens::Optional => Ok(None),
            HttpTokens::Required => Err("a token is required"),
        },
        (Some(_), Some(_)) => Err("there is more than one token"),
        (Some(value), None) if value.len() > TOKEN_MAX => Err("the token is too long"),
        (Some(value), None) => {
            let token = value.as_bytes().trim_ascii();
            tokens
                .check(ask.instance, token, now)
                .map(Some)
                .map_err(|refused| match refused {
                    Refused::Malformed => "the token is not one of ours",
                    Refused::Foreign => "the token was not made here for this instance",
                    Refused::Expired => "the token has expired",
                })
        }
    }
}

/// Reads a time to live in whole decimal seconds; the header may only be repeated word for word.
fn requested_ttl(headers: &HeaderMap) -> Option<Ttl> {
    let mut values = headers
        .get_all(TOKEN_TTL)
        .iter()
        .map(|value| value.as_bytes().trim_ascii());
    let first = values.next()?;
    if first.is_empty() || !first.iter().all(u8::is_ascii_digit) || values.any(|v| v != first) {
        return None;
    }
    let seconds = std::str::from_utf8(first).ok()?.parse().ok()?;
    Ttl::new(seconds)
}

fn answer(ask: &Ask<'_>, found: Option<Answer<'_>>) -> Reply {
    let Some(answer) = found else {
        return missing();
    };
    if let Body::Proof(form) = answer.body {
        return proof::proof(ask, *form);
    }
    match told(ask, answer.body) {
        Ok(body) => {
            let etag = answer.etag.unwrap_or_else(|| ETag::of(&body));
            Reply::found(answer.content, body, etag, ask.answers.made)
        }
        Err(untold) => untold.reply(),
    }
}

/// Why a body has no octets for this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untold {
    /// There is no such path for it.
    Missing,
    /// Its address is part of them, and not known.
    Addressless,
}

impl Untold {
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Missing => missing(),
            Self::Addressless => {
                let reason = "the address that the request came from is not known";
                Reply::refused(StatusCode::SERVICE_UNAVAILABLE, reason)
            }
        }
    }
}

/// The octets of a body for whoever asks.
pub(super) fn told(ask: &Ask<'_>, body: &Body) -> Result<Bytes, Untold> {
    // An address that a guest gave itself to get here is nobody's to write down.
    if ask.ipv6 || ask.address.is_some_and(|address| address.is_link_local()) {
        return body.without_ipv4().ok_or(Untold::Missing);
    }
    body.bytes(ask.address).ok_or(Untold::Addressless)
}

/// Why EC2 does not answer, if it does not.
fn off(ask: &Ask<'_>) -> Option<&'static str> {
    let options = &ask.instance.options;
    match options.endpoint {
        Endpoint::Disabled => Some("the endpoint is disabled for this instance"),
        Endpoint::Enabled if options.dialects.has(Dialect::Ec2) => None,
        Endpoint::Enabled => Some("EC2 is not one of the layouts that answer this instance"),
    }
}

fn is_administrator(ask: &Ask<'_>) -> bool {
    match ask.asker {
        Asker::Administrator => true,
        Asker::Guest { .. } => false,
    }
}

fn found(ask: &Ask<'_>, content: Content, body: Bytes) -> Reply {
    let etag = ETag::of(&body);
    Reply::found(content, body, etag, ask.answers.made)
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn missing() -> Reply {
    Reply::refused(StatusCode::NOT_FOUND, "there is no such path")
}
