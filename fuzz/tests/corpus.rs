//! Every seed and every file that fuzzing found is replayed.

use std::fs;
use std::path::{Path, PathBuf};

use metad_fuzz::TARGETS;

/// Files of one target's corpus; more make a clone slow, and find nothing more.
const FILES_MAX: usize = 200;

#[test]
fn every_seed_and_every_corpus_holds() {
    let mut broken = Vec::new();
    for (name, replay) in TARGETS {
        let seeds = files("seeds", name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        let corpus = files("corpus", name);
        assert!(
            corpus.len() <= FILES_MAX,
            "{name}: `cargo xtask fuzz {name} --minify`"
        );
        for path in seeds.iter().chain(&corpus) {
            let octets = fs::read(path).unwrap();
            let held = std::panic::catch_unwind(|| replay(&octets));
            if held.is_err() {
                broken.push(path.display().to_string());
            }
        }
    }
    assert!(broken.is_empty(), "these do not hold: {broken:#?}");
}

#[test]
fn every_directory_is_a_targets() {
    let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    for kind in ["seeds", "corpus", "fuzz_targets"] {
        for path in listed(&root().join(kind)) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(known.contains(&name.as_str()), "{}", path.display());
        }
    }
    for name in known {
        let target = root().join("fuzz_targets").join(format!("{name}.rs"));
        assert!(target.is_file(), "{}", target.display());
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    listed(&root().join(kind).join(target))
}

/// In order; a directory that is not there holds nothing.
fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
