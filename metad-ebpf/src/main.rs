//! The kernel programs of metad: they act on the verdicts of metad-common and decide nothing themselves.
//!
//! `guest_ingress` sits on the ingress of bridges, their ports and single taps; `reply` on the ingress of the host's
//! end of the veth into metad's namespace; `flood_guard` in front of `guest_ingress` on taps, where it is asked for.

#![no_std]
#![no_main]
// For the one instruction in `limit::add`; kernel objects are built by a nightly anyway.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod arp;
mod count;
mod guard;
mod guest;
mod limit;
mod maps;
mod neighbour;
mod packet;
mod raw;
mod redirect;
mod reply;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use metad_common::reason::{Counted, Reason};
use metad_common::verdict::{ReplyVerdict, Verdict, classify, classify_reply};

use crate::packet::Packet;
use crate::raw::Raw;

/// Where an attached program leaves a packet.
type Action = i32;

/// Sorts what guests send.
#[classifier]
fn guest_ingress(ctx: TcContext) -> Action {
    let packet = Packet::new(ctx);
    let verdict = classify(&packet);
    if verdict.may_be_anothers() && guest::leads_outside(packet.ifindex()) {
        return TC_ACT_UNSPEC;
    }
    let outcome = match verdict {
        // Other programs on the interface, then the stack, see the frame as it came.
        Verdict::Pass => return TC_ACT_UNSPEC,
        Verdict::AnswerArp(question) => arp::answer(&packet, &question),
        Verdict::AnswerNeighbour(asked) => neighbour::answer(&packet, &asked),
        Verdict::Deliver(segment) => guest::deliver(&packet, &segment),
        Verdict::Drop(reason) => Err(reason),
    };
    settle(&packet, outcome)
}

/// Brings the daemon's answers back to the guests that asked.
#[classifier]
fn reply(ctx: TcContext) -> Action {
    let packet = Packet::new(ctx);
    let outcome = match classify_reply(&packet) {
        ReplyVerdict::Return(answer) => reply::give_back(&packet, &answer),
        ReplyVerdict::Drop(reason) => Err(reason),
    };
    settle(&packet, outcome)
}

/// Drops, before there is a socket buffer, what `guest_ingress` would drop. Everything else passes as it is.
#[xdp]
fn flood_guard(ctx: XdpContext) -> u32 {
    let frame = Raw::new(ctx);
    let Some(reason) = guard::refusal(&frame) else {
        return XDP_PASS;
    };
    count::bump(Counted::Dropped(reason));
    count::explain(frame.context(), frame.ifindex(), reason);
    XDP_DROP
}

#[inline(always)]
fn settle(packet: &Packet, outcome: Result<Action, Reason>) -> Action {
    match outcome {
        Ok(action) => action,
        Err(reason) => {
            count::bump(Counted::Dropped(reason));
            count::explain(packet.context(), packet.ifindex(), reason);
            TC_ACT_SHOT
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
