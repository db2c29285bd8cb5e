//! The clsact qdisc of an interface, which filters need: whether it is there, where any is, and its end.

use std::io;

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcHandle, TcMessage};
use rustix::io::Errno;

use super::filters;
use crate::interfaces::ask;

/// The handle of each clsact qdisc, and of an ingress qdisc, which is in its place (`TC_H_CLSACT` of linux/pkt_sched.h).
const HANDLE: TcHandle = TcHandle {
    major: TcHandle::CLSACT.major,
    minor: 0,
};

/// Whether filters have their place on the interface `ifindex`, as far as the kernel says.
pub(super) fn is_there(ifindex: u32) -> bool {
    let question = RouteNetlinkMessage::GetQueueDiscipline(of(ifindex));
    // Most kernels show it to those who listen for changes alone, and say to us that all went well.
    ask(question, NLM_F_REQUEST | NLM_F_ACK).is_ok()
}

/// The indices of the interfaces where filters have their place.
///
/// # Errors
/// The kernel does not say, or nothing that can be understood.
pub(super) fn all() -> io::Result<Vec<u32>> {
    let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
    let said = match ask(question, NLM_F_REQUEST | NLM_F_DUMP) {
        // A kernel that has no qdiscs at all.
        Err(error) if is_any(&error, &[Errno::OPNOTSUPP]) => return Ok(Vec::new()),
        said => said?,
    };
    let place = |message| {
        if let RouteNetlinkMessage::NewQueueDiscipline(found) = message
            && found.header.handle == HANDLE
        {
            u32::try_from(found.header.index).ok()
        } else {
            None
        }
    };
    Ok(said.into_iter().filter_map(place).collect())
}

/// Removes the qdisc of the interface `ifindex` unless a filter is in it. That it is gone already is as well.
///
/// # Errors
/// The kernel does not say what is in it, or refuses.
pub(super) fn remove_unused(ifindex: u32) -> io::Result<()> {
    if filters::any(ifindex)? {
        return Ok(());
    }
    let order = RouteNetlinkMessage::DelQueueDiscipline(of(ifindex));
    match ask(order, NLM_F_REQUEST | NLM_F_ACK) {
        // The kernel's words: none was there, the place of one is empty again, or the interface is gone.
        Err(error) if is_any(&error, &[Errno::NOENT, Errno::INVAL, Errno::NODEV]) => Ok(()),
        said => said.map(drop),
    }
}

fn is_any(error: &io::Error, all: &[Errno]) -> bool {
    all.iter()
        .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

fn of(ifindex: u32) -> TcMessage {
    let mut message = TcMessage::with_index(i32::try_from(ifindex).unwrap_or(i32::MAX));
    message.header.parent = TcHandle::CLSACT;
    message.header.handle = HANDLE;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_no_qdisc() {
        assert!(!is_there(0x7fff_fff0));
        remove_unused(0x7fff_fff0).unwrap();
    }
}
