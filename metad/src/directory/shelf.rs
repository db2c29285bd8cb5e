//! A directory of record files, one look at a time: files in, [`Event`]s out, and what has to be watched to know when
//! to look again. Knows no inotify and no async; a look after any change, or after none, gives the right answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::origin::{self, Named, Reading};
use super::place::{self, FileError, Mark};
use super::record_file::{FormError, Format};
use super::stem::{EXTENSIONS, data_of, name_of};
use crate::clock::since_boot;
use crate::record::{USER_DATA_MAX, field};
use crate::source::{Event, Subject};

/// The largest record file, in octets: user-data and vendor-data of a mebibyte each, in base64.
const FILE_MAX: usize = 4 * 1024 * 1024;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("cannot read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: FileError },
    #[error("{} is not UTF-8 text (octet {position})", path.display())]
    NotText { path: PathBuf, position: usize },
    #[error("{}: {reason}", path.display())]
    Form { path: PathBuf, reason: FormError },
    #[error("{}: `user-data-file` leaves {}; write an absolute path if that is meant", path.display(), directory.display())]
    Outside { path: PathBuf, directory: PathBuf },
    #[error("{} say the same name twice; keep one", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and "))]
    Twice(Vec<PathBuf>),
    #[error("{}: the file's name {reason}", path.display())]
    Name {
        path: PathBuf,
        reason: field::FieldError,
    },
}

/// What a look found; nothing of it counts until [`Shelf::accept`].
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    /// Everything was looked at.
    pub(super) all: bool,
    /// These may have had a writer while they were read.
    pub(super) fresh: BTreeSet<PathBuf>,
    /// Why the directory itself cannot be read.
    pub(super) away: Option<String>,
}

#[derive(Debug)]
struct Finding {
    name: String,
    event: Event,
    /// `None`: gone.
    known: Option<Known>,
}

/// Why something is looked at.
#[derive(Debug, Default)]
pub(crate) struct Glance {
    /// Everything is told again, whether it changed or not.
    pub(crate) all: bool,
    /// These changed, even if they look as before.
    pub(crate) touched: BTreeSet<PathBuf>,
    /// These are being written and count when that is over.
    pub(crate) unfinished: BTreeSet<PathBuf>,
}

/// What is known of the records of one directory.
#[derive(Debug)]
pub(super) struct Shelf {
    /// As it is configured.
    directory: PathBuf,
    /// Without symbolic links, as inotify names it.
    real: PathBuf,
    known: BTreeMap<String, Known>,
}

/// The files that a record was read from, in the state they were in.
#[derive(Debug, Default)]
struct Known {
    /// One or two: a map's smallest node has room for eleven.
    files: Vec<(PathBuf, Option<Mark>)>,
}

impl Finding {
    fn gone(name: &str) -> Self {
        let (name, key) = (name.to_owned(), name.to_owned());
        Self {
            name,
            event: Event::Gone { key },
            known: None,
        }
    }
}

impl Known {
    fn note(&mut self, path: &Path) {
        let mark = Mark::of(path);
        match self.files.iter_mut().find(|(known, _)| known == path) {
            Some((_, known)) => *known = mark,
            None => {
                self.files.reserve_exact(1);
                self.files.push((path.to_owned(), mark));
            }
        }
    }

    /// The files that may have had a writer while they were read.
    fn fresh(&self) -> impl Iterator<Item = &PathBuf> {
        let now = self
            .files
            .iter()
            .map(|(path, mark)| (path, *mark, Mark::of(path)));
        now.filter(|(_, mark, now)| mark != now || now.is_some_and(Mark::is_just_emptied))
            .map(|(path, ..)| path)
    }

    fn is_among(&self, paths: &BTreeSet<PathBuf>) -> bool {
        self.files.iter().any(|(path, _)| paths.contains(path))
    }
}

impl Shelf {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            real: directory.clone(),
            directory,
            known: BTreeMap::new(),
        }
    }

    /// Looks at the directory for what is new, changed, broken and gone.
    pub(super) fn look(&mut self, glance: &Glance) -> Findings {
        let mut findings = Findings {
            all: glance.all,
            ..Findings::default()
        };
        let listed = match self.list() {
            Ok(listed) => listed,
            Err(error) => {
                findings.away = Some(format!("cannot read {}: {error}", self.directory.display()));
                if error.kind() != io::ErrorKind::NotFound {
                    findings.all = false;
                    return findings;
                }
                BTreeMap::new()
            }
        };
        let gone = self.known.keys().filter(|name| !listed.contains_key(*name));
        findings.found = gone.map(|name| Finding::gone(name)).collect();
        for (name, paths) in listed {
            let unfinished = paths.iter().any(|path| glance.unfinished.contains(path));
            if !unfinished && (glance.all || self.is_new(&name, &paths, &glance.touched)) {
                let (event, known) = self.read(&name, &paths);
                findings.fresh.extend(known.fresh().cloned());
                let known = Some(known);
                findings.found.push(Finding { name, event, known });
            }
        }
        findings
    }

    /// Makes events of what was found, without what was noticed meanwhile: that is looked at again.
    pub(super) fn accept(&mut self, findings: Findings, noticed: &BTreeSet<PathBuf>) -> Vec<Event> {
        let mut events = Vec::new();
        for Finding { name, event, known } in findings.found {
            let mut files = self.known.get(&name).into_iter().chain(&known);
            if files.any(|known| known.is_among(noticed)) {
                continue;
            }
            match known {
                Some(known) => self.known.insert(name, known),
                None => self.known.remove(&name),
            };
            events.push(event);
        }
        if findings.all {
            let keys = self.known.keys().cloned().collect();
            events.push(Event::Synced { keys });
        }
        events
    }

    /// Every file whose change may change a record, besides the directory's own.
    pub(super) fn dependencies(&self) -> BTreeSet<PathBuf> {
        let files = self.known.values().flat_map(|known| &known.files);
        files
            .map(|(path, _)| path)
            .filter(|path| path.parent() != Some(&self.real))
            .cloned()
            .collect()
    }

    /// Names with the files that go by them; more than one is a mistake that `read` reports.
    fn list(&mut self) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
        let mut listed: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        self.real = fs::canonicalize(&self.directory)?;
        for entry in fs::read_dir(&self.real)? {
            let path = entry?.path();
            let name = name_of(&path)
                .map(|(name, _)| name)
                .or_else(|| data_of(&path));
            if let Some(name) = name
                && !path.is_dir()
            {
                listed.entry(name.to_owned()).or_default().push(path);
            }
        }
        for paths in listed.values_mut() {
            paths.sort();
        }
        Ok(listed)
    }

    fn is_new(&self, name: &str, paths: &[PathBuf], touched: &BTreeSet<PathBuf>) -> bool {
        let Some(known) = self.known.get(name) else {
            return true;
        };
        let is_known = |path: &PathBuf| known.files.iter().any(|(known, _)| known == path);
        paths.iter().any(|path| !is_known(path))
            || known
                .files
                .iter()
                .any(|(path, mark)| touched.contains(path) || Mark::of(path) != *mark)
    }

    fn read(&mut self, name: &str, paths: &[PathBuf]) -> (Event, Known) {
        let begun = since_boot();
        let mut known = Known::default();
        let (key, read) = (name.to_owned(), self.record(name, paths, &mut known));
        let event = match read {
            Ok(reading) => Event::Put(Box::new(Subject {
                name: reading.machine,
                key,
                uuid: reading.file.uuid,
                epoch: 0,
                running: true,
                nics: reading.file.nics.map(Into::into),
                disks: Vec::new(),
                record: reading.file.record,
                reading: begun,
                problem: problem(paths, &reading.remarks),
            })),
            Err(error) => Event::Failed {
                name: key.clone(),
                key,
                problem: error.to_string(),
            },
        };
        (event, known)
    }

    /// Marks come before content: what changes in between is read again.
    fn record(
        &self,
        name: &str,
        paths: &[PathBuf],
        known: &mut Known,
    ) -> Result<Reading, RecordError> {
        for path in paths {
            known.note(path);
        }
        let (data, records): (Vec<_>, Vec<_>) =
            paths.iter().partition(|path| name_of(path).is_none());
        let path = match (records.as_slice(), data.as_slice()) {
            ([path], _) | ([], [path, ..]) => *path,
            _ => return Err(RecordError::Twice(records.into_iter().cloned().collect())),
        };
        let named = field::line(name).map_err(|reason| RecordError::Name {
            path: path.clone(),
            reason,
        })?;
        if named != name {
            let character = ' ';
            let allowed = "a name neither starts nor ends with white space";
            let reason = field::FieldError::Character { character, allowed };
            return Err(RecordError::Name {
                path: path.clone(),
                reason,
            });
        }
        let mut reading = self.reading_of(name, path, !data.is_empty(), known)?;
        if reading.machine != name {
            self.refuse_twin(path, &reading.machine, known)?;
        }
        let file = &mut reading.file;
        if let Some(named) = &file.user_data_file {
            let source = self.user_data_path(path, named, known)?;
            file.record.user_data = Some(load(&source, USER_DATA_MAX)?.into());
        }
        if let (true, Some(path)) = (reading.takes_data, data.first()) {
            self.follow_link(path, known);
            file.record.user_data = Some(load(path, USER_DATA_MAX)?.into());
        }
        Ok(reading)
    }

    /// Reads the text of a record; user-data by itself stands beside an empty one.
    fn reading_of(
        &self,
        name: &str,
        path: &Path,
        beside_data: bool,
        known: &mut Known,
    ) -> Result<Reading, RecordError> {
        let format = name_of(path).map(|(_, format)| format);
        let mut content = b"{}".to_vec();
        if format.is_some() {
            self.follow_link(path, known);
            content = load(path, FILE_MAX)?;
        }
        let text = std::str::from_utf8(&content).map_err(|error| RecordError::NotText {
            path: path.to_owned(),
            position: error.valid_up_to(),
        })?;
        let named = Named {
            stem: name,
            format: format.unwrap_or(Format::Json),
            beside_data,
        };
        origin::read(text, named).map_err(|reason| RecordError::Form {
            path: path.to_owned(),
            reason,
        })
    }

    /// Two files may not speak of one machine, whatever they are called.
    fn refuse_twin(
        &self,
        path: &Path,
        machine: &str,
        known: &mut Known,
    ) -> Result<(), RecordError> {
        for extension in EXTENSIONS {
            let twin = self.real.join(format!("{machine}.{extension}"));
            known.note(&twin);
            if twin.is_file() {
                return Err(RecordError::Twice(vec![path.to_owned(), twin]));
            }
        }
        Ok(())
    }

    /// A record file may be a link to somewhere else, where it changes without the directory knowing.
    fn follow_link(&self, path: &Path, known: &mut Known) {
        if let Ok(target) = fs::read_link(path)
            && let Ok(place) = place::locate(&self.real.join(target))
        {
            known.note(&fs::canonicalize(path).unwrap_or(place.path));
        }
    }

    fn user_data_path(
        &self,
        path: &Path,
        named: &Path,
        known: &mut Known,
    ) -> Result<PathBuf, RecordError> {
        let joined = self.real.join(named);
        let read = |reason: io::Error| RecordError::Read {
            path: joined.clone(),
            reason: reason.into(),
        };
        let place = place::locate(&joined).map_err(read)?;
        known.note(&place.path);
        let real = fs::canonicalize(&joined).unwrap_or(place.path);
        known.note(&real);
        let walks_up = named
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        if !named.is_absolute() && (walks_up || !real.starts_with(&self.real)) {
            return Err(RecordError::Outside {
                path: path.to_owned(),
                directory: self.directory.clone(),
            });
        }
        Ok(joined)
    }
}

/// What could not be used of a record that is.
fn problem(paths: &[PathBuf], remarks: &[String]) -> Option<String> {
    let path = paths.iter().find(|path| name_of(path).is_some());
    let path = path.map(|path| path.display().to_string());
    (!remarks.is_empty()).then(|| format!("{}: {}", path.unwrap_or_default(), remarks.join("; ")))
}

fn load(path: &Path, most: usize) -> Result<Vec<u8>, RecordError> {
    place::read(path, most).map_err(|reason| RecordError::Read {
        path: path.to_owned(),
        reason,
    })
}
