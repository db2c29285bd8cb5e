//! A second KVM host beside the first: a libvirtd and a metad with namespaces of their own for network, host name and
//! files, so that a guest can move from one to the other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::daemon::Libvirt;
use super::host::configure;
use crate::lab::Daemon;

/// What a libvirtd keeps for itself, and where this one finds it instead.
const OWN: [(&str, &str); 4] = [
    ("run", "/run/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("cache", "/var/cache/libvirt"),
    ("etc", "/etc/libvirt"),
];

/// Dropped, metad stops first and libvirtd then. Guests end with the sandbox.
#[derive(Debug)]
pub struct Apart {
    pub metad: Daemon,
    pub libvirt: Libvirt,
    /// The first host's libvirt, as this one sees it.
    pub first: String,
}

impl Apart {
    /// Starts both; their files go below `directory`, which the first host can see.
    ///
    /// # Errors
    /// Outside a sandbox, or when one of them does not become ready.
    pub fn start(directory: &Path) -> Result<Self> {
        let mut script = "set -e; hostname metad-apart; ip link set lo up".to_owned();
        let first = directory.join("first");
        fs::create_dir_all(&first)?;
        script.push_str(&format!("; mount --bind /run/libvirt {}", first.display()));
        for (own, place) in OWN {
            let own = directory.join(own);
            fs::create_dir_all(&own)?;
            script.push_str(&format!("; mount --bind {} {place}", own.display()));
        }
        let pid_file = directory.join("libvirtd.pid");
        script.push_str(&format!(
            "; exec libvirtd --pid-file {}",
            pid_file.display()
        ));
        let command = ["unshare", "--net", "--uts", "--mount", "sh", "-c", &script];
        // A guest may only move to a host with another UUID.
        let more = "host_uuid = \"5b0c5a0e-3c1c-4a8e-9d53-6d657461646d\"\n";
        let run = directory.join("run");
        let libvirt = Libvirt::start_by(&command, &directory.join("etc"), more, &run, directory)?;
        let socket = run.join("libvirt-sock-ro");
        let uri = format!("qemu+unix:///system?socket={}", socket.display());
        let configuration = configure("metad-apart", directory, &uri)?;
        let space = PathBuf::from(format!("/proc/{}/ns/net", libvirt.pid()));
        let metad = Daemon::start_at(space, configuration, directory.join("metad.log"))?;
        let socket = first.join("libvirt-sock");
        Ok(Self {
            metad,
            libvirt,
            first: format!("qemu+unix:///system?socket={}", socket.display()),
        })
    }
}
