//! `metad down`: the host after it is the host before metad ever served.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::{block_on, report, report::Unwritten};
use crate::admin::{Claim, Client, ClientError, Error};
use crate::config::Config;
use crate::datapath::{self, Traces};
use crate::exit;
use crate::settings::Files;

/// How long a daemon may take to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was found and removed, in words, and what stayed.
#[derive(Debug, Default)]
pub struct Removed {
    pub what: Vec<String>,
    pub problems: Vec<anyhow::Error>,
}

/// Stops the daemon, removes what is left, and says so.
pub(super) fn run(config: &Config, purge: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let stopped = stop(config)?;
    // Claimed before anything is touched, so that no daemon starts meanwhile.
    let unclean = Claim::was_taken(&config.run_dir());
    let claim = match Claim::is_kept(&config.run_dir()) {
        true => Some(claim(config)?),
        false => None,
    };
    let mut removed = Removed::default();
    // Without these, a namespace or an interface of this name is somebody else's.
    if unclean || config.pins().exists() {
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
    tell(config, stopped, &removed, kept, out).map_err(Unwritten)?;
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

/// Asks a running daemon to end. `false`: there was none.
fn stop(config: &Config) -> anyhow::Result<bool> {
    match block_on(Client::new(&config.admin_socket()).stop())? {
        Ok(()) => Ok(true),
        // It ends already, and hears no more; whether it does, its claim will tell.
        Err(ClientError::Broken { .. }) => Ok(true),
        Err(ClientError::NotRunning { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the daemon has let go of its name.
fn claim(config: &Config) -> anyhow::Result<Claim> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Claim::take(&config.run_dir()) {
            Err(Error::Taken { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50))
            }
            Err(Error::Taken { pid, .. }) => {
                let (whom, how) = match pid {
                    Some(pid) => (format!("process {pid}"), format!("`kill {pid}`")),
                    None => ("it".to_owned(), "`kill`".to_owned()),
                };
                return Err(anyhow!(
                    "cannot stop the metad called `{}`: {whom} still runs after {} s\nhelp: end it with {how}, then run `metad down` again",
                    config.name,
                    PATIENCE.as_secs()
                ));
            }
            claimed => return Ok(claimed?),
        }
    }
}

fn tell(
    config: &Config,
    stopped: bool,
    removed: &Removed,
    kept: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if stopped {
        writeln!(out, "stopped the metad called `{}`", config.name)?;
    }
    for what in &removed.what {
        writeln!(out, "removed {what}")?;
    }
    if !stopped && removed.what.is_empty() && removed.problems.is_empty() {
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
        for (case, stopped, kept, removed, expected) in [
            (
                "nothing there",
                false,
                false,
                removed(&[], &[]),
                "nothing of a metad called `metad` is on this host\n",
            ),
            (
                "clean stop",
                true,
                true,
                removed(&[], &[]),
                "stopped the metad called `metad`\nkept /var/lib/metad: settings, passwords and keys; --purge removes them\n",
            ),
            (
                "after a crash",
                false,
                false,
                removed(&["pins /sys/fs/bpf/metad", "interface metad0"], &[]),
                "removed pins /sys/fs/bpf/metad\nremoved interface metad0\n",
            ),
            (
                "only failures",
                false,
                false,
                removed(&[], &["cannot remove x"]),
                "",
            ),
        ] {
            let mut out = Vec::new();
            tell(&config, stopped, &removed, kept, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{case}");
        }
    }
}
