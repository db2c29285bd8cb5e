//! The sources of the configuration, running.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::config::{Config, Source};
use crate::source::{Change, Outlet};
use crate::{directory, libvirt};

/// The running sources.
pub(super) struct Sources {
    pub(super) bells: Vec<Arc<Notify>>,
    libvirt: Vec<libvirt::Session>,
    directories: Vec<JoinHandle<()>>,
}

impl Sources {
    /// Starts them all; each tells `changes` what it knows.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(config: &Config, changes: &mpsc::Sender<Change>) -> Result<Self> {
        let mut sources = Self {
            bells: Vec::new(),
            libvirt: Vec::new(),
            directories: Vec::new(),
        };
        for (index, source) in config.sources.iter().enumerate() {
            let reread = Arc::new(Notify::new());
            sources.bells.push(Arc::clone(&reread));
            let outlet = Outlet {
                source: index,
                changes: changes.clone(),
                reread,
            };
            match source {
                Source::Libvirt { uri } => {
                    let session = libvirt::start(uri.clone(), outlet)
                        .with_context(|| format!("cannot start to follow {source}"))?;
                    sources.libvirt.push(session);
                }
                Source::Directory { path } => {
                    sources
                        .directories
                        .push(directory::start(path.clone(), outlet));
                }
            }
        }
        Ok(sources)
    }

    pub(super) fn stop(self) {
        for session in self.libvirt {
            session.stop();
        }
        for directory in self.directories {
            directory.abort();
        }
    }
}
