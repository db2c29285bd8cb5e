//! `metad serve`: opens the rooms in order, and closes them in reverse.

mod host;
mod ready;

use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use self::host::Daemon;
use crate::admin::{self, Claim};
use crate::conductor::{Conductor, Inputs, Outputs, Progress};
use crate::config::{Config, Source};
use crate::datapath::{Datapath, Traces, remove};
use crate::interfaces::watch as interfaces;
use crate::inventory::{Inventory, Snapshot};
use crate::limits::Bounds;
use crate::listen::{self, Desk};
use crate::netns::{Namespace, veth};
use crate::settings::{Files, Loaded, Secret, StateDesk};
use crate::signer::Signer;
use crate::source::Outlet;
use crate::token::Tokens;
use crate::{credentials, directory, install, libvirt};

/// How long the daemon waits for its sources before it says that it is ready without them.
const SOURCES_TIME: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted; beyond the kernel's own limit (net.core.somaxconn) it has no effect.
const BACKLOG: i32 = 4_096;

/// Serves until SIGTERM, SIGINT or the administrator ends it, and leaves the host as it found it.
///
/// # Errors
/// When something the daemon cannot do without is missing; what was made until then is removed again.
pub fn serve(config: Config) -> Result<()> {
    // Attaching a program waits for the kernel, some milliseconds each; guests are answered meanwhile, on one core too.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(config))
}

async fn run(config: Config) -> Result<()> {
    let run_dir = config.run_dir();
    let mut traces = Traces::NONE;
    if Claim::was_taken(&run_dir) || config.pins().exists() {
        // A daemon of this name was killed: what is called by it is ours.
        traces = Traces::ALL;
    }
    let claim = Claim::take(&run_dir)?;
    clean(&config, traces, "an earlier daemon had left").await;
    let mut made = Traces::NONE;
    let served = serve_claimed(&config, &claim, &mut made).await;
    if claim.is_lost() {
        // What is called by the name now is the other's.
        tracing::error!("another metad has claimed the name: nothing is removed");
        return served;
    }
    if clean(&config, made, "removed").await {
        // A lock that is left there would say that a daemon was killed, and that what has the name is its.
        let left = match kept_by_systemd(&run_dir) {
            true => claim.leave(),
            false => claim.remove(),
        };
        if let Err(error) = left {
            tracing::warn!(%error, "the run directory stays behind; `metad down` tries again");
        }
    }
    served
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

/// Notes in `made` what it makes, before it makes it: an interface or a namespace of our name that was there before us
/// is somebody else's, and must outlive a start that failed on it.
async fn serve_claimed(config: &Config, claim: &Claim, made: &mut Traces) -> Result<()> {
    let namespace = Namespace::create(config.name.as_str())?;
    made.namespace = true;
    let veth = veth::create(&config.veth_host(), &config.veth_inner(), &namespace).await?;
    made.datapath = true;
    let mut datapath = Datapath::up(config, veth).context("cannot bring up the datapath")?;
    let (flows, strangers) = (datapath.flows()?, datapath.strangers()?);
    let listeners = namespace.run(listeners)??;
    let tokens = Tokens::open(&config.token_key())?;
    let signer = open_signer(config)?;

    let (stop, stopped) = watch::channel(false);
    let (changes_in, changes) = mpsc::channel(1_024);
    let sources = Sources::start(config, &changes_in)?;
    drop(changes_in);
    let outputs = Outputs {
        snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::default())),
        swapped: Arc::new(Notify::new()),
        datapath: Arc::new(Mutex::new(datapath)),
        progress: watch::Sender::new(Progress::default()),
    };
    let engine = install::Engine::Child;
    let (templates, following) = install::watch::start(config.install.clone(), engine).await;
    let files = Files::new(&config.state_dir());
    let (state, errands) = StateDesk::open();
    let (news, _followers) = credentials::follow(&config.roles);
    let inputs = Inputs {
        changes,
        credentials: news,
        happenings: interfaces::watch().await?,
        strangers,
        templates,
        bells: sources.bells.clone(),
        errands,
        files: files.clone(),
    };
    let conductor = Conductor::new(inventory(config, &files), inputs, outputs.clone());
    let mut conducting = tokio::spawn(conductor.run(stopped.clone()));
    tokio::select! {
        () = ready::wait(&outputs.progress, config.sources.len(), SOURCES_TIME) => {}
        ended = &mut conducting => return ended.context("the conductor failed")?,
    }

    let bounds = Arc::new(Bounds::new(config.limits));
    let desk = Desk {
        keep_alive: config.keep_alive,
        bounds: Arc::clone(&bounds),
        descriptors: descriptors(),
        state: state.clone(),
        ..Desk::new(
            Arc::clone(&outputs.snapshot),
            Arc::clone(&outputs.swapped),
            Arc::new(flows),
            tokens,
            signer.clone(),
        )
    };
    let listening = tokio::spawn(listen::serve(listeners, Arc::new(desk), stopped.clone()));
    let daemon = Daemon::new(config, &outputs, bounds, signer, state, stop.clone());
    let door = tokio::spawn(admin::serve(claim.listen()?, Arc::new(daemon), stopped));
    ready::tell(config);
    let ended = until_end(&stop, conducting, listening).await;
    sources.stop();
    following.abort();
    if let Err(error) = door.await.context("the admin socket's task failed")? {
        tracing::warn!(%error, "the admin socket failed");
    }
    ended
}

/// Lets the process have as many file descriptors open as it may, and says how many: connections are what they go to.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    let raised = setrlimit(Resource::Nofile, all);
    let may = match raised {
        Ok(()) => allowed.maximum,
        Err(_kept) => allowed.current,
    };
    may.map_or(usize::MAX, |may| may.try_into().unwrap_or(usize::MAX))
}

/// Makes the inventory of what is configured and kept.
fn inventory(config: &Config, files: &Files) -> Inventory {
    let names = config.sources.iter().map(ToString::to_string).collect();
    let roles = config.roles.iter().map(|role| role.name.clone());
    let inventory = Inventory::new(config.datapath.identity, config.defaults.clone(), names);
    with_state(inventory.with_roles(roles), config, files)
}

/// Hands over what is kept. Guests are answered without it too, and `metad status` says what is missing.
fn with_state(inventory: Inventory, config: &Config, files: &Files) -> Inventory {
    let Loaded { kept, mut problems } = files.load();
    let secret = Secret::open(&config.state_dir());
    if let Err(error) = &secret {
        let problem = format!("NoCloud has no secret paths: {error}");
        let problem = problem.lines().next().unwrap_or_default().to_owned();
        problems.push((config.state_dir().display().to_string(), problem));
    }
    inventory.with_state(secret.ok(), kept, problems)
}

/// Opens the key that instances are vouched for with. A first start makes it, in a fraction of a second.
fn open_signer(config: &Config) -> Result<Signer> {
    let host = rustix::system::uname();
    let name = format!(
        "metad {} on {}",
        config.name,
        host.nodename().to_string_lossy()
    );
    Ok(Signer::open(&config.state_dir(), &name, &config.issuer())?)
}

/// Waits for a signal, for the administrator, or for a room to fail; then ends the others.
async fn until_end(
    stop: &watch::Sender<bool>,
    mut conducting: JoinHandle<Result<()>>,
    mut listening: JoinHandle<Result<()>>,
) -> Result<()> {
    let mut stopped = stop.subscribe();
    let failed = tokio::select! {
        signal = ready::signal() => {
            tracing::info!(signal = signal?, "ending");
            None
        }
        _ = stopped.wait_for(|stop| *stop) => None,
        ended = &mut conducting => Some(ended.context("the conductor failed")?),
        ended = &mut listening => Some(ended.context("the listener failed")?),
    };
    ready::tell_ending();
    stop.send_replace(true);
    if let Some(failed) = failed {
        return failed;
    }
    listening.await.context("the listener failed")??;
    conducting.await.context("the conductor failed")?
}

/// Opens the guests' sockets, one for each family; runs inside the namespace.
fn listeners() -> Result<Vec<std::net::TcpListener>> {
    let mut listeners = Vec::new();
    for address in [
        SocketAddr::from((veth::METADATA, 80)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)),
    ] {
        match listener(address) {
            Err(error) if address.is_ipv6() && is_without_ipv6(&error) => {
                tracing::warn!("this kernel has no IPv6: guests are answered over IPv4 alone");
            }
            opened => listeners.push(
                opened
                    .with_context(|| format!("cannot listen on {address} in metad's namespace"))?,
            ),
        }
    }
    Ok(listeners)
}

fn listener(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Socket, Type};
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has its own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_without_ipv6(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// The running sources.
struct Sources {
    bells: Vec<Arc<Notify>>,
    libvirt: Vec<libvirt::Session>,
    directories: Vec<JoinHandle<()>>,
}

impl Sources {
    fn start(config: &Config, changes: &mpsc::Sender<crate::source::Change>) -> Result<Self> {
        let mut sources = Self {
            bells: Vec::new(),
            libvirt: Vec::new(),
            directories: Vec::new(),
        };
        for (index, source) in config.sources.iter().enumerate() {
            let reread = Arc::new(Notify::new());
            sources.bells.push(Arc::clone(&reread));
            let outlet = Outlet {
                source: index,
                changes: changes.clone(),
                reread,
            };
            match source {
                Source::Libvirt { uri } => {
                    let session = libvirt::start(uri.clone(), outlet)
                        .with_context(|| format!("cannot start to follow {source}"))?;
                    sources.libvirt.push(session);
                }
                Source::Directory { path } => {
                    sources
                        .directories
                        .push(directory::start(path.clone(), outlet));
                }
            }
        }
        Ok(sources)
    }

    fn stop(self) {
        for session in self.libvirt {
            session.stop();
        }
        for directory in self.directories {
            directory.abort();
        }
    }
}
