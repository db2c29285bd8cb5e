//! The files of the state directory: one for each instance that something is kept of.
//!
//! In: a directory that only its owner may write to. Out: what each file keeps, or why it cannot be used. A file is
//! replaced whole or not at all, and one that cannot be read is never replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Kept, Shelf};
use crate::{keyfile, signer};

/// The files' directory in the state directory.
const DIRECTORY: &str = "instances";
/// What a file's name ends with, and that of one that is being written.
const SUFFIX: &str = "json";
const DRAFT: &str = "new";
/// What else metad keeps in the state directory.
const OURS: [&str; 3] = [super::secret::NAME, signer::KEY, signer::CERTIFICATE];
/// Octets; far more than the limits on settings let anybody keep.
const FILE_MAX: u64 = 8 * 1024 * 1024;
/// The files' form. One of a later metad is left alone.
const VERSION: u32 = 1;

/// Where instances' files are.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// Puts the octets into a new file; tests have it fail half-way.
    pub(super) fill: fn(&mut File, &[u8]) -> io::Result<()>,
}

/// Everything that was kept, and what could not be read of it.
#[derive(Debug, Default)]
pub struct Loaded {
    pub kept: Shelf,
    /// `(file, what is wrong with it)`.
    pub problems: Vec<(String, String)>,
}

/// A file or a directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot {what} {}{}", path.display(), advice(source))]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("what is to be kept was lost on its way to the disk")]
    Lost {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot use {}: {problem}\nhelp: nothing is changed there; repair the file or move it away, and restart the daemon", path.display())]
    Wrong { path: PathBuf, problem: String },
}

fn advice(source: &io::Error) -> &'static str {
    let kind = source.kind();
    if matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        "\nhelp: what was kept before is still kept; make room there and try again"
    } else if kind == io::ErrorKind::ReadOnlyFilesystem {
        "\nhelp: name a directory that can be written to as `state-directory` in the configuration"
    } else {
        ""
    }
}

impl FileError {
    /// A write that did not come to its end.
    pub fn lost(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Lost {
            source: source.into(),
        }
    }

    /// The error with its cause and without advice, on one line.
    pub fn line(&self) -> String {
        let text = self.to_string();
        let head = text.lines().next().unwrap_or_default().to_owned();
        match std::error::Error::source(self) {
            Some(source) => format!("{head}: {source}"),
            None => head,
        }
    }
}

/// A file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    uuid: Uuid,
    name: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    settings: Map<String, Value>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

impl Files {
    pub fn new(state_directory: &Path) -> Self {
        Self {
            root: state_directory.to_owned(),
            fill: |file, octets| file.write_all(octets),
        }
    }

    /// Reads every file, and goes on after one that cannot be used. Nothing there is no problem.
    pub fn load(&self) -> Loaded {
        let mut loaded = Loaded::default();
        let directory = self.root.join(DIRECTORY);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return loaded,
            Err(error) => {
                let told = failed("read", &directory)(error).line();
                loaded
                    .problems
                    .push((directory.display().to_string(), told));
                return loaded;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == DRAFT) {
                // Left by one who was killed while writing; the file itself is as it was.
                let _gone = fs::remove_file(&path);
                continue;
            }
            let uuid = path
                .file_stem()
                .and_then(|stem| Uuid::parse_str(stem.to_str()?).ok())
                .filter(|uuid| self.path(*uuid) == path);
            let read = match uuid {
                Some(uuid) => self.read(uuid).map(|kept| Some((uuid, kept?))),
                None => Err(wrong(&path, "it is not called after an instance's UUID")),
            };
            match read {
                Ok(Some((uuid, kept))) => {
                    loaded.kept.insert(uuid, kept);
                }
                Ok(None) => {}
                Err(error) => {
                    let subject = path.display().to_string();
                    loaded.problems.push((subject, error.line()));
                }
            }
        }
        loaded.problems.sort();
        loaded
    }

    /// Reads what is kept of one instance.
    ///
    /// # Errors
    /// There is a file, and it cannot be used.
    pub fn read(&self, instance: Uuid) -> Result<Option<Kept>, FileError> {
        let path = self.path(instance);
        let Some(text) = text(&path)? else {
            return Ok(None);
        };
        let content: Content = serde_json::from_slice(&text)
            .map_err(|error| wrong(&path, format!("it is not what metad writes: {error}")))?;
        if content.version != VERSION {
            let version = content.version;
            return Err(wrong(&path, format!("it has the form {version}, not 1")));
        }
        if content.uuid != instance {
            let uuid = content.uuid;
            return Err(wrong(&path, format!("it belongs to the instance {uuid}")));
        }
        let password = content.password.map(|text| STANDARD.decode(text));
        let password = password
            .transpose()
            .map_err(|error| wrong(&path, format!("its password is no base64: {error}")))?;
        Ok(Some(Kept {
            name: content.name,
            settings: content.settings,
            password: password.map(Into::into),
        }))
    }

    /// Keeps this of an instance instead of what was kept `before`; without anything to keep, the file goes.
    ///
    /// # Errors
    /// What was kept before is kept still, also where it is a file that cannot be read.
    pub fn write(
        &self,
        instance: Uuid,
        before: Option<&Kept>,
        kept: &Kept,
    ) -> Result<(), FileError> {
        let path = self.path(instance);
        // Who repairs a file by hand must not lose it to what was known without it.
        if self.read(instance)?.is_some() && before.is_none() {
            let problem = "it was put there since the daemon started, which has not read it";
            return Err(wrong(&path, problem));
        }
        let directory = self.root.join(DIRECTORY);
        if kept.is_empty() {
            removed(&path, fs::remove_file(&path))?;
            return sync(&directory);
        }
        private_directory(&self.root)?;
        private_directory(&directory)?;
        let content = Content {
            version: VERSION,
            uuid: instance,
            name: kept.name.clone(),
            settings: kept.settings.clone(),
            password: kept.password.as_ref().map(|octets| STANDARD.encode(octets)),
        };
        let mut text = serde_json::to_vec_pretty(&content)
            .map_err(|error| failed("write", &path)(error.into()))?;
        text.push(b'\n');
        let draft = path.with_extension(DRAFT);
        self.replace(&draft, &path, &text).map_err(|source| {
            // A draft is of no use to anyone.
            let _gone = fs::remove_file(&draft);
            failed("write", &path)(source)
        })?;
        sync(&directory)
    }

    /// Removes what metad keeps in the state directory, then the directory; what others put there stays, and is an error.
    /// `false`: there was none.
    ///
    /// # Errors
    /// Something of it stays.
    pub fn purge(&self) -> Result<bool, FileError> {
        if !self.root.exists() {
            return Ok(false);
        }
        let directory = self.root.join(DIRECTORY);
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let ending = path.extension().unwrap_or_default();
            if ending == SUFFIX || ending == DRAFT {
                removed(&path, fs::remove_file(&path))?;
            }
        }
        removed(&directory, fs::remove_dir(&directory))?;
        for name in OURS {
            let path = self.root.join(name);
            removed(&path, fs::remove_file(&path))?;
        }
        removed(&self.root, fs::remove_dir(&self.root))?;
        Ok(true)
    }

    fn path(&self, instance: Uuid) -> PathBuf {
        let name = instance.hyphenated().to_string();
        self.root.join(DIRECTORY).join(name).with_extension(SUFFIX)
    }

    fn replace(&self, draft: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
        match fs::remove_file(draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::open(draft, flags, Mode::RUSR | Mode::WUSR)?);
        (self.fill)(&mut file, text)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }
}

/// Makes sure of a directory in which nobody but its owner can put anything.
pub(super) fn private_directory(path: &Path) -> Result<(), FileError> {
    keyfile::directory(path).map_err(failed("use", path))
}

/// Reads a whole file; `None` where there is none.
fn text(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    keyfile::read(path, &(0..=FILE_MAX)).map_err(|refusal| match refusal {
        keyfile::Refusal::Unreadable(source) => failed("read", path)(source),
        keyfile::Refusal::Unsafe(fault) => wrong(path, fault.to_string()),
    })
}

fn removed(path: &Path, result: io::Result<()>) -> Result<(), FileError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes sure that a name stays given or taken over a loss of power.
fn sync(directory: &Path) -> Result<(), FileError> {
    match File::open(directory) {
        Ok(open) => open.sync_all().map_err(failed("write", directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("write", directory)(error)),
    }
}

fn wrong(path: &Path, problem: impl Into<String>) -> FileError {
    FileError::Wrong {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
    let path = path.to_owned();
    move |source| FileError::Io { what, path, source }
}
