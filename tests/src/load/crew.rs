//! One thread and its lanes: waits for all of them at once, and times what they do.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::lane::{Next, Runner};
use super::{Lane, Manner, PATIENCE, Pace, SHOWN, Tally};

/// Octets that are read at a time.
const ROOM: usize = 256 * 1024;
/// Sockets that are looked at after one wait.
const EVENTS: usize = 256;
/// How often it is looked whether something takes too long.
const LOOKS: Duration = Duration::from_millis(100);
/// A server that fails so often is not worth more.
const FAILURES_MAX: u64 = 10_000;
/// The timer among the sockets.
const TIMER: u64 = u64::MAX;

/// Drives these lanes to their end.
pub(super) fn drive(
    lanes: &[Lane<'_>],
    manner: Manner,
    pace: Pace,
    time: Duration,
) -> Result<Tally> {
    let mut crew = Crew::new(lanes, manner, pace)?;
    crew.run(time)?;
    Ok(crew.tally)
}

struct Crew<'a> {
    epoll: OwnedFd,
    timer: Option<OwnedFd>,
    runners: Vec<Runner<'a>>,
    /// The namespace of each runner, by its place in `spaces`.
    homes: Vec<usize>,
    spaces: Vec<File>,
    /// Where this thread is.
    here: Option<usize>,
    pace: Pace,
    /// Runners that wait for their turn.
    free: VecDeque<usize>,
    /// Requests that are due and not begun.
    owed: VecDeque<Instant>,
    due: u64,
    busy: usize,
    room: Vec<u8>,
    tally: Tally,
}

impl<'a> Crew<'a> {
    fn new(lanes: &[Lane<'a>], manner: Manner, pace: Pace) -> Result<Self> {
        let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut spaces = Vec::new();
        let mut homes = Vec::new();
        for lane in lanes {
            let path = lane.from.path();
            let home = match known.get(&path) {
                Some(home) => *home,
                None => {
                    let file = File::open(&path);
                    spaces.push(file.with_context(|| format!("cannot open {}", path.display()))?);
                    known.insert(path, spaces.len() - 1);
                    spaces.len() - 1
                }
            };
            homes.push(home);
        }
        let runners: Vec<Runner<'a>> = lanes.iter().map(|lane| Runner::new(lane, manner)).collect();
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?,
            timer: None,
            free: (0..runners.len()).collect(),
            runners,
            homes,
            spaces,
            here: None,
            pace,
            owed: VecDeque::new(),
            due: 0,
            busy: 0,
            room: vec![0; ROOM],
            tally: Tally::default(),
        })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let began = Instant::now();
        let end = began + time;
        self.set_timer()?;
        self.start(end)?;
        let mut looked = began;
        let mut events = Vec::with_capacity(EVENTS);
        let moment = Timespec::try_from(LOOKS).context("a time out of range")?;
        while self.busy > 0 || (self.timer.is_some() && Instant::now() < end) {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&moment),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait"),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                if data.u64() == TIMER {
                    self.ring(began, end)?;
                } else if let Ok(at) = usize::try_from(data.u64()) {
                    self.attend(at, flags)?;
                }
            }
            self.start(end)?;
            if looked.elapsed() > LOOKS {
                looked = Instant::now();
                self.lose_patience();
            }
        }
        self.tally.took = began.elapsed();
        self.tally.failed += u64::try_from(self.owed.len()).unwrap_or(u64::MAX);
        if !self.owed.is_empty() {
            self.note("requests were due and never begun");
        }
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Closed => None,
            Pace::Idle(rate) | Pace::Open(rate) => Some(rate),
        }
    }

    fn set_timer(&mut self) -> Result<()> {
        let Some(rate) = self.rate() else {
            return Ok(());
        };
        let each = Duration::from_secs_f64(1.0 / rate.max(0.1));
        let each = Timespec::try_from(each).context("a pace out of range")?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("no timer")?;
        let times = Itimerspec {
            it_interval: each,
            it_value: each,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).context("no timer")?;
        epoll::add(
            &self.epoll,
            &timer,
            EventData::new_u64(TIMER),
            EventFlags::IN,
        )?;
        self.timer = Some(timer);
        Ok(())
    }

    /// The timer has run out: what is due by now is owed.
    fn ring(&mut self, began: Instant, end: Instant) -> Result<()> {
        let Some((timer, rate)) = self.timer.as_ref().zip(self.rate()) else {
            return Ok(());
        };
        let mut count = [0; 8];
        if rustix::io::read(timer, &mut count).is_err() {
            return Ok(());
        }
        if Instant::now() >= end {
            self.timer = None;
            return Ok(());
        }
        for _ in 0..u64::from_ne_bytes(count) {
            self.due += 1;
            #[expect(clippy::cast_precision_loss, reason = "some thousand")]
            let after = Duration::from_secs_f64(self.due as f64 / rate);
            self.owed.push_back(began + after);
        }
        Ok(())
    }

    /// Has those who are free begin what is to be begun.
    fn start(&mut self, end: Instant) -> Result<()> {
        while !self.free.is_empty() {
            let now = Instant::now();
            let began = match self.pace {
                Pace::Closed if now >= end => return Ok(()),
                Pace::Closed => now,
                Pace::Idle(_) | Pace::Open(_) => match self.owed.pop_front() {
                    None => return Ok(()),
                    Some(due) if matches!(self.pace, Pace::Open(_)) => due,
                    Some(_due) => now,
                },
            };
            let Some(at) = self.free.pop_front() else {
                return Ok(());
            };
            if self.tally.failed < FAILURES_MAX {
                self.begin(at, began)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, began: Instant) -> Result<()> {
        let Some(runner) = self.runners.get_mut(at) else {
            return Ok(());
        };
        if runner.left == 0 {
            return Ok(());
        }
        let home = self.homes.get(at).copied();
        if runner.needs_connection() && self.here != home {
            let space = home
                .and_then(|home| self.spaces.get(home))
                .context("no namespace")?;
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter a guest")?;
            self.here = home;
        }
        let epoll = &self.epoll;
        let begun = runner.begin(began, |socket, sending| {
            let mut what = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            what.set(EventFlags::OUT, sending);
            let data = EventData::new_u64(u64::try_from(at)?);
            epoll::add(epoll, socket, data, what).context("cannot watch a socket")
        });
        self.busy += 1;
        if let Err(error) = begun {
            self.fail(at, &error);
        }
        Ok(())
    }

    /// Something happened on a runner's socket.
    fn attend(&mut self, at: usize, flags: EventFlags) -> Result<()> {
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let Some(runner) = self.runners.get_mut(at) else {
            return Ok(());
        };
        if runner.is_resting() {
            return Ok(());
        }
        let mut next = runner.advance(hung_up, &mut self.room);
        if let Ok(Next::Whole(octets)) = next {
            self.tally.times.push(runner.began.elapsed());
            self.tally.octets += u64::try_from(octets)?;
            next = runner.go_on(hung_up, &mut self.room);
        }
        match next {
            Ok(Next::Wait | Next::Whole(_)) => {}
            Ok(Next::Free) => self.release(at),
            Err(error) => self.fail(at, &error),
        }
        Ok(())
    }

    fn release(&mut self, at: usize) {
        self.busy = self.busy.saturating_sub(1);
        self.free.push_back(at);
    }

    fn fail(&mut self, at: usize, error: &anyhow::Error) {
        if let Some(runner) = self.runners.get_mut(at) {
            runner.give_up();
        }
        self.tally.failed += 1;
        self.note(&format!("{error:#}"));
        self.release(at);
    }

    fn note(&mut self, failure: &str) {
        if self.tally.failures.len() < SHOWN {
            self.tally.failures.push(failure.to_owned());
        }
    }

    /// Gives up what takes longer than anybody waits.
    fn lose_patience(&mut self) {
        let late = |runner: &Runner<'_>| !runner.is_resting() && runner.began.elapsed() > PATIENCE;
        let late: Vec<usize> = (0..self.runners.len())
            .filter(|at| self.runners.get(*at).is_some_and(late))
            .collect();
        for at in late {
            self.fail(
                at,
                &anyhow::anyhow!("no whole answer within {} s", PATIENCE.as_secs()),
            );
        }
    }
}
