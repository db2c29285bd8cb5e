//! Names and sizes of programs, maps and globals: what the loader asks for and the object must have.

/// Classifies what guests send; on the ingress of bridges, their ports and single taps.
pub const GUEST_INGRESS: &str = "guest_ingress";
/// Brings answers back; on the ingress of the host's end of metad's veth.
pub const REPLY: &str = "reply";
/// Drops floods of metadata frames before they cost anything; in front of [`GUEST_INGRESS`] on taps, if it is asked for.
pub const FLOOD_GUARD: &str = "flood_guard";

/// [`crate::abi::NicKey`] to [`crate::abi::NicSlot`]: who may ask.
pub const NICS: &str = "NICS";
/// [`crate::abi::FlowKey`] to [`crate::abi::Flow`]: where answers go.
pub const FLOWS: &str = "FLOWS";
/// Interface index to [`crate::abi::Port`]: where we are attached.
pub const PORTS: &str = "PORTS";
/// Counters by [`crate::reason::counter_index`], a value for each CPU.
pub const COUNTERS: &str = "COUNTERS";
/// [`crate::abi::Stranger`] records for the daemon.
pub const STRANGERS: &str = "STRANGERS";
/// Interface index to the time of its last report (nanoseconds of the boot clock): bounds [`STRANGERS`].
pub const REPORTED: &str = "REPORTED";
/// Slot to [`crate::abi::Bucket`]: how fast each NIC may open connections.
pub const BUCKETS: &str = "BUCKETS";
/// The time of the last diagnostic, for each CPU (nanoseconds of the boot clock).
pub const LOGGED: &str = "LOGGED";

/// The maps that begin anew with each daemon: rings belong to one reader, and the rest only bounds what is said. All
/// others outlive the daemon, and the next one goes on with them.
pub const TRANSIENT: [&str; 4] = [STRANGERS, REPORTED, LOGGED, "AYA_LOGS"];

/// Raised with each change of what a map that outlives the daemon means, where its sizes do not show it: a daemon takes
/// over no map of another number.
pub const LAYOUT: u32 = 1;

/// Global: index of the host's end of metad's veth.
pub const VETH_IFINDEX: &str = "VETH_IFINDEX";
/// Global: MAC address of the end of the veth inside metad's namespace.
pub const DAEMON_MAC: &str = "DAEMON_MAC";
/// Global: non-zero to log every drop, within the bound of [`LOG_INTERVAL_NS`].
pub const LOG_DROPS: &str = "LOG_DROPS";
/// Global: [`crate::limit::Limit::interval_ns`] of new connections of each slot.
pub const CONNECTION_INTERVAL_NS: &str = "CONNECTION_INTERVAL_NS";
/// Global: [`crate::limit::Limit::capacity_ns`] of the same.
pub const CONNECTION_CAPACITY_NS: &str = "CONNECTION_CAPACITY_NS";

/// NICs of one host. Ten times the guests of the largest hosts that are known.
pub const NICS_MAX: u32 = 16_384;
/// Connections that are remembered; the least recently used goes first.
pub const FLOWS_MAX: u32 = 65_536;
/// Interfaces that the programs can be attached to.
pub const PORTS_MAX: u32 = 16_384;
/// Octets of the ring of unknown senders: a page, 128 reports.
pub const STRANGERS_BYTES: u32 = 4_096;

/// At most one report for an interface in this time.
pub const REPORT_INTERVAL_NS: u64 = 100_000_000;
/// At most one diagnostic for a CPU in this time.
pub const LOG_INTERVAL_NS: u64 = 10_000_000;
