//! What the model answers: every rule, kept.

use std::collections::BTreeMap;
use std::time::Instant;

use super::model::{Given, SECOND, VERSIONS, World};
use super::reply::{Reply, Request};

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// A path without spelling: `None` where it is malformed, `Some(None)` where it has dots.
fn spelt(target: &str) -> Option<Option<String>> {
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = path.split('?').next()?;
    let mut octets = Vec::new();
    let mut rest = path.bytes();
    while let Some(octet) = rest.next() {
        let decoded = if octet == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            octet
        };
        if decoded.is_ascii_control() {
            return None;
        }
        octets.push(decoded);
    }
    let text = String::from_utf8(octets).ok()?;
    let segments: Vec<&str> = text.split('/').filter(|it| !it.is_empty()).collect();
    let dotted = segments.iter().any(|it| *it == "." || *it == "..");
    Some((!dotted).then(|| segments.join("/")))
}

pub(super) fn answer(world: &World, given: &Given, request: &Request) -> Reply {
    if request.head > 8192 {
        return Reply::refused(431);
    }
    if request.is_odd() || request.version.is_empty() {
        return Reply::refused(400);
    }
    if request.body > 4096 {
        return Reply::refused(413);
    }
    let Some(path) = spelt(&request.target) else {
        return Reply::refused(400);
    };
    let reads = ["GET", "HEAD"].contains(&request.method.as_str());
    let elsewhere = path
        .as_deref()
        .unwrap_or_else(|| request.target.trim_start_matches('/'));
    let (first, rest) = elsewhere.split_once('/').unwrap_or((elsewhere, ""));
    if first == "nocloud" || first == "openstack" {
        return match (reads, path.is_some(), first) {
            (false, ..) => Reply::not_allowed("GET, HEAD"),
            (_, false, _) => Reply::refused(404),
            (_, _, "nocloud") => leaf(&world.nocloud, rest),
            _ => stack(&world.openstack, rest),
        };
    }
    ec2(world, given, request, path.as_deref(), reads)
}

fn ec2(world: &World, given: &Given, request: &Request, path: Option<&str>, reads: bool) -> Reply {
    if path == Some("latest/api/token") {
        return if request.method == "PUT" {
            grant(given, request)
        } else {
            Reply::not_allowed("OPTIONS, PUT")
        };
    }
    if !reads {
        let dated = path.is_some_and(|it| it.ends_with("/api/token"));
        return if request.method == "PUT" && dated {
            Reply::refused(403)
        } else {
            Reply::not_allowed("GET, HEAD")
        };
    }
    let tokens = request.all(TOKEN);
    let known = |token: &str| {
        let given = given.lock().expect("no thread panics");
        given.get(token).is_some_and(|end| Instant::now() <= *end)
    };
    match tokens[..] {
        [] if world.required => return Reply::refused(401),
        [] => {}
        [token] if known(token) => {}
        _ => return Reply::refused(401),
    }
    let Some(path) = path else {
        return Reply::refused(404);
    };
    if path.is_empty() {
        return Reply::text(&VERSIONS.join("\n"));
    }
    let (version, below) = path.split_once('/').unwrap_or((path, ""));
    if !VERSIONS.contains(&version) {
        return Reply::refused(404);
    }
    let mut tree = world.ec2.clone();
    if version < "2021-03-23" {
        tree.retain(|path, _| !path.starts_with("meta-data/tags/"));
    }
    found(&tree, below)
}

fn grant(given: &Given, request: &Request) -> Reply {
    if request.header("x-forwarded-for").is_some() {
        return Reply::refused(403);
    }
    let values = request.all(TTL);
    let good = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let seconds = match values[..] {
        [value] if good(&value) => value.parse::<u64>().unwrap_or(0),
        _ => 0,
    };
    if !(1..=21600).contains(&seconds) {
        return Reply::refused(400);
    }
    let mut given = given.lock().expect("no thread panics");
    let token = format!("{:048}", given.len());
    let life = SECOND * u32::try_from(seconds).expect("21600 at most");
    given.insert(token.clone(), Instant::now() + life);
    let mut reply = Reply::text(&token);
    reply.set("X-aws-ec2-metadata-token-ttl-seconds", &seconds.to_string());
    reply
}

fn leaf(tree: &BTreeMap<String, Vec<u8>>, path: &str) -> Reply {
    let Some(octets) = tree.get(path) else {
        return Reply::refused(404);
    };
    let kind = if path.ends_with("json") {
        "application/json"
    } else if path.ends_with("user-data") || path.ends_with("user_data") {
        "application/octet-stream"
    } else {
        "text/plain"
    };
    Reply::new(200, kind, octets)
}

/// A value, or the list of what is below.
fn found(tree: &BTreeMap<String, Vec<u8>>, path: &str) -> Reply {
    if tree.contains_key(path) {
        return leaf(tree, path);
    }
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let mut names: Vec<String> = Vec::new();
    for key in tree.keys().filter_map(|key| key.strip_prefix(&prefix)) {
        let name = match key.split_once('/') {
            Some((number, _)) if path == "meta-data/public-keys" => format!("{number}=me"),
            Some((name, _)) if path.is_empty() => name.to_owned(),
            Some((name, _)) => format!("{name}/"),
            None => key.to_owned(),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Reply::refused(404);
    }
    Reply::text(&names.join("\n"))
}

fn stack(tree: &BTreeMap<String, Vec<u8>>, path: &str) -> Reply {
    if tree.contains_key(path) {
        return leaf(tree, path);
    }
    let mut reply = found(tree, path);
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let names: Vec<&str> = text.lines().filter(|it| *it != "content").collect();
    if reply.status == 200 {
        reply.say(&names.join("\n"));
    }
    reply
}
