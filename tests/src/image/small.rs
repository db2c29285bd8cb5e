//! The small guest: busybox and one static program of ours in an initial RAM disk. Boots in seconds without KVM.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cache::{Cache, Recipe, Scratch};
use super::command::run;
use super::kernel::{self, Kernel};
use super::{Reuse, SmallImage, cpio};
use crate::progress::Progress;

const INIT: &str = include_str!("small/init.sh");
const LEASE: &str = include_str!("small/lease.sh");
/// The program is compiled on its own, not by cargo: it must be static, and needs nothing but the standard library.
const AGENT: &str = include_str!("../bin/small-guest.rs");

/// Returns kernel and initial RAM disk, built if the cache does not hold it.
pub(super) fn ready(
    cache: &Cache,
    kernel: &Kernel,
    reuse: Reuse,
    progress: &Progress,
) -> Result<SmallImage> {
    let directory = cache.ready(&recipe(), reuse, progress, |scratch| {
        build(kernel, scratch, progress)
    })?;
    Ok(SmallImage {
        vmlinuz: directory.join("vmlinuz"),
        initrd: directory.join("initrd"),
    })
}

/// What it is made from.
pub(super) fn recipe() -> Recipe {
    let kernel = kernel::recipe().text;
    Recipe {
        name: "small",
        extension: "",
        text: format!("{kernel}\n{INIT}\n{LEASE}\n{AGENT}"),
    }
}

fn build(kernel: &Kernel, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let root = scratch.join("root");
    kernel::lay_out_init(&root, INIT)?;
    kernel::copy_modules(&kernel.modules, &root)?;
    write_script(&root.join("bin/lease"), LEASE)?;
    progress.step("small guest: compiling its program", || {
        compile(scratch, &root.join("bin/small-guest"))
    })?;
    let made = scratch.join("made");
    fs::create_dir(&made)?;
    fs::write(made.join("initrd"), cpio::Archive::of_directory(&root)?)?;
    // Its own copy: modules must come from the very kernel that loads them.
    fs::copy(&kernel.vmlinuz, made.join("vmlinuz"))?;
    Ok(made)
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn compile(scratch: &Scratch, to: &Path) -> Result<()> {
    let source = scratch.join("small-guest.rs");
    fs::write(&source, AGENT)?;
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let flags = [
        "--edition=2024",
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "-o",
    ];
    let mut arguments: Vec<&std::ffi::OsStr> = flags.iter().map(|flag| (*flag).as_ref()).collect();
    arguments.extend([to.as_os_str(), source.as_os_str()]);
    run(&rustc, arguments)?;
    Ok(())
}
