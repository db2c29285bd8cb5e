//! Debian with its own, unmodified cloud-init, without boot loader and without anything that only costs time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cache::{Cache, Recipe, Scratch};
use super::rootfs::{self, OPTIONS, write};
use super::{Reuse, ignition};
use crate::progress::Progress;

/// The Debian releases that guests are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Debian {
    /// Debian 12, cloud-init 22.4.2.
    Bookworm,
    /// Debian 13, cloud-init 25.1.4.
    Trixie,
}

impl Debian {
    /// The release's name.
    pub fn suite(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// What must be in an SMBIOS serial number for cloud-init to fetch NoCloud data from `url` over the network: 22.4.2
    /// has to be told the stage, 24.1 and later see it from the URL.
    pub fn nocloud_serial(self, url: &str) -> String {
        match self {
            Self::Bookworm | Self::Trixie => format!("ds=nocloud;dsmode=net;s={url}"),
        }
    }

    fn packages(self) -> &'static str {
        match self {
            // cloud-init 22.4 asks for its first lease with dhclient; later ones bring a client. Ignition sleeps
            // beside it.
            Self::Bookworm => {
                "systemd-sysv,udev,dbus,iproute2,openssh-server,cloud-init,kmod,sudo,curl,isc-dhcp-client,ignition"
            }
            Self::Trixie => {
                "systemd-sysv,udev,dbus,iproute2,openssh-server,cloud-init,kmod,sudo,curl"
            }
        }
    }

    fn has_ignition(self) -> bool {
        self.packages()
            .split(',')
            .any(|name| name == ignition::PACKAGE)
    }
}

/// Only the cloud-init modules that a test looks at: the others cost eight seconds of a boot without KVM.
const CLOUD_CONFIG: &str = "\
cloud_init_modules: [bootcmd, write-files, set_hostname, update_hostname, users-groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-vendor, scripts-user, final-message]
ssh_genkeytypes: [ed25519]
";

/// For interfaces that cloud-init has not configured: those that are plugged in while the guest runs.
const LATER_INTERFACES: &str = "\
[Match]
Type=ether

[Network]
DHCP=ipv4
LinkLocalAddressing=no

[DHCPv4]
RouteMetric=2048
";

const FILES: [(&str, &str); 5] = [
    ("etc/cloud/cloud.cfg.d/90-lab.cfg", CLOUD_CONFIG),
    ("etc/systemd/network/99-later.network", LATER_INTERFACES),
    // What mmdebstrap copied here is the building host's.
    ("etc/hostname", "unnamed\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/resolv.conf", ""),
];

const ENABLED: [&str; 2] = [
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
];

/// Each costs seconds of a boot without KVM, and no guest here lives for a day.
const MASKED: [&str; 14] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "serial-getty@ttyS0.service",
    "sshd-keygen.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
];

/// The size of the guest's disk; what is not used takes no space.
const DISK_SIZE: &str = "1500M";

/// Returns the base image, built if the cache does not hold it.
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
    let (suite, packages) = (debian.suite(), debian.packages());
    Recipe {
        name: suite,
        extension: ".qcow2",
        text: format!(
            "{suite}\n{packages}\n{OPTIONS:?}\n{FILES:?}\n{ENABLED:?}\n{MASKED:?}\n{DISK_SIZE}\n{:?}",
            ignition::FILES
        ),
    }
}

fn build(debian: Debian, scratch: &Scratch, progress: &Progress) -> Result<PathBuf> {
    let suite = debian.suite();
    let root = scratch.join("root");
    progress.step(
        &format!("{suite}: installing Debian's packages into a directory"),
        || rootfs::install(&OPTIONS, suite, debian.packages(), &root),
    )?;
    configure(&root)?;
    if debian.has_ignition() {
        add_ignition(&root)?;
    }
    progress.step(&format!("{suite}: making a disk image of it"), || {
        rootfs::disk(&root, scratch, DISK_SIZE)
    })
}

fn add_ignition(root: &Path) -> Result<()> {
    for (name, content) in ignition::FILES {
        write(root, name, content)?;
    }
    for program in ignition::PROGRAMS {
        let program = root.join(program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} a program", program.display()))?;
    }
    rootfs::systemctl(root, "enable", &[ignition::SERVICE])
}

/// Turns an installed directory into a guest that has never booted.
fn configure(root: &Path) -> Result<()> {
    for (name, content) in FILES {
        write(root, name, content)?;
    }
    rootfs::systemctl(root, "enable", &ENABLED)?;
    rootfs::systemctl(root, "mask", &MASKED)?;
    for entry in fs::read_dir(root.join("etc/ssh"))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
            fs::remove_file(entry.path())?;
        }
    }
    rootfs::make_new(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_releases_are_told_of_nocloud_in_the_same_words() {
        let url = "http://169.254.169.254/nocloud/";
        let expected = "ds=nocloud;dsmode=net;s=http://169.254.169.254/nocloud/";
        for debian in [Debian::Bookworm, Debian::Trixie] {
            assert_eq!(debian.nocloud_serial(url), expected, "{}", debian.suite());
        }
    }
}
