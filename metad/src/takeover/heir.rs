//! The daemon that follows.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;

use super::wire::Wire;
use super::{AT_ONCE, FromElder, FromHeir, Lease, PROTOCOL, TAKES_OVER, TakeOverError};
use crate::admin::Holder;

/// What the elder gave, on trial until [`Conversation::serving`].
#[derive(Debug)]
pub struct Inheritance {
    pub lock: OwnedFd,
    pub admin: OwnedFd,
    pub successor: OwnedFd,
    /// The guests' sockets with their names.
    pub guests: Vec<(String, OwnedFd)>,
    pub conversation: Conversation,
}

/// The rest of what is to be said.
#[derive(Debug)]
pub struct Conversation {
    wire: Wire,
    run_dir: PathBuf,
}

/// Who serves in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The elder ends.
    Handed,
    /// The elder ended by itself.
    Alone,
}

/// Asks the daemon behind `socket` for what it has.
///
/// # Errors
/// There is none, or it refuses.
pub async fn inherit(socket: &Path) -> Result<Inheritance, TakeOverError> {
    let run_dir = socket.parent().unwrap_or(socket);
    let stream = UnixStream::connect(socket).await;
    let mut wire = Wire::new(stream.map_err(|error| {
        match error.kind() == io::ErrorKind::PermissionDenied {
            true => TakeOverError::Denied(error),
            false => TakeOverError::NobodyThere(error),
        }
    })?);
    // Whoever is followed hands over what guests are answered with.
    if !wire.is_ours() {
        return Err(TakeOverError::Foreign(socket.to_owned()));
    }
    let hello = FromHeir::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
    };
    // Whoever refuses may have hung up before the greeting; the refusal is there to be read all the same.
    let _hung_up = wire.say(&hello, &[]).await;
    let (message, descriptors) = wire.hear(AT_ONCE).await.map_err(failed(run_dir, AT_ONCE))?;
    let (version, pid, names) = match message {
        FromElder::Offer {
            version,
            pid,
            sockets,
        } => (version, pid, sockets),
        FromElder::Refused { why } => return Err(TakeOverError::Refused(why)),
        other @ (FromElder::Aside | FromElder::Yours | FromElder::Resumed) => {
            return Err(out_of_turn(&other));
        }
    };
    tracing::info!(elder = pid, version, "taking over from a running metad");
    let mut descriptors = descriptors.into_iter();
    let (Some(lock), Some(admin), Some(successor)) =
        (descriptors.next(), descriptors.next(), descriptors.next())
    else {
        return Err(TakeOverError::Misunderstood(io::Error::other(
            "its sockets did not come along",
        )));
    };
    let guests: Vec<(String, OwnedFd)> = names.into_iter().zip(descriptors).collect();
    Ok(Inheritance {
        lock,
        admin,
        successor,
        guests,
        conversation: Conversation {
            wire,
            run_dir: run_dir.to_owned(),
        },
    })
}

impl Conversation {
    /// Says that all is up but the last step, and waits until the elder has stood aside.
    ///
    /// # Errors
    /// It is gone, or does not.
    pub async fn ready(&mut self) -> Result<(), TakeOverError> {
        let said = self.wire.say(&FromHeir::Ready, &[]).await;
        said.map_err(TakeOverError::Gone)?;
        let heard = self.wire.hear(TAKES_OVER).await;
        let (message, _) = heard.map_err(failed(&self.run_dir, TAKES_OVER))?;
        if message == FromElder::Aside {
            Ok(())
        } else {
            Err(out_of_turn(&message))
        }
    }

    /// What tells, at any later moment, whether the elder still stands aside.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub fn lease(&self) -> Result<Lease, TakeOverError> {
        self.wire.lease().map_err(TakeOverError::Gone)
    }

    /// Says that guests are being answered, and waits for the elder's farewell.
    ///
    /// # Errors
    /// It has gone on by itself.
    pub async fn serving(mut self) -> Result<Outcome, TakeOverError> {
        // Nobody else serves where the elder has died; what it said before is still to be read.
        let _died = self.wire.say(&FromHeir::Serving, &[]).await;
        match self.wire.hear(TAKES_OVER).await {
            Ok((FromElder::Yours, _)) => Ok(Outcome::Handed),
            Ok((FromElder::Resumed, _)) => Err(TakeOverError::TooLate),
            Ok((other, _)) => Err(out_of_turn(&other)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Outcome::Alone),
            Err(error) => Err(failed(&self.run_dir, TAKES_OVER)(error)),
        }
    }
}

/// What it means that the elder was not heard: `after` is how long it was waited for.
fn failed(run_dir: &Path, after: Duration) -> impl FnOnce(io::Error) -> TakeOverError {
    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    move |error| {
        if gone.contains(&error.kind()) {
            TakeOverError::Gone(error)
        } else if error.kind() == io::ErrorKind::TimedOut {
            TakeOverError::Silent {
                after,
                holder: Holder::of(run_dir),
            }
        } else {
            TakeOverError::Misunderstood(error)
        }
    }
}

fn out_of_turn(message: &FromElder) -> TakeOverError {
    TakeOverError::Misunderstood(io::Error::other(format!("it said {message:?} out of turn")))
}
