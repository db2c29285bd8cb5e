//! The daemon as the administrator sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use metad_common::reason::Reason;
use tokio::sync::watch;

use crate::admin::{self, Host, Problem, Query, QueryError, Reply, Status};
use crate::conductor::Outputs;
use crate::config::Config;
use crate::datapath::buckets::CONNECTIONS;
use crate::inventory::{Slot, Snapshot};
use crate::limits::Bounds;
use crate::netns::queues;
use crate::settings::StateDesk;
use crate::signer::{Certificate, Signer};

/// Answers the admin socket.
pub(super) struct Daemon {
    name: String,
    outputs: Outputs,
    bounds: Arc<Bounds>,
    signer: Signer,
    state: StateDesk,
    stop: watch::Sender<bool>,
}

impl Daemon {
    pub(super) fn new(
        config: &Config,
        outputs: &Outputs,
        bounds: Arc<Bounds>,
        signer: Signer,
        state: StateDesk,
        stop: watch::Sender<bool>,
    ) -> Self {
        Self {
            name: config.name.to_string(),
            outputs: outputs.clone(),
            bounds,
            signer,
            state,
            stop,
        }
    }
}

impl Host for Daemon {
    fn status(&self) -> Status {
        let snapshot = self.outputs.snapshot.load();
        let (interfaces, counters, refused, connections) = {
            let datapath = self
                .outputs
                .datapath
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let refused = datapath
                .refused()
                .map(|(slot, why)| refused(&snapshot, slot, why));
            let counters = datapath.counters();
            // A table of thousands is read only where there is something in it to be read.
            let connections = match counters.is_dropped(Reason::ConnectionLimit) {
                true => datapath.refused_connections(),
                false => BTreeMap::new(),
            };
            (
                datapath.interfaces(),
                counters,
                refused.collect::<Vec<_>>(),
                connections,
            )
        };
        let met = self.bounds.counts();
        let mut status = Status::new(&self.name, &snapshot, interfaces, counters, met);
        status.problems.extend(refused);
        status.met_by_slot(CONNECTIONS, Reason::ConnectionLimit, &connections);
        // Without its namespace, nobody is served, and that shows elsewhere.
        for (queue, times) in queues::full(&self.name).into_iter().flatten() {
            if times > 0 {
                status.limits.insert(queue.name().to_owned(), times);
            }
        }
        status
    }

    fn query(&self, query: &Query) -> Result<Reply, QueryError> {
        admin::answer(&self.outputs.snapshot.load(), &self.signer, query)
    }

    fn certificate(&self) -> Certificate {
        self.signer.certificate().clone()
    }

    fn state(&self) -> &StateDesk {
        &self.state
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// A NIC that has a seat and no place in the kernel's table.
fn refused(snapshot: &Snapshot, slot: Slot, why: &str) -> Problem {
    match snapshot.seats.get(&slot) {
        Some(seat) => Problem {
            subject: seat.instance.name.clone(),
            problem: format!(
                "NIC {} on {} is not answered: {why}",
                seat.mac, seat.interface
            ),
        },
        None => Problem {
            subject: format!("slot {slot}"),
            problem: why.to_owned(),
        },
    }
}
