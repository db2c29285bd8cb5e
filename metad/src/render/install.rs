//! Installers' answers as a tree: files by path come in, one directory goes out. What they say is not made here.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::tree::Directory;

/// Builds the directory; a name has one slash at most.
pub(super) fn directory(files: &BTreeMap<String, Bytes>) -> Directory {
    let mut root = Directory::default();
    let mut below: BTreeMap<&str, Directory> = BTreeMap::new();
    for (name, octets) in files {
        match name.split_once('/') {
            Some((directory, name)) => {
                let directory = below.entry(directory).or_default();
                directory.text(name, octets.clone());
            }
            None => root.text(name.as_str(), octets.clone()),
        }
    }
    for (name, directory) in below {
        root.directory(name, directory);
    }
    root
}
