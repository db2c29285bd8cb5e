//! The ledger of slots in the run directory, always as the kernel's table is or further: whoever serves next, after a
//! crash too, must not give a slot to another NIC.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::inventory::{Inventory, Ledger, LedgerError};

/// What a ledger is called before it is whole.
const DRAFT: &str = "new";

/// A ledger that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UnreadLedger {
    #[error("cannot read {}", .0.display())]
    Unread(PathBuf, #[source] io::Error),
    #[error("cannot use {}", .0.display())]
    Unusable(PathBuf, #[source] LedgerError),
}

impl UnreadLedger {
    /// Whether there is none.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Unread(_, error) => error.kind() == io::ErrorKind::NotFound,
            Self::Unusable(..) => false,
        }
    }
}

/// Writes the ledger down.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    /// The revision that is in the file.
    written: Option<u64>,
    /// Why the last one could not be written.
    problem: Option<String>,
}

impl LedgerFile {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            written: None,
            problem: None,
        }
    }

    /// Reads what the last daemon wrote.
    ///
    /// # Errors
    /// There is none, or it cannot be relied on.
    pub fn read(&self) -> Result<Ledger, UnreadLedger> {
        let path = || self.path.clone();
        let text =
            fs::read_to_string(&self.path).map_err(|error| UnreadLedger::Unread(path(), error))?;
        Ledger::read(&text).map_err(|error| UnreadLedger::Unusable(path(), error))
    }

    /// Somebody else may have written to the file meanwhile.
    pub(super) fn write_again(&mut self) {
        self.written = None;
    }

    /// Writes the ledger down, if it has changed, before anything of it is acted on.
    pub(super) fn keep(&mut self, inventory: &Inventory) {
        let revision = inventory.revision();
        if self.written == Some(revision) {
            return;
        }
        match replace(&self.path, &inventory.ledger().text()) {
            Ok(()) => {
                self.written = Some(revision);
                self.problem = None;
            }
            Err(error) => {
                // An old one would mislead the next daemon; without any, it begins anew.
                let _ = fs::remove_file(&self.path);
                self.written = None;
                let problem = error.to_string();
                if self.problem.as_ref() != Some(&problem) {
                    let path = self.path.display();
                    tracing::error!(%path, problem, "cannot write the slots down: the next start will interrupt guests");
                    self.problem = Some(problem);
                }
            }
        }
    }
}

/// Replaces a file whole. It need not survive the host, so nothing waits for a disk.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension(DRAFT);
    fs::write(&draft, text)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Identity;
    use crate::record::Defaults;

    #[test]
    fn a_ledger_that_cannot_be_written_leaves_no_old_one_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots.json");
        let mut file = LedgerFile::new(path.clone());
        assert!(matches!(file.read(), Err(UnreadLedger::Unread(..))));
        let inventory = Inventory::new(Identity::Port, Defaults::default(), Vec::new());
        file.keep(&inventory);
        assert_eq!(file.read().unwrap(), Ledger::default());
        // What is in the draft's way cannot be written over.
        fs::create_dir(path.with_extension(DRAFT)).unwrap();
        let mut file = LedgerFile::new(path.clone());
        file.keep(&inventory);
        assert!(!path.exists());
        fs::remove_dir(path.with_extension(DRAFT)).unwrap();
        file.keep(&inventory);
        assert_eq!(file.read().unwrap(), Ledger::default());
        fs::write(&path, "{}").unwrap();
        assert!(matches!(file.read(), Err(UnreadLedger::Unusable(..))));
    }
}
