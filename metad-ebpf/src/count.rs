//! Counters, and the bounded voice of the kernel side.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_log_ebpf::info;
use metad_common::names::LOG_INTERVAL_NS;
use metad_common::reason::{Counted, Reason, counter_index};

use crate::maps;

/// Counts one.
#[inline(always)]
pub(crate) fn bump(counted: Counted) {
    if let Some(counter) = maps::COUNTERS.get_ptr_mut(counter_index(counted)) {
        // SAFETY: the pointer came from the map just now and is checked by then; nothing else refers to this value.
        let counter = unsafe { &mut *counter };
        // The value is this CPU's own, and programs of this kind do not interrupt each other on one CPU.
        *counter = counter.wrapping_add(1);
    }
}

/// Logs a drop, if asked to and not too soon after the last one on this CPU.
#[inline(always)]
pub(crate) fn explain<C: EbpfContext>(ctx: &C, ifindex: u32, reason: Reason) {
    if !maps::log_drops() {
        return;
    }
    let Some(last) = maps::LOGGED.get_ptr_mut(0) else {
        return;
    };
    let now = now_ns();
    // SAFETY: as in `bump`.
    let before = unsafe { core::ptr::replace(last, now) };
    if now.wrapping_sub(before) < LOG_INTERVAL_NS {
        // SAFETY: as in `bump`. The time of the last line stays, or a flood would silence the log for ever.
        unsafe { *last = before };
        return;
    }
    info!(ctx, "dropped on interface {}: {}", ifindex, reason.name());
}

/// Nanoseconds of the boot clock.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper takes no argument and reads a clock.
    unsafe { bpf_ktime_get_boot_ns() }
}
