//! Which programs sit in the filters of a clsact qdisc, as the kernel lists them.

use std::io;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use rtnetlink::sys::{Socket, protocols::NETLINK_ROUTE};

/// Whether the program with this number filters what arrives on the interface `ifindex`. The kernel answers at once: it
/// does so while it is asked.
///
/// # Errors
/// The kernel does not say, or nothing that can be understood.
pub(super) fn has(ifindex: u32, program: u32) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let question = question(ifindex);
    let mut octets = vec![0; question.buffer_len()];
    question.serialize(&mut octets);
    socket.send(&octets, 0)?;
    loop {
        let (answer, _) = socket.recv_from_full()?;
        if let Some(found) = look(&answer, program)? {
            return Ok(found);
        }
    }
}

fn question(ifindex: u32) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = TcMessage::with_index(i32::try_from(ifindex).unwrap_or(i32::MAX));
    message.header.parent = TcHandle {
        major: 0xffff,
        minor: TcHandle::MIN_INGRESS,
    };
    let mut question = NetlinkMessage::from(RouteNetlinkMessage::GetTrafficFilter(message));
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.finalize();
    question
}

/// Looks for the program in one datagram of the answer; `None`: it is not there, and more will come.
fn look(datagram: &[u8], program: u32) -> io::Result<Option<bool>> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let payload = message.payload;
        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(filter)) = payload
        {
            if is_of(&filter, program) {
                return Ok(Some(true));
            }
        } else if let NetlinkPayload::Done(_) = payload {
            return Ok(Some(false));
        } else if let NetlinkPayload::Error(error) = payload {
            return Err(error.to_io());
        }
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        // Messages begin at multiples of four octets (`NLMSG_ALIGN`, netlink(3)).
        let next = length.max(1).checked_next_multiple_of(4);
        rest = next.and_then(|next| rest.get(next..)).unwrap_or_default();
    }
    Ok(None)
}

fn is_of(filter: &TcMessage, program: u32) -> bool {
    let is_it = |option: &TcOption| *option == TcOption::Bpf(TcFilterBpfOption::ProgId(program));
    filter.attributes.iter().any(
        |attribute| matches!(attribute, TcAttribute::Options(options) if options.iter().any(is_it)),
    )
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{DoneMessage, NetlinkHeader};

    use super::*;

    fn octets(payload: NetlinkPayload<RouteNetlinkMessage>) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), payload);
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn filter(program: u32) -> Vec<u8> {
        let mut message = TcMessage::with_index(7);
        message.attributes = vec![
            TcAttribute::Kind("bpf".to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgName("guest_ingress".to_owned())),
                TcOption::Bpf(TcFilterBpfOption::ProgId(program)),
            ]),
        ];
        octets(NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewTrafficFilter(message),
        ))
    }

    #[test]
    fn a_program_is_found_by_its_number_alone() {
        let done = octets(NetlinkPayload::Done(DoneMessage::default()));
        for (case, parts, expected) in [
            ("it alone", vec![filter(9)], Some(true)),
            ("behind another", vec![filter(8), filter(9)], Some(true)),
            (
                "another of its name",
                vec![filter(8), done.clone()],
                Some(false),
            ),
            ("none", vec![done], Some(false)),
            ("more to come", vec![filter(8)], None),
        ] {
            let datagram = parts.concat();
            assert_eq!(look(&datagram, 9).unwrap(), expected, "{case}");
            // Cut anywhere, it is an error or there is more to come, never a panic.
            for end in 0..datagram.len() {
                let _ = look(&datagram[..end], 9);
            }
        }
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_program() {
        assert!(!matches!(has(0x7fff_fff0, 1), Ok(true)));
    }
}
