//! Shows the main job on a machine that has nothing yet: guests ask 169.254.169.254, each gets its own answers.
//!
//! Three stages, each the executable again: as the user who called (sets up and builds), as root (guests' images, which
//! need the network), and inside a sandbox, where everything else happens and which nothing outlives.

mod door;
mod quick;
mod real;
mod show;

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use metad_tests::image::Reuse;
use metad_tests::progress::{Progress, Seconds};
use metad_tests::sandbox;

use crate::setup::{self, Purpose};
use crate::{images, shell};

/// How to show it.
#[derive(Args, Debug, Clone)]
pub(crate) struct Options {
    /// Guests made of namespaces instead of virtual machines: seconds instead of minutes
    #[arg(long)]
    quick: bool,
    /// Leave it running until Ctrl-C, and say how to enter it
    #[arg(long)]
    keep: bool,
    /// Which part of the work this process does; the first starts the others
    #[arg(long, value_enum, default_value_t = Stage::User, hide = true)]
    stage: Stage,
    /// Milliseconds since the demo was started, in another process
    #[arg(long, default_value_t = 0, hide = true)]
    elapsed: u64,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    User,
    Root,
    Host,
}

/// The exit status of a sandbox whose command was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Shows it.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let progress = Progress::resume(Duration::from_millis(options.elapsed));
    match options.stage {
        Stage::User => as_user(options, &progress),
        Stage::Root => as_root(options, &progress),
        Stage::Host => {
            if options.quick {
                quick::show(&progress, options.keep)?;
            } else {
                real::show(&progress, options.keep)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn as_user(options: &Options, progress: &Progress) -> Result<ExitCode> {
    progress.print(if options.quick {
        "metad, the metadata service of a KVM host: a demonstration with guests made of namespaces.\n"
    } else {
        "metad, the metadata service of a KVM host: a demonstration with two real guests.\n\
         The processor is emulated and the first run builds everything, so it takes minutes.\n"
    });
    let purpose = if options.quick {
        Purpose::Net
    } else {
        Purpose::Demo
    };
    progress.step("making sure that this machine has what it takes", || {
        setup::ensure(purpose)
    })?;
    progress.step("building metad", || {
        shell::run(shell::cargo().args(["build", "--quiet", "--package", "metad"]))
    })?;
    if shell::is_root() {
        return as_root(options, progress);
    }
    if !shell::may_sudo() {
        bail!(
            "network namespaces need root\n  help: run `cargo xtask demo` as root, or where sudo works"
        );
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("--preserve-env=PATH,METAD_LAB_CACHE,RUSTC");
    sudo.arg(std::env::current_exe()?);
    // In this process's place: Ctrl-C then has one addressee, which cleans up before the prompt returns.
    let error =
        std::os::unix::process::CommandExt::exec(stage(&mut sudo, options, Stage::Root, progress));
    Err(anyhow::Error::new(error).context("cannot start `sudo`"))
}

fn as_root(options: &Options, progress: &Progress) -> Result<ExitCode> {
    if !options.quick {
        images::build(Reuse::Yes, progress)?;
    }
    let mut host = Command::new(std::env::current_exe()?);
    stage(&mut host, options, Stage::Host, progress);
    host.env("METAD_BIN", shell::target()?.join("debug/metad"));
    // An error says where it comes from; a backtrace would bury that.
    host.env("RUST_BACKTRACE", "0");
    let door = options.keep.then(door::Door::open).transpose()?;
    if let Some(door) = &door {
        host.env(door::FILE, door.file());
    }
    let code = sandbox::run(&host)?;
    let what = if options.quick {
        "namespaces, links"
    } else {
        "libvirtd, guests, networks"
    };
    let gone = format!(
        "{what} and BPF programs lived in a sandbox that is gone, this machine is as it was"
    );
    match code {
        0 => progress.say(format_args!(
            "done in {}; {gone}",
            Seconds(progress.elapsed())
        )),
        INTERRUPTED => progress.say(format_args!("interrupted; {gone}")),
        _ => progress.say(format_args!("failed; {gone}")),
    }
    let expected = code == 0 || (options.keep && code == INTERRUPTED);
    Ok(if expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The arguments that make this executable the next stage.
fn stage<'a>(
    command: &'a mut Command,
    options: &Options,
    stage: Stage,
    progress: &Progress,
) -> &'a mut Command {
    let name = match stage {
        Stage::User => "user",
        Stage::Root => "root",
        Stage::Host => "host",
    };
    command.args([
        "demo",
        "--stage",
        name,
        "--elapsed",
        &progress.elapsed().as_millis().to_string(),
    ]);
    for (flag, set) in [("--quick", options.quick), ("--keep", options.keep)] {
        if set {
            command.arg(flag);
        }
    }
    command
}
