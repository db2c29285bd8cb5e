//! Every task of the project; CI and people call nothing else.
//!
//! In comes a task's name, out goes its exit status: 0 done, 1 not done. Must build on a machine that has a Rust
//! toolchain and nothing else, since `setup` is one of the tasks.

mod bench;
mod bpf;
mod build_ebpf;
mod ci;
mod conformance;
mod demo;
mod elf;
mod fuzz;
mod images;
mod setup;
mod shell;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use metad_tests::sandbox;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Every task of the metad project"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install or build whatever a task needs and this machine lacks
    Setup {
        /// The task to prepare for; every other task does this by itself
        #[arg(long = "for", value_enum, default_value_t = setup::Purpose::Test)]
        purpose: setup::Purpose,
    },
    /// Build the kernel object and print its programs, instruction counts and maps
    BuildEbpf {
        /// As the daemon embeds it (the default)
        #[arg(long, conflicts_with = "debug")]
        release: bool,
        /// With debug assertions
        #[arg(long)]
        debug: bool,
    },
    /// Run the tests: all floors but `kernels` in order, or one
    Test {
        #[arg(value_enum)]
        floor: Option<test::Floor>,
        /// Only tests whose name contains this; for `kernels`, also a kernel: `bookworm`, `bookworm::vlan`
        #[arg(long)]
        filter: Option<String>,
    },
    /// Show it: a throw-away KVM host, real guests with cloud-init, and what metad told them
    Demo(demo::Options),
    /// Build the guests' images that the tests and the demo boot
    Images {
        /// Even those that are there
        #[arg(long)]
        rebuild: bool,
    },
    /// See whether a metadata server, ours or another, does what its clients rely on
    Conformance(conformance::Options),
    /// Measure what metad promises, side by side with what it is compared to
    Bench(bench::Options),
    /// Look for inputs that break what must hold for all of them
    Fuzz(fuzz::Options),
    /// Check format, lints, documentation, licences and the rules of the house
    Ci,
    /// Run a command as root in namespaces that vanish with it
    Sandbox {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    sandbox::stage();
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            shell::tell(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup { purpose } => setup::run(purpose).map(|()| ExitCode::SUCCESS),
        Task::BuildEbpf { debug, release: _ } => {
            let profile = if debug {
                bpf::Profile::Debug
            } else {
                bpf::Profile::Release
            };
            build_ebpf::run(profile).map(|()| ExitCode::SUCCESS)
        }
        Task::Test { floor, filter } => test::run(floor, filter.as_deref()),
        Task::Demo(options) => demo::run(&options),
        Task::Images { rebuild } => images::run(rebuild).map(|()| ExitCode::SUCCESS),
        Task::Conformance(options) => conformance::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Ci => ci::run(),
        Task::Sandbox { command } => {
            let (program, words) = command.split_first().context("no command")?;
            let code = sandbox::run(Command::new(program).args(words))?;
            Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}
