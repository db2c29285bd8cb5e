//! Questions to the thread that calls libvirt, and how long to wait for their answers.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{End, Session};
use crate::libvirt::owner::{Held, Owner};
use crate::source::{Event, State};

/// What is lost with the thread that a panic ended.
const PANICKED: &str = "the thread that makes its calls has failed";

impl Session<'_> {
    /// Starts a thread and has it open a connection. One that does not come is given up, and its thread left to itself.
    pub(super) async fn open(
        &mut self,
        open: impl FnOnce(&mut Held) -> Result<(), String> + Send + 'static,
    ) -> Result<Owner, End> {
        let permit = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return Err(End::Stopped),
            () = self.outlet.changes.closed() => return Err(End::Stopped),
            permit = Arc::clone(&self.owners).acquire_owned() => permit,
        };
        // Nobody closes the semaphore.
        let permit = permit.map_err(|error| End::Lost(error.to_string()))?;
        let is_last = self.owners.available_permits() == 0;
        let owner = Owner::start((permit, self.ending.clone())).map_err(|error| {
            End::Lost(format!(
                "cannot start a thread for libvirt at {}: {error}",
                self.uri
            ))
        })?;
        let opened = owner.ask(open);
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Err(End::Stopped),
            () = self.outlet.changes.closed() => Err(End::Stopped),
            opened = opened => match opened {
                Ok(Ok(())) => Ok(owner),
                Ok(Err(why)) => Err(End::Lost(why)),
                Err(_) => Err(self.lost(PANICKED)),
            },
            () = sleep(self.limits.open), if !is_last => Err(End::Lost(format!(
                "libvirt at {} takes connections and does not answer: given up after {} s",
                self.uri,
                self.limits.open.as_secs_f32()
            ))),
        }
    }

    /// Asks the thread, and says so once libvirt takes too long. Nothing but libvirt ends its calls.
    pub(super) async fn ask<T: Send + 'static>(
        &mut self,
        owner: &Owner,
        doing: &str,
        question: impl FnOnce(&mut Held) -> T + Send + 'static,
    ) -> Result<T, End> {
        let mut answer = owner.ask(question);
        let mut limit = Some(self.limits.call);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return Err(End::Stopped),
                () = self.outlet.changes.closed() => return Err(End::Stopped),
                answer = &mut answer => return answer.map_err(|_gone| self.lost(PANICKED)),
                () = sleep(limit.unwrap_or_default()), if limit.is_some() => {}
            }
            let limit = limit.take().unwrap_or_default().as_secs_f32();
            let why = format!(
                "libvirt at {} has not answered for {limit} s: {doing}",
                self.uri
            );
            self.silent = true;
            self.must_tell(Event::State(State::Late { why })).await?;
        }
    }

    /// Has the thread close its connection, so that its subscription is gone before there is another.
    pub(super) async fn close(&mut self, owner: &Owner) -> Result<(), End> {
        self.ask(owner, "closing the connection", Held::close).await
    }

    pub(super) fn lost(&self, why: &str) -> End {
        End::Lost(format!(
            "the connection to libvirt at {} is lost: {why}",
            self.uri
        ))
    }

    pub(super) async fn must_tell(&mut self, event: Event) -> Result<(), End> {
        match self.tell(event).await {
            true => Ok(()),
            false => Err(End::Stopped),
        }
    }

    /// `false`: nobody listens any more.
    pub(super) async fn tell(&mut self, event: Event) -> bool {
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => false,
            sent = self.outlet.send(event) => sent,
        }
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the session was dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::super::Limits;
    use super::*;
    use crate::source::{Change, Outlet};

    #[tokio::test]
    async fn a_call_that_takes_its_time_is_said_and_its_answer_taken() {
        let (changes, mut told) = mpsc::channel(8);
        let outlet = Outlet {
            source: 0,
            changes,
            reread: Arc::default(),
        };
        let (_going_on, stop) = watch::channel(false);
        let (ending, _ended) = channel();
        let limits = Limits {
            call: Duration::from_millis(10),
            ..Limits::default()
        };
        let mut session = Session::new("test:///default", &outlet, stop, limits, &ending);
        let owner = Owner::start(()).unwrap();
        let (go, gone) = channel::<u8>();
        let asked = session.ask(&owner, "listing the domains", move |_| gone.recv());
        let said = async {
            let Some(Change { event, .. }) = told.recv().await else {
                panic!("nothing was said");
            };
            let why = "libvirt at test:///default has not answered for 0.01 s: listing the domains";
            let why = why.to_owned();
            assert_eq!(event, Event::State(State::Late { why }));
            go.send(7).unwrap();
        };
        let (answer, ()) = tokio::join!(asked, said);
        assert!(answer.is_ok_and(|it| it == Ok(7)));
        assert!(session.silent, "so that its end is said too");
    }
}
