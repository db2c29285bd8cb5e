//! Finds a Rust toolchain that can build for the BPF target and builds `metad-ebpf` with it.
//!
//! In comes the workspace, out goes the path of the kernel object. metad's build script and xtask share this file, so
//! it needs nothing but std. It must not change the machine: what is missing is named, `cargo xtask setup` adds it.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest compiler that the workspace takes, as `(major, minor)`; see `rust-version` in Cargo.toml.
const OLDEST: (u32, u32) = (1, 95);

/// A compiler with its own sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// What to call it: `nightly-x86_64-unknown-linux-gnu`, `/usr/bin/rustc`.
    pub(crate) name: String,
    pub(crate) rustc: PathBuf,
    /// The cargo that drives it.
    pub(crate) cargo: OsString,
}

/// All that the kernel object is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: PathBuf,
}

/// Why no toolchain was found; prints as one sentence that names the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What was looked at and why it will not do.
    pub(crate) reasons: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = self.reasons.join(", ");
        write!(
            f,
            "no Rust toolchain here can build the BPF programs ({reasons}): run `cargo xtask setup`"
        )
    }
}

/// How the kernel object is optimised; the verifier accepts both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Release,
    /// With debug assertions.
    Debug,
}

/// Finds a compiler with its sources, and a `bpf-linker`.
///
/// # Errors
/// Lists everything that was looked at and what it lacks.
pub(crate) fn find() -> Result<Toolchain, Missing> {
    let (compiler, mut reasons) = match find_compiler() {
        Ok(compiler) => (Some(compiler), Vec::new()),
        Err(missing) => (None, missing.reasons),
    };
    let linker = find_linker();
    if linker.is_none() {
        reasons.push("bpf-linker is not installed".to_owned());
    }
    match (compiler, linker) {
        (Some(compiler), Some(linker)) => Ok(Toolchain { compiler, linker }),
        (Some(_), None) | (None, _) => Err(Missing { reasons }),
    }
}

/// Finds a rustup nightly that has `rust-src`, else a system compiler with its sources.
///
/// # Errors
/// Lists every compiler that was looked at and what it lacks.
pub(crate) fn find_compiler() -> Result<Compiler, Missing> {
    let mut reasons = Vec::new();
    find_nightly(&mut reasons)
        .or_else(|| find_system(&mut reasons))
        .ok_or(Missing { reasons })
}

/// Finds `bpf-linker` on PATH or where `cargo install` puts it.
pub(crate) fn find_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    env::split_paths(&path)
        .chain(home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
        .find(|file| file.is_file())
}

/// Builds the kernel object and returns its path.
///
/// `workspace` is the directory of the root Cargo.toml, `target` where build products may go; `arch` is the machine
/// that the programs will run on, as `std::env::consts::ARCH` has it.
///
/// # Errors
/// cargo cannot be started, or says no: its own words are on stderr by then.
pub(crate) fn build(
    toolchain: &Toolchain,
    workspace: &Path,
    target: &Path,
    arch: &str,
    profile: Profile,
) -> Result<PathBuf, String> {
    let triple = if cfg!(target_endian = "little") {
        "bpfel-unknown-none"
    } else {
        "bpfeb-unknown-none"
    };
    // A directory of its own: the cargo that runs this build script holds the lock of the other one.
    let target = target.join("bpf");
    let mut cargo = Command::new(&toolchain.compiler.cargo);
    for (key, _) in env::vars_os() {
        if belongs_to_outer_build(&key.to_string_lossy()) {
            cargo.env_remove(key);
        }
    }
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        // The kernel wants BTF and line information; it costs no instruction.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", toolchain.linker.display()),
    ];
    cargo
        .current_dir(workspace)
        .args(["build", "--package", "metad-ebpf", "--target", triple])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(&target)
        .env("RUSTC", &toolchain.compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .stdin(Stdio::null())
        // A build script's stdout is an order to cargo.
        .stdout(Stdio::null());
    let directory = match profile {
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
        Profile::Debug => {
            // Unoptimised, no loop bound and no inlining reaches the verifier: only the assertions differ.
            cargo
                .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
                .env("CARGO_PROFILE_DEV_CODEGEN_UNITS", "1")
                .env("CARGO_PROFILE_DEV_OVERFLOW_CHECKS", "false");
            "debug"
        }
    };
    let status = cargo.status().map_err(|error| {
        format!(
            "cannot start {}: {error}",
            toolchain.compiler.cargo.display()
        )
    })?;
    if !status.success() {
        return Err(format!(
            "cannot build metad-ebpf with {} ({status}); cargo's own words are above",
            toolchain.compiler.name
        ));
    }
    let object = target.join(triple).join(directory).join("metad-ebpf");
    if object.is_file() {
        Ok(object)
    } else {
        Err(format!("cargo left no object at {}", object.display()))
    }
}

/// Finds cargo's target directory above one of its products: what holds the directory of a profile, which cargo locks,
/// or else the nearest one with a tag, which cargo puts only into a directory that it made itself.
pub(crate) fn target_directory(product: &Path) -> Option<&Path> {
    let nearest = |file| {
        let mut above = product.ancestors();
        above.find(|directory| directory.join(file).is_file())
    };
    nearest(".cargo-lock")
        .and_then(Path::parent)
        .or_else(|| nearest("CACHEDIR.TAG"))
}

/// Variables that the cargo around a build script (or `cargo xtask`) set for the host build.
fn belongs_to_outer_build(key: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let outer = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "CLIPPY_",
    ];
    let starts = |prefix: &&str| key.starts_with(prefix);
    outer.iter().any(starts) && !kept.iter().any(starts)
}

fn find_nightly(reasons: &mut Vec<String>) -> Option<Compiler> {
    let Some(list) = said(Command::new("rustup").args(["toolchain", "list"])) else {
        reasons.push("rustup is not installed".to_owned());
        return None;
    };
    let nightlies: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .collect();
    if nightlies.is_empty() {
        reasons.push("rustup has no nightly".to_owned());
    }
    nightlies.into_iter().find_map(|name| {
        let root = said(Command::new("rustup").args(["run", name, "rustc", "--print", "sysroot"]))?;
        let root = PathBuf::from(root.trim());
        let cargo = root.join("bin/cargo").into_os_string();
        usable(name, root.join("bin/rustc"), cargo, reasons)
    })
}

/// Debian's `rustc-web` and `rust-web-src` are such a pair; rustup's cargo drives it.
fn find_system(reasons: &mut Vec<String>) -> Option<Compiler> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    if !rustc.is_file() {
        reasons.push("there is no /usr/bin/rustc".to_owned());
        return None;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    usable("/usr/bin/rustc", rustc, cargo, reasons)
}

fn usable(
    name: &str,
    rustc: PathBuf,
    cargo: OsString,
    reasons: &mut Vec<String>,
) -> Option<Compiler> {
    let verbose = said(Command::new(&rustc).arg("-vV")).unwrap_or_default();
    if version(&verbose).is_none_or(|version| version < OLDEST) {
        reasons.push(format!("{name} is older than {}.{}", OLDEST.0, OLDEST.1));
        return None;
    }
    let root = said(Command::new(&rustc).args(["--print", "sysroot"])).unwrap_or_default();
    let sources = Path::new(root.trim()).join("lib/rustlib/src/rust/library");
    if fs::metadata(sources.join("core/src/lib.rs")).is_err() {
        reasons.push(format!("{name} has no rust-src"));
        return None;
    }
    Some(Compiler {
        name: name.to_owned(),
        rustc,
        cargo,
    })
}

/// Reads `release: 1.96.0-nightly` out of `rustc -vV`.
fn version(verbose: &str) -> Option<(u32, u32)> {
    let release = verbose
        .lines()
        .find_map(|line| line.strip_prefix("release: "))?;
    let mut numbers = release.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

/// What a command prints, if it succeeds.
fn said(command: &mut Command) -> Option<String> {
    // Asking rustup from within a build must not give the answer of that build's toolchain.
    command
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER");
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_reads_every_channel() {
        for (case, verbose, expected) in [
            ("stable", "rustc 1.95.0\nrelease: 1.95.0\n", Some((1, 95))),
            ("nightly", "release: 1.97.0-nightly\n", Some((1, 97))),
            ("cut short", "release: 1\n", None),
            ("something else", "gcc 12\n", None),
        ] {
            assert_eq!(version(verbose), expected, "{case}");
        }
    }

    #[test]
    fn target_directory_is_found_with_and_without_cargos_tag() {
        let clone = tempfile::tempdir().unwrap();
        let target = clone.path().join("target");
        let profile = target.join("debug");
        let product = profile.join("build/metad-1/out");
        fs::create_dir_all(&product).unwrap();
        fs::write(clone.path().join("CACHEDIR.TAG"), "").unwrap();
        fs::write(profile.join(".cargo-lock"), "").unwrap();
        let made_beforehand = target_directory(&product);
        assert_eq!(made_beforehand, Some(target.as_path()), "no tag");
        fs::remove_file(profile.join(".cargo-lock")).unwrap();
        fs::write(target.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(
            target_directory(&product),
            Some(target.as_path()),
            "no lock"
        );
    }

    #[test]
    fn the_outer_build_does_not_reach_the_inner_one() {
        for (key, expected) in [
            ("RUSTC_WORKSPACE_WRAPPER", true),
            ("CARGO_ENCODED_RUSTFLAGS", true),
            ("CARGO_TARGET_DIR", true),
            ("RUSTUP_TOOLCHAIN", true),
            ("CARGO_HOME", false),
            ("CARGO_NET_OFFLINE", false),
            ("RUSTUP_HOME", false),
            ("PATH", false),
        ] {
            assert_eq!(belongs_to_outer_build(key), expected, "{key}");
        }
    }

    #[test]
    fn what_is_missing_reads_as_one_sentence_with_its_remedy() {
        let missing = Missing {
            reasons: vec!["rustup has no nightly".into(), "no linker".into()],
        };
        let text = missing.to_string();
        assert!(
            text.contains("(rustup has no nightly, no linker)"),
            "{text}"
        );
        assert!(text.ends_with("run `cargo xtask setup`"), "{text}");
    }
}
