//! The queues that all guests share: how often the kernel found them full.
//!
//! In: the kernel's own counters of metad's namespace. Out: those of the listening sockets. Looked at for the administrator
//! alone.

use std::fs;

use super::{Namespace, NetnsError};

/// A queue of the listening sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Handshakes,
    Connections,
}

impl Queue {
    pub const ALL: [Self; 2] = [Self::Handshakes, Self::Connections];

    /// What its counter is called in `metad status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshakes => "handshake-queue",
            Self::Connections => "connection-queue",
        }
    }

    /// What happened.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Handshakes => {
                "4096 handshakes were unfinished, of all guests together: a SYN was answered with a cookie."
            }
            Self::Connections => {
                "4096 connections waited to be accepted, of all guests together: a SYN was dropped."
            }
        }
    }

    /// The counter's name in the kernel (proc_net_netstat, in the kernel's documentation of SNMP counters).
    fn counter(self) -> &'static str {
        match self {
            Self::Handshakes => "SyncookiesSent",
            Self::Connections => "ListenOverflows",
        }
    }
}

/// How often each queue of the metad called `name` was full since its namespace was made.
///
/// # Errors
/// The namespace is not there.
pub fn full(name: &str) -> Result<[(Queue, u64); 2], NetnsError> {
    let read = || fs::read_to_string("/proc/thread-self/net/netstat");
    // What cannot be read is not there to be shown; nothing depends on it.
    let text = Namespace::open(name)?.run(read)?.unwrap_or_default();
    Ok(Queue::ALL.map(|queue| (queue, counter(&text, queue.counter()).unwrap_or(0))))
}

/// Finds a counter in lines that come in twos, the names and the numbers.
fn counter(text: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).find_map(|pair| match pair {
        [names, numbers] => {
            let mut both = names.split_whitespace().zip(numbers.split_whitespace());
            let (_, number) = both.find(|(it, _)| *it == name)?;
            number.parse().ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = "TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows\nTcpExt: 17 2 3\n\
                    IpExt: InNoRoutes ListenDrops\nIpExt: 5 -1\n";
        for (name, expected) in [
            ("SyncookiesSent", Some(17)),
            ("ListenOverflows", Some(3)),
            ("InNoRoutes", Some(5)),
            ("ListenDrops", None),
            ("Nothing", None),
        ] {
            assert_eq!(counter(text, name), expected, "{name}");
        }
        for text in ["", "TcpExt:", "TcpExt: A\n", "TcpExt: A B\nTcpExt: 1\n"] {
            assert_eq!(counter(text, "B"), None, "{text:?}");
        }
    }

    #[test]
    fn this_kernel_counts_both() {
        let text = fs::read_to_string("/proc/self/net/netstat").unwrap();
        for queue in Queue::ALL {
            assert!(counter(&text, queue.counter()).is_some(), "{queue:?}");
        }
    }
}
