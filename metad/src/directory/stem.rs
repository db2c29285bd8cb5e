//! What a file's name says: whose record it is, and how it is written. Nothing here looks at a file.

use std::path::Path;

use super::origin;
use super::record_file::Format;

/// What a record's name may end in.
pub(super) const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The name that a path holds user-data for, which no record need name.
pub(super) fn data_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(".data")?;
    (!name.starts_with('.') && origin::data_counts(name)).then_some(name)
}

/// The name that a path says a record for; `None` for what is no record file: dot files, editors' copies, other things.
pub(super) fn name_of(path: &Path) -> Option<(&str, Format)> {
    let file = path.file_name()?.to_str()?;
    let (name, extension) = file.rsplit_once('.')?;
    let format = match extension {
        "yaml" | "yml" => Format::Yaml,
        "json" => Format::Json,
        _ => return None,
    };
    (!name.is_empty() && !name.starts_with('.')).then_some((name, format))
}
