//! How TCP behaves inside metad's namespace, where all guests share one queue of handshakes and one of connections.

use std::fs;
use std::path::Path;

/// The settings, below /proc/sys/net (ip-sysctl.rst, in the kernel's documentation); they are the namespace's own.
const SETTINGS: [(&str, &str); 6] = [
    // Connections that wait to be accepted; the listener asks for as many.
    ("core/somaxconn", "4096"),
    // A full queue of handshakes is answered from without a queue. Nobody's SYN is dropped for another guest's.
    ("ipv4/tcp_syncookies", "1"),
    // A handshake that is not finished is forgotten after 7 s, not after 63: at the rate and burst of connections, one
    // guest then never has enough of them to fill the queue. A guest that lost the answer sends its SYN again.
    ("ipv4/tcp_synack_retries", "2"),
    // A request is 12 KiB at most. What a guest sends beyond stays with the guest, and does not wait in the host's memory.
    ("ipv4/tcp_rmem", "4096 16384 65536"),
    // A connection that is closed here and not there, and one whose end is not acknowledged, are soon forgotten.
    ("ipv4/tcp_fin_timeout", "10"),
    ("ipv4/tcp_orphan_retries", "2"),
];

/// Makes the settings of the namespace that this thread is in. Where they cannot be written, as in some containers, those
/// of the kernel hold, which are for servers with one owner.
pub(super) fn settle() {
    for (setting, value) in SETTINGS {
        let path = Path::new("/proc/sys/net").join(setting);
        if let Err(error) = fs::write(&path, value) {
            tracing::debug!(%error, path = %path.display(), "a setting of TCP stays as it is");
        }
    }
}
