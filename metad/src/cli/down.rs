//! `metad down`: the host after it is the host before metad ever served.

mod stop;

use std::io::{self, Write};

use self::stop::Patience;
use super::{block_on, report, report::Unwritten};
use crate::admin::Claim;
use crate::config::Config;
use crate::datapath::{self, Datapath, Traces};
use crate::exit;
use crate::settings::Files;

/// What was found and removed, in words, and what stayed.
#[derive(Debug, Default)]
pub struct Removed {
    pub what: Vec<String>,
    pub problems: Vec<anyhow::Error>,
}

/// How the daemon ended.
#[derive(Debug)]
struct Stopped {
    /// There was one.
    any: bool,
    /// Why it did not end by itself.
    force: Option<String>,
}

/// Stops the daemon, removes what is left, and says so.
pub(super) fn run(config: &Config, purge: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut asked = stop::ask(config)?;
    // Claimed before anything is touched, so that no daemon starts meanwhile.
    let unclean = Claim::was_taken(&config.run_dir());
    let (claim, force) = match Claim::is_kept(&config.run_dir()) {
        true => {
            let (name, run_dir) = (config.name.as_str(), config.run_dir());
            let (claim, force) = stop::claim(name, &run_dir, &mut asked, Patience::default())?;
            (Some(claim), force)
        }
        false => (None, None),
    };
    let mut removed = Removed::default();
    // Without these, a namespace or an interface of this name is somebody else's.
    if unclean || Datapath::is_pinned(config) {
        removed = block_on(remove(config))?;
    }
    if let Some(claim) = claim
        && removed.problems.is_empty()
    {
        // Last: while anything is left, the directory says whose it is.
        match claim.remove() {
            Ok(()) => removed
                .what
                .push(format!("run directory {}", config.run_dir().display())),
            Err(error) => removed.problems.push(error.into()),
        }
    }
    if purge && removed.problems.is_empty() {
        match Files::new(&config.state_dir()).purge() {
            Ok(true) => removed
                .what
                .push(format!("state directory {}", config.state_dir().display())),
            Ok(false) => {}
            Err(error) => removed.problems.push(error.into()),
        }
    }
    let kept = !purge && config.state_dir().exists();
    let stopped = Stopped {
        any: asked.anybody(),
        force,
    };
    tell(config, &stopped, &removed, kept, out).map_err(Unwritten)?;
    for problem in &removed.problems {
        // The exit code tells too, should nobody read this.
        let _ = io::stderr().write_all(report::text(problem).as_bytes());
    }
    Ok(if removed.problems.is_empty() {
        exit::SUCCESS
    } else {
        exit::LEFTOVERS
    })
}

/// Removes everything but the run directory, and goes on after a failure.
pub async fn remove(config: &Config) -> Removed {
    let removal = datapath::remove(config, Traces::ALL).await;
    Removed {
        what: removal.removed,
        problems: removal
            .leftovers
            .into_iter()
            .map(anyhow::Error::from)
            .collect(),
    }
}

fn tell(
    config: &Config,
    stopped: &Stopped,
    removed: &Removed,
    kept: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match &stopped.force {
        Some(why) => writeln!(
            out,
            "ended the metad called `{}` by force: {why}",
            config.name
        )?,
        None if stopped.any => writeln!(out, "stopped the metad called `{}`", config.name)?,
        None => {}
    }
    for what in &removed.what {
        writeln!(out, "removed {what}")?;
    }
    if !stopped.any && removed.what.is_empty() && removed.problems.is_empty() {
        writeln!(
            out,
            "nothing of a metad called `{}` is on this host",
            config.name
        )?;
    }
    if kept {
        writeln!(
            out,
            "kept {}: settings, passwords and keys; --purge removes them",
            config.state_dir().display()
        )?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_happened_is_told() {
        let config = Config::default();
        let removed = |what: &[&str], problems: &[&str]| Removed {
            what: what.iter().map(|what| (*what).to_owned()).collect(),
            problems: problems
                .iter()
                .map(|problem| anyhow!((*problem).to_owned()))
                .collect(),
        };
        let stopped = |any, force: Option<&str>| Stopped {
            any,
            force: force.map(str::to_owned),
        };
        for (case, stopped, kept, removed, expected) in [
            (
                "nothing there",
                stopped(false, None),
                false,
                removed(&[], &[]),
                "nothing of a metad called `metad` is on this host\n",
            ),
            (
                "by force",
                stopped(true, Some("its process, 7, was stopped")),
                false,
                removed(&["interface metad0"], &[]),
                "ended the metad called `metad` by force: its process, 7, was stopped\nremoved interface metad0\n",
            ),
            (
                "clean stop",
                stopped(true, None),
                true,
                removed(&[], &[]),
                "stopped the metad called `metad`\nkept /var/lib/metad: settings, passwords and keys; --purge removes them\n",
            ),
            (
                "after a crash",
                stopped(false, None),
                false,
                removed(&["pins /sys/fs/bpf/metad", "interface metad0"], &[]),
                "removed pins /sys/fs/bpf/metad\nremoved interface metad0\n",
            ),
            (
                "only failures",
                stopped(false, None),
                false,
                removed(&[], &["cannot remove x"]),
                "",
            ),
        ] {
            let mut out = Vec::new();
            tell(&config, &stopped, &removed, kept, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{case}");
        }
    }
}
