//! metad's own network namespace, the only place where the metadata address exists.
//!
//! It is kept under /run/netns as `ip netns` does, so that `ip netns exec NAME …` works on it.

mod mark;
pub mod queues;
pub mod veth;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Where named network namespaces live (ip-netns(8)).
pub const DIRECTORY: &str = "/run/netns";

/// Why the namespace cannot be made, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    #[error("cannot prepare {DIRECTORY}{}", not_here(.0))]
    Directory(#[source] io::Error),
    #[error("cannot create the network namespace {}{}", .0.display(), name_is_taken(.1).unwrap_or_else(|| not_here(.1)))]
    Create(PathBuf, #[source] io::Error),
    #[error("cannot open the network namespace {}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("cannot enter the network namespace {}", .0.display())]
    Enter(PathBuf, #[source] io::Error),
    #[error("cannot remove the network namespace {}", .0.display())]
    Remove(PathBuf, #[source] io::Error),
}

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    path: PathBuf,
    file: File,
}

impl Namespace {
    /// Makes the namespace called `name`.
    ///
    /// # Errors
    /// When one of this name is there already, or without `CAP_SYS_ADMIN`.
    pub fn create(name: &str) -> Result<Self, NetnsError> {
        prepare_directory().map_err(NetnsError::Directory)?;
        let path = Path::new(DIRECTORY).join(name);
        let failed = |error| NetnsError::Create(path.clone(), error);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        let bound = on_thread(|| bind_new(&path)).map_err(failed);
        if let Err(error) = bound {
            // The file alone is no namespace; the first error is the one to report.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Self::open(name)
    }

    /// Opens the namespace called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(name: &str) -> Result<Self, NetnsError> {
        let path = Path::new(DIRECTORY).join(name);
        let file = File::open(&path).map_err(|error| NetnsError::Open(path.clone(), error))?;
        Ok(Self { path, file })
    }

    /// Opens the namespace called `name` that an earlier daemon, or `metad up`, has left. `None`: there is none, or what
    /// has the name is no network namespace (an interrupted start leaves a file alone), or none that a metad made.
    ///
    /// # Errors
    /// It cannot be looked into, so that nobody knows whose it is.
    pub fn left(name: &str) -> Result<Option<Self>, NetnsError> {
        let namespace = match Self::open(name) {
            Ok(namespace) => namespace,
            Err(NetnsError::Open(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match namespace.run(mark::is_set) {
            Ok(is_set) => Ok(is_set.unwrap_or(false).then_some(namespace)),
            // What is no namespace is refused like this (setns(2)).
            Err(NetnsError::Enter(_, error)) if error.kind() == io::ErrorKind::InvalidInput => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets that it opens stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        let network = Some(LinkNameSpaceType::Network);
        on_thread(|| {
            move_into_link_name_space(self.file.as_fd(), network)?;
            Ok(work())
        })
        .map_err(|error| NetnsError::Enter(self.path.clone(), error))
    }

    /// The namespace's open file, for netlink requests that name it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Where the namespace called `name` is, or will be.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Removes the namespace called `name` and every interface in it. `false`: there was none, or none that a metad made.
///
/// # Errors
/// When it is there and stays.
pub fn remove(name: &str) -> Result<bool, NetnsError> {
    let path = Path::new(DIRECTORY).join(name);
    if !is_debris(&path) && Namespace::left(name)?.is_none() {
        return Ok(false);
    }
    match unmount(&path, UnmountFlags::DETACH) {
        // A file that nothing is mounted on is what an interrupted start leaves behind.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        // A daemon that ends and `metad down` may be at it together.
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(NetnsError::Remove(path, errno.into())),
    }
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(NetnsError::Remove(path, error)),
    }
}

/// Whether it is what an interrupted start leaves: a file that nothing is mounted on, and that holds nothing.
fn is_debris(path: &Path) -> bool {
    // A namespace's file is of another file system.
    let on = fs::symlink_metadata(DIRECTORY).map(|directory| directory.dev());
    let found = fs::symlink_metadata(path);
    found.is_ok_and(|file| {
        file.is_file() && file.len() == 0 && on.is_ok_and(|device| device == file.dev())
    })
}

/// The remedy where something that is not ours has the name.
fn name_is_taken(error: &io::Error) -> Option<&'static str> {
    (error.kind() == io::ErrorKind::AlreadyExists).then_some(NAME_IS_TAKEN)
}

/// The remedy where a daemon is confined.
fn not_here(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        "\nhelp: `metad up` makes the namespace for a metad with a file system of its own; under systemd, `systemctl restart metad-host` does, and starts metad anew"
    } else {
        ""
    }
}

/// Advice for whoever finds something foreign under our name.
const NAME_IS_TAKEN: &str =
    "\nhelp: it is not metad's, so it stays; choose another `name` in the configuration";

/// Makes /run/netns a shared mount, so that a namespace which is removed here disappears everywhere (as ip-netns(8)
/// does it).
fn prepare_directory() -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(DIRECTORY, shared) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL) => {
            mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            Ok(mount_change(DIRECTORY, shared)?)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn bind_new(path: &Path) -> io::Result<()> {
    // SAFETY: leaves the thread's file descriptors and memory shared as they were; only the network namespace of this
    // short-lived thread changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    mark::set()?;
    Ok(mount_bind("/proc/thread-self/ns/net", path)?)
}

/// Runs `work` on a thread that ends with it, so that no other work ever sees its namespace.
fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside it ended early")))
    })
}
