//! One daemon per name. Whoever holds the lock in the run directory may touch what is called by the name: links, maps,
//! the namespace, the socket. The lock dies with its holder, so a crash leaves nothing to clean by hand.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::Uid;
use tokio::net::UnixListener;

use crate::config::{LAYOUT, LEDGER, SOCKET, TOKEN_KEY};

/// What a daemon of this name holds, with its process id.
pub(super) const LOCK: &str = "lock";
/// Where the next daemon asks to take over.
const SUCCESSOR: &str = "successor.sock";
/// A socket before it gets its name.
const FRESH_SOCKET: &str = ".fresh.sock";
/// What is of one life of what the name names: nothing of it is left where a daemon leaves cleanly. The lock is the
/// last: it says that there may be more.
const PASSING: [&str; 6] = [SOCKET, SUCCESSOR, FRESH_SOCKET, LEDGER, LAYOUT, LOCK];

/// The right to act under a name, held until it is dropped.
#[derive(Debug)]
pub struct Claim {
    run_dir: PathBuf,
    /// `None`: let go of.
    lock: Option<File>,
    /// Whether it ends with this process; otherwise another one has it too.
    settled: bool,
}

/// A name that cannot be had, or a socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a metad with its run directory at {} is running already{}\nhelp: `metad status` shows it, `metad down` stops it, and `metad serve --take-over` takes its place with no request lost (`systemctl restart` where systemd runs it)", run_dir.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Taken { run_dir: PathBuf, pid: Option<u32> },
    #[error("cannot {what} {}{}", path.display(), for_root(source))]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use {}: {problem}\nhelp: choose another name for this metad", path.display())]
    Foreign {
        path: PathBuf,
        problem: &'static str,
    },
}

fn for_root(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        "\nhelp: try again as root, with sudo"
    } else {
        ""
    }
}

impl Claim {
    /// Creates the run directory where it is missing, and takes its lock; never waits.
    pub fn take(run_dir: &Path) -> Result<Self, Error> {
        private_directory(run_dir)?;
        let path = run_dir.join(LOCK);
        loop {
            let mut lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed("open", &path))?;
            if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                return Err(if error == rustix::io::Errno::WOULDBLOCK {
                    Error::Taken {
                        run_dir: run_dir.to_owned(),
                        pid: pid_in(&mut lock),
                    }
                } else {
                    failed("lock", &path)(error.into())
                });
            }
            // The holder before us may have removed the file after we opened it: then our lock locks nobody out.
            if same_file(&lock, &path) {
                lock.set_len(0).map_err(failed("write", &path))?;
                writeln!(lock, "{}", std::process::id()).map_err(failed("write", &path))?;
                return Ok(Self {
                    run_dir: run_dir.to_owned(),
                    lock: Some(lock),
                    settled: true,
                });
            }
            private_directory(run_dir)?;
        }
    }

    /// Takes part in the claim of another process, which gave us its `lock`. Nothing is removed with it until
    /// [`Claim::settle`].
    ///
    /// # Errors
    /// It is not the lock of this directory.
    pub fn share(run_dir: &Path, lock: OwnedFd) -> Result<Self, Error> {
        let lock = File::from(lock);
        let path = run_dir.join(LOCK);
        if !same_file(&lock, &path) {
            return Err(Error::Foreign {
                path,
                problem: "it is not the running metad's any more",
            });
        }
        Ok(Self {
            run_dir: run_dir.to_owned(),
            lock: Some(lock),
            settled: false,
        })
    }

    /// The other process has let go of the claim.
    ///
    /// # Errors
    /// The lock cannot be written.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.settled = true;
        let path = self.run_dir.join(LOCK);
        let failed = |error| failed("write", &path)(error);
        let Some(lock) = &mut self.lock else {
            return Ok(());
        };
        lock.rewind().map_err(failed)?;
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)
    }

    /// Whether it still is another process's, too.
    pub fn is_shared(&self) -> bool {
        !self.settled
    }

    /// Another process has taken over: nothing is removed any more, and this one no longer holds the lock with it.
    pub fn hand_over(&mut self) {
        self.settled = false;
        self.lock = None;
    }

    /// The lock, for another process to share.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub fn lock(&self) -> Result<OwnedFd, Error> {
        let lock = self.lock.as_ref().ok_or(io::ErrorKind::NotFound.into());
        lock.and_then(File::try_clone)
            .map(OwnedFd::from)
            .map_err(failed("share", &self.run_dir.join(LOCK)))
    }

    /// Whether a metad has claimed this directory and has not left cleanly.
    pub fn was_taken(run_dir: &Path) -> bool {
        std::fs::symlink_metadata(run_dir.join(LOCK)).is_ok_and(|found| found.is_file())
    }

    /// Whether anything of a metad's is in this directory.
    pub fn is_kept(run_dir: &Path) -> bool {
        [TOKEN_KEY]
            .into_iter()
            .chain(PASSING)
            .any(|name| std::fs::symlink_metadata(run_dir.join(name)).is_ok())
    }

    /// Removes what metad keeps in the run directory, then the directory; what others put there stays, and is an error.
    pub fn remove(self) -> Result<(), Error> {
        for name in [TOKEN_KEY].into_iter().chain(PASSING) {
            remove_if_there(&self.run_dir.join(name))?;
        }
        match std::fs::remove_dir(&self.run_dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &self.run_dir)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes what says that a metad has not left cleanly, and keeps the directory and the key of the guests' tokens.
    pub fn leave(self) -> Result<(), Error> {
        for name in PASSING {
            remove_if_there(&self.run_dir.join(name))?;
        }
        Ok(())
    }

    /// Removes what is of one daemon's life, and leaves the name taken: for whoever comes next, what has it is a metad's.
    ///
    /// # Errors
    /// Something of it cannot be removed.
    pub fn leave_taken(self) -> Result<(), Error> {
        for name in PASSING.into_iter().filter(|name| *name != LOCK) {
            remove_if_there(&self.run_dir.join(name))?;
        }
        Ok(())
    }

    /// Whether somebody has claimed the name anew, as can happen once the run directory is deleted behind our back.
    pub fn is_lost(&self) -> bool {
        let lock = self.run_dir.join(LOCK);
        let ours = self.lock.as_ref();
        lock.exists() && !ours.is_some_and(|ours| same_file(ours, &lock))
    }

    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Opens the admin socket. Must be called on a runtime; replaces what a dead daemon left behind.
    pub fn listen(&self) -> Result<UnixListener, Error> {
        self.listen_on(SOCKET)
    }

    /// Opens the socket of [`crate::takeover`], likewise.
    pub fn listen_for_successor(&self) -> Result<UnixListener, Error> {
        self.listen_on(SUCCESSOR)
    }

    fn listen_on(&self, name: &str) -> Result<UnixListener, Error> {
        let socket = self.run_dir.join(name);
        if let Ok(found) = std::fs::symlink_metadata(&socket)
            && !found.file_type().is_socket()
        {
            return Err(Error::Foreign {
                path: socket,
                problem: "something else than a socket is there",
            });
        }
        // Its mode is right before anybody can find it under its name.
        let fresh = self.run_dir.join(FRESH_SOCKET);
        remove_if_there(&fresh)?;
        let listener = UnixListener::bind(&fresh).map_err(failed("listen on", &socket))?;
        std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))
            .map_err(failed("restrict", &fresh))?;
        std::fs::rename(&fresh, &socket).map_err(failed("create", &socket))?;
        Ok(listener)
    }
}

impl Drop for Claim {
    /// Nobody is misled by a socket without a daemon; the rest goes with [`Claim::remove`].
    fn drop(&mut self) {
        if !self.settled || self.is_lost() {
            return;
        }
        for socket in [SOCKET, SUCCESSOR] {
            // A socket that cannot be removed is replaced by the next daemon.
            let _ = std::fs::remove_file(self.run_dir.join(socket));
        }
    }
}

/// Where the daemon of this run directory can be taken over.
pub fn successor_in(run_dir: &Path) -> PathBuf {
    run_dir.join(SUCCESSOR)
}

/// Makes sure that nobody but root and us can put anything into `path`.
fn private_directory(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(path).map_err(failed("look at", path))?;
            let foreign = |problem| {
                Err(Error::Foreign {
                    path: path.to_owned(),
                    problem,
                })
            };
            if !found.is_dir() {
                foreign("it is no directory")
            } else if let Some(error) = not_ours(path, found.uid(), rustix::process::geteuid()) {
                Err(error)
            } else if found.mode() & 0o077 != 0 {
                // /run is shared: a metad called `libvirt` must not take over /run/libvirt.
                let mut entries = std::fs::read_dir(path).map_err(failed("look into", path))?;
                if entries.next().is_some() {
                    return foreign(
                        "it is not empty, and others may enter it; it may belong to another program",
                    );
                }
                std::fs::set_permissions(path, Permissions::from_mode(0o700))
                    .map_err(failed("restrict", path))
            } else {
                Ok(())
            }
        }
        Err(source) => Err(failed("create", path)(source)),
    }
}

/// Why a directory of `owner` is not for `us`. What is root's is a metad's, most likely, and root may have it.
fn not_ours(path: &Path, owner: u32, us: Uid) -> Option<Error> {
    if owner == us.as_raw() {
        None
    } else if Uid::from_raw(owner).is_root() {
        Some(failed("use", path)(io::ErrorKind::PermissionDenied.into()))
    } else {
        Some(Error::Foreign {
            path: path.to_owned(),
            problem: "it belongs to another user",
        })
    }
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

pub(super) fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

#[cfg(test)]
mod tests;
