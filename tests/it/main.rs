//! The integration tests: one binary, the floors as modules. `cargo xtask test` runs them where they belong.

mod net;
