//! What the kernel says of its programs: how often each ran, and for how long. And a program that does nothing.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Commands of linux/bpf.h.
const PROG_LOAD: libc::c_long = 5;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_QUERY: libc::c_long = 16;
const LINK_CREATE: libc::c_long = 28;
const ENABLE_STATS: libc::c_long = 32;
/// `BPF_PROG_TYPE_SCHED_CLS` and `BPF_TCX_INGRESS`.
const SCHED_CLS: u32 = 3;
const TCX_INGRESS: u32 = 46;
/// More programs than anybody has on one interface.
const MOST: usize = 16;

/// Returns `TC_ACT_UNSPEC`, as `guest_ingress` does with what is not for it.
const EMPTY: [u64; 2] = [0xffff_ffff_0000_00b7, 0x95];
static LICENSE: [u8; 4] = *b"GPL\0";

/// A loaded program.
pub(super) struct Program(OwnedFd);

/// How often a program ran, and for how long in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) count: u64,
    pub(super) time: Duration,
}

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    at: u64,
    license: u64,
    rest: [u64; 16],
}

#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    ifindex: u32,
    hook: u32,
    rest: [u32; 13],
}

#[repr(C)]
#[derive(Default)]
struct Query {
    ifindex: u32,
    hook: u32,
    flags: [u32; 2],
    ids: u64,
    count: u32,
    rest: [u32; 9],
}

#[repr(C)]
#[derive(Default)]
struct Numbers {
    numbers: [u32; 4],
}

#[repr(C)]
#[derive(Default)]
struct InfoOf {
    object: u32,
    length: u32,
    at: u64,
}

/// `struct bpf_prog_info` up to what is asked for here.
#[repr(C)]
#[derive(Default)]
struct Info {
    before: [u64; 24],
    run_time_ns: u64,
    run_count: u64,
}

/// Has the kernel count runs and their time until the result is dropped.
pub(super) fn count_runs() -> Result<OwnedFd> {
    let done = call(ENABLE_STATS, &mut Numbers::default());
    done.context("the kernel does not count what programs take (it does from Linux 5.8 on)")
}

impl Program {
    /// Loads one that passes everything on.
    pub(super) fn empty() -> Result<Self> {
        let mut load = Load {
            kind: SCHED_CLS,
            instructions: u32::try_from(EMPTY.len())?,
            at: EMPTY.as_ptr() as u64,
            license: LICENSE.as_ptr() as u64,
            ..Load::default()
        };
        let program = call(PROG_LOAD, &mut load).context("cannot load an empty program")?;
        Ok(Self(program))
    }

    /// The one program at the ingress of an interface of this thread's namespace.
    pub(super) fn at(ifindex: u32) -> Result<Self> {
        let mut ids = [0_u32; MOST];
        let mut query = Query {
            ifindex,
            hook: TCX_INGRESS,
            ids: ids.as_mut_ptr() as u64,
            count: u32::try_from(MOST)?,
            ..Query::default()
        };
        command(PROG_QUERY, &mut query)
            .context("cannot list programs (it takes Linux 6.6 or later)")?;
        ensure!(query.count == 1, "{} programs on it", query.count);
        let [id, ..] = ids;
        let mut numbers = Numbers {
            numbers: [id, 0, 0, 0],
        };
        let program = call(PROG_GET_FD_BY_ID, &mut numbers).context("cannot open a program")?;
        Ok(Self(program))
    }

    /// Attaches it to the ingress of an interface of this thread's namespace, until the result is dropped.
    pub(super) fn attach(&self, ifindex: u32) -> Result<OwnedFd> {
        let mut link = Link {
            program: number(&self.0)?,
            ifindex,
            hook: TCX_INGRESS,
            ..Link::default()
        };
        call(LINK_CREATE, &mut link).context("cannot attach an empty program")
    }

    /// What it has run since it was loaded, as far as runs were counted.
    pub(super) fn runs(&self) -> Result<Runs> {
        let mut info = Info::default();
        let mut of = InfoOf {
            object: number(&self.0)?,
            length: u32::try_from(size_of::<Info>())?,
            at: (&raw mut info) as u64,
        };
        command(OBJ_GET_INFO_BY_FD, &mut of).context("cannot read what a program took")?;
        Ok(Runs {
            count: info.run_count,
            time: Duration::from_nanos(info.run_time_ns),
        })
    }
}

fn number(descriptor: &OwnedFd) -> Result<u32> {
    Ok(u32::try_from(descriptor.as_raw_fd())?)
}

/// A command whose result is a descriptor.
fn call<T>(code: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let descriptor = command(code, attributes)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn command<T>(code: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: each command has a `repr(C)` struct of its own here, which is as long as said and outlives the call, and so
    // does what it points to. The kernel takes what is beyond its own fields, which is zero.
    let done = unsafe { libc::syscall(libc::SYS_bpf, code, &raw mut *attributes, size_of::<T>()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(done).map_err(io::Error::other)
}
