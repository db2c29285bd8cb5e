//! One lane: a socket that does not block, and how far its request is.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use super::answer::Answer;
use super::{Ask, Lane, Manner, Step};

/// Somebody who asks.
pub(super) struct Runner<'a> {
    to: SocketAddrV4,
    script: &'a [Step],
    at: usize,
    pub(super) left: u64,
    manner: Manner,
    socket: Option<OwnedFd>,
    phase: Phase,
    request: Vec<u8>,
    answer: Answer,
    /// The body of the answer before.
    before: Vec<u8>,
    pub(super) began: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resting,
    /// So many octets of the request are sent; none before there is a connection.
    Sending(usize),
    Reading,
    /// The answer is whole, and the server is to hang up.
    Ending,
}

/// What there is to do next for a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To wait for its socket.
    Wait,
    /// Its answer is whole, with so many octets of body; it goes on with [`Runner::go_on`].
    Whole(usize),
    /// It is ready for another request.
    Free,
}

impl<'a> Runner<'a> {
    pub(super) fn new(lane: &Lane<'a>, manner: Manner) -> Self {
        Self {
            to: lane.to,
            script: lane.script,
            at: 0,
            left: lane.requests,
            manner,
            socket: None,
            phase: Phase::Resting,
            request: Vec::new(),
            answer: Answer::default(),
            before: Vec::new(),
            began: Instant::now(),
        }
    }

    pub(super) fn is_resting(&self) -> bool {
        self.phase == Phase::Resting
    }

    /// Whether the next request needs a new connection, which is made in the namespace of the thread.
    pub(super) fn needs_connection(&self) -> bool {
        self.socket.is_none()
    }

    /// Begins the next request; a new socket is handed to `watch`, once, with whether there is still something to send.
    pub(super) fn begin(
        &mut self,
        began: Instant,
        watch: impl FnOnce(BorrowedFd<'_>, bool) -> Result<()>,
    ) -> Result<()> {
        self.began = began;
        self.left = self.left.saturating_sub(1);
        let step = self
            .script
            .get(self.at)
            .context("a script without a step")?;
        self.request.clear();
        match &step.request {
            Ask::Whole(octets) => self.request.extend_from_slice(octets),
            Ask::Around(before, after) => {
                for part in [before, &self.before, after] {
                    self.request.extend_from_slice(part);
                }
            }
        }
        self.answer.clear();
        self.phase = Phase::Sending(0);
        if self.socket.is_some() {
            return self.write();
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .context("no socket")?;
        match connect(&socket, &self.to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error).context("no connection"),
        }
        self.socket = Some(socket);
        // The handshake with a server on the same machine is often over by now: one wait less.
        self.write()?;
        let sending = matches!(self.phase, Phase::Sending(_));
        let socket = self.socket.as_ref().context("no socket to watch")?;
        watch(socket.as_fd(), sending)
    }

    /// Does what can be done without waiting. `hung_up`: the server sends nothing after what there is to read.
    pub(super) fn advance(&mut self, hung_up: bool, room: &mut [u8]) -> Result<Next> {
        if let Phase::Sending(_) = self.phase {
            self.write()?;
        }
        while matches!(self.phase, Phase::Reading | Phase::Ending) {
            let socket = self.socket.as_ref().context("no socket to read from")?;
            let (read, _) = match recv(socket, &mut *room, RecvFlags::empty()) {
                Ok(read) => read,
                Err(Errno::AGAIN) => return Ok(Next::Wait),
                Err(Errno::INTR) => continue,
                Err(error) if self.phase == Phase::Ending => {
                    return Err(error).context("a whole answer, and then no proper end");
                }
                Err(error) => return Err(error).context("the answer broke off"),
            };
            let octets = room.get(..read).unwrap_or_default();
            match self.phase {
                Phase::Ending if octets.is_empty() => {
                    self.socket = None;
                    self.phase = Phase::Resting;
                    return Ok(Next::Free);
                }
                Phase::Ending => bail!("more than an answer"),
                Phase::Reading if octets.is_empty() => bail!("the server hung up too early"),
                Phase::Reading | Phase::Resting | Phase::Sending(_) => {}
            }
            if self.read(octets)? {
                return Ok(Next::Whole(self.answer.octets()));
            }
            // Whatever comes from here on is announced anew.
            if read < room.len() && !hung_up {
                return Ok(Next::Wait);
            }
        }
        Ok(if self.is_resting() {
            Next::Free
        } else {
            Next::Wait
        })
    }

    /// After a whole answer: the end of the connection, or the next request on it.
    pub(super) fn go_on(&mut self, hung_up: bool, room: &mut [u8]) -> Result<Next> {
        match self.manner {
            Manner::KeptAlive => {
                self.phase = Phase::Resting;
                Ok(Next::Free)
            }
            // Where the end is not there yet, it is announced.
            Manner::Closing if !hung_up => Ok(Next::Wait),
            Manner::Closing => self.advance(hung_up, room),
        }
    }

    /// Gives the request up, and the connection with it.
    pub(super) fn give_up(&mut self) {
        self.socket = None;
        self.at = 0;
        self.phase = Phase::Resting;
    }

    fn write(&mut self) -> Result<()> {
        while let Phase::Sending(sent) = self.phase {
            let socket = self.socket.as_ref().context("no socket to write to")?;
            let rest = self.request.get(sent..).unwrap_or_default();
            self.phase = match send(socket, rest, SendFlags::NOSIGNAL) {
                Ok(more) if sent + more < self.request.len() => Phase::Sending(sent + more),
                Ok(_all) => Phase::Reading,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => {
                    return Err(io::Error::from(error)).context("the request cannot be sent");
                }
            };
        }
        Ok(())
    }

    /// Takes octets of the answer; `true`: it is whole.
    fn read(&mut self, octets: &[u8]) -> Result<bool> {
        let step = self
            .script
            .get(self.at)
            .context("a script without a step")?;
        let whole = self.answer.take(octets, &step.expected)?;
        if whole {
            self.before.clear();
            self.before.extend_from_slice(self.answer.token());
            self.at = (self.at + 1) % self.script.len().max(1);
            self.phase = Phase::Ending;
        }
        Ok(whole)
    }
}
