//! A network namespace with a name, and what can be done inside it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::sandbox;

/// Made by this process, removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace `/run/netns/NAME` whose loopback is up.
    ///
    /// # Errors
    /// This is no sandbox, the name is taken, or the kernel refuses.
    pub fn new(name: &str) -> Result<Self> {
        sandbox::demand()?;
        run(Command::new("ip").args(["netns", "add", name]))?;
        let space = Self {
            name: name.to_owned(),
        };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// Gives the namespace of this process a name.
    ///
    /// # Errors
    /// This is no sandbox, the name is taken, or the kernel refuses.
    pub fn here(name: &str) -> Result<Self> {
        sandbox::demand()?;
        let own = std::process::id().to_string();
        run(Command::new("ip").args(["netns", "attach", name, &own]))?;
        Ok(Self {
            name: name.to_owned(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `ip WORDS` on it.
    ///
    /// # Errors
    /// `ip` says no; its words are in the error.
    pub fn ip(&self, words: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["-netns", &self.name]);
        run(ip.args(words.split_whitespace())).map(|_| ())
    }

    /// Starts a command inside it (`nsenter` execs: the process is the command's own).
    pub fn command(&self, program: &str) -> Command {
        Self::enter(&self.path(), program)
    }

    pub(super) fn enter(path: &Path, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", path.display()));
        command.args(["--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// What a command prints inside it; words are separated by spaces.
    ///
    /// # Errors
    /// It fails; its words are in the error.
    pub fn output(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().context("an empty command")?);
        let output = run(command.args(words))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sets one of the kernel's settings inside it (`net/ipv6/conf/all/forwarding`).
    ///
    /// # Errors
    /// There is no such setting, or the kernel refuses.
    pub fn set(&self, setting: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(setting);
        self.within(|| fs::write(&path, value))?
            .with_context(|| format!("cannot set {setting}"))
    }

    /// The index of one of its links.
    ///
    /// # Errors
    /// There is no such link.
    pub fn index_of(&self, link: &str) -> Result<u32> {
        self.within(|| {
            let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
            netdevice::name_to_index(&socket, link)
        })?
        .with_context(|| format!("there is no link {link}"))
    }

    /// Acts on a thread that has moved into the namespace. Sockets made there stay there, wherever they are used.
    ///
    /// # Errors
    /// The thread cannot enter.
    ///
    /// # Panics
    /// When `act` does.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok::<T, rustix::io::Errno>(act())
            });
            match inside.join() {
                Ok(done) => done.with_context(|| format!("cannot enter {}", path.display())),
                Err(panic) => resume_unwind(panic),
            }
        })
    }

    /// Opens a TCP connection from inside.
    ///
    /// # Errors
    /// The outer error: the namespace cannot be entered. The inner one: the connection itself.
    pub fn connect(
        &self,
        address: Ipv4Addr,
        port: u16,
        limit: Duration,
    ) -> Result<io::Result<TcpStream>> {
        self.connect_to(SocketAddrV4::new(address, port).into(), limit)
    }

    /// The same to any address.
    ///
    /// # Errors
    /// As [`Namespace::connect`].
    pub fn connect_to(&self, to: SocketAddr, limit: Duration) -> Result<io::Result<TcpStream>> {
        self.within(|| {
            let stream = TcpStream::connect_timeout(&to, limit)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            Ok(stream)
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let removed = run(Command::new("ip").args(["netns", "delete", &self.name]));
        if let Err(error) = removed {
            complain(&format!("{error:#}"));
        }
    }
}

/// Runs a command to its end and keeps what it prints.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let line = format!(
        "{} {}",
        command.get_program().to_string_lossy(),
        words.collect::<Vec<_>>().join(" ")
    );
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}): {}", output.status, words.trim());
    }
    Ok(output)
}

/// Says what went wrong where nobody can be told otherwise: while dropping.
#[expect(clippy::print_stderr, reason = "a drop has no other voice")]
pub(super) fn complain(line: &str) {
    eprintln!("lab: {line}");
}
