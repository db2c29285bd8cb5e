//! Makes a machine able to do a task: finds what is missing, says so, installs or builds it, says how long it took.
//!
//! Nothing is installed twice, and nothing is touched when nothing is missing. On Debian the packages come from apt;
//! elsewhere the missing things are named and whatever is there is used.

mod apt;
mod clients;
mod packages;
mod python;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bpf;
use crate::shell::{self, duration, say};

/// What the machine is to be able to do; each includes `build`, and `test` includes `net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Purpose {
    /// Build the kernel object and the daemon
    Build,
    /// Run the tests that need no guest
    Net,
    /// Run the tests with other people's clients
    Clients,
    /// Run every test
    Test,
    /// Run the demo
    Demo,
    /// Run the checks
    Ci,
    /// Fuzz
    Fuzz,
}

/// Prepares the machine and says for each thing that it is there or what is done about it.
pub(crate) fn run(purpose: Purpose) -> Result<()> {
    let started = Instant::now();
    let done = prepare(purpose)?;
    let time = duration(started.elapsed());
    if done == 0 {
        say(&format!("setup: nothing is missing ({time})"));
    } else {
        say(&format!("setup: {done} things done ({time})"));
    }
    Ok(())
}

/// Prepares the machine for a task and is silent when nothing is missing.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    prepare(purpose).map(|_| ())
}

/// Returns how many things had to be done.
fn prepare(purpose: Purpose) -> Result<usize> {
    let mut done = 0;
    let mut wanted = packages::missing(purpose);
    // rustup's nightly with its sources will do; only without one are Debian's compiler and sources wanted.
    let linker = bpf::find_linker();
    if bpf::find_compiler().is_err() {
        wanted.extend(packages::COMPILER);
    }
    if linker.is_none() {
        wanted.extend(packages::LLVM.iter().filter(|package| !package.is_there()));
    }
    if !wanted.is_empty() {
        done += wanted.len();
        step(&apt::describe(&wanted), || apt::install(&wanted))?;
    }
    let programs = match purpose {
        Purpose::Net | Purpose::Clients | Purpose::Test => python::missing()?,
        Purpose::Build | Purpose::Demo | Purpose::Ci | Purpose::Fuzz => Vec::new(),
    };
    if !programs.is_empty() {
        done += programs.len();
        step(
            &format!("installing {} for Python", programs.join(", ")),
            || python::install(&programs),
        )?;
    }
    if linker.is_none() {
        done += 1;
        step(
            "building bpf-linker (about 80 s on two idle cores)",
            build_linker,
        )?;
    }
    if let Err(missing) = bpf::find() {
        bail!("setup did its best, and still {missing}");
    }
    if matches!(purpose, Purpose::Test | Purpose::Demo) && !user_exists("libvirt-qemu") {
        done += 1;
        step("creating the user libvirt-qemu", || {
            shell::run(&mut shell::as_root(&[
                "useradd",
                "-r",
                "-U",
                "-M",
                "libvirt-qemu",
            ])?)
        })?;
    }
    if purpose == Purpose::Clients {
        done += clients::bring()?;
    }
    if purpose == Purpose::Ci {
        done += toolchain_parts()? + deny()?;
    }
    if purpose == Purpose::Fuzz {
        done += cargo_fuzz()?;
    }
    Ok(done)
}

/// bpf-linker links LLVM's own libraries; which LLVM must not be older than the compiler's.
fn build_linker() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["install", "bpf-linker", "--version", "0.13.0", "--locked"]);
    cargo.args(["--no-default-features", "--features", "llvm-22"]);
    // Outside the workspace, so that neither its lock file nor its configuration counts.
    cargo
        .current_dir("/")
        .env("LLVM_PREFIX", "/usr/lib/llvm-22");
    shell::run(&mut cargo).context("cannot build bpf-linker")
}

/// rustfmt and clippy come with rustup's default profile, but not with its minimal one.
fn toolchain_parts() -> Result<usize> {
    let mut done = 0;
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !shell::succeeds(shell::cargo().args([subcommand, "--version"])) {
            done += 1;
            step(&format!("adding {component} to the toolchain"), || {
                shell::run(Command::new("rustup").args(["component", "add", component]))
            })?;
        }
    }
    Ok(done)
}

/// cargo-deny reads deny.toml: licences, sources, duplicates.
fn deny() -> Result<usize> {
    if shell::succeeds(shell::cargo().args(["deny", "--version"])) {
        return Ok(0);
    }
    step(
        "building cargo-deny (about 2 min on two idle cores)",
        || {
            let mut cargo = shell::cargo();
            cargo.args(["install", "cargo-deny", "--version", "0.20.2", "--locked"]);
            shell::run(cargo.current_dir("/")).context("cannot build cargo-deny")
        },
    )?;
    Ok(1)
}

/// cargo-fuzz builds instrumented code and runs libFuzzer.
fn cargo_fuzz() -> Result<usize> {
    if shell::succeeds(shell::cargo().args(["fuzz", "--version"])) {
        return Ok(0);
    }
    step(
        "building cargo-fuzz (about 1 min on two idle cores)",
        || {
            let mut cargo = shell::cargo();
            cargo.args(["install", "cargo-fuzz", "--version", "0.13.2", "--locked"]);
            shell::run(cargo.current_dir("/")).context("cannot build cargo-fuzz")
        },
    )?;
    Ok(1)
}

fn user_exists(name: &str) -> bool {
    shell::succeeds(Command::new("id").arg(name))
}

/// Says what is done, does it, and says how long it took.
fn step(what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("setup: {what}"));
    let started = Instant::now();
    act()?;
    say(&format!("setup: done in {}", duration(started.elapsed())));
    Ok(())
}
