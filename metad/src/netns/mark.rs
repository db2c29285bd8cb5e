//! What tells a namespace that a metad made from every other of its name: the alias of its loopback interface
//! (ip-link(8)). It is there before the namespace has a name, so that a metad that is killed at any moment leaves either
//! none, or one that is known for its own.

use std::io;

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use crate::interfaces::ask;

/// The loopback interface's index in every namespace (`LOOPBACK_IFINDEX` of net/flow.h).
const LOOPBACK: u32 = 1;
const MARK: &str = "made by metad";

/// Marks the calling thread's namespace.
///
/// # Errors
/// The kernel refuses.
pub(super) fn set() -> io::Result<()> {
    let mut link = loopback();
    link.attributes = vec![LinkAttribute::IfAlias(MARK.to_owned())];
    ask(
        RouteNetlinkMessage::SetLink(link),
        NLM_F_REQUEST | NLM_F_ACK,
    )
    .map(drop)
}

/// Whether the calling thread's namespace is marked.
///
/// # Errors
/// The kernel does not say.
pub(super) fn is_set() -> io::Result<bool> {
    let said = ask(RouteNetlinkMessage::GetLink(loopback()), NLM_F_REQUEST)?;
    Ok(said.iter().any(has_mark))
}

fn loopback() -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link
}

fn has_mark(said: &RouteNetlinkMessage) -> bool {
    let RouteNetlinkMessage::NewLink(link) = said else {
        return false;
    };
    let mark = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::IfAlias(alias) if alias == MARK);
    link.attributes.iter().any(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_itself_marks() {
        for (alias, expected) in [
            (Some(MARK), true),
            (Some("made by metadata"), false),
            (Some(""), false),
            (None, false),
        ] {
            let mut link = loopback();
            let alias = alias.map(|alias| LinkAttribute::IfAlias(alias.to_owned()));
            link.attributes = alias.into_iter().collect();
            let said = RouteNetlinkMessage::NewLink(link);
            assert_eq!(has_mark(&said), expected, "{said:?}");
        }
    }

    #[test]
    fn the_hosts_own_namespace_is_nobodys_of_ours() {
        assert!(!is_set().unwrap());
    }
}
