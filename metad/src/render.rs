//! Instance to text: what each path answers, made when an instance changes and only looked up when a guest asks.

use bytes::Bytes;

/// Every answer for one NIC of one instance.
#[derive(Debug, Default)]
pub struct Answers {
    _placeholder: (),
}

/// A body that is known beforehand, or that depends on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Bytes(Bytes),
    /// The IPv4 address that the request came from.
    CallerIpv4,
}
