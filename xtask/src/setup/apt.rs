//! Installs Debian packages without letting their daemons start.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::packages::Package;
use crate::shell::{self, say};

/// Debian asks this file whether a freshly installed daemon may start.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What is about to be installed, in words.
pub(super) fn describe(packages: &[&Package]) -> String {
    let names: Vec<&str> = packages.iter().map(|package| package.name).collect();
    format!("installing {}", names.join(" "))
}

/// Installs the packages, in order.
///
/// # Errors
/// This is no Debian, root is out of reach, or apt fails; each names what to do by hand.
pub(super) fn install(packages: &[&Package]) -> Result<()> {
    let words = install_words(packages, &codename());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ensure!(
        shell::find("apt-get").is_some(),
        "this is no Debian: give it what Debian's {} hold, with its own tools, then run the task again",
        describe(packages).trim_start_matches("installing ")
    );
    let _policy = Policy::deny()?;
    // A third party's source that fails is none of our business, as long as the packages are found.
    if let Err(error) = shell::run(&mut quiet(&["apt-get", "update", "-q"])?) {
        say(&format!("setup: {error:#}; going on with what apt knows"));
    }
    shell::run(&mut quiet(&words)?)
}

fn install_words(packages: &[&Package], codename: &str) -> Vec<String> {
    let mut words: Vec<String> = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-qq",
        "-y",
        "--no-install-recommends",
        "--allow-downgrades",
    ]
    .map(str::to_owned)
    .into();
    // A backported qemu-utils stands in the way of bookworm's QEMU.
    let pin = codename == "bookworm" && packages.iter().any(|it| it.name == "qemu-system-x86");
    if pin {
        words.push("qemu-utils/bookworm".to_owned());
    }
    let names = packages.iter().map(|package| package.name);
    words.extend(
        names
            .filter(|name| !(pin && *name == "qemu-utils"))
            .map(str::to_owned),
    );
    words
}

fn codename() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

/// apt's progress goes nowhere, its errors to the person.
fn quiet(words: &[&str]) -> Result<Command> {
    let mut command = shell::as_root(words)?;
    command.stdout(std::process::Stdio::null());
    Ok(command)
}

/// Forbids every daemon to start, until dropped. A policy that the machine already has stays as it is.
struct Policy {
    ours: bool,
}

impl Policy {
    fn deny() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        shell::run(&mut shell::as_root(&["sh", "-c", &script])?)
            .context("cannot keep the installed daemons from starting")?;
        Ok(Self { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if !self.ours {
            return;
        }
        let removed =
            shell::as_root(&["rm", "-f", POLICY]).and_then(|mut command| shell::run(&mut command));
        if let Err(error) = removed {
            say(&format!("setup: {POLICY} is left behind: {error:#}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packages;
    use super::*;

    #[test]
    fn qemu_utils_is_pinned_beside_bookworms_qemu_alone() {
        let guest = packages::GUEST;
        let qemu: Vec<&Package> = guest.iter().take(2).collect();
        let other: Vec<&Package> = guest.iter().take(1).collect();
        for (case, packages, codename, expected) in [
            (
                "bookworm",
                &qemu,
                "bookworm",
                "qemu-utils/bookworm qemu-system-x86",
            ),
            ("trixie", &qemu, "trixie", "qemu-utils qemu-system-x86"),
            ("no QEMU asked for", &other, "bookworm", "qemu-utils"),
        ] {
            let words = install_words(packages, codename).join(" ");
            assert!(
                words.ends_with(&format!("--allow-downgrades {expected}")),
                "{case}: {words}"
            );
        }
    }
}
