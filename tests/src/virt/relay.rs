//! Between a libvirt client and its daemon: what a hung, a cut and a deafened connection look like to the client, while
//! the daemon itself goes on and can be told what to do by others.

use std::io::{Read, Result as IoResult, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// libvirt's read-only socket; whoever connects through the relay can change nothing.
const DAEMON: &str = "/run/libvirt/libvirt-sock-ro";
/// A message of libvirt's protocol: its length, program, version, procedure, type, serial and status.
const HEAD: usize = 28;
/// The largest message that libvirt sends (VIR_NET_MESSAGE_MAX), with its length.
const MESSAGE_MAX: usize = 32 * 1024 * 1024 + 4;
/// The program of events about domains and networks (REMOTE_PROGRAM); keep-alive has another.
const REMOTE: u32 = 0x2000_8086;
/// The type of what was not asked for (VIR_NET_MESSAGE).
const UNASKED: u32 = 2;

/// Listens until the process ends.
#[derive(Debug)]
pub struct Relay {
    socket: PathBuf,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    held: bool,
    /// Connections with a number up to this one get no events.
    deaf: usize,
    /// Both ends of every connection that was made.
    ends: Vec<(UnixStream, UnixStream)>,
    swallowed: usize,
}

impl Relay {
    /// Listens on `socket`.
    ///
    /// # Errors
    /// The socket is taken.
    pub fn start(socket: &Path) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Without a daemon, the client is cut off, as it would be.
                let _cut = shared.take(client);
            }
        });
        let socket = socket.to_owned();
        Ok(Self { socket, state })
    }

    /// Where a client finds libvirt through this relay.
    pub fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket.display())
    }

    /// Passes nothing on while `act` runs, in either direction: the daemon seems to hang.
    ///
    /// # Errors
    /// `act` fails.
    pub fn held_while<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.state.now().held = true;
        let done = act();
        self.state.now().held = false;
        self.state.changed.notify_all();
        done
    }

    /// Ends every connection; the next one is taken.
    pub fn cut(&self) {
        for (client, daemon) in &self.state.now().ends {
            // One that is over already is cut well enough.
            let _over = client.shutdown(Shutdown::Both);
            let _over = daemon.shutdown(Shutdown::Both);
        }
    }

    /// Swallows every event on the connections that there are; a later one hears again.
    pub fn deafen(&self) {
        let mut now = self.state.now();
        now.deaf = now.ends.len();
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.state.now().ends.len()
    }

    /// How many events were swallowed.
    pub fn swallowed(&self) -> usize {
        self.state.now().swallowed
    }
}

impl State {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, client: UnixStream) -> IoResult<()> {
        let daemon = UnixStream::connect(DAEMON)?;
        let number = {
            let mut now = self.now();
            now.ends.push((client.try_clone()?, daemon.try_clone()?));
            now.ends.len()
        };
        for (from, to, events) in [
            (client.try_clone()?, daemon.try_clone()?, false),
            (daemon, client, true),
        ] {
            let state = Arc::clone(self);
            thread::spawn(move || {
                let _ended = state.pass(&from, &to, number, events);
                let _over = from.shutdown(Shutdown::Both);
                let _over = to.shutdown(Shutdown::Both);
            });
        }
        Ok(())
    }

    /// Passes messages on until one end is gone.
    fn pass(
        &self,
        mut from: &UnixStream,
        mut to: &UnixStream,
        number: usize,
        events: bool,
    ) -> IoResult<()> {
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if !(HEAD..=MESSAGE_MAX).contains(&size) {
                return Ok(());
            }
            let mut message = vec![0; size];
            message[..4].copy_from_slice(&length);
            from.read_exact(&mut message[4..])?;
            let mut now = self.now();
            while now.held {
                now = self
                    .changed
                    .wait(now)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if events && number <= now.deaf && is_event(&message) {
                now.swallowed += 1;
                continue;
            }
            drop(now);
            to.write_all(&message)?;
        }
    }
}

fn is_event(message: &[u8]) -> bool {
    let word = |at: usize| {
        let octets = message.get(at..at + 4).and_then(|it| it.try_into().ok());
        octets.map(u32::from_be_bytes)
    };
    word(4) == Some(REMOTE) && word(16) == Some(UNASKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_daemon_announces_is_an_event() {
        let message = |program: u32, kind: u32| {
            let words = [28, program, 1, 357, kind, 0, 0];
            words
                .iter()
                .flat_map(|word| word.to_be_bytes())
                .collect::<Vec<u8>>()
        };
        for (case, message, expected) in [
            ("an event", message(REMOTE, UNASKED), true),
            ("an answer", message(REMOTE, 1), false),
            ("keep-alive", message(0x6b65_6570, UNASKED), false),
            ("cut short", message(REMOTE, UNASKED)[..18].to_vec(), false),
        ] {
            assert_eq!(is_event(&message), expected, "{case}");
        }
    }
}
