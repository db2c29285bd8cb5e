//! Keeps a daemon's descriptors over its death and hands them to the next one, as systemd does (sd_notify(3),
//! sd_listen_fds(3)).

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::Namespace;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// Above whatever is passed.
const ABOVE: RawFd = 64;

/// What is kept, and where daemons speak to.
#[derive(Debug)]
pub struct Supervisor {
    path: PathBuf,
    socket: UnixDatagram,
    kept: Vec<(String, OwnedFd)>,
}

impl Supervisor {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).context("cannot listen to daemons")?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            path: path.to_owned(),
            socket,
            kept: Vec::new(),
        })
    }

    /// The names of what is kept, each once.
    pub fn names(&self) -> Vec<&str> {
        let names = self.kept.iter().map(|(name, _)| name.as_str());
        let names: BTreeSet<&str> = names.collect();
        names.into_iter().collect()
    }

    /// Forgets everything, as a service manager does with a service that is stopped.
    pub fn forget(&mut self) {
        self.kept.clear();
    }

    /// Takes in what daemons have said.
    pub(super) fn listen(&mut self) -> Result<()> {
        loop {
            let mut text = [0; 1024];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut text)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let read = match recvmsg(&self.socket, &mut into, &mut ancillary, flags) {
                Ok(read) => read.bytes,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("cannot hear daemons"),
            };
            let mut descriptors = Vec::new();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default());
            self.hear(&text, descriptors);
        }
    }

    fn hear(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let says = |word: &str| text.lines().any(|line| line == word);
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        let Some(name) = name else { return };
        if says("FDSTOREREMOVE=1") {
            self.kept.retain(|(kept, _)| kept != name);
        } else if says("FDSTORE=1") {
            for descriptor in descriptors {
                // systemd keeps the same socket once, too.
                if !self.kept.iter().any(|(_, kept)| is_same(kept, &descriptor)) {
                    self.kept.push((name.to_owned(), descriptor));
                }
            }
        }
    }

    /// A command inside the namespace of the file `host` that is given what is kept.
    pub(super) fn command(&self, host: &Path, program: &Path) -> Result<Command> {
        // The process must know itself by its own number, which only it has.
        let mut command = Namespace::enter(host, "sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]);
        command.arg(program);
        command.env("NOTIFY_SOCKET", &self.path);
        if self.kept.is_empty() {
            return Ok(command);
        }
        command.env("LISTEN_FDS", self.kept.len().to_string());
        let names = self.kept.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.collect();
        command.env("LISTEN_FDNAMES", names.join(":"));
        let copies: Vec<OwnedFd> = self
            .kept
            .iter()
            .map(|(_, kept)| rustix::io::fcntl_dupfd_cloexec(kept, ABOVE))
            .collect::<Result<_, _>>()
            .context("cannot copy what is kept")?;
        let pass = move || -> io::Result<()> {
            for (number, copy) in (FIRST..).zip(&copies) {
                // SAFETY: a number that nothing in the child between fork and exec owns; it is not dropped here.
                let place = unsafe { OwnedFd::from_raw_fd(number) };
                let mut place = std::mem::ManuallyDrop::new(place);
                rustix::io::dup2(copy, &mut place)?;
                debug_assert_eq!(place.as_raw_fd(), number);
            }
            Ok(())
        };
        // SAFETY: it makes system calls alone, and touches no memory that another thread could hold a lock on.
        unsafe { command.pre_exec(pass) };
        Ok(command)
    }
}

/// Whether two descriptors are of one socket.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let inode = |it: &OwnedFd| rustix::fs::fstat(it).map(|found| (found.st_dev, found.st_ino));
    inode(one).is_ok() && inode(one) == inode(other)
}
