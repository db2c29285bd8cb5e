//! Where built images lie. A name carries a hash of its recipe, so a changed recipe is another file. Two builders of
//! one thing wait for each other; what a killed builder left is removed by the next one.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::Reuse;
use crate::progress::{Progress, Seconds};

/// A directory of finished images.
#[derive(Debug, Clone)]
pub struct Cache {
    directory: PathBuf,
}

/// What to build: the cache derives the file's name from it.
#[derive(Debug)]
pub(super) struct Recipe {
    /// What people call it: `bookworm`.
    pub(super) name: &'static str,
    /// With the dot, or empty for a directory.
    pub(super) extension: &'static str,
    /// Everything that decides what comes out.
    pub(super) text: String,
}

impl Cache {
    /// Opens `$METAD_LAB_CACHE`, or `target/lab` of this workspace, and creates it if need be.
    pub fn open() -> Result<Self> {
        let directory = env::var_os("METAD_LAB_CACHE").map_or_else(
            || {
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .with_file_name("target")
                    .join("lab")
            },
            PathBuf::from,
        );
        Self::at(directory)
    }

    /// Opens a directory, and creates it if need be.
    pub fn at(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create the image cache {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// Where the images lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns what `recipe` names. If it is not there, `build` makes it at the path it is handed, inside a scratch
    /// directory that is removed afterwards.
    pub(super) fn ready(
        &self,
        recipe: &Recipe,
        reuse: Reuse,
        progress: &Progress,
        build: impl FnOnce(&Scratch) -> Result<PathBuf>,
    ) -> Result<PathBuf> {
        let finished = self.place(recipe);
        if finished.exists() && reuse == Reuse::Yes {
            return Ok(finished);
        }
        let asked = std::time::SystemTime::now();
        let _turn = self.wait_turn(recipe.name, progress)?;
        // Somebody else may have built it while we waited.
        let made_meanwhile = fs::metadata(&finished)
            .and_then(|there| there.modified())
            .is_ok_and(|made| made > asked);
        if finished.exists() && (reuse == Reuse::Yes || made_meanwhile) {
            return Ok(finished);
        }
        let began = Instant::now();
        let scratch = Scratch::new(self.directory.join(format!(".building-{}", recipe.name)))?;
        let made =
            build(&scratch).with_context(|| format!("cannot build the image `{}`", recipe.name))?;
        if finished.is_dir() {
            fs::remove_dir_all(&finished)
                .with_context(|| format!("cannot replace {}", finished.display()))?;
        }
        fs::rename(&made, &finished)
            .with_context(|| format!("cannot put {} in its place", finished.display()))?;
        progress.say(format_args!(
            "{}: built in {}, {} MiB",
            recipe.name,
            Seconds(began.elapsed()),
            size(&finished) / (1024 * 1024)
        ));
        Ok(finished)
    }

    /// Where what `recipe` names lies, or will lie.
    pub(super) fn place(&self, recipe: &Recipe) -> PathBuf {
        self.directory.join(format!(
            "{}-{:016x}{}",
            recipe.name,
            fingerprint(&recipe.text),
            recipe.extension
        ))
    }

    fn wait_turn(&self, name: &str, progress: &Progress) -> Result<File> {
        let path = self.directory.join(format!(".{name}.lock"));
        let lock =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if lock.try_lock().is_err() {
            progress.say(format_args!(
                "{name}: somebody else is building it, waiting for that"
            ));
            lock.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(lock)
    }
}

/// A directory that a builder may fill; removed when dropped. The recipe's lock must be held.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| {
                format!(
                    "cannot remove what an earlier build left in {}",
                    path.display()
                )
            })?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }

    /// A path inside.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next build.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// FNV-1a: names must be the same with every compiler, and nobody attacks this cache.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = fs::symlink_metadata(path).map_or(0, |there| there.blocks() * 512);
    let inside: u64 = fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| size(&entry.path())).sum())
        .unwrap_or_default();
    own + inside
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::bail;

    use super::*;

    fn recipe(text: &str) -> Recipe {
        Recipe {
            name: "thing",
            extension: ".img",
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_thing_is_built_once_by_many_and_again_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().to_owned()).unwrap();
        let progress = Progress::new();
        let built = AtomicUsize::new(0);
        let build = |scratch: &Scratch| {
            built.fetch_add(1, Ordering::SeqCst);
            let path = scratch.join("new");
            fs::write(&path, "whole")?;
            Ok(path)
        };
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    cache
                        .ready(&recipe("a"), Reuse::Yes, &progress, build)
                        .unwrap()
                });
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1, "four builders at once");
        let again = cache
            .ready(&recipe("a"), Reuse::No, &progress, build)
            .unwrap();
        assert_eq!(built.load(Ordering::SeqCst), 2, "rebuild");
        let other = cache
            .ready(&recipe("b"), Reuse::Yes, &progress, build)
            .unwrap();
        assert_eq!(built.load(Ordering::SeqCst), 3, "another recipe");
        assert_ne!(again, other);
    }

    #[test]
    fn a_failed_build_leaves_nothing_and_keeps_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().to_owned()).unwrap();
        let progress = Progress::new();
        let good = |scratch: &Scratch| {
            let path = scratch.join("new");
            fs::write(&path, "good")?;
            Ok(path)
        };
        let bad = |scratch: &Scratch| -> Result<PathBuf> {
            fs::write(scratch.join("new"), "half")?;
            bail!("the network is down")
        };
        assert!(
            cache
                .ready(&recipe("a"), Reuse::Yes, &progress, bad)
                .is_err()
        );
        let path = cache
            .ready(&recipe("a"), Reuse::Yes, &progress, good)
            .unwrap();
        assert!(
            cache
                .ready(&recipe("a"), Reuse::No, &progress, bad)
                .is_err()
        );
        assert_eq!(fs::read_to_string(path).unwrap(), "good");
        let left: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left.len(), 2, "the image and its lock, but found {left:?}");
    }
}
