//! One guest under libvirt: its power switch, its console, its plugs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::daemon::Libvirt;
use super::domain::{CONSOLE, CONTROL, DISK, Description, System};
use super::metadata::{Metadata, NAMESPACE};
use super::network::Nic;
use super::wait::until;
use crate::image::run;

/// The line that cloud-init ends a boot with.
const CLOUD_INIT_END: &str = "finished at ";

/// A defined domain, running or not. It is removed with the sandbox, or by [`Guest::remove`].
#[derive(Debug)]
pub struct Guest {
    name: String,
    uuid: String,
    directory: PathBuf,
    started: Instant,
}

impl Guest {
    pub(super) fn boot(
        libvirt: &Libvirt,
        parent: &Path,
        description: &Description,
    ) -> Result<Self> {
        let directory = parent.join(&description.name);
        fs::create_dir_all(&directory)?;
        if let System::Debian(image) | System::Ignition(image, _) = &description.system {
            let overlay = directory.join(DISK);
            let arguments: [&std::ffi::OsStr; 8] = [
                "create".as_ref(),
                "-q".as_ref(),
                "-fqcow2".as_ref(),
                "-Fqcow2".as_ref(),
                "-b".as_ref(),
                image.disk.as_os_str(),
                overlay.as_os_str(),
                "1500M".as_ref(),
            ];
            run("qemu-img", arguments)?;
        }
        let file = directory.join("domain.xml");
        fs::write(&file, description.xml(&directory))?;
        libvirt.virsh(["define", &file.to_string_lossy()])?;
        let mut guest = Self {
            name: description.name.clone(),
            uuid: description.uuid(),
            directory,
            started: Instant::now(),
        };
        guest.start(libvirt)?;
        Ok(guest)
    }

    /// The domain's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain's UUID.
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The time since the last start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Switches it on.
    pub fn start(&mut self, libvirt: &Libvirt) -> Result<()> {
        // The last run's words must not be taken for this one's.
        let _ = fs::remove_file(self.directory.join(CONSOLE));
        self.started = Instant::now();
        libvirt.virsh(["start", &self.name])?;
        Ok(())
    }

    /// Pulls its plug.
    pub fn destroy(&self, libvirt: &Libvirt) -> Result<()> {
        libvirt.virsh(["destroy", &self.name])?;
        Ok(())
    }

    /// Pulls its plug if need be and forgets it.
    pub fn remove(self, libvirt: &Libvirt) -> Result<()> {
        // It may be off already.
        let _ = libvirt.virsh(["destroy", &self.name]);
        libvirt.virsh(["undefine", &self.name])?;
        fs::remove_dir_all(&self.directory)?;
        Ok(())
    }

    /// What it has written to its console since the last start.
    pub fn console(&self) -> String {
        fs::read(self.directory.join(CONSOLE))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until a line of its console contains `text`, and returns that line.
    ///
    /// # Errors
    /// It does not within `patience`; the error ends with the console's last lines.
    pub fn wait_for(&self, text: &str, patience: Duration) -> Result<String> {
        let line = until(
            patience,
            &format!("`{text}` on the console of {}", self.name),
            || {
                let console = self.console();
                // A line is whole when another character follows it.
                let whole = console
                    .rfind('\n')
                    .and_then(|end| console.get(..end))
                    .unwrap_or_default();
                Ok(whole
                    .lines()
                    .find(|line| line.contains(text))
                    .map(|line| line.trim().to_owned()))
            },
        );
        line.with_context(|| {
            format!(
                "the console of {} ends with:\n{}",
                self.name,
                self.last_words()
            )
        })
    }

    /// Waits for the end of cloud-init and returns its last line, which names the data source.
    pub fn wait_cloud_init(&self, patience: Duration) -> Result<String> {
        self.wait_for(CLOUD_INIT_END, patience)
    }

    /// The last lines of its console.
    pub fn last_words(&self) -> String {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// The socket behind its second serial port.
    pub fn control_socket(&self) -> PathBuf {
        self.directory.join(CONTROL)
    }

    /// Moves it to another host while it runs, `to` being that one's URI as libvirt sees it from here. Its control
    /// socket and console are other files there.
    ///
    /// # Errors
    /// It stays where it is.
    pub fn migrate(&mut self, from: &Libvirt, to: &str) -> Result<()> {
        let moved = self.directory.join("moved");
        fs::create_dir_all(&moved)?;
        let document = from.virsh(["dumpxml", "--migratable", &self.name])?;
        let (old, new) = (self.directory.to_string_lossy(), moved.to_string_lossy());
        let file = moved.join("domain.xml");
        let paths = |name: &str| (format!("{old}/{name}"), format!("{new}/{name}"));
        let [console, control] = [CONSOLE, CONTROL].map(paths);
        let document = document
            .replace(&console.0, &console.1)
            .replace(&control.0, &control.1);
        fs::write(&file, document)?;
        let socket = format!("unix://{new}/migration.sock");
        from.virsh([
            "migrate",
            "--live",
            "--p2p",
            "--persistent",
            "--undefinesource",
            "--xml",
            &file.to_string_lossy(),
            "--persistent-xml",
            &file.to_string_lossy(),
            "--migrateuri",
            &socket,
            "--desturi",
            to,
            &self.name,
        ])?;
        self.directory = moved;
        Ok(())
    }

    /// The taps of its NICs, `(MAC, tap)`, as libvirt names them now.
    pub fn taps(&self, libvirt: &Libvirt) -> Result<Vec<(String, String)>> {
        let table = libvirt.virsh(["domiflist", &self.name])?;
        Ok(taps(&table))
    }

    /// The tap of one NIC.
    pub fn tap(&self, libvirt: &Libvirt, nic: Nic) -> Result<String> {
        let mac = nic.mac();
        match self.taps(libvirt)?.into_iter().find(|(of, _)| *of == mac) {
            Some((_, tap)) => Ok(tap),
            None => bail!("{} has no NIC {mac}", self.name),
        }
    }

    /// Plugs a NIC into the running guest.
    pub fn plug(&self, libvirt: &Libvirt, nic: Nic) -> Result<()> {
        self.device(libvirt, "attach-device", nic)
    }

    /// Unplugs a NIC from the running guest; the guest has to agree, so the NIC may be there for a moment.
    pub fn unplug(&self, libvirt: &Libvirt, nic: Nic) -> Result<()> {
        self.device(libvirt, "detach-device", nic)
    }

    fn device(&self, libvirt: &Libvirt, action: &str, nic: Nic) -> Result<()> {
        let file = self.directory.join("nic.xml");
        fs::write(&file, nic.xml())?;
        libvirt.virsh([action, &self.name, &file.to_string_lossy(), "--live"])?;
        Ok(())
    }

    /// Replaces its metadata, where `places` says: `--live`, `--config`, or both.
    pub fn set_metadata(
        &self,
        libvirt: &Libvirt,
        metadata: &Metadata,
        places: &[&str],
    ) -> Result<()> {
        let element = metadata.bare_element();
        let words = [
            "metadata", &self.name, "--uri", NAMESPACE, "--key", "metad", "--set", &element,
        ];
        libvirt.virsh(words.into_iter().chain(places.iter().copied()))?;
        Ok(())
    }
}

/// Reads MAC and tap out of `virsh domiflist`: interface, type, source, model, MAC.
fn taps(table: &str) -> Vec<(String, String)> {
    table
        .lines()
        .filter_map(
            |line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [tap, _, _, _, mac] if mac.contains(':') => {
                    Some(((*mac).to_owned(), (*tap).to_owned()))
                }
                _ => None,
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_read_with_and_without_the_heading() {
        let row = " vnet0       network   default   virtio   52:54:00:6d:7a:01\n";
        let heading = " Interface   Type      Source    Model    MAC\n-------------------\n";
        let expected = vec![("52:54:00:6d:7a:01".to_owned(), "vnet0".to_owned())];
        for (case, table, expected) in [
            ("quiet", row.to_owned(), expected.clone()),
            ("with heading", format!("{heading}{row}"), expected),
            ("no NIC", heading.to_owned(), vec![]),
        ] {
            assert_eq!(taps(&table), expected, "{case}");
        }
    }
}
