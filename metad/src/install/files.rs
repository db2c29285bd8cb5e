//! The directory of templates: a path comes in, names and texts go out. One level of directories; nothing outside of
//! the directory is read, whatever links there are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The largest template, in octets.
const FILE_MAX: u64 = 256 * 1024;
/// More templates than anybody has.
const FILES_MAX: usize = 256;

/// The templates of a directory, and what of it could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// By name, which is the path below the directory.
    pub(super) texts: BTreeMap<String, String>,
    pub(super) problems: Vec<String>,
}

impl Files {
    /// Reads a directory; one that does not exist holds no templates.
    pub fn read(directory: &Path) -> Self {
        let mut files = Self::default();
        let real = match fs::canonicalize(directory) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return files,
            Err(error) => {
                files.complain(directory, &error);
                return files;
            }
        };
        files.list(&real, &real, "");
        files
    }

    fn list(&mut self, root: &Path, directory: &Path, prefix: &str) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return self.complain(directory, &error),
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if is_passed_over(name) {
                continue;
            }
            let name = format!("{prefix}{name}");
            if path.is_dir() && prefix.is_empty() {
                self.list(root, &path, &format!("{name}/"));
            } else if !path.is_dir() {
                self.add(root, &path, name);
            }
        }
    }

    fn add(&mut self, root: &Path, path: &Path, name: String) {
        if self.texts.len() >= FILES_MAX {
            let most = format!("more than {FILES_MAX} templates are not read");
            if !self.problems.contains(&most) {
                self.problems.push(most);
            }
            return;
        }
        match read(root, path) {
            Ok(text) => {
                self.texts.insert(name, text);
            }
            Err(error) => self.complain(path, &error),
        }
    }

    fn complain(&mut self, path: &Path, error: &io::Error) {
        let problem = format!("cannot read {}: {error}", path.display());
        self.problems.push(problem);
    }
}

/// Whether an installer may ask for a template; one that starts with `_` is for others to include.
pub(super) fn is_served(name: &str) -> bool {
    name.split('/').all(|part| !part.starts_with('_'))
}

/// Hidden files, editors' copies and what packages leave beside a file; a name that stands in no path.
fn is_passed_over(name: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    name.starts_with('.')
        || !name.chars().all(allowed)
        || [
            ".swp",
            ".bak",
            ".orig",
            ".rpmnew",
            ".rpmsave",
            ".dpkg-old",
            ".dpkg-new",
            ".dpkg-dist",
        ]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn read(root: &Path, path: &Path) -> io::Result<String> {
    let real = fs::canonicalize(path)?;
    if !real.starts_with(root) {
        return Err(io::Error::other("the link leaves the directory"));
    }
    if !fs::metadata(&real)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut octets = Vec::new();
    File::open(&real)?
        .take(FILE_MAX + 1)
        .read_to_end(&mut octets)?;
    if octets.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {FILE_MAX} octets"
        )));
    }
    String::from_utf8(octets).map_err(|error| {
        let position = error.utf8_error().valid_up_to();
        io::Error::other(format!("it is not UTF-8 text (octet {position})"))
    })
}
