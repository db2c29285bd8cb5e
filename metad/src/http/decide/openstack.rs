//! OpenStack's rules: versions, files beside them, and the password that may be left once.

use bytes::Bytes;
use http::Method;

use super::super::reply::{Errand, Reply};
use super::{Ask, answer, found, is_read, missing};
use crate::instance::{Dialect, Switch};
use crate::render::openstack::{CONTENT, PASSWORD};
use crate::render::{Content, Version, Versions};

/// Decides a request for what stands at `path` below `/openstack/`.
pub(super) fn decide(ask: &Ask<'_>, path: &str) -> Reply {
    let (first, below) = path.split_once('/').unwrap_or((path, ""));
    let version = Versions::OPENSTACK.named(first);
    let password =
        below == PASSWORD && version.is_some_and(|version| find(ask, version, PASSWORD).is_some());
    if password && may_leave_one(ask) && ask.method == Method::POST {
        return match &ask.instance.password {
            Some(_left) => super::super::password::taken(),
            None => found(ask, Content::Text, Bytes::new()).after(Errand::KeepPassword),
        };
    }
    if !is_read(ask.method) {
        return Reply::not_allowed(if password && may_leave_one(ask) {
            "GET, HEAD, POST"
        } else {
            "GET, HEAD"
        });
    }
    if ask.target.is_dotted() {
        return missing();
    }
    match version {
        _ if path.is_empty() => {
            let listing = Bytes::from_static(Versions::OPENSTACK.listing().as_bytes());
            found(ask, Content::Text, listing)
        }
        None if first == CONTENT && !below.is_empty() => {
            answer(ask, find(ask, Version::LATEST, path))
        }
        Some(_) if password => {
            let left = ask.instance.password.clone();
            found(ask, Content::Text, left.unwrap_or_default())
        }
        // Files stand beside the versions only.
        Some(version) if below.split('/').next() != Some(CONTENT) => {
            answer(ask, find(ask, version, below))
        }
        Some(_) | None => missing(),
    }
}

fn find<'a>(ask: &Ask<'a>, version: Version, path: &str) -> Option<crate::render::Answer<'a>> {
    ask.answers.get(Dialect::OpenStack, version, path)
}

fn may_leave_one(ask: &Ask<'_>) -> bool {
    ask.instance.options.password == Switch::Enabled
}
