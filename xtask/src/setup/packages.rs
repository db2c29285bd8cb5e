//! What each task needs from the system: a file or a program that shows it is there, and the Debian package it is in.

use std::fs;
use std::path::Path;

use super::Purpose;
use crate::shell;

/// A thing that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Package {
    /// Debian's name for what brings it.
    pub(super) name: &'static str,
    proof: Proof,
}

/// How a thing shows that it is there, on any distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Program(&'static str),
    File(&'static str),
    /// A path below one of the library directories, which Debian names after the architecture.
    Library(&'static str),
    /// What Python can import.
    Module(&'static str),
}

const fn program(name: &'static str, program: &'static str) -> Package {
    let proof = Proof::Program(program);
    Package { name, proof }
}

const fn file(name: &'static str, path: &'static str) -> Package {
    let proof = Proof::File(path);
    Package { name, proof }
}

/// A compiler newer than the workspace's oldest, and the sources of `core` that belong to it.
pub(super) const COMPILER: &[Package] = &[
    program("rustc-web", "rustc"),
    file(
        "rust-web-src",
        "/usr/lib/rustlib/src/rust/library/core/src/lib.rs",
    ),
];

/// A Python may be there that cannot make virtual environments.
const VENV: Package = Package {
    name: "python3-venv",
    proof: Proof::Module("ensurepip"),
};

/// What bpf-linker is built from.
pub(super) const LLVM: &[Package] = &[file("llvm-22-dev", "/usr/lib/llvm-22/bin/llvm-config")];

const BUILD: &[Package] = &[
    file("libvirt-dev", "/usr/include/libvirt/libvirt.h"),
    program("pkg-config", "pkg-config"),
];

const NET: &[Package] = &[
    program("iproute2", "ip"),
    program("util-linux", "nsenter"),
    program("nftables", "nft"),
    program("debconf", "debconf-set-selections"),
    program("python3", "python3"),
    VENV,
    program("curl", "curl"),
    program("openssl", "openssl"),
    // What the benches have beside metad.
    program("nginx", "nginx"),
    program("haproxy", "haproxy"),
    // Debian's own Python has it, whatever else is called `python3` here.
    file(
        "python3-jwcrypto",
        "/usr/lib/python3/dist-packages/jwcrypto/jwt.py",
    ),
];

/// qemu-utils first: a machine may have a newer one than bookworm's QEMU can stand beside.
pub(super) const GUEST: &[Package] = &[
    program("qemu-utils", "qemu-img"),
    program("qemu-system-x86", "qemu-system-x86_64"),
    program("libvirt-daemon", "libvirtd"),
    Package {
        name: "libvirt-daemon-driver-qemu",
        proof: Proof::Library("libvirt/connection-driver/libvirt_driver_qemu.so"),
    },
    file(
        "libvirt-daemon-config-network",
        "/usr/share/libvirt/networks/default.xml",
    ),
    program("libvirt-clients", "virsh"),
    program("dnsmasq-base", "dnsmasq"),
    program("iptables", "iptables"),
    program("mmdebstrap", "mmdebstrap"),
    program("busybox-static", "busybox"),
    program("e2fsprogs", "mke2fs"),
    program("kmod", "depmod"),
    program("binutils", "strip"),
    program("openssh-client", "ssh"),
];

/// Other people's clients, and what those are installed with that Debian has not.
const CLIENTS: &[Package] = &[
    program("cloud-guest-utils", "ec2metadata"),
    program("facter", "facter"),
    program("python3", "python3"),
    VENV,
    program("nodejs", "node"),
    program("npm", "npm"),
];

/// libFuzzer is C++.
const FUZZ: &[Package] = &[program("g++", "c++")];

/// Lists what the purpose needs and this machine lacks, in the order of installation.
pub(super) fn missing(purpose: Purpose) -> Vec<&'static Package> {
    let groups: &[&'static [Package]] = match purpose {
        Purpose::Build | Purpose::Ci => &[BUILD],
        Purpose::Fuzz => &[BUILD, FUZZ],
        Purpose::Net => &[BUILD, NET],
        Purpose::Clients => &[BUILD, NET, CLIENTS],
        Purpose::Test | Purpose::Demo => &[BUILD, NET, GUEST],
    };
    groups
        .iter()
        .flat_map(|group| group.iter())
        .filter(|package| !package.is_there())
        .collect()
}

impl Package {
    pub(super) fn is_there(&self) -> bool {
        match self.proof {
            Proof::Program(name) => shell::find(name).is_some(),
            Proof::File(path) => Path::new(path).exists(),
            Proof::Module(name) => {
                let import = format!("import {name}");
                shell::succeeds(std::process::Command::new("python3").args(["-c", &import]))
            }
            Proof::Library(path) => library_directories().any(|it| it.join(path).exists()),
        }
    }
}

/// `/usr/lib`, `/usr/lib64`, and what is below the first.
fn library_directories() -> impl Iterator<Item = std::path::PathBuf> {
    let below = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    ["/usr/lib", "/usr/lib64"]
        .map(std::path::PathBuf::from)
        .into_iter()
        .chain(below.map(|entry| entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_that_is_not_there_is_missing() {
        for (case, package, expected) in [
            ("a program", program("p", "sh"), true),
            ("no program", program("p", "no-such-program"), false),
            ("a file", file("p", "/proc/self/exe"), true),
            ("no file", file("p", "/proc/self/no-such-file"), false),
        ] {
            assert_eq!(package.is_there(), expected, "{case}");
        }
    }
}
