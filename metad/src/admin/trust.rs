//! Whether what is in a run directory may be believed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Uid;

use super::claim::{Error, failed};

/// Makes sure that nobody but root and us could put anything into a run directory, before what is in it is believed. One
/// that is not there is another's to report.
///
/// # Errors
/// Others could.
pub fn trust(run_dir: &Path) -> Result<(), Error> {
    let found = match std::fs::symlink_metadata(run_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(failed("look at", run_dir))?,
    };
    let foreign = |problem| {
        Err(Error::Foreign {
            path: run_dir.to_owned(),
            problem,
        })
    };
    if !found.is_dir() {
        return foreign("it is no directory");
    }
    let owner = Uid::from_raw(found.uid());
    if !owner.is_root() && owner != rustix::process::geteuid() {
        return foreign("it belongs to another user");
    }
    if found.mode() & 0o022 != 0 {
        return foreign("others may write into it, and a metad's run directory is its own alone");
    }
    Ok(())
}
