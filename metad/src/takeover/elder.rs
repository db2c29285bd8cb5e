//! The daemon that is followed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use super::wire::Wire;
use super::{AT_ONCE, COMES_UP, FromElder, FromHeir, LETS_GO, PROTOCOL, TAKES_OVER};

/// Time between two looks at a socket that fails.
const RESTS: Duration = Duration::from_secs(1);

/// What the daemon does when it is asked to.
pub trait Household: Send + Sync + 'static {
    /// Accepts nothing and writes nothing any more, until [`Household::resume`]. The slots are written down. From then on, it
    /// ends only once the take-over is decided. `false`: it is ending already, and will leave nothing to follow in.
    fn stand_aside(&self) -> BoxFuture<'_, bool>;

    /// Goes on as before.
    fn resume(&self) -> BoxFuture<'_, ()>;

    /// Why it cannot be taken over at all.
    fn objection(&self) -> Option<String>;

    /// Another daemon serves: ends, and leaves everything where it is.
    fn retire(&self);
}

/// What an heir is given.
#[derive(Debug)]
pub struct Bequest {
    pub lock: OwnedFd,
    pub admin: OwnedFd,
    pub successor: OwnedFd,
    /// With their names.
    pub guests: Vec<(String, OwnedFd)>,
}

/// Waits for an heir.
pub struct Elder {
    bequest: Bequest,
    household: Box<dyn Household>,
    /// One heir at a time, and none after one that serves.
    place: Semaphore,
    /// Rung once one serves.
    over: Notify,
}

impl Elder {
    pub fn new(bequest: Bequest, household: impl Household) -> Self {
        Self {
            bequest,
            household: Box::new(household),
            place: Semaphore::new(1),
            over: Notify::new(),
        }
    }

    /// Hears out whoever comes to `listener`, until there is a successor: who comes then is the successor's, which has
    /// the same socket.
    pub async fn wait(self, listener: UnixListener) {
        let elder = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = elder.over.notified() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely, and not for ever.
                    tracing::warn!(%error, "cannot hear who comes to take over");
                    tokio::time::sleep(RESTS).await;
                    continue;
                }
            };
            let elder = Arc::clone(&elder);
            tokio::spawn(async move { elder.attend(stream).await });
        }
    }

    async fn attend(&self, stream: UnixStream) {
        let mut wire = Wire::new(stream);
        let Ok(place) = self.place.try_acquire() else {
            refuse(&wire, "another one is taking it over at this moment").await;
            return;
        };
        let Some(heir) = self.offer(&mut wire).await else {
            return;
        };
        match wire.hear(COMES_UP).await {
            Ok((FromHeir::Ready, _)) => {}
            other => {
                tracing::warn!(
                    heir,
                    why = why(other),
                    "a take-over was given up: serving on"
                );
                return;
            }
        }
        if !self.household.stand_aside().await {
            tracing::warn!(heir, "a take-over came too late: this metad is ending");
            return;
        }
        match self.step_down(&mut wire).await {
            Ok(()) => {
                tracing::info!(heir, "another metad serves: ending");
                place.forget();
                self.over.notify_one();
                self.household.retire();
            }
            Err(why) => {
                tracing::warn!(heir, why, "a take-over failed half-way: serving on");
                let _gone = wire.say(&FromElder::Resumed, &[]).await;
                // Time for it to hear that; one that hangs never will.
                let hangs = !hangs_up(&mut wire).await;
                self.household.resume().await;
                if hangs {
                    // It may have been in the middle of a step, and end that whenever it wakes up. Nobody else takes over
                    // until it is gone, and then its traces are.
                    while !hangs_up(&mut wire).await {}
                    tracing::info!(heir, "the metad that came too late is gone");
                    self.household.resume().await;
                }
            }
        }
    }

    /// Hands everything over on trial. Returns the heir's process.
    async fn offer(&self, wire: &mut Wire) -> Option<u32> {
        if !wire.is_ours() {
            refuse(wire, "root alone may").await;
            return None;
        }
        let (version, heir) = match wire.hear(AT_ONCE).await {
            Ok((
                FromHeir::Hello {
                    protocol: PROTOCOL,
                    version,
                    pid,
                },
                _,
            )) => (version, pid),
            Ok((FromHeir::Hello { version, .. }, _)) => {
                let ours = env!("CARGO_PKG_VERSION");
                let text = format!("metad {version} hands over in another way than metad {ours}");
                refuse(wire, &text).await;
                return None;
            }
            other => {
                tracing::debug!(why = why(other), "somebody came and did not say who");
                return None;
            }
        };
        if let Some(objection) = self.household.objection() {
            refuse(wire, &objection).await;
            return None;
        }
        tracing::info!(heir, version, "another metad comes up to take over");
        let bequest = &self.bequest;
        let offer = FromElder::Offer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            sockets: bequest
                .guests
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
        };
        let first = [&bequest.lock, &bequest.admin, &bequest.successor];
        let guests = bequest.guests.iter().map(|(_, socket)| socket);
        let descriptors: Vec<BorrowedFd<'_>> =
            first.into_iter().chain(guests).map(AsFd::as_fd).collect();
        match wire.say(&offer, &descriptors).await {
            Ok(()) => Some(heir),
            Err(error) => {
                tracing::warn!(heir, %error, "a take-over was given up: serving on");
                None
            }
        }
    }

    /// From the moment on which this daemon has stood aside.
    async fn step_down(&self, wire: &mut Wire) -> Result<(), String> {
        let say = async |message| wire.say(&message, &[]).await.map_err(|it| it.to_string());
        say(FromElder::Aside).await?;
        match wire.hear(TAKES_OVER).await {
            Ok((FromHeir::Serving, _)) => {}
            other => return Err(why(other)),
        }
        let yours = wire.say(&FromElder::Yours, &[]).await;
        yours.map_err(|error| error.to_string())
    }
}

/// Whether the heir hangs up before long, whatever it says until then.
async fn hangs_up(wire: &mut Wire) -> bool {
    loop {
        match wire.hear::<FromHeir>(LETS_GO).await {
            Ok(_late) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::TimedOut,
        }
    }
}

async fn refuse(wire: &Wire, why: &str) {
    tracing::warn!(why, "a take-over was refused");
    let refused = FromElder::Refused {
        why: why.to_owned(),
    };
    let _gone = wire.say(&refused, &[]).await;
}

/// What was heard instead of what was to be.
fn why(heard: std::io::Result<(FromHeir, Vec<OwnedFd>)>) -> String {
    match heard {
        Ok((message, _)) => format!("it said {message:?} out of turn"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it is gone".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => "it took too long".to_owned(),
        Err(error) => error.to_string(),
    }
}
