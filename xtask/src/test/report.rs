//! What the privileged tests wrote down about themselves; see `metad_tests::needs`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::floor::Floor;

/// Test names, and what each said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) ran: Vec<String>,
    pub(super) skipped: Vec<(String, String)>,
    pub(super) notes: Vec<(String, String)>,
}

impl Report {
    /// Reads the file; none there means that no privileged test started.
    pub(super) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut report = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, '\t');
            let (Some(what), Some(name), Some(said)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            match what {
                "ran" => report.ran.push(name.to_owned()),
                "skipped" => report.skipped.push((name.to_owned(), said.to_owned())),
                "note" => report.notes.push((name.to_owned(), said.to_owned())),
                _ => {}
            }
        }
        report.skipped.sort();
        report.skipped.dedup_by(|a, b| a.0 == b.0);
        report.ran.sort();
        report.ran.dedup();
        // It was let in, and then found that it lacks something else.
        let skipped = &report.skipped;
        report
            .ran
            .retain(|name| !skipped.iter().any(|(it, _)| it == name));
        report.notes.sort();
        report
    }

    /// How many tests of a floor could not run.
    pub(super) fn skipped_in(&self, floor: Floor) -> usize {
        let names = self.skipped.iter().map(|(name, _)| name);
        names.filter(|name| floor.holds(name)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_every_test_once() {
        let report = Report::parse(
            "ran\tnet::path::a\t\nran\tnet::path::a\t\nskipped\tguest::b\tno qemu\nnote\tnet::path::a\t5 tries\nrubbish\n",
        );
        assert_eq!(report.ran, ["net::path::a"]);
        assert_eq!(report.notes.len(), 1);
        assert_eq!(report.skipped_in(Floor::Guest), 1);
        assert_eq!(report.skipped_in(Floor::Net), 0);
    }
}
