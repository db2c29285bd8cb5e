//! What the kernel side remembers and is told. One writer for each map.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray, RingBuf};
use metad_common::abi::{Bucket, Flow, FlowKey, NicKey, NicSlot, Port};
use metad_common::limit::Limit;
use metad_common::names::{FLOWS_MAX, NICS_MAX, PORTS_MAX, STRANGERS_BYTES};
use metad_common::reason::COUNTERS_LEN;

/// Who may ask: the slot of each NIC that the daemon has seen in the inventory.
/// Written by the daemon, read by `guest::deliver` and `reply::give_back`.
/// Full: the daemon is refused and says so; the NIC stays unknown.
#[map]
pub(crate) static NICS: HashMap<NicKey, NicSlot> = HashMap::with_max_entries(NICS_MAX, 0);

/// Where the answers of each open connection go.
/// Written by `guest::deliver`, read by `reply::give_back`; the daemon reads it once for a connection.
/// Full: the least recently used flow goes, and comes back with the guest's next segment.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(FLOWS_MAX, 0);

/// What each interface is that `guest_ingress` is attached to.
/// Written by the daemon before it attaches, read for metadata traffic only.
#[map]
pub(crate) static PORTS: HashMap<u32, Port> = HashMap::with_max_entries(PORTS_MAX, 0);

/// How often each thing happened. Written here, summed by the daemon.
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS_LEN, 0);

/// Senders that no NIC is known for, so that the daemon can look again.
/// Written by `guest::deliver` within the bound of `REPORTED`, emptied by the daemon.
/// Full: the report is lost, and the next one comes with the guest's next attempt.
#[map]
pub(crate) static STRANGERS: RingBuf = RingBuf::with_byte_size(STRANGERS_BYTES, 0);

/// When each interface last reported a stranger: a guest that makes up addresses crowds out only itself.
/// Written and read by `guest::deliver`.
#[map]
pub(crate) static REPORTED: LruHashMap<u32, u64> = LruHashMap::with_max_entries(1024, 0);

/// How fast each slot opens connections: only a known NIC has a slot, so nobody can make up keys.
/// Written and read by `limit::admit`.
/// Full: the least recently used bucket goes, which is full by then, as one that is not there.
#[map]
pub(crate) static BUCKETS: LruHashMap<u32, Bucket> = LruHashMap::with_max_entries(NICS_MAX, 0);

/// When each CPU last explained a drop. Written and read by `count::explain`.
#[map]
pub(crate) static LOGGED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

// Set by the loader before the programs are verified; constants from then on.

#[unsafe(no_mangle)]
static VETH_IFINDEX: u32 = 0;
#[unsafe(no_mangle)]
static DAEMON_MAC: [u8; 6] = [0; 6];
#[unsafe(no_mangle)]
static LOG_DROPS: u32 = 0;
#[unsafe(no_mangle)]
static CONNECTION_INTERVAL_NS: u64 = 0;
#[unsafe(no_mangle)]
static CONNECTION_CAPACITY_NS: u64 = 0;

/// Index of the host's end of metad's veth.
#[inline(always)]
pub(crate) fn veth_ifindex() -> u32 {
    // SAFETY: reads a static of ours; volatile, since the loader changes it behind the compiler's back.
    unsafe { core::ptr::read_volatile(&raw const VETH_IFINDEX) }
}

/// MAC address of the veth's end inside metad's namespace.
#[inline(always)]
pub(crate) fn daemon_mac() -> [u8; 6] {
    // SAFETY: as in `veth_ifindex`.
    unsafe { core::ptr::read_volatile(&raw const DAEMON_MAC) }
}

/// Whether drops are explained in the log.
#[inline(always)]
pub(crate) fn log_drops() -> bool {
    // SAFETY: as in `veth_ifindex`.
    unsafe { core::ptr::read_volatile(&raw const LOG_DROPS) != 0 }
}

/// How fast each slot may open connections.
#[inline(always)]
pub(crate) fn connection_limit() -> Limit {
    // SAFETY: as in `veth_ifindex`.
    let interval_ns = unsafe { core::ptr::read_volatile(&raw const CONNECTION_INTERVAL_NS) };
    // SAFETY: as in `veth_ifindex`.
    let capacity_ns = unsafe { core::ptr::read_volatile(&raw const CONNECTION_CAPACITY_NS) };
    Limit {
        interval_ns,
        capacity_ns,
    }
}
