//! The admin socket's protocol: octets as a process of root's might write them, through the daemon's own routes, to
//! what queries and wishes come to.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metad::admin::{Counters, Host, Query, QueryError, Reply, Status, answer, routes};
use metad::inventory::{Inventory, Snapshot};
use metad::limits::Bounds;
use metad::settings::{
    Decision, Errand, Outcome, Plan, Refusal, StateDesk, Stored, Wish, World, decide,
    leave_password,
};
use metad::signer::Certificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::world;

/// Octets that a connection may hold before somebody reads.
const BUFFER: usize = 16 * 1024 * 1024;

/// Sends the octets on a connection of their own and reads what comes back.
pub fn replay(octets: &[u8]) {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(runtime());
    }
    let told = RUNTIME.with_borrow(|runtime| runtime.block_on(exchange(octets)));
    let text = String::from_utf8_lossy(&told);
    if let Some((_, rest)) = text.split_once(' ').filter(|_| text.starts_with("HTTP/1.")) {
        let status = rest.get(..3).unwrap_or_default();
        assert_ne!(status, "500", "{text}");
    } else {
        assert!(text.is_empty(), "no HTTP: {text}");
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn exchange(octets: &[u8]) -> Vec<u8> {
    let (mut ours, theirs) = tokio::io::duplex(BUFFER);
    let (state, mut errands) = StateDesk::open();
    let daemon = Arc::new(Daemon::new(state));
    let writer = Arc::clone(&daemon);
    let writing = tokio::spawn(async move {
        while let Some(errand) = errands.recv().await {
            writer.fulfil(errand);
        }
    });
    let service = TowerToHyperService::new(routes(daemon));
    let serving = tokio::spawn(
        hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(theirs), service),
    );
    let mut told = Vec::new();
    // A connection that is closed early is one of the answers.
    if ours.write_all(octets).await.is_ok() {
        let _closed = ours.shutdown().await;
    }
    let _closed = ours.read_to_end(&mut told).await;
    let _broken = serving.await.expect("the daemon panicked");
    writing.abort();
    told
}

/// The daemon behind the routes: the real inventory and the real decisions, without files and kernel.
struct Daemon {
    inventory: Mutex<Inventory>,
    snapshot: Snapshot,
    state: StateDesk,
}

impl Daemon {
    fn new(state: StateDesk) -> Self {
        let mut inventory = world::two_machines(world::OPEN);
        let interfaces = world::interfaces();
        let snapshot = inventory
            .resolve(&interfaces, std::time::Duration::ZERO)
            .snapshot;
        Self {
            inventory: Mutex::new(inventory),
            snapshot,
            state,
        }
    }

    /// As the conductor does.
    fn fulfil(&self, errand: Errand) {
        let mut inventory = self
            .inventory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match errand {
            Errand::Wish(wish, answer) => {
                let _gone = answer.send(wished(&mut inventory, wish));
            }
            Errand::Password(instance, password, answer) => {
                let names = inventory.names();
                let kept = inventory.kept();
                let world = World {
                    kept,
                    names: &names,
                };
                let plan = leave_password(instance, password, world);
                let stored = match plan {
                    Some(plan) => {
                        inventory.keep(plan.instance, plan.kept);
                        Stored::Stored
                    }
                    None => Stored::AlreadySet,
                };
                let _gone = answer.send(stored);
            }
        }
    }
}

fn wished(inventory: &mut Inventory, wish: Wish) -> Result<Outcome, Refusal> {
    let names = inventory.names();
    let world = World {
        kept: inventory.kept(),
        names: &names,
    };
    match decide(wish, world)? {
        Decision::Answer(outcome) => Ok(outcome),
        Decision::Write(Plan { instance, kept }) => {
            inventory.keep(instance, kept);
            Ok(Outcome::Done)
        }
    }
}

impl Host for Daemon {
    fn status(&self) -> Status {
        let met = Bounds::default();
        let counters = Counters::default();
        Status::new("metad", &self.snapshot, Vec::new(), counters, met.counts())
    }

    fn query(&self, query: &Query) -> Result<Reply, QueryError> {
        answer(&self.snapshot, &world::signer(), query)
    }

    fn certificate(&self) -> Certificate {
        world::signer().certificate().clone()
    }

    fn state(&self) -> &StateDesk {
        &self.state
    }

    fn stop(&self) {}
}
