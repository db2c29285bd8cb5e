//! The integration tests: one binary, the floors as modules. `cargo xtask test` runs them where they belong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "every function here serves a test, and a test fails by panicking"
)]

mod attacks;
mod clients;
mod frames;
mod guest;
mod kernel;
mod kernels;
mod net;
mod object;
mod parity;
