//! Attacks beyond those of `spoof`, tried many times each; the counts are in docs/security-attacks.md.

mod neighbours;
mod requests;
mod reuse;
mod shapes;
