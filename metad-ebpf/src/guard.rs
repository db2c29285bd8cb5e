//! What can be refused of a raw frame at once, so that a flood costs no socket buffers.
//!
//! `guest_ingress` would refuse the same, for the same reason. Whatever needs more than a look (an answer, a report, a
//! token) is left to it: a guest's flood is refused here once it has emptied its bucket there.

use metad_common::reason::Reason;
use metad_common::verdict::{Segment, Verdict, classify};

use crate::raw::Raw;
use crate::{count, guest, limit};

/// Why the frame is dropped; `None`: it passes.
#[inline(always)]
pub(crate) fn refusal(frame: &Raw) -> Option<Reason> {
    let verdict = classify(frame);
    match verdict {
        Verdict::Pass | Verdict::AnswerArp(_) | Verdict::AnswerNeighbour(_) => None,
        Verdict::Deliver(segment) => unwelcome(frame.ifindex(), &segment),
        Verdict::Drop(_) if verdict.may_be_anothers() && guest::leads_outside(frame.ifindex()) => {
            None
        }
        Verdict::Drop(reason) => Some(reason),
    }
}

/// Why a segment would not be delivered, as far as that can be seen without changing anything.
#[inline(always)]
fn unwelcome(ifindex: u32, segment: &Segment) -> Option<Reason> {
    let connection = match guest::connection(ifindex, segment) {
        Ok(connection) => connection,
        Err(Reason::UnknownSender) if guest::reported_lately(ifindex, count::now_ns()) => {
            return Some(Reason::UnknownSender);
        }
        // The first of them is reported, by `guest_ingress`.
        Err(_) => return None,
    };
    let slot = connection.key.slot;
    // In this order: most guests' buckets are never empty, and then one look-up is all.
    if !limit::is_spent(slot) {
        return None;
    }
    match guest::is_remembered(segment, &connection) {
        Ok(true) if !segment.opens => None,
        Ok(_) => {
            limit::refuse(slot);
            Some(Reason::ConnectionLimit)
        }
        Err(reason) => Some(reason),
    }
}
