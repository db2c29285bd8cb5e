//! What must hold for every input, one room for each target.
//!
//! In come octets, out comes nothing: a replay that returns is good, one that panics has found something. libFuzzer and
//! the test that replays the corpora call the same functions, and the code behind them is the daemon's own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a finding is a panic here"
)]

pub mod admin;
pub mod domain_xml;
pub mod http;
pub mod ledger;
pub mod netlink;
pub mod records;
pub mod token;
pub mod verdict;
mod world;

/// Holds or panics.
pub type Replay = fn(&[u8]);

/// Every target by its name: what `cargo xtask fuzz` and the directories of seeds and corpora call it.
pub const TARGETS: [(&str, Replay); 8] = [
    ("admin", admin::replay),
    ("domain_xml", domain_xml::replay),
    ("http", http::replay),
    ("ledger", ledger::replay),
    ("netlink", netlink::replay),
    ("records", records::replay),
    ("token", token::replay),
    ("verdict", verdict::replay),
];
