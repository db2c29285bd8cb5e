//! The small guest: busybox and one static program of ours in an initial RAM disk. Boots in seconds without KVM.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cache::{Cache, Recipe, Scratch};
use super::command::run;
use super::kernel::{self, Kernel, MODULES};
use super::{Reuse, cpio};
use crate::progress::Progress;

const INIT: &str = include_str!("small/init.sh");
const LEASE: &str = include_str!("small/lease.sh");
/// The program is compiled on its own, not by cargo: it must be static, and needs nothing but the standard library.
const AGENT: &str = include_str!("../bin/small-guest.rs");

/// Returns the initial RAM disk, built if the cache does not hold it.
pub(super) fn ready(
    cache: &Cache,
    kernel: &Kernel,
    reuse: Reuse,
    progress: &Progress,
) -> Result<PathBuf> {
    let kernel_key = kernel.modules.parent().and_then(Path::file_name);
    let text = format!("{kernel_key:?}\n{MODULES:?}\n{INIT}\n{LEASE}\n{AGENT}");
    let recipe = Recipe {
        name: "small",
        extension: ".initrd",
        text: &text,
    };
    cache.ready(&recipe, reuse, progress, |scratch| {
        build(kernel, scratch, progress)
    })
}

fn build(kernel: &Kernel, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let root = scratch.join("root");
    kernel::lay_out_init(&root, INIT)?;
    kernel::copy_modules(&kernel.modules, &root)?;
    write_script(&root.join("bin/lease"), LEASE)?;
    progress.step("small guest: compiling its program", || {
        compile(scratch, &root.join("bin/small-guest"))
    })?;
    let finished = scratch.join("initrd");
    fs::write(&finished, cpio::Archive::of_directory(&root)?)?;
    Ok(finished)
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
