//! Traffic between two guests, and its pace.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::set_tcp_congestion;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{FROM, MIB, SOON, TO};
use crate::lab::Guest;

/// Each time another: what another thread has just forked holds our sockets, closed or not, until it runs its own program.
const ANY_PORT: u16 = 0;
/// Octets of a datagram.
const DATAGRAM: usize = 1_400;
/// How long the last datagrams may take.
const GLANCE: Duration = Duration::from_millis(20);

/// Carries so many octets of TCP, or so many datagrams, from one guest to the other.
pub(super) type Carry = fn(&Guest, &Guest, (usize, usize)) -> Result<Carried>;

/// How much arrived, in MiB or datagrams.
pub(super) struct Carried {
    amount: f64,
    took: Duration,
}

impl Carried {
    /// A second.
    pub(super) fn pace(&self) -> f64 {
        self.amount / self.took.as_secs_f64()
    }
}

/// Who of the two a thread is.
#[derive(Debug, Clone, Copy)]
enum Role {
    Sender,
    Receiver,
}

/// Has the calling thread, whose whole life this is, run on one processor: the sender on the first, the receiver on the last.
/// Whether the scheduler happens to put both on one makes more of a difference than any program on the way.
fn settle(role: Role) -> Result<()> {
    let all = sched_getaffinity(None)?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
    let cpu = match role {
        Role::Sender => usable.next(),
        Role::Receiver => usable.next_back(),
    };
    let mut one = CpuSet::new();
    one.set(cpu.context("this thread may run nowhere")?);
    sched_setaffinity(None, &one).context("cannot stay on one processor")
}

/// One connection.
pub(super) fn tcp(from: &Guest, to: &Guest, octets: usize) -> Result<Carried> {
    let listener = to.space().within(|| TcpListener::bind((TO, ANY_PORT)))??;
    let port = listener.local_addr()?.port();
    let mut out = from.space().connect(TO, port, SOON)??;
    // One that paces, as the host's default may, has the pace of its timers.
    set_tcp_congestion(&out, "reno")?;
    let (mut taken, _) = listener.accept().context("no connection")?;
    taken.set_read_timeout(Some(SOON))?;
    let started = Instant::now();
    let received = std::thread::scope(|scope| -> Result<usize> {
        let sending = scope.spawn(move || -> Result<()> {
            settle(Role::Sender)?;
            let chunk = vec![0x5a; MIB];
            (0..octets / MIB).try_for_each(|_| out.write_all(&chunk))?;
            Ok(())
        });
        let receiving = scope.spawn(move || -> Result<usize> {
            settle(Role::Receiver)?;
            let mut room = vec![0; MIB];
            let mut received = 0;
            loop {
                match taken.read(&mut room)? {
                    0 => return Ok(received),
                    length => received += length,
                }
            }
        });
        sending.join().ok().context("the sender panicked")??;
        receiving.join().ok().context("the receiver panicked")?
    })?;
    ensure!(received == octets, "{received} octets of {octets} arrived");
    Ok(Carried {
        amount: received as f64 / MIB as f64,
        took: started.elapsed(),
    })
}

/// Datagrams as fast as they go; those that arrive count.
pub(super) fn udp(from: &Guest, to: &Guest, datagrams: usize) -> Result<Carried> {
    let taking = to.space().within(|| UdpSocket::bind((TO, ANY_PORT)))??;
    let sending = from
        .space()
        .within(|| UdpSocket::bind((FROM, ANY_PORT)))??;
    sending.connect(taking.local_addr()?)?;
    taking.set_read_timeout(Some(GLANCE))?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<(u64, Instant)> {
            settle(Role::Receiver)?;
            let mut room = [0; DATAGRAM];
            let mut received = 0_u64;
            let mut last = Instant::now();
            loop {
                match taking.recv(&mut room) {
                    Ok(_) => {
                        received += 1;
                        last = Instant::now();
                    }
                    Err(_) if over.load(Ordering::Relaxed) => {
                        return Ok((received, last));
                    }
                    Err(_) => {}
                }
            }
        });
        let sender = scope.spawn(|| -> Result<Instant> {
            settle(Role::Sender)?;
            let started = Instant::now();
            (0..datagrams)
                .try_for_each(|_| sending.send(&[0x5a; DATAGRAM]).map(drop))
                .context("cannot send datagrams")?;
            Ok(started)
        });
        let started = sender.join().ok().context("the sender panicked")?;
        over.store(true, Ordering::Relaxed);
        let (received, last) = receiver.join().ok().context("the receiver panicked")??;
        let started = started?;
        ensure!(received > 0, "no datagram arrived");
        Ok(Carried {
            amount: received as f64,
            took: last.saturating_duration_since(started),
        })
    })
}
