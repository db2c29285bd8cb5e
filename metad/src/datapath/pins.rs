//! What is kept on bpffs, so that it outlives a daemon that ends without cleaning up and `metad down` finds it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::Ebpf;

use crate::config::{Config, LAYOUT};

/// What to do where there is no place to pin to.
fn place(kind: Option<io::ErrorKind>) -> &'static str {
    match kind {
        Some(io::ErrorKind::ReadOnlyFilesystem) => READ_ONLY,
        Some(_) | None => BPFFS,
    }
}

const READ_ONLY: &str = "/sys/fs/bpf is read-only for this process: in a systemd unit, `ReadWritePaths=/sys/fs/bpf` opens it, as in dist/metad.service; elsewhere, `mount -o remount,rw /sys/fs/bpf`";

const BPFFS: &str = "a BPF file system must be on /sys/fs/bpf: `mount -t bpf bpf /sys/fs/bpf` puts one there, and `metad check` says whether it is";

/// Why something cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error("cannot create {}\nhelp: {}", .0.display(), place(Some(.1.kind())))]
    Directory(PathBuf, #[source] io::Error),
    #[error("cannot use {}: something is in it that no metad pins\nhelp: it may belong to another program; choose another `name` in the configuration", .0.display())]
    Foreign(PathBuf),
    #[error("cannot pin to {}\nhelp: {}", .0.display(), place(kind_of(.1)))]
    Pin(PathBuf, #[source] aya::pin::PinError),
}

fn kind_of(error: &aya::pin::PinError) -> Option<io::ErrorKind> {
    if let aya::pin::PinError::SyscallError(call) = error {
        Some(call.io_error.kind())
    } else {
        None
    }
}

/// Makes the directories of maps and links.
pub(super) fn prepare(config: &Config) -> Result<(), PinError> {
    if config.pins().exists() && !are_ours(config) {
        return Err(PinError::Foreign(config.pins()));
    }
    let links = links(config);
    fs::create_dir_all(&links).map_err(|error| PinError::Directory(links, error))
}

/// Whether a metad's pins are there, and nothing else. bpffs is shared: a metad called `xdp` must not take over
/// /sys/fs/bpf/xdp.
pub(super) fn are_ours(config: &Config) -> bool {
    are_pins(&config.pins())
}

fn are_pins(directory: &Path) -> bool {
    let links = directory.join(LINKS);
    let is_kind = |entry: &fs::DirEntry, is_kind: fn(&fs::FileType) -> bool| {
        entry.file_type().is_ok_and(|kind| is_kind(&kind))
    };
    let is_pin = |entry: &fs::DirEntry| match entry.file_name().to_str() {
        Some(LINKS) => is_kind(entry, fs::FileType::is_dir),
        Some(name) => is_kind(entry, fs::FileType::is_file) && is_of_map(name),
        None => false,
    };
    let is_link = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_str();
        let prefixes = ["", GUARD_PREFIX, QDISC_PREFIX].into_iter();
        let mut indices = prefixes.filter_map(|prefix| name?.strip_prefix(prefix));
        indices.any(|index| index.parse::<u32>().is_ok())
    };
    only(directory, is_pin) && (!links.exists() || only(&links, is_link))
}

/// Whether everything in a directory that is there is of one kind.
fn only(directory: &Path, is_of_kind: impl Fn(&fs::DirEntry) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().all(|entry| is_of_kind(&entry))
}

/// Maps of every metad are called so; those of other programs are not, but by chance.
fn is_of_map(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|octet| octet.is_ascii_uppercase() || octet == b'_')
}

/// Pins those maps of `names` that are not pinned yet.
pub(super) fn pin_maps<'a>(
    config: &Config,
    ebpf: &Ebpf,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), PinError> {
    for name in names {
        let path = config.pins().join(name);
        let Some(map) = ebpf.map(name).filter(|_| !path.exists()) else {
            continue;
        };
        map.pin(&path).map_err(|error| PinError::Pin(path, error))?;
    }
    Ok(())
}

/// What the directory of links is called.
const LINKS: &str = "links";

/// The directory of links.
fn links(config: &Config) -> PathBuf {
    config.pins().join(LINKS)
}

/// The interfaces that links of an earlier daemon may hold programs to.
pub(super) fn linked(config: &Config) -> Vec<u32> {
    numbered(&links(config), "")
}

/// The indices of interfaces in the names of a directory's files, after a prefix.
fn numbered(directory: &Path, prefix: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let number = |entry: fs::DirEntry| {
        entry
            .file_name()
            .to_str()?
            .strip_prefix(prefix)?
            .parse()
            .ok()
    };
    entries.flatten().filter_map(number).collect()
}

/// Where the link that holds a classifier to the interface `ifindex` is pinned. Other kinds of programs have a prefix.
pub(super) fn link_path(config: &Config, ifindex: u32) -> PathBuf {
    links(config).join(ifindex.to_string())
}

/// Where the link of the flood guard on the interface `ifindex` is pinned.
pub(super) fn guard_path(config: &Config, ifindex: u32) -> PathBuf {
    links(config).join(format!("{GUARD_PREFIX}{ifindex}"))
}

/// Every flood guard's link that is pinned, whoever pinned it.
pub(super) fn guard_paths(config: &Config) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(links(config)) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_guard = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(GUARD_PREFIX))
    };
    paths.filter(is_guard).collect()
}

/// What the pins of flood guards' links are called, before the interface's index.
const GUARD_PREFIX: &str = "xdp-";

/// What this daemon's maps look like; for the next one.
pub(super) fn stamp(config: &Config) -> PathBuf {
    config.run_dir().join(LAYOUT)
}

/// Writes down that a clsact qdisc is being added to the interface `ifindex`, until a filter says that it is ours. A
/// directory, since that is what bpffs has of files; it is gone when the qdisc is, with a boot at the latest.
pub(super) fn note(config: &Config, ifindex: u32) -> io::Result<()> {
    fs::create_dir_all(note_path(config, ifindex))
}

/// Whether a daemon was adding a clsact qdisc to the interface, and did not come to say whether it has.
pub(super) fn is_noted(config: &Config, ifindex: u32) -> bool {
    note_path(config, ifindex).exists()
}

/// The interfaces of which that is noted.
pub(super) fn noted(config: &Config) -> Vec<u32> {
    numbered(&links(config), QDISC_PREFIX)
}

/// Takes a note back, if there is one.
pub(super) fn forget_note(config: &Config, ifindex: u32) {
    // One that cannot be removed is true of no qdisc that somebody uses.
    let _ = fs::remove_dir(note_path(config, ifindex));
}

fn note_path(config: &Config, ifindex: u32) -> PathBuf {
    links(config).join(format!("{QDISC_PREFIX}{ifindex}"))
}

/// What notes of qdiscs are called, before the interface's index.
const QDISC_PREFIX: &str = "qdisc-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_anything_else_in_it_is_another_programs() {
        for (case, files, directories, expected) in [
            (
                "empty, as an interrupted start leaves it",
                &[][..],
                &[][..],
                true,
            ),
            (
                "maps and links",
                &["NICS", "FLOWS", "links/3", "links/xdp-7"],
                &["links"],
                true,
            ),
            (
                "a qdisc that was being added when its daemon was killed",
                &["NICS"],
                &["links", "links/qdisc-7"],
                true,
            ),
            (
                "maps alone, as an interrupted end leaves them",
                &["NICS"],
                &[],
                true,
            ),
            ("another's map", &["NICS", "cilium_lb4"], &["links"], false),
            ("another's directory", &[], &["links", "globals"], false),
            ("another's links", &["links/eth0"], &["links"], false),
            (
                "a link of another's kind",
                &["links/tc-7"],
                &["links"],
                false,
            ),
        ] {
            let root = tempfile::tempdir().unwrap();
            for directory in directories {
                fs::create_dir(root.path().join(directory)).unwrap();
            }
            for file in files {
                fs::write(root.path().join(file), "").unwrap();
            }
            assert_eq!(are_pins(root.path()), expected, "{case}");
        }
        assert!(!are_pins(Path::new("/nowhere")), "nothing is there");
    }

    #[test]
    fn what_cannot_be_pinned_says_how_to_have_a_bpf_file_system_that_can_be_written() {
        let path = || PathBuf::from("/sys/fs/bpf/metad");
        for (kind, advice) in [
            (
                io::ErrorKind::PermissionDenied,
                "`mount -t bpf bpf /sys/fs/bpf`",
            ),
            (
                io::ErrorKind::ReadOnlyFilesystem,
                "`ReadWritePaths=/sys/fs/bpf`",
            ),
        ] {
            for error in [
                PinError::Directory(path(), kind.into()),
                PinError::Pin(
                    path(),
                    aya::pin::PinError::SyscallError(aya::sys::SyscallError {
                        call: "BPF_OBJ_PIN",
                        io_error: kind.into(),
                    }),
                ),
            ] {
                let told = error.to_string();
                assert!(told.contains("\nhelp: ") && told.contains(advice), "{told}");
            }
        }
    }
}
