//! An SSH key made for one run, and commands through it. Guests get the key as metadata: that they let it in proves it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::wait::until;
use crate::image::run;

/// A key pair in a directory.
#[derive(Debug, Clone)]
pub struct Key {
    private: PathBuf,
    /// The line for `authorized_keys`.
    pub public: String,
}

impl Key {
    /// Makes a new key pair; `comment` ends the public key's line.
    pub fn make(directory: &Path, comment: &str) -> Result<Self> {
        let private = directory.join(format!("{comment}.key"));
        let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"];
        let mut arguments: Vec<&std::ffi::OsStr> =
            arguments.iter().map(|word| (*word).as_ref()).collect();
        arguments.push(private.as_os_str());
        run("ssh-keygen", arguments)?;
        let file = private.with_extension("key.pub");
        let public = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            private,
            public: public.trim().to_owned(),
        })
    }

    /// The file of the private key.
    pub fn file(&self) -> &Path {
        &self.private
    }

    /// Runs a command in a guest and returns its standard output; once, without patience.
    pub fn run(&self, user: &str, address: IpAddr, command: &str) -> Result<String> {
        let private = self.private.to_string_lossy();
        let target = format!("{user}@{address}");
        let options = [
            "-i",
            &private,
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "IdentitiesOnly=yes",
            // The guest is minutes old; there is nothing to compare its host key with.
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            &target,
            command,
        ];
        run("ssh", options)
    }

    /// Like [`Key::run`], but keeps trying while the guest does not let the key in.
    pub fn run_soon(
        &self,
        user: &str,
        address: IpAddr,
        command: &str,
        patience: Duration,
    ) -> Result<String> {
        let mut last = None;
        let done = until(patience, "a guest's SSH server", || {
            match self.run(user, address, command) {
                Ok(output) => Ok(Some(output)),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            }
        });
        done.map_err(|late| match last {
            Some(error) => error.context(late),
            None => late,
        })
    }
}
