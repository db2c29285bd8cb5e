//! What whoever started the daemon tells it by signals, from the first moment at which there is something to remove.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal as on};

/// The signals that the daemon hears. What comes while nobody waits is not lost.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// Whether somebody started it by hand: then a hang-up is the end of the terminal. Asked for at the start, since a
    /// terminal that is gone is none any more.
    on_a_terminal: bool,
}

impl Signals {
    /// Begins to hear them. Must be called on a runtime; until then they end the process at once.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
            on_a_terminal: io::stdin().is_terminal() || io::stderr().is_terminal(),
        })
    }

    /// Waits until the daemon is to end; returns the signal's name.
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            let signal = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hang_up.recv() => "SIGHUP",
            };
            if signal != "SIGHUP" || self.on_a_terminal {
                return signal;
            }
            // Others read their configuration anew then. Whoever expects that of us must not be left without a service,
            // least of all by systemd, which takes such an end for a clean one.
            tracing::warn!(
                "SIGHUP changes nothing: the configuration is read at a start; `metad check`, then `systemctl restart metad` or `metad serve --take-over`, which lose no request"
            );
        }
    }
}
