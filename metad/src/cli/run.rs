//! `metad serve`: opens the rooms in order, and closes them in reverse.

mod descriptors;
mod ground;
mod host;
mod house;
mod ready;
mod rooms;
mod signals;
mod sockets;
mod sources;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UnixListener;

use self::ground::{Ground, Past};
use self::rooms::{Heirloom, Stand, Start};
use self::signals::Signals;
use crate::admin::{self, Claim};
use crate::conductor::LedgerFile;
use crate::config::Config;
use crate::datapath::{Datapath, Traces, release, remove};
use crate::memory;
use crate::takeover::{Inheritance, inherit};

/// How a daemon begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// It follows a running one, which ends once this one serves, and waits so long for sources that are away.
    pub take_over: Option<Duration>,
    /// A signal ends it, and what it stands on stays for the next one.
    pub leave: bool,
}

/// Serves until SIGTERM, SIGINT, the administrator or another daemon ends it. Then the host is as it was before, or as
/// the next daemon needs it.
///
/// # Errors
/// When something the daemon cannot do without is missing; what was made until then is removed again.
pub fn serve(config: Config, manner: Manner) -> Result<()> {
    let kernel = rustix::system::uname();
    release::demand(&kernel.release().to_string_lossy(), config.datapath.attach)?;
    memory::restrain();
    // Attaching a program waits for the kernel, some milliseconds each; guests are answered meanwhile, on one core too.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Before anything is made that would have to be removed.
        let signals = Signals::new().context("cannot hear signals")?;
        match manner.take_over {
            Some(patience) => follow(config, manner, signals, patience).await,
            None => begin(config, manner, signals).await,
        }
    })
}

/// Begins as the only one of its name.
async fn begin(config: Config, manner: Manner, signals: Signals) -> Result<()> {
    let run_dir = config.run_dir();
    let past = match Claim::was_taken(&run_dir) || Datapath::is_pinned(&config) {
        true => Past::Left,
        false => Past::None,
    };
    let mut claim = Claim::take(&run_dir)?;
    let mut made = Made::default();
    let served = serve_claimed(&config, &mut claim, past, signals, &mut made).await;
    end(&config, manner, claim, &made, served).await
}

/// Begins beside a running daemon of its name. As long as that one serves, nothing of a failed attempt is to be seen.
async fn follow(
    config: Config,
    manner: Manner,
    signals: Signals,
    patience: Duration,
) -> Result<()> {
    let run_dir = config.run_dir();
    admin::trust(&run_dir)?;
    let inheritance = inherit(&admin::successor_in(&run_dir)).await?;
    let Inheritance {
        lock,
        admin,
        successor,
        guests,
        conversation,
    } = inheritance;
    let mut claim = Claim::share(&run_dir, lock)?;
    let (namespace, datapath) = ground::share(&config).await?;
    let listens = |socket: OwnedFd| UnixListener::from_std(socket.into());
    let what = "cannot use a socket of the running metad";
    let stand = Stand {
        datapath,
        doors: sockets::open(&namespace, guests)?,
        start: Start::Beside { patience },
        heirloom: Some(Heirloom {
            admin: listens(admin).context(what)?,
            successor: listens(successor).context(what)?,
            conversation,
        }),
        signals,
    };
    sockets::keep(&stand.doors);
    let served = rooms::serve(&config, &mut claim, stand).await;
    if claim.is_shared() {
        return served.map(|_never| ());
    }
    let made = Made {
        traces: Traces::ALL,
        whole: true,
        found: false,
    };
    end(&config, manner, claim, &made, served).await
}

/// What is to be removed in the end.
#[derive(Debug)]
struct Made {
    traces: Traces,
    /// All of it is there, so that another daemon can go on with it.
    whole: bool,
    /// The namespace is one that an earlier daemon or `metad up` had made. It outlives a daemon that fails: a confined
    /// one could neither remove it nor make it anew, and whoever starts it again would fail for good.
    found: bool,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            traces: Traces::NONE,
            whole: false,
            found: false,
        }
    }
}

/// Why a daemon ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Whoever started it wants it to end.
    Signal,
    /// The administrator asked for it.
    Asked,
    /// Another daemon has taken over.
    Followed,
}

/// Removes what is to be removed.
async fn end(
    config: &Config,
    manner: Manner,
    mut claim: Claim,
    made: &Made,
    served: Result<Ending>,
) -> Result<()> {
    if matches!(served, Ok(Ending::Followed)) {
        // An heir that came while this one was ending already has the name by now, and the sockets in it.
        claim.hand_over();
        return Ok(());
    }
    let served = served.map(|ending| (ending == Ending::Signal).then_some(()));
    if claim.is_lost() {
        // What is called by the name now is the other's.
        tracing::error!("another metad has claimed the name: nothing is removed");
        return served.map(drop);
    }
    let leaves = manner.leave && made.whole && !matches!(served, Ok(None));
    if leaves {
        if served.is_err() {
            // Whatever it failed on, the next one is not to stand on it.
            Datapath::condemn(config);
            let _ = std::fs::remove_file(config.ledger());
        }
        tracing::info!(
            "left for the next metad: namespace, programs and tables; `metad down` removes them"
        );
        return served.map(drop);
    }
    sockets::forget();
    let stays = served.is_err() && made.found;
    let traces = Traces {
        namespace: made.traces.namespace && !stays,
        ..made.traces
    };
    let clean = clean(config, traces, "removed").await;
    if stays {
        tracing::info!(
            "left the network namespace, which was there before; `metad down` removes it"
        );
        if let Err(error) = claim.leave_taken() {
            tracing::warn!(%error, "the run directory is not as it was; `metad down` removes it");
        }
    } else if clean {
        // A lock that is left there would say that a daemon was killed, and that what has the name is its.
        let left = match kept_by_systemd(&config.run_dir()) {
            true => claim.leave(),
            false => claim.remove(),
        };
        if let Err(error) = left {
            tracing::warn!(%error, "the run directory stays behind; `metad down` tries again");
        }
    }
    served.map(drop)
}

/// Whether systemd removes the run directory when the service stops, and keeps it, with the key of the guests' tokens,
/// when it only restarts (`RuntimeDirectory=`, systemd.exec(5)).
fn kept_by_systemd(run_dir: &Path) -> bool {
    let kept = std::env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
    kept.as_bytes()
        .split(|octet| *octet == b':')
        .any(|kept| kept == run_dir.as_os_str().as_bytes())
}

/// Removes traces and says what stays. `true`: nothing does.
async fn clean(config: &Config, traces: Traces, what: &str) -> bool {
    let removal = remove(config, traces).await;
    for removed in removal.removed {
        tracing::debug!(removed, "{what}");
    }
    let clean = removal.leftovers.is_empty();
    for leftover in removal.leftovers {
        let error = format!("{:#}", anyhow::Error::from(leftover));
        tracing::error!(error, "something stays behind; `metad down` tries again");
    }
    clean
}

/// Lays the ground, notes in `made` what is to be removed in the end, and serves.
async fn serve_claimed(
    config: &Config,
    claim: &mut Claim,
    past: Past,
    signals: Signals,
    made: &mut Made,
) -> Result<Ending> {
    let file = LedgerFile::new(config.ledger());
    let Ground {
        namespace,
        datapath,
        ledger,
    } = ground::lay(config, past, &file, made).await?;
    let mut kept = sockets::kept();
    if ledger.is_none() {
        // Nobody knows whose connections wait there.
        sockets::end(std::mem::take(&mut kept));
    }
    let doors = sockets::open(&namespace, kept)?;
    sockets::keep(&doors);
    made.whole = true;
    let stand = Stand {
        datapath,
        doors,
        start: Start::Alone(ledger.unwrap_or_default()),
        heirloom: None,
        signals,
    };
    rooms::serve(config, claim, stand).await
}
