//! The way into a kept demo. Inside its namespaces the host cannot know its own process id outside; the process outside
//! finds it and writes it into a file that both see.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use metad_tests::virt::until;
use tempfile::TempDir;

/// The environment variable that names the file.
pub(super) const FILE: &str = "METAD_DEMO_DOOR";

/// The outside of it: watches for the sandbox's first process until it is found or this is dropped.
#[derive(Debug)]
pub(super) struct Door {
    directory: TempDir,
    closed: Arc<AtomicBool>,
}

impl Door {
    /// Starts watching.
    pub(super) fn open() -> Result<Self> {
        let directory = TempDir::with_prefix("metad-demo-").context("cannot make a directory")?;
        let closed = Arc::new(AtomicBool::new(false));
        let (watch, file) = (Arc::clone(&closed), directory.path().join("pid"));
        let own = std::process::id();
        thread::spawn(move || {
            // This process starts the usher, the usher the sandbox's first process.
            while !watch.load(Ordering::Relaxed) {
                let first = child_of(own).and_then(child_of);
                if let Some(pid) = first.filter(|pid| in_a_sandbox(*pid)) {
                    let new = file.with_extension("new");
                    // Whoever waits for the file says so when it does not come.
                    let _ = fs::write(&new, pid.to_string()).and_then(|()| fs::rename(&new, &file));
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Ok(Self { directory, closed })
    }

    /// The file that will hold the process id.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Inside: the command line that enters this host from outside.
pub(super) fn enter() -> Result<String> {
    let file = std::env::var_os(FILE)
        .map(PathBuf::from)
        .context("nobody watches for this process outside")?;
    let pid = until(Duration::from_secs(20), "this process's id outside", || {
        Ok(fs::read_to_string(&file).ok())
    })?;
    Ok(format!(
        "sudo nsenter --target {} --net --mount --pid --uts --ipc",
        pid.trim()
    ))
}

/// The first process whose parent is `parent`.
fn child_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| parent_in(&status(*pid)) == Some(parent))
}

fn status(pid: u32) -> String {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default()
}

fn parent_in(status: &str) -> Option<u32> {
    field(status, "PPid:")?.parse().ok()
}

/// Whether a process has an id of its own in a namespace below this one.
fn in_a_sandbox(pid: u32) -> bool {
    field(&status(pid), "NSpid:").is_some_and(|ids| ids.split_whitespace().last() == Some("1"))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_by_its_parent() {
        let status = "Name:\tsh\nPid:\t7\nPPid:\t41\nNSpid:\t7\t1\n";
        assert_eq!(parent_in(status), Some(41));
        assert_eq!(parent_in(""), None);
        assert_eq!(field(status, "NSpid:"), Some("7\t1"));
        assert!(
            !in_a_sandbox(std::process::id()),
            "this test runs in no namespace of its own"
        );
    }
}
