//! The method of metad's predecessors, in our own words (`tests/src/bin/predecessor.rs`): for each request the ARP table,
//! then every domain's XML until the address is found. libvirt's `test:` driver is in the same process, so that asking it
//! costs less than it did them.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Page, Server};
use crate::frames::{Mac, mac_text};
use crate::lab::Namespace;

/// Domains on the host; the one that asks stands in the middle.
pub const DOMAINS: usize = 30;
const MOMENT: Duration = Duration::from_secs(1);

/// Starts it on the host, where the guest with this MAC is one domain among [`DOMAINS`].
///
/// # Errors
/// It is not built, there is no libvirt, or it does not start; its words are in the error.
pub fn predecessor(
    host: &Namespace,
    directory: &Path,
    at: SocketAddrV4,
    guest: Mac,
    pages: &[Page],
) -> Result<Server> {
    let node = directory.join("node.xml");
    fs::write(&node, domains(guest)).context("cannot write the domains")?;
    let mut command = host.command(&binary()?.to_string_lossy());
    command.arg(at.to_string()).arg(&node);
    for (number, page) in pages.iter().enumerate() {
        let file = directory.join(format!("answer-{number}"));
        fs::write(&file, answer(page)).context("cannot write an answer")?;
        command.arg(format!("{}={}", page.path, file.display()));
    }
    Server::start("predecessor", command, directory, || {
        matches!(host.connect(*at.ip(), at.port(), MOMENT), Ok(Ok(_)))
    })
}

/// What follows the status and `Connection`.
fn answer(page: &Page) -> Vec<u8> {
    let mut head = format!(
        "Content-Type: {}\r\nContent-Length: {}\r\nServer: ported\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
        page.content_type,
        page.body.len()
    );
    for (name, value) in &page.headers {
        let _infallible = write!(head, "{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", &page.body].concat()
}

fn domains(guest: Mac) -> String {
    let mut text = "<node>\n".to_owned();
    for number in 0..DOMAINS {
        let mac = if number == DOMAINS / 2 {
            mac_text(guest)
        } else {
            mac_text([
                0x52,
                0x54,
                0,
                0xff,
                0,
                u8::try_from(number).unwrap_or(u8::MAX),
            ])
        };
        let _infallible = writeln!(
            text,
            "<domain type='test'><name>vm{number}</name><uuid>00000000-0000-4000-8000-{number:012}</uuid>\
             <memory unit='MiB'>1024</memory><vcpu>2</vcpu>\
             <os><type arch='x86_64'>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>\
             <devices>\
             <disk type='file' device='disk'><source file='/var/lib/libvirt/images/vm{number}.qcow2'/><target dev='vda' bus='virtio'/></disk>\
             <interface type='bridge'><mac address='{mac}'/><source bridge='br0'/><model type='virtio'/></interface>\
             <serial type='pty'/><console type='pty'/><graphics type='vnc' port='-1'/>\
             </devices></domain>"
        );
    }
    text + "</node>\n"
}

/// The one that `cargo xtask bench` has built, or the one beside this test.
fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("METAD_PREDECESSOR") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("cannot find this executable")?;
    own.ancestors()
        .map(|directory| directory.join("predecessor"))
        .find(|file| file.is_file())
        .context("there is no predecessor beside this test: run `cargo build -p metad-tests --bin predecessor`")
}
