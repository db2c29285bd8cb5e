//! The guests' kernel: Debian's cloud kernel as it is packaged, and an initial RAM disk that finds the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::cache::{Cache, Recipe, Scratch};
use super::command::{run, run_command};
use super::{Reuse, cpio};
use crate::progress::Progress;

/// A kernel to boot directly, without boot loader.
#[derive(Debug, Clone)]
pub struct Kernel {
    pub vmlinuz: PathBuf,
    /// Mounts the first virtio disk and starts what is on it.
    pub initrd: PathBuf,
    /// The virtio modules, by name.
    pub(super) modules: PathBuf,
}

/// The package that names the current kernel package.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// In the order in which they must be loaded.
pub(super) const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
];

const INIT: &str = include_str!("kernel/init.sh");

/// Returns the kernel, fetched if the cache does not hold it.
pub(super) fn ready(cache: &Cache, reuse: Reuse, progress: &Progress) -> Result<Kernel> {
    let directory = cache.ready(&recipe(), reuse, progress, |scratch| {
        build(scratch, progress)
    })?;
    Ok(Kernel {
        vmlinuz: directory.join("vmlinuz"),
        initrd: directory.join("initrd"),
        modules: directory.join("modules"),
    })
}

/// What it is made from.
pub(super) fn recipe() -> Recipe {
    Recipe {
        name: "kernel",
        extension: "",
        text: format!("{PACKAGE}\n{MODULES:?}\n{INIT}"),
    }
}

/// Puts the modules into an initial RAM disk's directory, in order, under `/lib/modules`.
pub(super) fn copy_modules(from: &Path, root: &Path) -> Result<()> {
    let into = root.join("lib/modules");
    fs::create_dir_all(&into)?;
    for (place, module) in MODULES.iter().enumerate() {
        let file = from.join(format!("{module}.ko"));
        // The number in the name keeps the order for a shell's `*`.
        fs::copy(&file, into.join(format!("{place:02}-{module}.ko")))
            .with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

/// Puts busybox and a script that becomes process 1 into an initial RAM disk's directory.
pub(super) fn lay_out_init(root: &Path, init: &str) -> Result<()> {
    for directory in ["bin", "dev", "proc", "sys", "run", "tmp", "etc", "mnt"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let busybox = Path::new("/bin/busybox");
    fs::copy(busybox, root.join("bin/busybox")).context(
        "cannot copy /bin/busybox\n  help: `cargo xtask setup` installs Debian's busybox-static",
    )?;
    let script = root.join("init");
    fs::write(&script, init)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn build(scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let package = progress.step("kernel: fetching Debian's cloud kernel", || fetch(scratch))?;
    let unpacked = scratch.join("unpacked");
    run("dpkg-deb", [Path::new("-x"), &package, &unpacked])?;
    let made = scratch.join("made");
    let modules = made.join("modules");
    fs::create_dir_all(&modules)?;
    for module in MODULES {
        let file = find(&unpacked.join("lib/modules"), &format!("{module}.ko"))?
            .with_context(|| format!("{} has no module {module}", package.display()))?;
        take_module(&file, &modules.join(format!("{module}.ko")))?;
    }
    let boot = unpacked.join("boot");
    let vmlinuz = fs::read_dir(&boot)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        })
        .with_context(|| format!("{} has no kernel image", package.display()))?;
    fs::copy(vmlinuz, made.join("vmlinuz"))?;
    let root = scratch.join("root");
    lay_out_init(&root, INIT)?;
    copy_modules(&modules, &root)?;
    fs::write(made.join("initrd"), cpio::Archive::of_directory(&root)?)?;
    Ok(made)
}

/// Downloads the newest kernel package; refreshes the package lists once if they are missing or too old for that.
fn fetch(scratch: &Scratch) -> Result<PathBuf> {
    let directory = scratch.join("download");
    fs::create_dir_all(&directory)?;
    if let Ok(package) = download(&directory) {
        return Ok(package);
    }
    run("apt-get", ["-q", "update"])?;
    download(&directory)
}

fn download(directory: &Path) -> Result<PathBuf> {
    let depends = run("apt-cache", ["depends", "--important", PACKAGE])?;
    let image = kernel_package(&depends).with_context(|| {
        format!("apt knows no kernel behind {PACKAGE}\n  help: the guests need Debian's package lists (bookworm or later, amd64)")
    })?;
    // apt downloads as its own user where it can, and says so where it cannot: this directory is root's.
    run_command(
        std::process::Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=root", "download", image])
            .current_dir(directory),
    )?;
    find(directory, ".deb")?.with_context(|| format!("apt downloaded no {image}"))
}

/// Reads the image's name out of `apt-cache depends`.
fn kernel_package(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
}

/// The first file below `directory` whose name ends with `ending`, a `.xz` behind it allowed.
fn find(directory: &Path, ending: &str) -> Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            if let Some(found) = find(&path, ending)? {
                return Ok(Some(found));
            }
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = name.strip_suffix(".xz").unwrap_or(&name);
        if plain == ending || (ending.starts_with('.') && plain.ends_with(ending)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Copies a module, unpacked: busybox's `insmod` wants it plain.
pub(super) fn take_module(from: &Path, to: &Path) -> Result<()> {
    match from.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => {
            fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Some("xz") => {
            let output = std::process::Command::new("xz")
                .arg("-dc")
                .arg(from)
                .output()
                .context("cannot start `xz`")?;
            ensure!(output.status.success(), "cannot unpack {}", from.display());
            fs::write(to, output.stdout)?;
        }
        Some(_) | None => bail!(
            "{} is packed in a way that is not known here",
            from.display()
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_package_is_what_the_meta_package_depends_on() {
        for (case, output, expected) in [
            (
                "bookworm",
                "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n",
                Some("linux-image-6.1.0-56-cloud-amd64"),
            ),
            ("nothing known", "", None),
            (
                "no image",
                "linux-image-cloud-amd64\n  Depends: something-else\n",
                None,
            ),
        ] {
            assert_eq!(kernel_package(output), expected, "{case}");
        }
    }
}
