//! The daemon as the administrator sees it.

use std::sync::PoisonError;

use tokio::sync::watch;

use crate::admin::{self, Host, Query, QueryError, Reply, Status};
use crate::conductor::Outputs;
use crate::config::Config;
use crate::settings::StateDesk;
use crate::signer::{Certificate, Signer};

/// Answers the admin socket.
pub(super) struct Daemon {
    name: String,
    outputs: Outputs,
    signer: Signer,
    state: StateDesk,
    stop: watch::Sender<bool>,
}

impl Daemon {
    pub(super) fn new(
        config: &Config,
        outputs: &Outputs,
        signer: Signer,
        state: StateDesk,
        stop: watch::Sender<bool>,
    ) -> Self {
        Self {
            name: config.name.to_string(),
            outputs: outputs.clone(),
            signer,
            state,
            stop,
        }
    }
}

impl Host for Daemon {
    fn status(&self) -> Status {
        let (interfaces, counters) = {
            let datapath = self
                .outputs
                .datapath
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            (datapath.interfaces(), datapath.counters())
        };
        Status::new(
            &self.name,
            &self.outputs.snapshot.load(),
            interfaces,
            counters,
        )
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
