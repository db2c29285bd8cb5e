//! What is kept on bpffs, so that it outlives a daemon that ends without cleaning up and `metad down` finds it.

use std::fs;
use std::io;
use std::path::PathBuf;

use aya::Ebpf;
use metad_common::names;

use crate::admin::GuardedBy;
use crate::config::Config;

const BPFFS: &str = "a BPF file system must be on /sys/fs/bpf: `mount -t bpf bpf /sys/fs/bpf` puts one there, and `metad check` says whether it is";

/// Why something cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error("cannot create {}\nhelp: {BPFFS}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    #[error("cannot pin to {}\nhelp: {BPFFS}", .0.display())]
    Pin(PathBuf, #[source] aya::pin::PinError),
}

/// The maps that an administrator may want to look at with other tools.
const PINNED: [&str; 4] = [names::NICS, names::FLOWS, names::PORTS, names::COUNTERS];

pub(super) fn pin_maps(config: &Config, ebpf: &Ebpf) -> Result<(), PinError> {
    let directory = config.pins();
    let links = directory.join("links");
    fs::create_dir_all(&links).map_err(|error| PinError::Directory(links, error))?;
    for (name, map) in ebpf.maps().filter(|(name, _)| PINNED.contains(name)) {
        let path = directory.join(name);
        map.pin(&path).map_err(|error| PinError::Pin(path, error))?;
    }
    Ok(())
}

/// Where the link that holds a program to the interface `ifindex` is pinned.
pub(super) fn link_path(config: &Config, ifindex: u32) -> PathBuf {
    config.pins().join("links").join(ifindex.to_string())
}

/// Where the link of the flood guard on the interface `ifindex` is pinned: links do not tell how they are attached.
pub(super) fn guard_path(config: &Config, ifindex: u32, by: GuardedBy) -> PathBuf {
    let how = match by {
        GuardedBy::Native => "native",
        GuardedBy::Generic => "generic",
    };
    let name = format!("{GUARD_PREFIX}{how}-{ifindex}");
    config.pins().join("links").join(name)
}

/// Every flood guard's link that is pinned, whoever pinned it.
pub(super) fn guard_paths(config: &Config) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(config.pins().join("links")) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_guard = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(GUARD_PREFIX))
    };
    paths.filter(is_guard).collect()
}

/// What the pins of flood guards' links are called, before how and where they are attached.
pub(super) const GUARD_PREFIX: &str = "xdp-";

/// Marks that the clsact qdisc of the interface `ifindex` is ours to remove; only where tcx is not there.
pub(super) fn clsact_path(config: &Config, ifindex: u32) -> PathBuf {
    config.run_dir().join("clsact").join(ifindex.to_string())
}

/// Content of a mark: the qdisc was added by us.
pub(super) const CLSACT_OURS: &str = "added\n";
/// Content of a mark: the qdisc was there before.
pub(super) const CLSACT_FOUND: &str = "found\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_pinned_says_how_to_mount_a_bpf_file_system() {
        let path = || PathBuf::from("/sys/fs/bpf/metad");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in [
            PinError::Directory(path(), denied()),
            PinError::Pin(
                path(),
                aya::pin::PinError::SyscallError(aya::sys::SyscallError {
                    call: "BPF_OBJ_PIN",
                    io_error: denied(),
                }),
            ),
        ] {
            let told = error.to_string();
            assert!(
                told.contains("\nhelp: ") && told.contains("`mount -t bpf bpf /sys/fs/bpf`"),
                "{told}"
            );
        }
    }
}
