//! The kernel's own notices of what happens in directories. Read here and not through a thread, because the order
//! counts: the kernel queues a notice before the writer goes on, so whoever reads a file and then drains the queue
//! knows whether that file was being written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::place::Mark;

/// Reading leaves no notice; everything that may change what is read does.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is there and was not before.
    Appeared,
    /// It was written to and may still be open.
    Written,
    /// Its writer closed it, or somebody renamed it to this: it is whole.
    Whole,
    /// It is no longer there, perhaps for a moment.
    Vanished,
    /// Something else, its mode for example.
    Other,
}

/// The directories that are watched, and the queue of notices.
#[derive(Debug)]
pub(crate) struct Watches {
    queue: AsyncFd<OwnedFd>,
    watched: BTreeMap<PathBuf, (i32, Mark)>,
    /// One directory may be watched under several paths.
    paths: BTreeMap<i32, BTreeSet<PathBuf>>,
}

impl Watches {
    /// Must be called within a runtime that drives I/O.
    pub(crate) fn new() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` is one open descriptor until it is dropped, and `AsyncFd` owns it.
        let queue = unsafe { AsyncFd::register(queue) }?;
        Ok(Self {
            queue,
            watched: BTreeMap::new(),
            paths: BTreeMap::new(),
        })
    }

    /// Watches these directories and no others; `true` where one is new, and may have changed before it was watched.
    pub(crate) fn set(&mut self, wanted: &BTreeSet<PathBuf>) -> io::Result<bool> {
        let is_stale = |path: &PathBuf, mark: &Mark| {
            !wanted.contains(path) || Mark::of(path).is_none_or(|now| !now.is_same_file(*mark))
        };
        let stale = self
            .watched
            .iter()
            .filter(|(path, (_, mark))| is_stale(path, mark));
        let stale: Vec<PathBuf> = stale.map(|(path, _)| path.clone()).collect();
        for path in stale {
            self.forget(&path);
        }
        let mut any = false;
        for path in wanted {
            if self.watched.contains_key(path) {
                continue;
            }
            let Some(mark) = Mark::of(path) else { continue };
            let watch = match inotify::add_watch(&self.queue, path, WATCHED) {
                // It vanished just now, which is noticed above it.
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                added => added?,
            };
            self.watched.insert(path.clone(), (watch, mark));
            self.paths.entry(watch).or_default().insert(path.clone());
            any = true;
        }
        Ok(any)
    }

    /// Waits until there may be notices.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        self.queue.readable().await?.clear_ready();
        Ok(())
    }

    /// Takes every notice that is there; `None` where some were lost.
    pub(crate) fn drain(&mut self) -> Option<Vec<(Kind, PathBuf)>> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut notices = Vec::new();
        let mut complete = true;
        let mut moved = BTreeSet::new();
        let mut reader = Reader::new(self.queue.get_ref(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    complete = false;
                    break;
                }
            };
            let flags = event.events();
            complete &= !flags.contains(ReadFlags::QUEUE_OVERFLOW);
            let directories = self.paths.get(&event.wd()).into_iter().flatten();
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            for directory in directories {
                let path = name.map_or_else(|| directory.clone(), |name| directory.join(name));
                if flags.intersects(ReadFlags::MOVE_SELF | ReadFlags::IGNORED) {
                    moved.insert(directory.clone());
                }
                notices.push((kind(flags), path));
            }
        }
        for directory in moved {
            self.forget(&directory);
        }
        complete.then_some(notices)
    }

    /// Believes no longer that a directory is watched: under that path may be another one.
    fn forget(&mut self, path: &Path) {
        let Some((watch, _)) = self.watched.remove(path) else {
            return;
        };
        let Some(paths) = self.paths.get_mut(&watch) else {
            return;
        };
        paths.remove(path);
        if paths.is_empty() {
            self.paths.remove(&watch);
            // The kernel has dropped it already where the directory is gone.
            let _ = inotify::remove_watch(&self.queue, watch);
        }
    }
}

fn kind(flags: ReadFlags) -> Kind {
    if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
        Kind::Whole
    } else if flags.intersects(
        ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF,
    ) {
        Kind::Vanished
    } else if flags.contains(ReadFlags::CREATE) {
        Kind::Appeared
    } else if flags.contains(ReadFlags::MODIFY) {
        Kind::Written
    } else {
        Kind::Other
    }
}
