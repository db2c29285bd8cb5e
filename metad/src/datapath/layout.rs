//! What the maps that outlive a daemon look like, so that the next one knows whether it may go on with them.
//!
//! Each daemon writes down the layout of what it pinned, in the run directory. Its text is compared as it is; the
//! pinned maps themselves are compared too, since the text says nothing of what somebody else has put there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use aya::maps::MapInfo;
use aya_obj::{EbpfSectionKind, Object};
use metad_common::names;

use super::load::{LoadError, OBJECT};
use crate::admin::AttachedBy;

/// What two daemons must have in common for one to go on where the other ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// See [`names::LAYOUT`].
    number: u32,
    by: AttachedBy,
    maps: BTreeMap<String, Shape>,
}

/// A map as the kernel is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// As in `enum bpf_map_type` of linux/bpf.h.
    kind: u32,
    /// Octets.
    key: u32,
    /// Octets.
    value: u32,
    entries: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key,
            value,
            entries,
        } = self;
        write!(f, "type {kind}, {key} to {value} octets, {entries} entries")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layout {}", self.number)?;
        let by = match self.by {
            AttachedBy::Tcx => "tcx",
            AttachedBy::Clsact => "clsact",
        };
        writeln!(f, "attached by {by}")?;
        for (name, shape) in &self.maps {
            writeln!(f, "{name}: {shape}")?;
        }
        Ok(())
    }
}

impl Layout {
    /// The layout of the kernel object that this metad carries.
    ///
    /// # Errors
    /// When the object cannot be read: this metad was built wrong.
    pub(super) fn of_object(by: AttachedBy) -> Result<Self, LoadError> {
        let object = Object::parse(OBJECT).map_err(|error| LoadError::Layout(Box::new(error)))?;
        let lasting = |(name, map): &(&String, &aya_obj::Map)| {
            let kind = map.section_kind();
            matches!(kind, EbpfSectionKind::Maps | EbpfSectionKind::BtfMaps)
                && !names::TRANSIENT.contains(&name.as_str())
        };
        let shape = |map: &aya_obj::Map| Shape {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: map.max_entries(),
        };
        let maps = object.maps.iter().filter(lasting);
        Ok(Self {
            number: names::LAYOUT,
            by,
            maps: maps.map(|(name, map)| (name.clone(), shape(map))).collect(),
        })
    }

    /// The names of the maps that outlive the daemon.
    pub(super) fn maps(&self) -> impl Iterator<Item = &str> {
        self.maps.keys().map(String::as_str)
    }

    /// Why what is written down at `stamp` and pinned in `pins` cannot be gone on with; `None`: it can.
    pub(super) fn objection(&self, stamp: &Path, pins: &Path) -> Option<String> {
        match fs::read_to_string(stamp) {
            Ok(text) => {
                if let Some(objection) = differs(&text, &self.to_string()) {
                    return Some(objection);
                }
            }
            Err(error) => return Some(format!("cannot read {}: {error}", stamp.display())),
        }
        self.maps.iter().find_map(|(name, shape)| {
            let found = match MapInfo::from_pin(pins.join(name)) {
                Ok(info) => Shape {
                    kind: info.map_type().map_or(0, |kind| kind as u32),
                    key: info.key_size(),
                    value: info.value_size(),
                    entries: info.max_entries(),
                },
                Err(error) => return Some(format!("the map {name} cannot be had: {error}")),
            };
            (found != *shape).then(|| format!("the map {name} has {found}, not {shape}"))
        })
    }

    /// Writes it down for the next daemon.
    ///
    /// # Errors
    /// As of writing a file.
    pub(super) fn write(&self, stamp: &Path) -> io::Result<()> {
        fs::write(stamp, self.to_string())
    }
}

/// The first line in which what an earlier daemon wrote is not what this one would.
fn differs(found: &str, expected: &str) -> Option<String> {
    let mut found_lines = found.lines();
    for line in expected.lines() {
        match found_lines.next() {
            Some(found) if found == line => {}
            Some(found) => return Some(format!("it has `{found}` where this metad has `{line}`")),
            None => return Some(format!("it does not have `{line}`")),
        }
    }
    found_lines
        .next()
        .map(|line| format!("it has `{line}`, which this metad does not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_outlive_the_daemon_are_in_the_layout_and_others_are_not() {
        let layout = Layout::of_object(AttachedBy::Tcx).unwrap();
        let maps: Vec<&str> = layout.maps().collect();
        for name in [names::NICS, names::FLOWS, names::PORTS, names::COUNTERS] {
            assert!(maps.contains(&name), "{name}: {maps:?}");
        }
        for name in names::TRANSIENT {
            assert!(!maps.contains(&name), "{name}: {maps:?}");
        }
        assert!(!maps.iter().any(|name| name.starts_with('.')), "{maps:?}");
        let text = layout.to_string();
        for part in [
            "layout 1\nattached by tcx\n",
            "\nCOUNTERS: type 6, 4 to 8 octets, ",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn a_layout_is_gone_on_with_only_where_every_line_is_the_same() {
        let ours = "layout 1\nattached by tcx\nNICS: a\n";
        for (case, found, expected) in [
            ("the same", ours, None),
            (
                "an older number",
                "layout 0\nattached by tcx\nNICS: a\n",
                Some("it has `layout 0` where this metad has `layout 1`"),
            ),
            (
                "another way to attach",
                "layout 1\nattached by clsact\nNICS: a\n",
                Some("it has `attached by clsact` where this metad has `attached by tcx`"),
            ),
            (
                "a map less",
                "layout 1\nattached by tcx\n",
                Some("it does not have `NICS: a`"),
            ),
            (
                "a map more",
                "layout 1\nattached by tcx\nNICS: a\nPAST: b\n",
                Some("it has `PAST: b`, which this metad does not"),
            ),
            ("empty", "", Some("it does not have `layout 1`")),
        ] {
            assert_eq!(differs(found, ours).as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn what_was_not_written_down_is_not_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::of_object(AttachedBy::Clsact).unwrap();
        let stamp = directory.path().join("layout");
        let objection = layout.objection(&stamp, directory.path()).unwrap();
        assert!(objection.contains("cannot read"), "{objection}");
        layout.write(&stamp).unwrap();
        let objection = layout.objection(&stamp, directory.path()).unwrap();
        let first = layout.maps().next().unwrap();
        let expected = format!("the map {first} cannot be had");
        assert!(objection.contains(&expected), "{objection}");
    }
}
