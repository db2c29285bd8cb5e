//! Where the clients are that metad is tried with: `cargo xtask setup --for clients` puts them there, the tests run
//! them from there.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::image::Cache;

/// What was installed, below the laboratory's cache.
#[derive(Debug, Clone)]
pub struct Clients {
    directory: PathBuf,
}

impl Clients {
    /// Finds the place; whether anything is there yet is another matter.
    ///
    /// # Errors
    /// The cache cannot be made.
    pub fn open() -> Result<Self> {
        let directory = Cache::open()?.directory().join("clients");
        Ok(Self { directory })
    }

    /// The scripts and the lists of what they need; part of the sources.
    pub fn sources() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("it/clients")
    }

    /// The virtual environment of the Python clients.
    pub fn python(&self) -> PathBuf {
        self.directory.join("python")
    }

    /// The directory that has `node_modules`.
    pub fn node(&self) -> PathBuf {
        self.directory.join("node")
    }

    /// cargo's target directory for the Rust client.
    pub fn rust(&self) -> PathBuf {
        self.directory.join("rust")
    }
}
