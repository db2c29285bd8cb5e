//! The filters of a clsact qdisc, as the kernel lists them, and which of them are ours.

use std::io;

use metad_common::names;
use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption,
};

use crate::interfaces::ask;

/// What the handle of a filter of ours says: which metad has put it there, and whether that one has added the qdisc for
/// it. It is there as long as the filter is, whatever becomes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign(u32);

/// Far from what the kernel gives out by itself, and never zero, which asks it to.
const SIGN: u32 = 1 << 31;

impl Sign {
    /// The sign of the metad called `name`. `added`: the qdisc is its, too.
    pub(super) fn new(name: &str, added: bool) -> Self {
        // FNV-1a: of the names that a host has, no two are the same in 30 bits.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, octet| {
            (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
        });
        Self(SIGN | (hash << 2 >> 1) | u32::from(added))
    }

    /// Whether the qdisc was added for the filter; otherwise it was there before.
    pub(super) fn added(self) -> bool {
        self.0 & 1 != 0
    }

    /// The filter's handle.
    pub(super) fn handle(self) -> u32 {
        self.0
    }
}

/// Finds the filter of the metad called `name` on the interface `ifindex`.
///
/// # Errors
/// The kernel does not say, or nothing that can be understood.
pub(super) fn ours(name: &str, ifindex: u32) -> io::Result<Option<Sign>> {
    let filters = list(ifindex, TcHandle::MIN_INGRESS)?;
    Ok(filters.iter().find_map(|filter| sign_of(filter, name)))
}

/// Whether the program with this number filters what arrives on the interface `ifindex`.
///
/// # Errors
/// As [`ours`].
pub(super) fn has(ifindex: u32, program: u32) -> io::Result<bool> {
    let filters = list(ifindex, TcHandle::MIN_INGRESS)?;
    let is_it = |option: &TcOption| *option == TcOption::Bpf(TcFilterBpfOption::ProgId(program));
    Ok(filters.iter().any(|filter| options(filter).any(is_it)))
}

/// Whether any filter is on the interface `ifindex`, on either side.
///
/// # Errors
/// As [`ours`].
pub(super) fn any(ifindex: u32) -> io::Result<bool> {
    for side in [TcHandle::MIN_INGRESS, TcHandle::MIN_EGRESS] {
        if !list(ifindex, side)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The filters on one side; none where there is no qdisc, or no interface.
fn list(ifindex: u32, side: u16) -> io::Result<Vec<TcMessage>> {
    let mut message = TcMessage::with_index(i32::try_from(ifindex).unwrap_or(i32::MAX));
    message.header.parent = TcHandle {
        major: TcHandle::CLSACT.major,
        minor: side,
    };
    let question = RouteNetlinkMessage::GetTrafficFilter(message);
    let said = ask(question, NLM_F_REQUEST | NLM_F_DUMP)?;
    let filter = |message| {
        if let RouteNetlinkMessage::NewTrafficFilter(filter) = message {
            Some(filter)
        } else {
            None
        }
    };
    Ok(said.into_iter().filter_map(filter).collect())
}

fn sign_of(filter: &TcMessage, name: &str) -> Option<Sign> {
    let is_ours = |option: &TcOption| {
        if let TcOption::Bpf(TcFilterBpfOption::ProgName(program)) = option {
            [names::GUEST_INGRESS, names::REPLY].contains(&program.as_str())
        } else {
            false
        }
    };
    let signs = [true, false].map(|added| Sign::new(name, added));
    let sign = signs
        .into_iter()
        .find(|sign| handle_of(&filter.header) == sign.handle())?;
    options(filter).any(is_ours).then_some(sign)
}

fn handle_of(header: &TcHeader) -> u32 {
    u32::from(header.handle.major) << 16 | u32::from(header.handle.minor)
}

fn options(filter: &TcMessage) -> impl Iterator<Item = &TcOption> {
    filter.attributes.iter().flat_map(|attribute| {
        if let TcAttribute::Options(options) = attribute {
            options.as_slice()
        } else {
            &[]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(handle: u32, program: &str) -> TcMessage {
        let mut message = TcMessage::with_index(7);
        message.header.handle = handle.into();
        message.attributes = vec![
            TcAttribute::Kind("bpf".to_owned()),
            TcAttribute::Options(vec![TcOption::Bpf(TcFilterBpfOption::ProgName(
                program.to_owned(),
            ))]),
        ];
        message
    }

    #[test]
    fn a_filter_is_ours_by_its_handle_and_its_program() {
        let (added, found) = (Sign::new("metad", true), Sign::new("metad", false));
        assert!(added.added() && !found.added());
        let other = Sign::new("metad2", true);
        for (case, filter, expected) in [
            (
                "in our qdisc",
                filter(added.handle(), "guest_ingress"),
                Some(added),
            ),
            (
                "in another's qdisc",
                filter(found.handle(), "reply"),
                Some(found),
            ),
            (
                "another metad's",
                filter(other.handle(), "guest_ingress"),
                None,
            ),
            ("another program's", filter(added.handle(), "cilium"), None),
            ("a handle of the kernel's", filter(1, "guest_ingress"), None),
            (
                "no program at all",
                {
                    let mut message = TcMessage::with_index(7);
                    message.header.handle = added.handle().into();
                    message
                },
                None,
            ),
        ] {
            assert_eq!(sign_of(&filter, "metad"), expected, "{case}");
        }
    }

    #[test]
    fn a_sign_is_never_what_the_kernel_gives_out_and_differs_between_names() {
        let mut handles = std::collections::BTreeSet::new();
        for name in ["metad", "metad2", "metae", "m", "lab-1", "lab-2", "LAB-1"] {
            for added in [true, false] {
                let handle = Sign::new(name, added).handle();
                assert!(handle >= SIGN, "{name}: {handle:#x}");
                assert!(handles.insert(handle), "{name}: {handle:#x} twice");
            }
        }
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_program() {
        assert!(!matches!(has(0x7fff_fff0, 1), Ok(true)));
        assert!(!matches!(ours("metad", 0x7fff_fff0), Ok(Some(_))));
    }
}
