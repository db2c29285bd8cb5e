//! Kernels for hosts to boot: any of Debian's as it is packaged, with all of its modules, and an initial RAM disk that
//! finds the disks. The system on the disk may be of another release.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{Cache, Recipe, Scratch};
use super::command::run;
use super::kernel::{lay_out_init, take_module};
use super::{Reuse, cpio, rootfs};
use crate::progress::Progress;

/// A kernel of one of Debian's suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelPackage {
    /// What the image is called in the cache: `host-kernel-6.12`.
    pub name: &'static str,
    /// `trixie`, `bookworm-backports`, `sid`, …
    pub suite: &'static str,
    /// `linux-image-cloud-amd64`, …
    pub package: &'static str,
}

impl KernelPackage {
    /// Debian 13's, for virtual machines.
    pub const TRIXIE: Self = Self {
        name: "host-kernel-trixie",
        suite: "trixie",
        package: "linux-image-cloud-amd64",
    };
}

/// A kernel to boot directly, without boot loader.
#[derive(Debug, Clone)]
pub struct HostKernel {
    pub vmlinuz: PathBuf,
    /// Mounts `/dev/vda` as the root, `/dev/vdb` where modules are looked for, and starts the system.
    pub initrd: PathBuf,
    /// An ext4 file system with the modules, a raw file.
    pub modules: PathBuf,
    /// What `uname -r` says.
    pub version: String,
}

/// What must be loaded before there is a root, each with what it needs; what the kernel has built in is left out.
const NEEDED: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    // Not by its symbols but by its name does ext4 ask for these.
    "crc32c_generic",
    "crc32c-intel",
];

const OPTIONS: [&str; 4] = [
    "--quiet",
    "--variant=extract",
    "--mode=root",
    "--format=directory",
];

const INIT: &str = include_str!("host_kernel/init.sh");

/// Returns the kernel, fetched if the cache does not hold it.
pub(super) fn ready(
    cache: &Cache,
    package: KernelPackage,
    reuse: Reuse,
    progress: &Progress,
) -> Result<HostKernel> {
    let directory = cache.ready(&recipe(package), reuse, progress, |scratch| {
        build(package, scratch, progress)
    })?;
    let version = directory.join("version");
    Ok(HostKernel {
        vmlinuz: directory.join("vmlinuz"),
        initrd: directory.join("initrd"),
        modules: directory.join("modules.raw"),
        version: fs::read_to_string(&version)
            .with_context(|| format!("cannot read {}", version.display()))?,
    })
}

/// What it is made from.
pub(super) fn recipe(package: KernelPackage) -> Recipe {
    Recipe {
        name: package.name,
        extension: "",
        text: format!("{package:?}\n{OPTIONS:?}\n{NEEDED:?}\n{INIT}"),
    }
}

fn build(package: KernelPackage, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let KernelPackage { name, suite, .. } = package;
    let unpacked = scratch.join("unpacked");
    progress.step(&format!("{name}: fetching it from {suite}"), || {
        rootfs::install(&OPTIONS, suite, package.package, &unpacked)
    })?;
    let boot = unpacked.join("boot");
    let vmlinuz = fs::read_dir(&boot)
        .with_context(|| format!("cannot read {}", boot.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| version_of(path).is_some())
        .with_context(|| format!("{} of {suite} has no kernel image", package.package))?;
    let version = version_of(&vmlinuz).unwrap_or_default();
    let base = modules_base(&unpacked, &version)?;
    run(
        "depmod",
        ["-b".as_ref(), base.as_os_str(), version.as_ref()],
    )?;
    let tree = base.join("lib/modules");
    let made = scratch.join("made");
    let root = scratch.join("root");
    fs::create_dir_all(&made)?;
    lay_out_init(&root, INIT)?;
    copy_needed(&tree.join(&version), &root)?;
    fs::write(made.join("initrd"), cpio::Archive::of_directory(&root)?)?;
    fs::copy(&vmlinuz, made.join("vmlinuz"))?;
    rootfs::ext4(&tree, &made.join("modules.raw"), MODULES_SIZE)?;
    fs::write(made.join("version"), version)?;
    Ok(made)
}

/// A full kernel's modules take 500 MB where they are not compressed; what is not used takes no space.
const MODULES_SIZE: &str = "700M";

/// The version in the name of a kernel's image.
fn version_of(vmlinuz: &Path) -> Option<String> {
    let name = vmlinuz.file_name()?.to_str()?;
    Some(name.strip_prefix("vmlinuz-")?.to_owned())
}

/// The directory below which `lib/modules` has this version: packages of old releases have it at the top.
fn modules_base(unpacked: &Path, version: &str) -> Result<PathBuf> {
    [unpacked.join("usr"), unpacked.to_owned()]
        .into_iter()
        .find(|base| base.join("lib/modules").join(version).is_dir())
        .with_context(|| format!("there are no modules for {version}"))
}

/// Puts what the root is found with below `/lib/modules` of the initial RAM disk, in the order to be loaded in.
fn copy_needed(tree: &Path, root: &Path) -> Result<()> {
    let dependencies = fs::read_to_string(tree.join("modules.dep"))
        .context("depmod wrote no list of dependencies")?;
    let into = root.join("lib/modules");
    fs::create_dir_all(&into)?;
    for (place, module) in in_order(&dependencies, &NEEDED).into_iter().enumerate() {
        let plain = module.strip_suffix(".xz").unwrap_or(module);
        let name = plain.rsplit('/').next().unwrap_or(plain);
        // The number in the name keeps the order for a shell's `*`.
        take_module(&tree.join(module), &into.join(format!("{place:02}-{name}")))?;
    }
    Ok(())
}

/// The modules of depmod's list that `wanted` needs, each behind what it needs itself.
pub(super) fn in_order<'a>(dependencies: &'a str, wanted: &[&str]) -> Vec<&'a str> {
    let mut order = Vec::new();
    for wanted in wanted {
        let line = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(path, _)| module_name(path) == wanted.replace('-', "_"));
        let Some((path, needs)) = line else {
            continue;
        };
        // depmod lists the nearest first.
        for needed in needs.split_whitespace().rev().chain([path]) {
            if !order.contains(&needed) {
                order.push(needed);
            }
        }
    }
    order
}

fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_behind_what_they_need_and_what_is_built_in_is_left_out() {
        let dependencies = "\
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio.ko.xz:
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/arch/x86/crypto/crc32c-intel.ko:
";
        let order = in_order(dependencies, &NEEDED);
        let names: Vec<String> = order.iter().map(|path| module_name(path)).collect();
        let expected = [
            "virtio",
            "virtio_ring",
            "virtio_pci",
            "virtio_blk",
            "crc32c_intel",
        ];
        assert_eq!(names, expected);
        assert!(in_order("", &NEEDED).is_empty(), "all built in");
    }
}
