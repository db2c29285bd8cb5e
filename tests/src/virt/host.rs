//! The whole KVM host: libvirtd with its networks, and metad beside it as an administrator would start it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::daemon::{Libvirt, URI};
use crate::lab::Daemon;
use crate::sandbox;

/// What its metad is called.
const NAME: &str = "metad";

/// Dropped, metad stops first and libvirtd then. Guests end with the sandbox.
#[derive(Debug)]
pub struct Host {
    pub metad: Daemon,
    pub libvirt: Libvirt,
    directory: PathBuf,
    /// Where metad looks for libvirt.
    uri: String,
}

impl Host {
    /// Starts both in this process's namespaces; their files and the guests' go below `directory`.
    ///
    /// # Errors
    /// Outside a sandbox, or when one of them does not become ready.
    pub fn start(directory: &Path) -> Result<Self> {
        sandbox::demand()?;
        let libvirt = Libvirt::start(directory)?;
        let metad = start_metad(directory, URI)?;
        Ok(Self {
            metad,
            libvirt,
            directory: directory.to_owned(),
            uri: URI.to_owned(),
        })
    }

    /// Where this host's files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops metad and starts it with another way to libvirt.
    ///
    /// # Errors
    /// It does not stop, or does not become ready.
    pub fn look_at(&mut self, uri: &str) -> Result<()> {
        if self.uri != uri {
            self.metad.stop()?;
            configure(NAME, &self.directory, uri)?;
            self.metad.start_again()?;
            uri.clone_into(&mut self.uri);
        }
        Ok(())
    }

    /// Makes the host what it was at the start, whatever a test that failed has left.
    ///
    /// # Errors
    /// A daemon does not start.
    pub fn mend(&mut self) -> Result<()> {
        if !self.libvirt.runs() {
            self.libvirt.start_again()?;
        }
        self.look_at(URI)
    }
}

/// Starts metad beside a libvirtd that runs already.
fn start_metad(directory: &Path, uri: &str) -> Result<Daemon> {
    let configuration = configure(NAME, directory, uri)?;
    let here = PathBuf::from("/proc/self/ns/net");
    Daemon::start_at(here, configuration, directory.join("metad.log"))
}

/// Writes the configuration of a metad called `name` that follows this libvirt.
pub(super) fn configure(name: &str, directory: &Path, uri: &str) -> Result<PathBuf> {
    let records = directory.join("instances.d");
    fs::create_dir_all(&records)?;
    let configuration = directory.join("metad.toml");
    fs::write(
        &configuration,
        format!(
            "name = {name:?}\nstate-directory = {:?}\n\n[datapath]\ninterfaces = [\"virbr+\"]\n\n\
             [[source]]\nkind = \"libvirt\"\nuri = {uri:?}\n\n\
             [[source]]\nkind = \"directory\"\npath = {records:?}\n",
            directory.join("state")
        ),
    )?;
    Ok(configuration)
}

/// One request as metad logged it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub guest: String,
    pub mac: String,
    pub interface: String,
    pub method: String,
    pub path: String,
    pub status: u16,
    pub microseconds: u64,
}

impl Asked {
    /// Reads a line of metad's log; `None`: it is about something else.
    pub fn read(line: &str) -> Option<Self> {
        // The message stands before the fields, and a path is quoted: it cannot pretend to be a field.
        let (_, fields) = line.split_once(" request ")?;
        let mut asked = Self::default();
        let mut rest = fields;
        while let Some((name, after)) = rest.split_once('=') {
            let (value, next) = value(after)?;
            match name.trim() {
                "guest" => asked.guest = value,
                "mac" => asked.mac = value,
                "interface" => asked.interface = value,
                "method" => asked.method = value,
                "path" => asked.path = value,
                "status" => asked.status = value.parse().ok()?,
                "us" => asked.microseconds = value.parse().ok()?,
                _ => {}
            }
            rest = next;
        }
        (!asked.guest.is_empty() && asked.status != 0).then_some(asked)
    }

    /// All requests of a log, in their order.
    pub fn all(log: &str) -> Vec<Self> {
        log.lines().filter_map(Self::read).collect()
    }
}

/// A value, bare or in quotes, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(' ').unwrap_or((text, ""));
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(place + 1..)?.trim_start())),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_and_nothing_else_is_taken_for_one() {
        let line = "2026-11-21T05:00:00.000000Z  INFO request guest=web1 mac=52:54:00:6d:7a:01 interface=vnet0 method=GET \
                    path=\"/latest/a \\\" status=500\" status=200 us=85";
        let expected = Asked {
            guest: "web1".to_owned(),
            mac: "52:54:00:6d:7a:01".to_owned(),
            interface: "vnet0".to_owned(),
            method: "GET".to_owned(),
            path: "/latest/a \" status=500".to_owned(),
            status: 200,
            microseconds: 85,
        };
        for (case, line, expected) in [
            ("a request", line, Some(expected)),
            (
                "of nobody",
                "INFO request of nobody method=GET path=\"/\" status=503 us=3",
                None,
            ),
            ("something else", "INFO ready guest=web1", None),
            (
                "cut short",
                "INFO request guest=web1 mac=52:54:00:6d:7a:01 path=\"/lat",
                None,
            ),
        ] {
            assert_eq!(Asked::read(line), expected, "{case}");
        }
    }
}
