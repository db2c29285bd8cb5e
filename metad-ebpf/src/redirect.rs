//! Where packets go when a program is done with them.

use aya_ebpf::helpers::{bpf_redirect, bpf_redirect_peer};

use crate::Action;

/// Sends the packet out of an interface.
#[inline(always)]
pub(crate) fn out_of(ifindex: u32) -> Action {
    // SAFETY: the helper takes two numbers; it acts when the program returns.
    action(unsafe { bpf_redirect(ifindex, 0) })
}

/// Lets the packet arrive at the other end of a veth, past the queue of this one (Linux 5.10).
#[inline(always)]
pub(crate) fn into_peer(ifindex: u32) -> Action {
    // SAFETY: as above.
    action(unsafe { bpf_redirect_peer(ifindex, 0) })
}

/// The helpers answer with an action of linux/pkt_cls.h in a wider type.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "TC_ACT_REDIRECT or TC_ACT_SHOT"
)]
fn action(answer: i64) -> Action {
    answer as Action
}
