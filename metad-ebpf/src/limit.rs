//! How fast each slot may open connections: what one guest opens takes places in `FLOWS` from all others.

use metad_common::abi::Bucket;
use metad_common::limit::Taken;
use metad_common::reason::Reason;

use crate::{count, maps};

/// Takes a token out of the slot's bucket, or refuses the connection.
///
/// The oldest kernels that we run on can add atomically, but not compare and exchange. So CPUs that take from one bucket
/// at the same moment may each find the same last token; all of them pay for it, and the bucket is in debt until then.
/// Those that find a full bucket at the same moment pay once: that is one connection for each further CPU, no oftener
/// than the bucket is full.
#[inline(always)]
pub(crate) fn admit(slot: u32) -> Result<(), Reason> {
    let limit = maps::connection_limit();
    if limit.is_off() {
        return Ok(());
    }
    let now = count::now_ns();
    let Some(bucket) = maps::BUCKETS.get_ptr_mut(slot) else {
        let bucket = Bucket {
            full_at: limit.first(now),
            refused: 0,
        };
        let kept = maps::BUCKETS.insert(slot, bucket, 0);
        return kept.or(Err(Reason::FlowsFull));
    };
    // SAFETY: the pointer came from the map just now and is checked by then. Other CPUs change the value meanwhile: it
    // is only read and written whole, in aligned words.
    let full_at = unsafe { &raw mut (*bucket).full_at };
    // SAFETY: as above.
    match limit.take(unsafe { full_at.read_volatile() }, now) {
        // SAFETY: as above.
        Some(Taken::Set(number)) => unsafe { full_at.write_volatile(number) },
        Some(Taken::Add(number)) => add(full_at, number),
        None => {
            // SAFETY: as above.
            add(unsafe { &raw mut (*bucket).refused }, 1);
            return Err(Reason::ConnectionLimit);
        }
    }
    Ok(())
}

/// Whether the slot's bucket is empty. Nothing is taken: whoever lets the connection in will.
#[inline(always)]
pub(crate) fn is_spent(slot: u32) -> bool {
    let limit = maps::connection_limit();
    if limit.is_off() {
        return false;
    }
    // SAFETY: the value is read at once; a token that another CPU takes meanwhile is missed, which errs for the guest.
    let full_at = unsafe { maps::BUCKETS.get(slot) }.map(|bucket| bucket.full_at);
    full_at.is_some_and(|full_at| limit.take(full_at, count::now_ns()).is_none())
}

/// Counts a connection that was refused elsewhere than in [`admit`].
#[inline(always)]
pub(crate) fn refuse(slot: u32) {
    if let Some(bucket) = maps::BUCKETS.get_ptr_mut(slot) {
        // SAFETY: as in `admit`.
        add(unsafe { &raw mut (*bucket).refused }, 1);
    }
}

/// Adds to a word of a map's value, whoever else does.
#[inline(always)]
#[cfg(target_arch = "bpf")]
fn add(word: *mut u64, number: u64) {
    // The one atomic operation that kernels before 5.12 have. core's are not there: this target has no others.
    // SAFETY: the word is in a map's value, which the verifier holds us to; values are aligned to 8 octets.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {number}",
            word = in(reg) word,
            number = in(reg) number,
            options(nostack),
        );
    }
}

/// What lints see, who read this for the machine that they run on.
#[cfg(not(target_arch = "bpf"))]
fn add(word: *mut u64, number: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the word is in a map's value; values are aligned to 8 octets.
    let word = unsafe { AtomicU64::from_ptr(word) };
    word.fetch_add(number, Ordering::Relaxed);
}
