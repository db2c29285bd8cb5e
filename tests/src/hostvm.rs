//! A KVM host as a machine of its own, booted under QEMU with systemd as its first process, and a root's conversation
//! with it over its second serial port. For what this machine cannot show: a service manager, other kernels.

mod conversation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use conversation::Conversation;
pub use conversation::Said;

use crate::image::{self, HostImage};
use crate::sandbox;
use crate::virt::until;

/// systemd without KVM is up in half a minute; a busy machine takes its time.
const BOOT: Duration = Duration::from_secs(400);
/// How much of the console tells why a host did not come up.
const LAST_LINES: usize = 20;
/// MiB; the daemon, libvirtd and a few clients.
const MEMORY: &str = "1024";

const ARGUMENTS: [&str; 13] = [
    "-no-user-config",
    "-nodefaults",
    "-no-reboot",
    "-machine",
    "pc",
    "-accel",
    "tcg,thread=multi,tb-size=256",
    "-smp",
    "2",
    "-display",
    "none",
    "-nic",
    "none",
];

/// A busy machine gives an emulated timer no time to show itself. A panic ends the machine, and so the wait for it.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 root=/dev/vda rw no_timer_check panic=-1 mitigations=off cryptomgr.notests quiet random.trust_cpu=on systemd.show_status=no";

/// A running host. Dropped, it is switched off, and nothing of it is kept.
#[derive(Debug)]
pub struct HostVm {
    machine: Machine,
    conversation: Conversation,
    console: PathBuf,
}

impl HostVm {
    /// Boots a host and waits until its shell answers. What is in the directory `payload` is in `/payload` of the host,
    /// read-only; the host's own files go below `directory`.
    ///
    /// # Errors
    /// Outside a sandbox, without QEMU, or when it does not come up; the end of its console is in the error then.
    pub fn boot(image: &HostImage, payload: &Path, directory: &Path) -> Result<Self> {
        sandbox::demand()?;
        fs::create_dir_all(directory)?;
        let brought = directory.join("payload.raw");
        image::ext4(payload, &brought, PAYLOAD_SIZE)?;
        let socket = directory.join("shell.sock");
        let console = directory.join("console.log");
        let mut machine = Machine(start(image, &brought, &console, &socket, directory)?);
        let conversation = until(BOOT, "QEMU to open the serial port", || {
            machine.ensure_runs(directory)?;
            Ok(Conversation::open(&socket).ok())
        })?;
        let mut host = Self {
            machine,
            conversation,
            console,
        };
        host.wait_up(directory)?;
        Ok(host)
    }

    fn wait_up(&mut self, directory: &Path) -> Result<()> {
        let (machine, conversation) = (&mut self.machine, &mut self.conversation);
        let up = until(BOOT, "the host's shell to answer", || {
            machine.ensure_runs(directory)?;
            Ok(conversation.is_heard()?.then_some(()))
        });
        up.with_context(|| format!("the end of its console:\n{}", self.console()))
    }

    /// Runs a script in the host's bash, as root; whatever it prints and its exit status come back.
    ///
    /// # Errors
    /// The host does not answer in ten minutes.
    pub fn run(&mut self, script: &str) -> Result<Said> {
        self.conversation
            .run(script)
            .with_context(|| format!("the end of its console:\n{}", self.console()))
    }

    /// Runs a script that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// It ends with another status than 0; what it printed is in the error.
    pub fn must(&mut self, script: &str) -> Result<String> {
        let said = self.run(script)?;
        ensure!(
            said.status == 0,
            "on the host, this ended with {}:\n{script}\nIt printed:\n{}",
            said.status,
            said.text
        );
        Ok(said.text)
    }

    /// Runs a script again and again until it succeeds, and returns what it printed then.
    ///
    /// # Errors
    /// It has not within `patience`; what it printed last is in the error.
    pub fn wait(&mut self, patience: Duration, what: &str, script: &str) -> Result<String> {
        let mut last = String::new();
        let found = until(patience, what, || {
            let said = self.run(script)?;
            last.clone_from(&said.text);
            Ok((said.status == 0).then_some(said.text))
        });
        found.with_context(|| format!("the last look printed:\n{last}"))
    }

    /// The last lines of its console.
    pub fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(LAST_LINES);
        lines.get(last..).unwrap_or_default().join("\n")
    }
}

/// What tests bring is a program and some text.
const PAYLOAD_SIZE: &str = "300M";
const LOG: &str = "qemu.log";

/// The emulator; ends when it is dropped.
#[derive(Debug)]
struct Machine(Child);

impl Machine {
    fn ensure_runs(&mut self, directory: &Path) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            let why = fs::read_to_string(directory.join(LOG)).unwrap_or_default();
            bail!("QEMU ended ({status}): {}", why.trim());
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(
    image: &HostImage,
    payload: &Path,
    console: &Path,
    socket: &Path,
    directory: &Path,
) -> Result<Child> {
    // Without PR_SET_PDEATHSIG: that is for the thread that starts it, and a test's ends with the test. The sandbox ends it.
    Command::new("qemu-system-x86_64")
        .args(ARGUMENTS)
        .args(["-m", MEMORY, "-append", KERNEL_ARGUMENTS, "-kernel"])
        .arg(&image.kernel.vmlinuz)
        .arg("-initrd")
        .arg(&image.kernel.initrd)
        .args(["-drive", &drive(&image.disk, "qcow2", "snapshot=on")])
        .args([
            "-drive",
            &drive(&image.kernel.modules, "raw", "readonly=on"),
        ])
        .args(["-drive", &drive(payload, "raw", "readonly=on")])
        .args(["-serial", &format!("file:{}", console.display())])
        .args([
            "-serial",
            &format!("unix:{},server=on,wait=off", socket.display()),
        ])
        // What the host writes to its disk is gone with it, and lies here meanwhile.
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(directory.join(LOG))?)
        .spawn()
        .context("cannot start QEMU\n  help: `cargo xtask setup` installs what is missing")
}

fn drive(file: &Path, format: &str, how: &str) -> String {
    // A comma in a value is written twice.
    let file = file.to_string_lossy().replace(',', ",,");
    format!("file={file},format={format},if=virtio,cache=unsafe,{how}")
}
