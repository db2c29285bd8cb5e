//! One file out of a guest's disk, without mounting anything.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::command::run;

/// Copies `path` of a qcow2 image with one ext4 file system to `to`.
pub fn copy_out(disk: &Path, path: &str, to: &Path) -> Result<()> {
    let raw = to.with_extension("raw");
    let words = ["convert", "-O", "raw"].map(std::ffi::OsStr::new);
    run(
        "qemu-img",
        words.into_iter().chain([disk.as_os_str(), raw.as_os_str()]),
    )?;
    let request = format!("dump {path} {}", to.display());
    let dumped = run(
        "debugfs",
        ["-R".as_ref(), request.as_ref(), raw.as_os_str()],
    );
    fs::remove_file(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    dumped?;
    // debugfs exits with 0 whether it found the file or not.
    let size = fs::metadata(to).map_or(0, |there| there.len());
    ensure!(size > 0, "{} holds no {path}", disk.display());
    Ok(())
}
