//! Writes the archive that Linux unpacks as its initial RAM disk: the `newc` format of cpio, uncompressed.
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// An archive in the making.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Packs a directory's contents, in the order of their names, as root's.
    pub(super) fn of_directory(root: &Path) -> Result<Vec<u8>> {
        let mut archive = Self::default();
        archive.add_contents(root, "")?;
        Ok(archive.finish())
    }

    fn add_contents(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("cannot read {}", directory.display());
        let mut entries = fs::read_dir(directory)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(reading)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let about = fs::symlink_metadata(&path).with_context(reading)?;
            if about.is_dir() {
                self.add(&name, about.mode(), &[])?;
                self.add_contents(&path, &format!("{name}/"))?;
            } else if about.is_symlink() {
                let target = fs::read_link(&path).with_context(reading)?;
                self.add(&name, about.mode(), target.to_string_lossy().as_bytes())?;
            } else {
                let content =
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                self.add(&name, about.permissions().mode(), &content)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len())
            .with_context(|| format!("{name} is too large for a RAM disk"))?;
        let name_size = u32::try_from(name.len() + 1)?;
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        // The trailer has a short name and no content: it cannot fail.
        let _ = self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_lists_what_was_packed() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        fs::write(directory.path().join("bin/tool"), "12345").unwrap();
        std::os::unix::fs::symlink("bin/tool", directory.path().join("init")).unwrap();
        let bytes = Archive::of_directory(directory.path()).unwrap();
        assert_eq!(
            bytes.len() % 4,
            0,
            "every header starts on a multiple of four"
        );
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = text
            .split("070701")
            .skip(1)
            .filter_map(|entry| entry.get(104..)?.split('\0').next())
            .collect();
        assert_eq!(names, ["bin", "bin/tool", "init", "TRAILER!!!"]);
    }
}
