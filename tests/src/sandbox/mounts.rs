//! What a sandbox mounts for itself, so that neither its files nor its daemons meet the machine's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount,
};

/// Directories that get an empty file system of their own. `/run` whole: it holds `netns`, `libvirt`, `metad` and
/// every pid file. metad's own state and configuration must not be those of a metad that serves this machine.
const EMPTY: [&str; 7] = [
    "/run",
    "/etc/metad",
    "/var/lib/metad",
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/log/libvirt",
    "/var/cache/libvirt",
];

/// Mounts everything that is private to a sandbox; the caller is process 1 of fresh mount and process namespaces.
///
/// # Errors
/// A mount point that cannot be made or a mount that the kernel refuses, by name.
pub(super) fn isolate() -> Result<()> {
    // First of all: from here on no mount travels back to the machine.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("cannot make the mounts private")?;
    fresh("proc", "/proc", "")?;
    // A view of the new network namespace. Control groups are left away on purpose: libvirt then does without.
    fresh("sysfs", "/sys", "")?;
    fresh("bpf", "/sys/fs/bpf", "mode=0700")?;
    for place in EMPTY {
        // On a machine that has never seen libvirt or metad these do not exist yet.
        fs::create_dir_all(place).with_context(|| format!("cannot create {place}"))?;
        fresh("tmpfs", place, "mode=0755")?;
    }
    for place in ["/run/netns", "/run/libvirt", "/run/lock"] {
        fs::create_dir(place).with_context(|| format!("cannot create {place}"))?;
    }
    hide_kvm()
}

/// Guests are emulated, since a `/dev/kvm` that is there need not work. In its place stands a file that not even root
/// may write: were it accessible, libvirt would probe every emulator again before each start of a guest, 5 s each time.
fn hide_kvm() -> Result<()> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(());
    }
    fs::write("/run/no-kvm", "").context("cannot write /run/no-kvm")?;
    mount_bind("/run/no-kvm", "/dev/kvm").context("cannot hide /dev/kvm")?;
    mount_remount("/dev/kvm", MountFlags::BIND | MountFlags::RDONLY, "")
        .context("cannot hide /dev/kvm")
}

fn fresh(kind: &str, place: &str, options: &str) -> Result<()> {
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Daemons keep helpers and images in their directories.
    let flags = if kind == "tmpfs" {
        MountFlags::NOSUID
    } else {
        flags
    };
    mount(kind, place, kind, flags, options.as_c_str())
        .with_context(|| format!("cannot mount {kind} on {place}"))
}
