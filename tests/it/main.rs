//! The integration tests: one binary, four floors. `cargo xtask test` runs it inside a sandbox.

mod frames;
mod kernel;
mod object;
mod parity;
