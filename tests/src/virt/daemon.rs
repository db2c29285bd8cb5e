//! libvirtd, started and stopped; `virsh` to talk to it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::domain::Description;
use super::guest::Guest;
use super::network::Network;
use super::wait::until;
use crate::image::run;
use crate::sandbox;

/// Where this host's libvirtd answers.
pub const URI: &str = "qemu:///system";

/// No separate users, no logging daemon, no security driver and no control groups: the sandbox is the fence.
const QEMU_CONF: &str = "\
user = \"root\"
group = \"root\"
dynamic_ownership = 0
remember_owner = 0
security_driver = \"none\"
stdio_handler = \"file\"
namespaces = []
cgroup_controllers = []
";

const LIBVIRTD_CONF: &str = "\
unix_sock_rw_perms = \"0700\"
auth_unix_ro = \"none\"
auth_unix_rw = \"none\"
log_outputs = \"3:stderr\"
";

/// A cold start takes 5 to 8 s on two cores: it probes every emulator.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A running libvirtd with its networks. Guests and networks outlive it, but not the sandbox.
#[derive(Debug)]
pub struct Libvirt {
    daemon: Child,
    directory: PathBuf,
    /// What starts it.
    command: Vec<String>,
    uri: String,
}

impl Libvirt {
    /// Starts libvirtd in this process's namespaces and makes the networks; guests' files go below `directory`.
    ///
    /// # Errors
    /// Outside a sandbox, or when a package is missing.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::start_as(&["libvirtd"], Path::new("/etc/libvirt"), "", URI, directory)
    }

    /// The same by another command, which finds its configuration in `etc`, `more` of it included, and its sockets in
    /// `run`.
    ///
    /// # Errors
    /// As [`Libvirt::start`].
    pub(super) fn start_by(
        command: &[&str],
        etc: &Path,
        more: &str,
        run: &Path,
        directory: &Path,
    ) -> Result<Self> {
        let socket = run.join("libvirt-sock");
        let uri = format!("qemu+unix:///system?socket={}", socket.display());
        Self::start_as(command, etc, more, &uri, directory)
    }

    fn start_as(
        command: &[&str],
        etc: &Path,
        more: &str,
        uri: &str,
        directory: &Path,
    ) -> Result<Self> {
        sandbox::demand()?;
        fs::create_dir_all(directory)?;
        fs::create_dir_all(etc)?;
        fs::write(etc.join("qemu.conf"), QEMU_CONF)?;
        fs::write(etc.join("libvirtd.conf"), format!("{LIBVIRTD_CONF}{more}"))?;
        know_account(directory)?;
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let mut libvirt = Self {
            daemon: launch(&command, directory)?,
            directory: directory.to_owned(),
            command,
            uri: uri.to_owned(),
        };
        libvirt.wait_ready()?;
        for network in Network::ALL {
            let file = directory.join(format!("{}.network.xml", network.name()));
            fs::write(&file, network.xml())?;
            libvirt.virsh(["net-define", &file.to_string_lossy()])?;
            libvirt.virsh(["net-start", network.name()])?;
        }
        Ok(libvirt)
    }

    /// Where it answers.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// Runs one `virsh` command and returns its output.
    pub fn virsh<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let first = ["--quiet", "--connect", &self.uri].map(str::to_owned);
        let words = words.into_iter().map(str::to_owned);
        run("virsh", first.into_iter().chain(words))
    }

    /// Starts libvirtd again after [`Libvirt::stop`], with the networks and guests of before.
    pub fn start_again(&mut self) -> Result<()> {
        self.daemon = launch(&self.command, &self.directory)?;
        self.wait_ready()
    }

    /// Ends libvirtd; networks and guests stay.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills libvirtd as the out-of-memory killer does; networks and guests stay.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.daemon.try_wait(), Ok(None))
    }

    /// Has it hang while `act` runs: it takes connections and answers nothing.
    ///
    /// # Errors
    /// It does not run, or `act` fails.
    pub fn hung_while<T>(&mut self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        ensure!(self.runs(), "libvirtd does not run");
        self.signal(Signal::STOP)?;
        let done = act();
        self.signal(Signal::CONT)?;
        done
    }

    fn end(&mut self, signal: Signal) {
        // One that has ended has given its process id back.
        if self.runs() {
            let _ = self.signal(signal);
            let _ = self.daemon.wait();
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.daemon.id()).ok();
        let pid = pid.and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).context("cannot signal libvirtd")
    }

    /// Defines a guest and starts it.
    pub fn boot(&self, description: &Description) -> Result<Guest> {
        Guest::boot(self, &self.directory, description)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let log = self.directory.join(LOG);
        let (daemon, uri) = (&mut self.daemon, self.uri.as_str());
        until(START_PATIENCE, "libvirtd to answer", || {
            if let Some(status) = daemon.try_wait()? {
                bail!(
                    "libvirtd ended ({status}): {}",
                    fs::read_to_string(&log).unwrap_or_default().trim()
                );
            }
            Ok(run("virsh", ["--quiet", "--connect", uri, "uri"]).ok())
        })?;
        Ok(())
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        self.stop();
    }
}

const LOG: &str = "libvirtd.log";

/// libvirtd refuses to start without the account that Debian's libvirt-daemon-system makes, even if it is not to be
/// used. Adds it in this sandbox's view of the account files alone.
fn know_account(directory: &Path) -> Result<()> {
    for (file, line) in [
        (
            "/etc/passwd",
            "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin\n",
        ),
        ("/etc/group", "libvirt-qemu:x:64055:\n"),
    ] {
        let mut text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        if text.lines().any(|known| known.starts_with("libvirt-qemu:")) {
            continue;
        }
        text.push_str(line);
        let own = directory.join(file.trim_start_matches('/').replace('/', "-"));
        fs::write(&own, text)?;
        rustix::mount::mount_bind(&own, file)
            .with_context(|| format!("cannot lay {} over {file}", own.display()))?;
    }
    Ok(())
}

fn launch(command: &[String], directory: &Path) -> Result<Child> {
    let log = directory.join(LOG);
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let (program, words) = command.split_first().context("an empty command")?;
    Command::new(program)
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start `libvirtd`\n  help: `cargo xtask setup` installs what is missing")
}
