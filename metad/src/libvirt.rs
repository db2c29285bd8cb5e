//! libvirt as a source of instances: a URI in, changes out. Events tell what to read, and everything is read anew after
//! each connect; a look at the list of domains now and then shows whether there still are events. What must never
//! happen: a libvirt that is slow, broken, hung or away stops anything but the thread that calls it.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::sync::watch;

use crate::source::Outlet;

pub mod domain_xml;
mod events;
mod hearing;
pub mod metadata;
pub mod network_xml;
mod owner;
mod reading;
mod session;
pub(crate) mod xml;

/// How long [`Session::stop`] waits for a libvirt that does not answer.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A libvirt that is being followed; ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    stop: watch::Sender<bool>,
    ended: Receiver<()>,
}

impl Session {
    /// Ends the session and waits until its connection is closed, two seconds at most.
    pub fn stop(self) {
        self.stop.send_replace(true);
        // Nothing is ever sent: the thread drops its end when it ends.
        let _ = self.ended.recv_timeout(STOP_WAIT);
    }
}

/// Follows the libvirt at `uri` from a thread of its own; fails only where that thread cannot be made.
pub fn start(uri: String, outlet: Outlet) -> io::Result<Session> {
    start_with(uri, outlet, session::Limits::default())
}

fn start_with(uri: String, outlet: Outlet, limits: session::Limits) -> io::Result<Session> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (stop, stopped) = watch::channel(false);
    let (ending, ended) = channel::<()>();
    std::thread::Builder::new()
        .name("libvirt".to_owned())
        .spawn(move || {
            runtime.block_on(session::follow(&uri, &outlet, stopped, limits, &ending));
        })?;
    Ok(Session { stop, ended })
}

#[cfg(test)]
mod tests;
