//! A guest with a token of its own, and the ways to ask as it.

mod admin;
mod edges;
mod gce;
mod layouts;
mod limited;
mod listed;
mod nocloud;
mod openstack;
mod password;
mod policy;
mod proofs;
mod routed;
mod rows;
mod table;
mod traps;
mod waiting;

use std::net::Ipv4Addr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::instance::{Endpoint, HttpTokens, Instance};
use crate::render::{self, sample};
use crate::signer::sample as keys;
use crate::token::Ttl;

const CALLER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const WALL: SystemTime = SystemTime::UNIX_EPOCH;
const NOW: BootTime = BootTime(Duration::from_secs(1000));

struct Guest {
    instance: Instance,
    answers: Answers,
    tokens: Tokens,
    /// Whether it asks over IPv6.
    ipv6: bool,
    signer: Signer,
}

impl Guest {
    fn new() -> Self {
        Self::of(sample::instance())
    }

    fn of(instance: Instance) -> Self {
        Self {
            answers: render::answers(&instance, 0),
            instance,
            tokens: Tokens::with_key(&[7; 32]),
            ipv6: false,
            signer: keys::signer(),
        }
    }

    fn with(change: impl FnOnce(&mut Instance)) -> Self {
        let mut instance = sample::instance();
        change(&mut instance);
        Self::of(instance)
    }

    fn required() -> Self {
        Self::with(|instance| instance.options.http_tokens = HttpTokens::Required)
    }

    fn disabled() -> Self {
        Self::with(|instance| instance.options.endpoint = Endpoint::Disabled)
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask_at(NOW, method, path, headers)
    }

    fn ask_at(&self, now: BootTime, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let Ok(target) = Target::new(path) else {
            return malformed();
        };
        let target = target.with_query(query);
        decide(&Ask {
            method: &method.parse::<Method>().unwrap(),
            target: &target,
            headers: &header_map(headers),
            instance: &self.instance,
            answers: &self.answers,
            address: Some(CALLER).filter(|_| !self.ipv6),
            ipv6: self.ipv6,
            signer: &self.signer,
            wall: WALL,
            asker: Asker::Guest {
                tokens: &self.tokens,
                now,
            },
        })
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    fn token(&self, seconds: u32) -> String {
        let ttl = Ttl::new(seconds).unwrap();
        self.tokens.grant(&self.instance, ttl, NOW).unwrap()
    }
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(name.parse::<HeaderName>().unwrap(), value);
    }
    map
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

fn header(reply: &Reply, name: &str) -> Option<String> {
    let value = reply.headers.to_map().remove(name)?;
    Some(value.to_str().unwrap().to_owned())
}
