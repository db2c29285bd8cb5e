//! All interfaces at one moment. The kernel lists them in pieces: a list without its end, or one that something was
//! added to or taken from meanwhile, may lack an interface that no event will ever tell of. So it is asked for again.

use std::io;

use futures_util::StreamExt;
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::proto::Connection;
use rtnetlink::{Handle, new_connection};

use super::interface;
use crate::interfaces::Interface;

/// How often a list is asked for that changes while it is made. Each takes milliseconds; a host is not that busy for long.
const ATTEMPTS: u32 = 64;

/// Why there is no list of all interfaces.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    #[error("cannot list the network interfaces")]
    Refused(#[source] rtnetlink::Error),
    #[error("cannot list the network interfaces: the kernel's answer has no end")]
    CutOff,
    #[error(
        "cannot list the network interfaces: they changed {ATTEMPTS} times while they were listed"
    )]
    Unsteady,
}

/// Lists all interfaces of the calling thread's network namespace. Must be called on a runtime.
///
/// # Errors
/// The kernel does not say, or never says the same for long enough.
pub async fn list() -> Result<Vec<Interface>, ListError> {
    let (mut connection, handle, _) = new_connection().map_err(ListError::Open)?;
    prepare(&mut connection);
    let connection = tokio::spawn(connection);
    let all = whole(&handle).await;
    connection.abort();
    all
}

/// Has the connection pass on where an answer ends.
pub(super) fn prepare(connection: &mut Connection<RouteNetlinkMessage>) {
    connection.set_forward_done(true);
}

/// Lists all interfaces, over a connection that was prepared.
///
/// # Errors
/// As of [`list`].
pub(super) async fn whole(handle: &Handle) -> Result<Vec<Interface>, ListError> {
    for _ in 0..ATTEMPTS {
        let mut answer = handle
            .clone()
            .request(question())
            .map_err(ListError::Refused)?;
        let mut listing = Listing::default();
        while let Some(message) = answer.next().await {
            listing.take(message)?;
        }
        if let Some(all) = listing.end()? {
            return Ok(all);
        }
    }
    Err(ListError::Unsteady)
}

fn question() -> NetlinkMessage<RouteNetlinkMessage> {
    let mut question = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question
}

/// An answer as it comes in.
#[derive(Debug, Default)]
struct Listing {
    all: Vec<Interface>,
    /// Something came or went meanwhile (`NLM_F_DUMP_INTR`, netlink(7)).
    changed: bool,
    ended: bool,
}

impl Listing {
    fn take(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> Result<(), ListError> {
        self.changed |= message.header.flags & NLM_F_DUMP_INTR != 0;
        let payload = message.payload;
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = payload {
            self.all.push(interface(&link));
        } else if let NetlinkPayload::Done(done) = payload {
            // One that failed half-way says why in place of a zero, and is no list.
            self.ended = done.code == 0;
        } else if let NetlinkPayload::Error(error) = payload {
            let refused = rtnetlink::Error::NetlinkError(error);
            return Err(ListError::Refused(refused));
        }
        Ok(())
    }

    /// The list, or `None` where it must be asked for again.
    fn end(self) -> Result<Option<Vec<Interface>>, ListError> {
        match (self.ended, self.changed) {
            (false, _) => Err(ListError::CutOff),
            (true, true) => Ok(None),
            (true, false) => Ok(Some(self.all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{DoneMessage, NetlinkHeader};

    use super::*;

    fn link(flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut message =
            NetlinkMessage::from(RouteNetlinkMessage::NewLink(LinkMessage::default()));
        message.header.flags = flags;
        message
    }

    fn done(flags: u16, code: i32) -> NetlinkMessage<RouteNetlinkMessage> {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        let mut done = DoneMessage::default();
        done.code = code;
        NetlinkMessage::new(header, NetlinkPayload::Done(done))
    }

    #[test]
    fn a_list_counts_only_whole_and_of_one_moment() {
        let interrupted = NLM_F_DUMP_INTR;
        for (case, answer, expected) in [
            ("whole", vec![link(0), link(0), done(0, 0)], "2"),
            ("of an empty namespace", vec![done(0, 0)], "0"),
            (
                "changed at its beginning",
                vec![link(interrupted), link(0), done(0, 0)],
                "again",
            ),
            (
                "changed at its end",
                vec![link(0), done(interrupted, 0)],
                "again",
            ),
            (
                "cut off",
                vec![link(0), link(0)],
                "cannot list the network interfaces: the kernel's answer has no end",
            ),
            (
                "failed half-way",
                vec![link(0), done(0, -105)],
                "cannot list the network interfaces: the kernel's answer has no end",
            ),
            (
                "nothing",
                vec![],
                "cannot list the network interfaces: the kernel's answer has no end",
            ),
        ] {
            let mut listing = Listing::default();
            for message in answer {
                listing.take(message).unwrap();
            }
            let told = match listing.end() {
                Ok(Some(all)) => all.len().to_string(),
                Ok(None) => "again".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(told, expected, "{case}");
        }
    }

    #[tokio::test]
    async fn the_kernel_lists_the_loopback_at_least() {
        let all = list().await.unwrap();
        assert!(all.iter().any(|interface| interface.name == "lo"));
    }
}
