//! Debian's packages in, a directory with a root file system out; such a directory in, a disk out. No loop device, no
//! mount, no boot loader.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::Scratch;
use super::command::run;

/// In mount and process namespaces of its own that end with this process: were it interrupted without them, mmdebstrap
/// would go on, and its mounts would stay in the directory, where no later build could remove them.
const PROGRAM: &str = "setpriv";
const PROGRAM_WORDS: [&str; 9] = [
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--",
    "mmdebstrap",
];

/// For systems that boot.
pub(super) const OPTIONS: [&str; 7] = [
    "--quiet",
    "--variant=minbase",
    "--mode=root",
    "--format=directory",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// Installs packages, separated by commas, of a Debian release into the directory `root`, which must not be there.
pub(super) fn install(options: &[&str], suite: &str, packages: &str, root: &Path) -> Result<()> {
    let include = format!("--include={packages}");
    let words = PROGRAM_WORDS.iter().chain(options);
    let mut arguments: Vec<&OsStr> = words.map(|word| (*word).as_ref()).collect();
    arguments.extend([include.as_ref(), suite.as_ref(), root.as_os_str()]);
    run(PROGRAM, arguments)?;
    Ok(())
}

/// Writes a file below `root`, with the directories above it.
pub(super) fn write(root: &Path, name: &str, content: &str) -> Result<()> {
    let file = root.join(name);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))
}

/// Has systemd's own tool enable or mask units of the system in `root`.
pub(super) fn systemctl(root: &Path, action: &str, units: &[&str]) -> Result<()> {
    let words = ["systemctl", "--quiet", action];
    let mut arguments = vec![root.as_os_str()];
    arguments.extend(words.iter().chain(units).map(OsStr::new));
    run("chroot", arguments)?;
    Ok(())
}

/// Makes the system in `root` one that has never booted, and empties what only costs space.
pub(super) fn make_new(root: &Path) -> Result<()> {
    // Empty means: choose one at the first boot.
    fs::write(root.join("etc/machine-id"), "")?;
    for directory in ["var/lib/apt/lists", "var/cache/apt"] {
        let directory = root.join(directory);
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    Ok(())
}

/// Makes an ext4 file system with what is in a directory, in a raw file. `size` as mke2fs(8) takes it.
pub fn ext4(directory: &Path, raw: &Path, size: &str) -> Result<()> {
    // Without a journal: nobody repairs a disk that is thrown away.
    let words = ["-q", "-t", "ext4", "-O", "^has_journal", "-d"].map(OsStr::new);
    let rest = [directory.as_os_str(), raw.as_os_str(), size.as_ref()];
    run("mke2fs", words.into_iter().chain(rest))?;
    Ok(())
}

/// Makes a qcow2 image of a directory, inside `scratch`. `size` is the disk's; what is not used takes no space.
pub(super) fn disk(root: &Path, scratch: &Scratch, size: &str) -> Result<PathBuf> {
    let raw = scratch.join("disk.raw");
    let finished = scratch.join("disk.qcow2");
    ext4(root, &raw, size)?;
    let words = ["convert", "-O", "qcow2"].map(OsStr::new);
    let files = [raw.as_os_str(), finished.as_os_str()];
    run("qemu-img", words.into_iter().chain(files))?;
    Ok(finished)
}
