//! A KVM host to boot: Debian with systemd, iproute2 and libvirtd, and a shell on its second serial port, to which root
//! may say anything. It has no network, and metad is not in it: tests bring theirs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::cache::{Cache, Recipe, Scratch};
use super::rootfs::{self, OPTIONS, write};
use super::{Debian, Reuse};
use crate::progress::Progress;

/// libvirt's client library is what metad is linked with; its daemon without a domain is enough to be connected to.
const PACKAGES: &str = "systemd-sysv,udev,dbus,iproute2,kmod,sudo,curl,libvirt-daemon,libvirt-daemon-driver-qemu,libvirt-clients";

/// Where the shell lies, and what starts it.
const SHELL_PATH: &str = "usr/local/sbin/lab-shell";
const SHELL: &str = include_str!("host/shell.sh");
const UNIT: &str = include_str!("host/lab-shell.service");

const FILES: [(&str, &str); 5] = [
    (SHELL_PATH, SHELL),
    ("etc/systemd/system/lab-shell.service", UNIT),
    // What mmdebstrap copied here is the building host's.
    ("etc/hostname", "host\n"),
    ("etc/hosts", "127.0.0.1 localhost host\n"),
    ("etc/resolv.conf", ""),
];

/// Each costs seconds of a boot without KVM, and no host here lives for a day.
const MASKED: [&str; 15] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "libvirt-guests.service",
    "serial-getty@ttyS0.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
];

/// What is not used takes no space.
const DISK_SIZE: &str = "1500M";

/// Returns the disk, built if the cache does not hold it.
pub(super) fn ready(
    cache: &Cache,
    debian: Debian,
    reuse: Reuse,
    progress: &Progress,
) -> Result<PathBuf> {
    cache.ready(&recipe(debian), reuse, progress, |scratch| {
        build(debian, scratch, progress)
    })
}

/// What it is made from.
pub(super) fn recipe(debian: Debian) -> Recipe {
    let suite = debian.suite();
    Recipe {
        name: match debian {
            Debian::Bookworm => "host-bookworm",
            Debian::Trixie => "host-trixie",
        },
        extension: ".qcow2",
        text: format!("{suite}\n{PACKAGES}\n{OPTIONS:?}\n{FILES:?}\n{MASKED:?}\n{DISK_SIZE}"),
    }
}

fn build(debian: Debian, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let suite = debian.suite();
    let root = scratch.join("root");
    progress.step(
        &format!("host of {suite}: installing Debian's packages into a directory"),
        || rootfs::install(&OPTIONS, suite, PACKAGES, &root),
    )?;
    for (name, content) in FILES {
        write(&root, name, content)?;
    }
    let shell = root.join(SHELL_PATH);
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", shell.display()))?;
    rootfs::systemctl(&root, "enable", &["lab-shell.service"])?;
    rootfs::systemctl(&root, "mask", &MASKED)?;
    rootfs::make_new(&root)?;
    progress.step(
        &format!("host of {suite}: making a disk image of it"),
        || rootfs::disk(&root, scratch, DISK_SIZE),
    )
}
