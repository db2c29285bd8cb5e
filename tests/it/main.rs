//! The integration tests: one binary, the floors as modules. `cargo xtask test` runs them where they belong.

mod frames;
mod kernel;
mod net;
mod object;
mod parity;
