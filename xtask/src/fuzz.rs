//! Fuzzing: from a target's name and a number of minutes to a larger corpus, or to the input that broke something.
//!
//! What runs grows a corpus of its own below the target directory; only `--minify` touches the one that is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::setup::{self, Purpose};
use crate::shell::{self, say};

/// Files that one target's committed corpus may hold, as fuzz/tests/corpus.rs has it.
const FILES_MAX: usize = 200;
/// Octets of one input: beyond the largest head of a request.
const LENGTH_MAX: usize = 12 * 1024;
/// Seconds that one input may take before it counts as a hang.
const HANG: u32 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which of the files in fuzz/fuzz_targets; without one, they are listed
    target: Option<String>,
    /// How long to look for new inputs
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Then replace the committed corpus by the smallest files that reach as much
    #[arg(long)]
    minify: bool,
}

/// Fuzzes one target. Fails where something is found, and says in which file.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let known = targets()?;
    let Some(target) = &options.target else {
        known.iter().for_each(|name| say(name));
        return Ok(ExitCode::SUCCESS);
    };
    ensure!(
        known.contains(target),
        "there is no target `{target}`; there are {}",
        known.join(", ")
    );
    setup::ensure(Purpose::Fuzz)?;
    let places = Places::of(target)?;
    for directory in [&places.grown, &places.committed] {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    build(target)?;
    if options.minutes > 0 {
        let seconds = format!("-max_total_time={}", u64::from(options.minutes) * 60);
        let mut cargo = command(target, &places)?;
        cargo.arg("--").args(limits()).arg(seconds);
        let before = names(&places.broken);
        if let Err(error) = shell::run(&mut cargo) {
            let found: Vec<String> = names(&places.broken).difference(&before).cloned().collect();
            return Err(failed(target, &places.broken, &found, error));
        }
    }
    if options.minify {
        minify(target, &places)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The directories of one target.
struct Places {
    /// What all runs here have found; not committed.
    grown: PathBuf,
    committed: PathBuf,
    seeds: PathBuf,
    /// Where libFuzzer leaves what broke the target.
    broken: PathBuf,
}

impl Places {
    fn of(target: &str) -> Result<Self> {
        let fuzz = shell::workspace().join("fuzz");
        Ok(Self {
            grown: products()?.join("corpus").join(target),
            committed: fuzz.join("corpus").join(target),
            seeds: fuzz.join("seeds").join(target),
            broken: fuzz.join("artifacts").join(target),
        })
    }
}

/// Instrumented code is built beside everything else.
fn products() -> Result<PathBuf> {
    Ok(shell::target()?.join("fuzz"))
}

fn targets() -> Result<Vec<String>> {
    let directory = shell::workspace().join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            Some(
                entry
                    .ok()?
                    .path()
                    .file_stem()?
                    .to_string_lossy()
                    .into_owned(),
            )
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the target, so that what cannot be built is not taken for what broke.
fn build(target: &str) -> Result<()> {
    say("building with instrumentation: minutes for the first time");
    shell::run(&mut cargo_fuzz("build", target)?)
        .with_context(|| format!("`{target}` cannot be built, so nothing was tried"))
}

/// Why a run failed: it broke on an input, of which libFuzzer then leaves a copy, or it did not get so far.
fn failed(target: &str, place: &Path, found: &[String], error: anyhow::Error) -> anyhow::Error {
    if found.is_empty() {
        return error.context(format!("`{target}` could not be run to its end"));
    }
    anyhow::anyhow!(
        "`{target}` broke; the input is {} in {}: make it a named test, then mend",
        found.join(", "),
        place.display()
    )
}

/// The names of a directory's files; none where there is no such directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// `cargo fuzz` on the target, which must have all its options but libFuzzer's own.
fn cargo_fuzz(command: &str, target: &str) -> Result<Command> {
    let mut cargo = shell::cargo();
    // What the daemon is released with takes the counters of coverage away from where the linker must find them.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "false");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    // The instrumentation is not stable, and the compiler is to be the one that everything else is built with.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["fuzz", command, target, "--features", "libfuzzer"]);
    cargo.args(["--sanitizer", "address", "--target-dir"]);
    cargo.arg(products()?);
    Ok(cargo)
}

/// The run without libFuzzer's own options. New inputs go to the first directory.
fn command(target: &str, places: &Places) -> Result<Command> {
    let mut cargo = cargo_fuzz("run", target)?;
    cargo.args([&places.grown, &places.committed, &places.seeds]);
    Ok(cargo)
}

fn limits() -> [String; 4] {
    [
        format!("-max_len={LENGTH_MAX}"),
        format!("-timeout={HANG}"),
        // The runtime and the stage live as long as the process; they are no leak.
        "-detect_leaks=0".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]
}

/// Lets libFuzzer choose inputs that together reach what all of them do, and keeps the shortest.
fn minify(target: &str, places: &Places) -> Result<()> {
    let chosen = tempfile::tempdir().context("cannot make a directory")?;
    let mut cargo = command(target, &places.beside(chosen.path()))?;
    cargo.arg(&places.grown);
    cargo.arg("--").args(limits()).arg("-set_cover_merge=1");
    shell::run(&mut cargo)?;
    let seeds: Vec<Vec<u8>> = read(&places.seeds)?.into_iter().map(|it| it.1).collect();
    let mut files = read(chosen.path())?;
    // A seed is replayed under its own name.
    files.retain(|(_, octets)| !seeds.contains(octets));
    files.sort_by_key(|(_, octets)| octets.len());
    files.truncate(FILES_MAX);
    fs::remove_dir_all(&places.committed).context("cannot empty the corpus")?;
    fs::create_dir_all(&places.committed).context("cannot make the corpus")?;
    for (name, octets) in &files {
        let path = places.committed.join(name);
        fs::write(&path, octets).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let octets: usize = files.iter().map(|(_, octets)| octets.len()).sum();
    say(&format!("{target}: {} files, {octets} octets", files.len()));
    Ok(())
}

impl Places {
    /// The same, with what is chosen going to `chosen`.
    fn beside(&self, chosen: &Path) -> Self {
        Self {
            grown: chosen.to_owned(),
            committed: self.committed.clone(),
            seeds: self.seeds.clone(),
            broken: self.broken.clone(),
        }
    }
}

fn read(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let octets = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default();
        files.push((name.to_string_lossy().into_owned(), octets));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds() {
        let targets = targets().unwrap();
        assert!(targets.contains(&"verdict".to_owned()), "{targets:?}");
        for target in targets {
            let places = Places::of(&target).unwrap();
            assert!(!read(&places.seeds).unwrap().is_empty(), "{target}");
        }
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let options = Options {
            target: Some("verdicts".to_owned()),
            minutes: 1,
            minify: false,
        };
        let refused = run(&options).unwrap_err().to_string();
        assert!(refused.starts_with("there is no target `verdicts`; there are admin, "));
    }

    #[test]
    fn only_what_left_an_input_behind_broke() {
        let place = Path::new("fuzz/artifacts/http");
        for (case, found, expected) in [
            (
                "no input",
                vec![],
                "`http` could not be run to its end: gone",
            ),
            (
                "an input",
                vec!["crash-1".to_owned()],
                "`http` broke; the input is crash-1 in fuzz/artifacts/http: make it a named test, then mend",
            ),
        ] {
            let error = failed("http", place, &found, anyhow::anyhow!("gone"));
            assert_eq!(format!("{error:#}"), expected, "{case}");
        }
        assert!(names(Path::new("/nonexistent")).is_empty());
    }
}
