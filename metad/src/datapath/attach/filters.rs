//! Which programs sit in the filters of a clsact qdisc, as the kernel lists them.

use std::io;

use rtnetlink::packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};

use crate::interfaces::ask;

/// Whether the program with this number filters what arrives on the interface `ifindex`.
///
/// # Errors
/// The kernel does not say, or nothing that can be understood.
pub(super) fn has(ifindex: u32, program: u32) -> io::Result<bool> {
    let mut message = TcMessage::with_index(i32::try_from(ifindex).unwrap_or(i32::MAX));
    message.header.parent = TcHandle {
        major: 0xffff,
        minor: TcHandle::MIN_INGRESS,
    };
    let question = RouteNetlinkMessage::GetTrafficFilter(message);
    let filters = ask(question, NLM_F_REQUEST | NLM_F_DUMP)?;
    Ok(filters.iter().any(|filter| is_of(filter, program)))
}

fn is_of(filter: &RouteNetlinkMessage, program: u32) -> bool {
    let RouteNetlinkMessage::NewTrafficFilter(filter) = filter else {
        return false;
    };
    let is_it = |option: &TcOption| *option == TcOption::Bpf(TcFilterBpfOption::ProgId(program));
    filter.attributes.iter().any(
        |attribute| matches!(attribute, TcAttribute::Options(options) if options.iter().any(is_it)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kind: &str, options: Vec<TcOption>) -> RouteNetlinkMessage {
        let mut message = TcMessage::with_index(7);
        message.attributes = vec![
            TcAttribute::Kind(kind.to_owned()),
            TcAttribute::Options(options),
        ];
        RouteNetlinkMessage::NewTrafficFilter(message)
    }

    #[test]
    fn a_program_is_found_by_its_number_alone() {
        let name = || TcOption::Bpf(TcFilterBpfOption::ProgName("guest_ingress".to_owned()));
        let number = |number| TcOption::Bpf(TcFilterBpfOption::ProgId(number));
        for (case, filter, expected) in [
            ("it", filter("bpf", vec![name(), number(9)]), true),
            (
                "another of its name",
                filter("bpf", vec![name(), number(8)]),
                false,
            ),
            ("none", filter("u32", vec![]), false),
        ] {
            assert_eq!(is_of(&filter, 9), expected, "{case}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_has_no_program() {
        assert!(!matches!(has(0x7fff_fff0, 1), Ok(true)));
    }
}
