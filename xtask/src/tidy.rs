//! The rules of the house that no compiler holds. In comes the working tree, out go all findings at once.

mod drift;
mod imports;
mod text;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{self, say};

/// A file of the working tree.
#[derive(Debug)]
struct File {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

/// Something to put right, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counts from 1; 0 means the file as a whole.
    line: usize,
    problem: String,
}

impl Finding {
    fn new(file: &File, line: usize, problem: impl Into<String>) -> Self {
        Self {
            path: file.path.clone(),
            line,
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.problem),
            line => write!(f, "{}:{line}: {}", self.path, self.problem),
        }
    }
}

/// Looks at every file that is, or would be, committed, and prints all findings.
///
/// # Errors
/// There are findings, or git cannot list the files.
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let mut findings = findings(&files);
    findings.sort();
    for finding in &findings {
        say(&finding.to_string());
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("{} findings", findings.len())
    }
}

fn findings(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().flat_map(text::check).collect();
    findings.extend(files.iter().flat_map(imports::check));
    findings.extend(drift::check(files));
    findings
}

/// Tracked files and those that git would add; what is no text is left out.
fn files() -> Result<Vec<File>> {
    let root = shell::workspace();
    let listed = std::process::Command::new("git")
        .current_dir(root)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output();
    let paths: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        // An unpacked source archive has no git.
        Ok(_) | Err(_) => walk(root, root)?,
    };
    let mut files = Vec::new();
    for path in paths {
        // Deleted, or no text.
        let Ok(text) = fs::read_to_string(root.join(&path)) else {
            continue;
        };
        files.push(File { path, text });
    }
    Ok(files)
}

fn walk(root: &Path, directory: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        let relative = path.strip_prefix(root).unwrap_or(&path);
        if relative == Path::new("target") || relative.starts_with(".git") {
            continue;
        }
        if path.is_dir() {
            paths.extend(walk(root, &path)?);
        } else {
            paths.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where() {
        let file = File {
            path: "a/b.rs".into(),
            text: String::new(),
        };
        assert_eq!(Finding::new(&file, 3, "x").to_string(), "a/b.rs:3: x");
        assert_eq!(Finding::new(&file, 0, "x").to_string(), "a/b.rs: x");
    }
}
