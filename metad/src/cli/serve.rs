//! The words of `metad serve`.

use std::time::Duration;

use clap::Args;

use super::{Place, log, run};
use crate::exit;

/// How `metad serve` was called.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    place: Place,
    /// Take the place of the running metad of this name without a guest noticing; it ends once this one serves
    #[arg(long)]
    take_over: bool,
    /// How long a take-over waits for sources that are away before it is given up, and the running metad serves on
    #[arg(long, value_name = "SECONDS", requires = "take_over", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=150))]
    wait: u64,
    /// Leave namespace, programs and tables for the next start when a signal ends it; `metad down` removes them
    #[arg(long)]
    leave: bool,
    /// What to log: error, warn, info, debug, trace, or a filter such as info,metad::libvirt=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: log::Filter,
    /// How to write the log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,
}

impl Serve {
    /// Serves until the daemon ends.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let config = self.place.config()?;
        let _written_to_the_end = log::start(&self.log, self.log_format);
        let patience = Duration::from_secs(self.wait);
        let manner = run::Manner {
            take_over: self.take_over.then_some(patience),
            leave: self.leave,
        };
        run::serve(config, manner)?;
        Ok(exit::SUCCESS)
    }
}
