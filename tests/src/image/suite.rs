//! The kernels that Debian's releases give a host, with the modules that a host of guests loads, and an initial RAM disk
//! that makes the files of the machine that runs it the machine's own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{Cache, Recipe, Scratch};
use super::command::run;
use super::host_kernel::in_order;
use super::{Reuse, cpio, kernel, rootfs};
use crate::progress::Progress;

/// The releases whose kernels the datapath is tried on, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// Debian 11, Linux 5.10: the oldest kernel that has every helper of the programs.
    Bullseye,
    /// Debian 12, Linux 6.1.
    Bookworm,
    /// Debian 13, Linux 6.12.
    Trixie,
    /// The newest kernel that Debian has.
    Sid,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bullseye, Self::Bookworm, Self::Trixie, Self::Sid];

    /// The suite's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// The name in the cache.
    fn image(self) -> &'static str {
        match self {
            Self::Bullseye => "suite-kernel-bullseye",
            Self::Bookworm => "suite-kernel-bookworm",
            Self::Trixie => "suite-kernel-trixie",
            Self::Sid => "suite-kernel-sid",
        }
    }
}

/// A host's kernel to boot directly, without boot loader.
#[derive(Debug, Clone)]
pub struct SuiteKernel {
    pub suite: Suite,
    pub vmlinuz: PathBuf,
    /// Mounts the machine's own files, tagged [`ROOT_TAG`], and runs the program that the argument `payload=` names.
    pub initrd: PathBuf,
    /// The directory that is to be found as /lib/modules/RELEASE.
    pub modules: PathBuf,
    /// `uname -r`.
    pub release: String,
}

/// What the RAM disk mounts has this tag.
pub const ROOT_TAG: &str = "machine";

const PACKAGE: &str = "linux-image-amd64";

const OPTIONS: [&str; 5] = [
    "--quiet",
    "--variant=extract",
    "--mode=root",
    "--format=directory",
    // A mirror may be behind; what it has is signed all the same.
    "--aptopt=Acquire::Check-Valid-Until \"false\"",
];

/// What the RAM disk loads. What is not a module is in the kernel.
const EARLY: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Of the tree of modules, what a host without hardware may load. The rest takes three hundred mebibytes.
const KEPT: [&str; 9] = [
    "arch",
    "crypto",
    "lib",
    "net",
    "fs/9p",
    "fs/fscache",
    "fs/netfs",
    "fs/overlayfs",
    "drivers/virtio",
];
/// Here the modules alone: below are the drivers of network cards.
const KEPT_FLAT: &str = "drivers/net";

const INIT: &str = include_str!("suite/init.sh");

/// Returns the kernel, fetched if the cache does not hold it.
pub(super) fn ready(
    cache: &Cache,
    suite: Suite,
    reuse: Reuse,
    progress: &Progress,
) -> Result<SuiteKernel> {
    let recipe = Recipe {
        name: suite.image(),
        extension: "",
        text: format!("{PACKAGE}\n{OPTIONS:?}\n{EARLY:?}\n{KEPT:?}\n{KEPT_FLAT}\n{INIT}"),
    };
    let directory = cache.ready(&recipe, reuse, progress, |scratch| {
        build(suite, scratch, progress)
    })?;
    let modules = only_entry(&directory.join(MODULES))?;
    Ok(SuiteKernel {
        suite,
        vmlinuz: directory.join("vmlinuz"),
        initrd: directory.join("initrd"),
        release: name_of(&modules),
        modules,
    })
}

const MODULES: &str = "lib/modules";

fn build(suite: Suite, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let name = suite.name();
    let unpacked = scratch.join("unpacked");
    progress.step(&format!("{name}: fetching its kernel"), || {
        rootfs::install(&OPTIONS, name, PACKAGE, &unpacked)
    })?;
    let made = scratch.join("made");
    let from = ["usr/lib/modules", MODULES]
        .map(|place| unpacked.join(place))
        .into_iter()
        .find(|place| place.is_dir())
        .with_context(|| format!("{name}'s {PACKAGE} has no modules"))?;
    let from = only_entry(&from)?;
    let release = name_of(&from);
    let modules = made.join(MODULES).join(&release);
    keep(&from, &modules)?;
    run(
        "depmod",
        [
            "--basedir".as_ref(),
            made.as_os_str(),
            release.as_ref() as &std::ffi::OsStr,
        ],
    )?;
    let vmlinuz = [
        unpacked.join(format!("boot/vmlinuz-{release}")),
        from.join("vmlinuz"),
    ]
    .into_iter()
    .find(|place| place.is_file())
    .with_context(|| format!("{name}'s {PACKAGE} has no kernel image"))?;
    fs::copy(vmlinuz, made.join("vmlinuz"))?;
    let root = scratch.join("root");
    kernel::lay_out_init(&root, INIT)?;
    let into = root.join(MODULES);
    fs::create_dir_all(&into)?;
    let dependencies = fs::read_to_string(modules.join("modules.dep"))
        .context("cannot read what depmod has written")?;
    for (place, module) in in_order(&dependencies, &EARLY).iter().enumerate() {
        let plain = name_of(Path::new(module.trim_end_matches(".xz")));
        // The number in the name keeps the order for a shell's `*`.
        kernel::take_module(
            &modules.join(module),
            &into.join(format!("{place:02}-{plain}")),
        )?;
    }
    fs::write(made.join("initrd"), cpio::Archive::of_directory(&root)?)?;
    Ok(made)
}

/// Moves what a host may load, and the lists that depmod reads.
fn keep(from: &Path, into: &Path) -> Result<()> {
    let moved = |part: &str| -> Result<()> {
        let (source, target) = (
            from.join("kernel").join(part),
            into.join("kernel").join(part),
        );
        if !source.exists() {
            return Ok(());
        }
        fs::create_dir_all(target.parent().unwrap_or(into))?;
        fs::rename(&source, &target).with_context(|| format!("cannot move {}", source.display()))
    };
    fs::create_dir_all(into)?;
    for part in KEPT {
        moved(part)?;
    }
    for entry in fs::read_dir(from.join("kernel").join(KEPT_FLAT))?.flatten() {
        if entry.path().is_file() {
            moved(&format!(
                "{KEPT_FLAT}/{}",
                entry.file_name().to_string_lossy()
            ))?;
        }
    }
    for list in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        // Which of them there are differs from release to release.
        if from.join(list).is_file() {
            fs::copy(from.join(list), into.join(list))?;
        }
    }
    Ok(())
}

fn only_entry(directory: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut entries = entries.flatten().map(|entry| entry.path());
    entries
        .next()
        .with_context(|| format!("{} is empty", directory.display()))
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_come_after_what_they_need_and_once() {
        let dependencies = "\
kernel/fs/netfs/netfs.ko.xz:
kernel/net/9p/9pnet.ko.xz: kernel/fs/netfs/netfs.ko.xz
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz
";
        assert_eq!(
            in_order(dependencies, &EARLY),
            [
                "kernel/fs/netfs/netfs.ko.xz",
                "kernel/net/9p/9pnet.ko.xz",
                "kernel/net/9p/9pnet_virtio.ko.xz",
                "kernel/fs/9p/9p.ko.xz",
            ],
            "virtio_pci and overlay are in this kernel"
        );
        assert!(in_order("", &EARLY).is_empty());
    }

    #[test]
    fn the_init_finds_what_it_is_given() {
        assert!(INIT.contains(&format!(" {ROOT_TAG} ")), "{INIT}");
        for place in [MODULES, "$payload"] {
            assert!(INIT.contains(place), "{place} in {INIT}");
        }
    }
}
