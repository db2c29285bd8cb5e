//! A domain under another UUID: libvirt changes no domain's UUID, so it is undefined and defined again. Whatever fails,
//! it is defined as before; a copy of the definition is on disk as long as libvirt has none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;
use virt::domain::Domain;

use super::{Found, Host, HostError, silent};
use crate::prepare::Prepared;

/// Defines it anew. What is prepared has been checked, but libvirt may still refuse it.
pub(super) fn define(
    host: &Host,
    found: &Found,
    prepared: &Prepared,
    uuid: Uuid,
) -> Result<(), HostError> {
    let name = &found.name;
    let old = host.lookup(name)?;
    may_go(&old, name)?;
    if let Ok(other) = host.connection.lookup_domain_by_uuid(uuid) {
        let other = other.name().unwrap_or_default();
        let why = format!("domain `{other}` has the UUID {uuid} already");
        let help = "write another UUID that starts with `ec2` into its XML and define that; `virsh undefine --keep-nvram` comes before";
        return Err(bound(name, why, help));
    }
    let autostart = old
        .autostart()
        .map_err(|error| silent("domain", name, &error))?;
    let copy = Copy::keep(&found.document, name)?;
    undefine(&old, &found.document).map_err(|error| {
        let why = error.message().to_owned();
        bound(
            name,
            why,
            "nothing was changed; do what libvirt asks for, then try again",
        )
    })?;
    let defined = host.define(&prepared.text).and_then(|new| {
        if autostart {
            new.set_autostart(true)
        } else {
            Ok(())
        }
    });
    match defined {
        Ok(()) => Ok(()),
        Err(error) => Err(restore(host, found, autostart, copy, error.message())),
    }
}

/// What hangs on a domain's UUID, or would go with its definition.
fn may_go(domain: &Domain, name: &str) -> Result<(), HostError> {
    let silent = |error: virt::error::Error| silent("domain", name, &error);
    if domain.is_active().map_err(silent)? {
        let help = "shut it down first; nothing is done to a domain that runs";
        return Err(bound(name, "it runs".to_owned(), help));
    }
    // Drivers without such a thing say that they have none, or that they know none.
    if domain.has_managed_save(0).unwrap_or(false) {
        let why = "it has a saved state, which only fits the machine as it was".to_owned();
        let help = "start it and shut it down, or drop the state with `virsh managedsave-remove`";
        return Err(bound(name, why, help));
    }
    let snapshots = domain.num_snapshots(0).unwrap_or(0);
    if snapshots > 0 {
        let why = format!("it has snapshots ({snapshots}), which belong to the machine as it was");
        let help = "delete them with `virsh snapshot-delete`, or choose `--datasource nocloud`, which needs no other UUID";
        return Err(bound(name, why, help));
    }
    Ok(())
}

/// Checkpoints and whatever else libvirt does not part with make it refuse here, before anything is changed.
fn undefine(domain: &Domain, document: &str) -> Result<(), virt::error::Error> {
    // Not every driver knows these flags, and without UEFI there is nothing to keep.
    let flags = if document.contains("<nvram") || document.contains("firmware=") {
        virt_sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    } else {
        0
    };
    domain.undefine_flags(flags)
}

fn restore(host: &Host, found: &Found, autostart: bool, copy: Copy, why: &str) -> HostError {
    let (name, why) = (found.name.clone(), why.to_owned());
    // Of the new one there may be something, where only its autostart failed.
    if let Ok(half) = host.lookup(&name) {
        let _ = undefine(&half, &found.document);
    }
    // Not validated: libvirt had it, however it looks.
    match host.connection.define_domain_xml(&found.document) {
        Ok(domain) => {
            if autostart {
                // The definition is there; that is what counts.
                let _ = domain.set_autostart(true);
            }
            HostError::Restored { name, why }
        }
        Err(error) => HostError::Lost {
            name,
            why,
            again: error.message().to_owned(),
            file: copy.leave().display().to_string(),
        },
    }
}

fn bound(name: &str, why: String, help: &'static str) -> HostError {
    let name = name.to_owned();
    HostError::Bound { name, why, help }
}

/// The copy that a run left which was ended half-way, if there is one of this user's in `directory`.
pub(super) fn left_behind(name: &str, directory: &Path) -> Option<PathBuf> {
    let stem = stem(name);
    let ours = |path: &PathBuf| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = file
            .strip_prefix(&stem)
            .and_then(|rest| rest.strip_suffix(".xml"));
        // Anybody may write there.
        let owner = fs::symlink_metadata(path).map(|there| (there.is_file(), there.uid()));
        numbers.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '-'))
            && owner.is_ok_and(|owner| owner == (true, rustix::process::geteuid().as_raw()))
    };
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().map(|entry| entry.path()).find(ours)
}

/// What a copy's name begins with; `/` and the like have no place in it.
fn stem(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().take(64).map(plain).collect();
    format!("metad-{name}-")
}

/// How many copies this process has made.
static COPIES: AtomicU32 = AtomicU32::new(0);

/// Where copies are: it outlives the machine's own end, too.
pub(super) const DIRECTORY: &str = "/var/tmp";

/// A definition on disk, readable by its owner alone; removed when dropped.
struct Copy {
    path: Option<PathBuf>,
}

impl Copy {
    fn keep(document: &str, name: &str) -> Result<Self, HostError> {
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let file = format!("{}{}-{number}.xml", stem(name), std::process::id());
        let path = Path::new(DIRECTORY).join(file);
        let copy = Self {
            path: Some(path.clone()),
        };
        let written = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(document.as_bytes())?;
            file.sync_all()
        };
        match written() {
            Ok(()) => Ok(copy),
            Err(source) => {
                if source.kind() == io::ErrorKind::AlreadyExists {
                    // Somebody else's.
                    copy.leave();
                }
                let file = path.display().to_string();
                Err(HostError::NoCopy { file, source })
            }
        }
    }

    fn leave(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A copy too many does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_of_a_run_that_was_ended_half_way_is_found_by_the_domains_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        for name in ["metad-web-1-77-0.xml", "metad-db-77-0.txt", "metad-x-y.xml"] {
            fs::write(file(name), "<domain/>").unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", file("metad-mail-77-0.xml")).unwrap();
        for (case, name, expected) in [
            ("its own", "web 1", Some(file("metad-web-1-77-0.xml"))),
            ("another ending", "db", None),
            ("no numbers", "x", None),
            ("a link", "mail", None),
            ("none", "other", None),
        ] {
            assert_eq!(left_behind(name, directory.path()), expected, "{case}");
        }
    }
}
