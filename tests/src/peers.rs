//! What people would use instead of metad, on the lab's host: nginx, haproxy, and the method of metad's predecessors.
//!
//! In come answers as metad gave them, out come servers that give the same octets. Each is other people's program (but for
//! `predecessor`, which is marked as ours), set up as a good administrator has it, started by this process and ended by
//! its process id.

mod haproxy;
mod nginx;
mod predecessor;

use std::fs::{self, File};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

pub use self::haproxy::haproxy;
pub use self::nginx::{At, nginx};
pub use self::predecessor::{DOMAINS, predecessor};
use crate::lab::{Namespace, Reply, until};

const STARTS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(30);
/// What the kernel counts processor time in, of times(2) and proc(5).
const TICKS_PER_SECOND: u32 = 100;

/// One answer: a path, and what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub path: String,
    pub content_type: String,
    /// The others, but for those that every server writes itself.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Page {
    /// What was answered to a GET of this path.
    pub fn of(path: &str, reply: &Reply) -> Self {
        const OWN: [&str; 5] = [
            "content-type",
            "content-length",
            "date",
            "server",
            "connection",
        ];
        let content_type = reply.header("content-type").unwrap_or("text/plain");
        let others = reply.headers.iter();
        let others = others.filter(|(name, _)| !OWN.contains(&name.as_str()));
        Self {
            path: path.to_owned(),
            content_type: content_type.to_owned(),
            headers: others.cloned().collect(),
            body: reply.body.clone(),
        }
    }
}

/// A running server; dropped, it is ended.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program in a namespace and waits until it takes connections.
    fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
        is_ready: impl Fn() -> bool,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let file = File::create(&log).context("cannot make a log")?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self { name, child, log };
        let ready = until(&format!("{name} that takes connections"), STARTS, || {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Some(Err(status));
            }
            is_ready().then_some(Ok(()))
        });
        match ready {
            Ok(Ok(())) => Ok(server),
            Ok(Err(status)) => bail!("{name} ended ({status}): {}", server.words()),
            Err(error) => Err(error).with_context(|| server.words()),
        }
    }

    /// Processor time that it and its workers have used until now.
    ///
    /// # Errors
    /// It is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time(self.child.id())
    }

    fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself, and is reaped below then.
            let _asked = kill_process(pid, Signal::TERM);
        }
        let ended = until(self.name, ENDS, || self.child.try_wait().ok()?);
        if ended.is_err() {
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Sends what is for the metadata address to a server of the host, as administrators do.
///
/// # Errors
/// There is no `nft`, or the kernel refuses.
pub fn dnat(host: &Namespace, to: SocketAddrV4) -> Result<()> {
    let rule = format!(
        "add table ip metadata; \
         add chain ip metadata prerouting {{ type nat hook prerouting priority dstnat; }}; \
         add rule ip metadata prerouting ip daddr 169.254.169.254 tcp dport 80 dnat to {to}"
    );
    let output = host
        .command("nft")
        .arg(rule)
        .output()
        .context("cannot start nft")?;
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Processor time that a process and its children have used until now, to the hundredth of a second.
///
/// # Errors
/// It is gone.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let whole = fs::read_to_string(format!("/proc/{pid}/stat")).context("a process is gone")?;
    let mut ticks = stat(&whole).context("a process without times")?.ticks;
    for entry in fs::read_dir("/proc").context("no /proc")?.flatten() {
        // Whoever ends meanwhile is none of ours.
        let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        ticks += stat(&text)
            .filter(|it| it.parent == pid)
            .map_or(0, |it| it.ticks);
    }
    Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// Reads proc_pid_stat(5), whose second field may hold anything.
fn stat(text: &str) -> Option<Stat> {
    let (_name, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_a_process_is_called() {
        for (case, text, expected) in [
            (
                "plain",
                "7 (nginx) S 3 7 7 0 -1 4194304 5 0 0 0 21 34 0 0 20 0 1 0 99",
                Some((3, 55)),
            ),
            (
                "a name with a bracket",
                "7 (a) S 9 (b) R 3 7 7 0 -1 4194304 5 0 0 0 1 2 0 0",
                Some((3, 3)),
            ),
            ("cut short", "7 (nginx) S 3 7 7", None),
            ("nothing", "", None),
        ] {
            let read = stat(text).map(|it| (it.parent, it.ticks));
            assert_eq!(read, expected, "{case}");
        }
        assert!(processor_time(std::process::id()).is_ok());
    }
}
