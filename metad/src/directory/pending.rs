//! Notices in, what to look at and when out. A file counts when its writer has closed it or renamed it into place; one
//! that is kept open counts when nothing was written to it for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::inotify::Kind;
use super::place::locate;
use super::shelf::Glance;

/// A path vanished, or a link appeared. Editors put a new file in the place of the old one within this time.
const MOMENT: Duration = Duration::from_millis(20);
/// A file was made or written to, and is still open.
const OPEN: Duration = Duration::from_millis(250);

/// What a notice must be about to count.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// The directory as it is configured, and where it really is.
    directories: BTreeSet<PathBuf>,
    /// Files elsewhere.
    files: BTreeSet<PathBuf>,
}

impl Interest {
    /// Says what counts for a directory with files elsewhere, and which directories tell of it.
    pub(crate) fn new(directory: &Path, files: BTreeSet<PathBuf>) -> (Self, BTreeSet<PathBuf>) {
        Self::among(&[directory.to_owned()], files)
    }

    /// The same for several directories.
    pub(crate) fn among(paths: &[PathBuf], files: BTreeSet<PathBuf>) -> (Self, BTreeSet<PathBuf>) {
        let mut directories = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for directory in paths {
            if let Ok(place) = locate(directory) {
                directories.insert(place.path);
                wanted.insert(place.watch);
            }
            if let Ok(real) = fs::canonicalize(directory) {
                wanted.insert(real.clone());
                directories.insert(real);
            }
        }
        let elsewhere = files.iter().filter_map(|file| locate(file).ok());
        wanted.extend(elsewhere.map(|place| place.watch));
        (Self { directories, files }, wanted)
    }

    fn covers(&self, path: &Path) -> bool {
        let within = path
            .parent()
            .is_some_and(|parent| self.directories.contains(parent));
        let above = |place: &PathBuf| place.starts_with(path);
        within || self.directories.iter().any(above) || self.files.iter().any(above)
    }
}

/// What the notices so far ask for.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    all: bool,
    look: bool,
    touched: BTreeSet<PathBuf>,
    unfinished: BTreeMap<PathBuf, Instant>,
}

impl Pending {
    /// Asks for everything, whatever it looks like.
    pub(crate) fn ask_for_everything(&mut self) {
        self.all = true;
        self.look = true;
    }

    /// Asks for everything when it is time to look anyway.
    pub(crate) fn ask_for_everything_later(&mut self) {
        self.all = true;
    }

    pub(crate) fn ask_for_a_look(&mut self) {
        self.look = true;
    }

    /// Takes notices; `None` stands for notices that were lost.
    pub(crate) fn note(&mut self, notices: Option<Vec<(Kind, PathBuf)>>, interest: &Interest) {
        let Some(notices) = notices else {
            self.ask_for_everything();
            return;
        };
        for (kind, path) in notices {
            if !interest.covers(&path) {
                continue;
            }
            match kind {
                Kind::Appeared if has_writer(&path) => self.wait(path, OPEN),
                Kind::Appeared | Kind::Vanished => self.wait(path, MOMENT),
                Kind::Written => self.wait(path, OPEN),
                Kind::Whole => {
                    self.unfinished.remove(&path);
                    self.touched.insert(path);
                    self.look = true;
                }
                Kind::Other => self.look = true,
            }
        }
    }

    /// Has files that may not have been whole looked at again in a moment.
    pub(crate) fn doubt(&mut self, fresh: &BTreeSet<PathBuf>) {
        for path in fresh {
            let until = Instant::now() + MOMENT;
            self.unfinished.entry(path.clone()).or_insert(until);
        }
    }

    /// Whether it is time to look; else `due` says when.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.look || self.due().is_some_and(|due| due <= now)
    }

    /// When to look although nothing more is noticed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.unfinished.values().min().copied()
    }

    /// The files that were noticed since the last [`Pending::take`]: what was read of them meanwhile does not count.
    pub(crate) fn noticed(&self) -> BTreeSet<PathBuf> {
        self.unfinished
            .keys()
            .chain(&self.touched)
            .cloned()
            .collect()
    }

    /// Takes what is asked for until now and leaves what has to wait.
    pub(crate) fn take(&mut self, now: Instant) -> Glance {
        let due: Vec<PathBuf> = self
            .unfinished
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            self.unfinished.remove(&path);
            self.touched.insert(path);
        }
        self.look = false;
        Glance {
            all: std::mem::take(&mut self.all),
            touched: std::mem::take(&mut self.touched),
            unfinished: self.unfinished.keys().cloned().collect(),
        }
    }

    fn wait(&mut self, path: PathBuf, time: Duration) {
        self.unfinished.insert(path, Instant::now() + time);
    }
}

/// Whoever makes a file closes it; a link comes without that.
fn has_writer(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_when_it_is_whole_or_left_alone() {
        let (interest, _) = Interest::new(Path::new("/nowhere/records"), BTreeSet::new());
        let path = PathBuf::from("/nowhere/records/web.yaml");
        let after = |kinds: &[Kind], wait: Duration| {
            let mut pending = Pending::default();
            let notices = kinds.iter().map(|kind| (*kind, path.clone())).collect();
            pending.note(Some(notices), &interest);
            let now = Instant::now() + wait;
            pending.is_due(now).then(|| pending.take(now))
        };
        let (soon, later) = (Duration::from_millis(1), Duration::from_millis(260));
        for (case, kinds, wait, touched) in [
            (
                "closed",
                &[Kind::Written, Kind::Whole][..],
                soon,
                Some(true),
            ),
            (
                "closed and written again",
                &[Kind::Whole, Kind::Written],
                soon,
                Some(true),
            ),
            ("open", &[Kind::Written], soon, None),
            ("left alone", &[Kind::Written], later, Some(true)),
            ("gone for a moment", &[Kind::Vanished], soon, None),
            (
                "gone",
                &[Kind::Vanished],
                Duration::from_millis(21),
                Some(true),
            ),
            ("replaced", &[Kind::Vanished, Kind::Whole], soon, Some(true)),
            ("another mode", &[Kind::Other], soon, Some(false)),
        ] {
            let glance = after(kinds, wait);
            assert_eq!(
                glance.map(|glance| glance.touched.contains(&path)),
                touched,
                "{case}"
            );
        }
    }

    #[test]
    fn only_what_may_change_a_record_counts() {
        let file = PathBuf::from("/nowhere/else/data");
        let (interest, _) = Interest::new(Path::new("/nowhere/records"), [file].into());
        for (case, path, covered) in [
            ("a record", "/nowhere/records/web.yaml", true),
            ("the directory", "/nowhere/records", true),
            ("what is above it", "/nowhere", true),
            ("a file beside it", "/nowhere/other.yaml", false),
            ("a file below it", "/nowhere/records/sub/web.yaml", false),
            ("a file that a record names", "/nowhere/else/data", true),
            ("a file beside that", "/nowhere/else/other", false),
        ] {
            assert_eq!(interest.covers(Path::new(path)), covered, "{case}");
        }
        let mut pending = Pending::default();
        pending.note(None, &interest);
        assert!(pending.take(Instant::now()).all, "lost notices");
    }
}
