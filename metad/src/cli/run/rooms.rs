//! The rooms of a daemon, opened in order and closed in reverse.

mod end;

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::end::until_end;
use super::host::Daemon;
use super::house::House;
use super::signals::Signals;
use super::sockets::Door;
use super::sources::Sources;
use super::{Ending, descriptors, ready};
use crate::admin::{self, Claim};
use crate::conductor::{Conductor, Helm, Inputs, LedgerFile, Outputs, Progress};
use crate::config::Config;
use crate::datapath::{Datapath, KernelFlows};
use crate::interfaces::watch as interfaces;
use crate::inventory::{Inventory, Ledger, Snapshot};
use crate::limits::Bounds;
use crate::listen::{self, Desk};
use crate::settings::{Files, Loaded, Secret, StateDesk};
use crate::signer::Signer;
use crate::takeover::{Bequest, Conversation, Elder, Outcome};
use crate::token::Tokens;
use crate::{credentials, install};

/// How long the daemon waits for its sources before it says that it is ready without them.
const SOURCES_TIME: Duration = Duration::from_secs(5);

/// What the rooms stand on.
pub(super) struct Stand {
    pub(super) datapath: Datapath,
    pub(super) doors: Vec<Door>,
    pub(super) start: Start,
    pub(super) heirloom: Option<Heirloom>,
    pub(super) signals: Signals,
}

/// Who else is there while a daemon comes up.
pub(super) enum Start {
    /// Nobody: these slots are given out already.
    Alone(Ledger),
    /// The running daemon, whose the slots are until it stands aside.
    Beside {
        /// How long sources that are away are waited for.
        patience: Duration,
    },
}

/// What came from a running daemon, which is still to be told that this one serves.
pub(super) struct Heirloom {
    pub(super) admin: UnixListener,
    pub(super) successor: UnixListener,
    pub(super) conversation: Conversation,
}

/// Opens the rooms, and serves.
///
/// # Errors
/// A room cannot be opened, or fails. Where the daemon was to follow another and `claim` still is shared, that one
/// serves on.
pub(super) async fn serve(config: &Config, claim: &mut Claim, stand: Stand) -> Result<Ending> {
    let Stand {
        datapath,
        doors,
        start,
        heirloom,
        mut signals,
    } = stand;
    let (signer, tokens) = (open_signer(config)?, Tokens::open(&config.token_key())?);
    let (stop, stopped) = watch::channel(false);
    let mut slow = SlowSide::open(config, datapath, stopped.clone()).await?;
    if let Some(signal) = slow.come_up(config, start, &mut signals).await? {
        return slow.turn_back(signal, heirloom.is_some(), &stop).await;
    }

    let ledger = LedgerFile::new(config.ledger());
    let house = House::new(slow.helm.clone(), stop.clone(), ledger);
    let bounds = Arc::new(Bounds::new(config.limits));
    let desk = slow.desk(config, &house, &bounds, tokens, signer.clone());
    let guests = copies(&doors).context("cannot copy the guests' sockets")?;
    let listeners: Vec<TcpListener> = doors.into_iter().map(|door| door.listener).collect();
    let listening = listen::serve_on_each_core(listeners, Arc::new(desk), stopped.clone());
    let listening = tokio::spawn(listening);
    let (admin, successor) = match heirloom {
        None => {
            house.open();
            (claim.listen()?, claim.listen_for_successor()?)
        }
        Some(heirloom) => match succeed(&house, claim, heirloom).await {
            Ok(sockets) => sockets,
            Err(error) => {
                // What was accepted meanwhile is answered.
                stop.send_replace(true);
                let _ended = listening.await;
                return Err(error);
            }
        },
    };
    let elder = await_heir(claim, &house, guests, &admin, successor)?;
    let daemon = Daemon::new(
        config,
        &slow.outputs,
        bounds,
        signer,
        slow.state.clone(),
        stop.clone(),
    );
    let door = tokio::spawn(admin::serve(admin, Arc::new(daemon), stopped));
    ready::tell(config);
    let let_go = || {
        if house.is_followed() {
            claim.hand_over();
        }
    };
    let decided = house.begin_to_end();
    let ended = until_end(
        &stop,
        signals,
        &mut slow.conducting,
        listening,
        decided,
        let_go,
    )
    .await;
    elder.abort();
    slow.close();
    if let Err(error) = door.await.context("the admin socket's task failed")? {
        tracing::warn!(%error, "the admin socket failed");
    }
    ended.map(|signal| house.ending(signal))
}

/// Waits, beside everything else, for a daemon that is to follow.
fn await_heir(
    claim: &Claim,
    house: &House,
    guests: Vec<(String, OwnedFd)>,
    admin: &UnixListener,
    successor: UnixListener,
) -> Result<JoinHandle<()>> {
    let bequest = Bequest {
        lock: claim.lock()?,
        admin: admin.as_fd().try_clone_to_owned()?,
        successor: successor.as_fd().try_clone_to_owned()?,
        guests,
    };
    Ok(tokio::spawn(
        Elder::new(bequest, house.clone()).wait(successor),
    ))
}

/// Takes the place of a running daemon; returns the administrator's socket and the next successor's.
async fn succeed(
    house: &House,
    claim: &mut Claim,
    heirloom: Heirloom,
) -> Result<(UnixListener, UnixListener)> {
    let outcome = house.succeed(heirloom.conversation).await?;
    claim.settle()?;
    match outcome {
        Outcome::Handed => Ok((heirloom.admin, heirloom.successor)),
        // Nobody knows what the other one still did; the sockets' names may be gone.
        Outcome::Alone => Ok((claim.listen()?, claim.listen_for_successor()?)),
    }
}

/// Everything that keeps up to date what requests read.
struct SlowSide {
    helm: Helm,
    outputs: Outputs,
    flows: Arc<KernelFlows>,
    state: StateDesk,
    sources: Sources,
    following: JoinHandle<()>,
    /// Ended with it.
    _roles: JoinSet<()>,
    conducting: JoinHandle<Result<()>>,
}

impl SlowSide {
    /// Starts it, standing aside.
    async fn open(
        config: &Config,
        mut datapath: Datapath,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self> {
        let (flows, strangers) = (datapath.flows()?, datapath.strangers()?);
        // Before any source reads: a tap that is replaced after it was named must be seen to go.
        let happenings = interfaces::watch().await?;
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
        let (news, followers) = credentials::follow(&config.roles);
        let (helm, orders) = Helm::new();
        let inputs = Inputs {
            changes,
            credentials: news,
            happenings,
            strangers,
            templates,
            bells: sources.bells.clone(),
            errands,
            files: files.clone(),
            ledger: LedgerFile::new(config.ledger()),
            orders,
        };
        let conductor = Conductor::new(inventory(config, &files), inputs, outputs.clone());
        Ok(Self {
            helm,
            outputs,
            flows: Arc::new(flows),
            state,
            sources,
            following,
            _roles: followers,
            conducting: tokio::spawn(conductor.run(stopped)),
        })
    }

    /// Has it act where it is the only one, and waits until what it knows is worth serving. Returns the signal that ends it
    /// before.
    async fn come_up(
        &mut self,
        config: &Config,
        start: Start,
        signals: &mut Signals,
    ) -> Result<Option<&'static str>> {
        let (helm, progress) = (&self.helm, &self.outputs.progress);
        let up = async {
            match start {
                Start::Alone(ledger) => {
                    // Where it fails, the conductor itself says why.
                    let _ended = helm.engage(Some(ledger), None).await;
                    ready::wait(progress, config.sources.len(), SOURCES_TIME).await;
                    Ok(())
                }
                Start::Beside { patience } => ready::wait_for_all(progress, config, patience).await,
            }
        };
        tokio::select! {
            up = up => up.map(|()| None),
            signal = signals.end() => Ok(Some(signal)),
            ended = &mut self.conducting => {
                ended.context("the conductor failed")??;
                anyhow::bail!("the conductor ended before anybody was served")
            }
        }
    }

    /// Ends before anybody was served.
    ///
    /// # Errors
    /// It was to follow another daemon, which serves on.
    async fn turn_back(
        mut self,
        signal: &'static str,
        follows: bool,
        stop: &watch::Sender<bool>,
    ) -> Result<Ending> {
        tracing::info!(signal, "ending before guests were answered");
        stop.send_replace(true);
        // What it has begun to write, nobody removes meanwhile.
        let ended = (&mut self.conducting).await;
        self.close();
        anyhow::ensure!(
            !follows,
            "{signal} ended this metad before it took over: the running one serves on"
        );
        ended.context("the conductor failed")??;
        Ok(Ending::Signal)
    }

    /// What the listener asks of the rooms.
    fn desk(
        &self,
        config: &Config,
        house: &House,
        bounds: &Arc<Bounds>,
        tokens: Tokens,
        signer: Signer,
    ) -> Desk {
        let outputs = &self.outputs;
        Desk {
            keep_alive: config.keep_alive,
            bounds: Arc::clone(bounds),
            descriptors: descriptors::most(),
            state: self.state.clone(),
            open: house.door(),
            farewell: house.farewell(),
            ..Desk::new(
                Arc::clone(&outputs.snapshot),
                Arc::clone(&outputs.swapped),
                Arc::<KernelFlows>::clone(&self.flows),
                tokens,
                signer,
            )
        }
    }

    fn close(self) {
        self.sources.stop();
        self.following.abort();
    }
}

/// The guests' sockets once more, for a successor.
fn copies(doors: &[Door]) -> std::io::Result<Vec<(String, OwnedFd)>> {
    let copy = |door: &Door| {
        let socket = door.listener.as_fd().try_clone_to_owned()?;
        Ok((door.name.to_owned(), socket))
    };
    doors.iter().map(copy).collect()
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
