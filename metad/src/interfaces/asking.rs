//! One question to rtnetlink from a thread that waits for the answer: the kernel gives it while it is asked.

use std::io;

use rtnetlink::packet_core::{NLM_F_MULTIPART, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, protocols::NETLINK_ROUTE};

/// Asks the kernel, in the calling thread's network namespace. `flags` are those of netlink(7), `NLM_F_REQUEST` among
/// them.
///
/// # Errors
/// The kernel refuses, says nothing at all, or nothing that can be understood.
pub(crate) fn ask(
    question: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    // The kernel answers while it is asked, and goes on as it is read: what is not there will never come.
    socket.set_non_blocking(true)?;
    let mut question = NetlinkMessage::from(question);
    question.header.flags = flags;
    question.finalize();
    let mut octets = vec![0; question.buffer_len()];
    question.serialize(&mut octets);
    socket.send(&octets, 0)?;
    let mut said = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full()?;
        if take(&answer, &mut said)? {
            return Ok(said);
        }
    }
}

/// Takes in one datagram of the answer. `true`: it was the last.
fn take(datagram: &[u8], said: &mut Vec<RouteNetlinkMessage>) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let in_parts = message.header.flags & NLM_F_MULTIPART != 0;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let payload = message.payload;
        if let NetlinkPayload::InnerMessage(message) = payload {
            said.push(message);
            if !in_parts {
                return Ok(true);
            }
        } else if let NetlinkPayload::Error(error) = payload {
            return match error.code {
                // It is how the kernel says that all went well.
                None => Ok(true),
                Some(_) => Err(error.to_io()),
            };
        } else if let NetlinkPayload::Done(_) = payload {
            return Ok(true);
        }
        // Messages begin at multiples of four octets (`NLMSG_ALIGN`, netlink(3)).
        let next = length.max(1).checked_next_multiple_of(4);
        rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{DoneMessage, ErrorMessage, NLM_F_REQUEST, NetlinkHeader};
    use rtnetlink::packet_route::link::LinkMessage;
    use rtnetlink::packet_route::tc::{TcHandle, TcMessage};

    use super::*;

    fn octets(payload: NetlinkPayload<RouteNetlinkMessage>, flags: u16) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.header.flags = flags;
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn link(flags: u16) -> Vec<u8> {
        let link = RouteNetlinkMessage::NewLink(LinkMessage::default());
        octets(NetlinkPayload::InnerMessage(link), flags)
    }

    fn error(code: i32) -> Vec<u8> {
        let mut error = ErrorMessage::default();
        error.code = std::num::NonZeroI32::new(code);
        error.header = vec![0; 16];
        octets(NetlinkPayload::Error(error), 0)
    }

    #[test]
    fn a_question_that_the_kernel_does_not_answer_keeps_nobody_waiting() {
        // Most kernels show a qdisc to those who listen for changes, and not to whoever asks for one.
        let mut message = TcMessage::with_index(1);
        message.header.parent = TcHandle::ROOT;
        let question = RouteNetlinkMessage::GetQueueDiscipline(message);
        match ask(question, NLM_F_REQUEST) {
            Ok(said) => assert!(!said.is_empty(), "an answer says something"),
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::InvalidData, "{error}"),
        }
    }

    #[test]
    fn an_answer_ends_where_the_kernel_ends_it() {
        let part = || link(NLM_F_MULTIPART);
        let done = || {
            octets(
                NetlinkPayload::Done(DoneMessage::default()),
                NLM_F_MULTIPART,
            )
        };
        for (case, parts, expected) in [
            ("one message", vec![link(0)], Some((true, 1))),
            (
                "parts and their end",
                vec![part(), part(), done()],
                Some((true, 2)),
            ),
            (
                "parts, and more to come",
                vec![part(), part()],
                Some((false, 2)),
            ),
            ("all went well", vec![error(0)], Some((true, 0))),
            ("it went wrong", vec![part(), error(-1)], None),
        ] {
            let datagram = parts.concat();
            let mut said = Vec::new();
            let taken = take(&datagram, &mut said);
            let told = taken.ok().map(|ended| (ended, said.len()));
            assert_eq!(told, expected, "{case}");
            // Cut anywhere, it is an error or there is more to come, never a panic.
            for end in 0..datagram.len() {
                let _ = take(&datagram[..end], &mut Vec::new());
            }
        }
    }
}
