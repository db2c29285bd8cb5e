//! The programs that tests start: the ones that were built with them.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The daemon that `cargo xtask test` has built, or the one beside this test.
///
/// # Errors
/// There is none.
pub fn binary() -> Result<PathBuf> {
    match std::env::var_os("METAD_BIN") {
        Some(path) => Ok(path.into()),
        None => beside_this("metad"),
    }
}

/// The tasks' program, which runs the demo: the one that has started the tests, or the one beside this test.
///
/// # Errors
/// There is none.
pub fn task() -> Result<PathBuf> {
    match std::env::var_os("METAD_XTASK") {
        Some(path) => Ok(path.into()),
        None => beside_this("xtask"),
    }
}

fn beside_this(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    own.ancestors()
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .with_context(|| {
            format!("there is no {name} beside this test: run `cargo build -p {name}`")
        })
}
