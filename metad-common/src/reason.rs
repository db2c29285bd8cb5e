//! Why a frame was dropped, and what else is counted: one enum that counters, logs and the command line derive from.

/// Declares the reasons once, so that index, name and sentence cannot drift apart.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal $sentence:literal;)*) => {
        /// Why a metadata frame was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Reason {
            $(#[doc = $sentence] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of its counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in status output and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What an administrator reads.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

reasons! {
    UnknownSender "unknown-sender" "No instance has a NIC with this MAC address on this interface.";
    UnknownInterface "unknown-interface" "The interface is not one that metad follows any more.";
    NotTcp "not-tcp" "Something other than TCP was sent to the metadata address.";
    HopLimit "hop-limit" "A router in a guest gave up an answer of metad's, as for a container that asks for a token at hop limit 1.";
    Fragment "fragment" "An IP fragment was sent to the metadata address.";
    IpOptions "ip-options" "A packet to the metadata address carried IP options or was no proper IP.";
    ExtensionHeader "extension-header" "A packet to an IPv6 metadata address carried an extension header.";
    Truncated "truncated" "A packet to the metadata address ended inside its headers.";
    BadSource "bad-source" "The source address is none that can be answered.";
    ForgedSource "forged-source" "A guest used the metadata address as its own source address.";
    VlanTagged "vlan-tagged" "A frame for the metadata address carried a VLAN tag, or any frame more than are looked behind.";
    ArpClaim "arp-claim" "A guest claimed the metadata address in ARP.";
    ArpNotRequest "arp-not-request" "An ARP message about the metadata address was no request.";
    NeighbourClaim "neighbour-claim" "A guest claimed an IPv6 metadata address in neighbour discovery.";
    NeighbourImproper "neighbour-improper" "A neighbour solicitation for an IPv6 metadata address was no proper one.";
    FlowMismatch "flow-mismatch" "A packet belongs to a connection that this NIC opened from another address.";
    ConnectionLimit "connection-limit" "A guest opened connections faster than the limits allow.";
    FlowsFull "flows-full" "The connection could not be recorded.";
    RewriteFailed "rewrite-failed" "The kernel refused to change the packet.";
    ReplyNotTcp "reply-not-tcp" "Something other than TCP left metad's namespace.";
    ReplyUnknownFlow "reply-unknown-flow" "An answer belongs to no connection that is remembered.";
    ReplyUnknownNic "reply-unknown-nic" "The NIC that asked is gone, or another one took its place.";
}

/// What is counted beside drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Tally {
    /// ARP requests for the metadata address that were answered.
    ArpAnswered,
    /// Neighbour solicitations for an IPv6 metadata address that were answered.
    NeighbourAnswered,
    /// Packets handed to the daemon.
    Delivered,
    /// Packets brought back to a guest.
    Returned,
    /// Connections that were forgotten while they were open, and known again with their guest's next packet.
    Recalled,
}

impl Tally {
    /// Every tally, in the order of its counters.
    pub const ALL: &'static [Self] = &[
        Self::ArpAnswered,
        Self::NeighbourAnswered,
        Self::Delivered,
        Self::Returned,
        Self::Recalled,
    ];

    /// The name in status output and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArpAnswered => "arp-answered",
            Self::NeighbourAnswered => "neighbour-answered",
            Self::Delivered => "delivered",
            Self::Returned => "returned",
            Self::Recalled => "recalled",
        }
    }
}

/// Anything with a place in the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Tally(Tally),
    Dropped(Reason),
}

/// Entries of the counter map.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a handful of entries, checked below"
)]
pub const COUNTERS_LEN: u32 = (Tally::ALL.len() + Reason::ALL.len()) as u32;
const _: () = assert!(COUNTERS_LEN < 64);

/// The place of `counted` in the counter map: tallies first, then reasons.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a handful of tallies, checked above"
)]
pub const fn counter_index(counted: Counted) -> u32 {
    match counted {
        Counted::Tally(tally) => tally as u32,
        Counted::Dropped(reason) => Tally::ALL.len() as u32 + reason as u32,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_has_a_place_and_a_name_of_its_own() {
        let tallies = Tally::ALL
            .iter()
            .map(|tally| (Counted::Tally(*tally), tally.name()));
        let reasons = Reason::ALL
            .iter()
            .map(|reason| (Counted::Dropped(*reason), reason.name()));
        let all: Vec<_> = tallies.chain(reasons).collect();
        let places: BTreeSet<u32> = all
            .iter()
            .map(|(counted, _)| counter_index(*counted))
            .collect();
        let names: BTreeSet<&str> = all.iter().map(|(_, name)| *name).collect();
        assert_eq!(places, (0..COUNTERS_LEN).collect());
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn every_sentence_is_one() {
        for reason in Reason::ALL {
            let sentence = reason.sentence();
            assert!(
                sentence.ends_with('.') && !sentence.trim_end_matches('.').contains(". "),
                "{sentence}"
            );
        }
    }
}
