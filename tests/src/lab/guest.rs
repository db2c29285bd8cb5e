//! A guest: a namespace with one NIC, whose other end is a tap of the host.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::cable::{self, Cable};
use super::client::{Reply, Request};
use super::{Lab, Namespace, Wire};
use crate::frames::{METADATA, Mac, mac_text};

/// How long a guest waits for a connection and for each answer. Far longer than either takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the host's end of a NIC goes.
#[derive(Debug, Clone, Copy)]
pub enum Plug<'a> {
    /// A port of this bridge.
    Bridge(&'a str),
    /// A port of this bridge, and a tap as QEMU's is: slower, since a process carries the frames.
    Tap(&'a str),
    /// On its own, with this address on the host's side.
    Alone(Option<&'a str>),
}

/// A stranger on a tap. Its NIC is `eth0`.
#[derive(Debug)]
pub struct Guest {
    name: String,
    space: Namespace,
    interface: String,
    mac: Mac,
    /// What carries frames where the NIC is no veth.
    cable: Mutex<Option<Cable>>,
}

impl Guest {
    pub(super) fn new(
        lab: &Lab,
        number: usize,
        name: &str,
        plug: Plug<'_>,
        address: Option<&str>,
    ) -> Result<Self> {
        let space = Namespace::new(&format!("{}-{name}", lab.host.name()))?;
        let octet = |number: usize| u8::try_from(number % 256).unwrap_or_default();
        // An address that nobody else has is no test's subject, and takes two seconds to be sure of.
        space.set("net/ipv6/conf/default/accept_dad", "0")?;
        let guest = Self {
            name: name.to_owned(),
            space,
            interface: format!("tap-{name}"),
            mac: [0x52, 0x54, 0, octet(lab.number), 0, octet(number)],
            cable: Mutex::new(None),
        };
        guest.plug_in(lab, plug)?;
        if let Some(address) = address {
            guest.ip(&format!("address add {address} dev eth0"))?;
        }
        Ok(guest)
    }

    /// Makes the NIC and its tap. Also puts back what [`Guest::unplug`] took, as a new tap of the same name.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn plug_in(&self, lab: &Lab, plug: Plug<'_>) -> Result<()> {
        let (tap, space) = (&self.interface, self.space.name());
        let mac = mac_text(self.mac);
        if let Plug::Tap(_) = plug {
            let cable = Cable::new((&lab.host, tap), (&self.space, "eth0"))?;
            self.ip(&format!("link set eth0 address {mac}"))?;
            self.hold(Some(cable));
        } else {
            lab.host.ip(&format!(
                "link add {tap} type veth peer name eth0 netns {space} address {mac}"
            ))?;
        }
        match plug {
            Plug::Bridge(bridge) | Plug::Tap(bridge) => {
                lab.host.ip(&format!("link set {tap} master {bridge}"))?
            }
            Plug::Alone(Some(address)) => {
                lab.host.ip(&format!("address add {address} dev {tap}"))?;
            }
            Plug::Alone(None) => {}
        }
        lab.host.ip(&format!("link set {tap} up"))?;
        self.ip("link set eth0 up")
    }

    /// Takes the tap away, and the NIC with it.
    ///
    /// # Errors
    /// It is not there.
    pub fn unplug(&self, lab: &Lab) -> Result<()> {
        lab.host.ip(&format!("link delete {}", self.interface))?;
        self.hold(None);
        Ok(())
    }

    /// Processor time that its NIC took to carry frames to the host; `None` where it is a veth.
    pub fn carried(&self) -> Option<Duration> {
        let cable = self.cable.lock();
        let cable = cable.unwrap_or_else(PoisonError::into_inner);
        cable.as_ref().map(Cable::to_host)
    }

    /// Sends frames as its hypervisor would, past its network stack, and says what processor time the host took for
    /// them: all of it is spent while they are written.
    ///
    /// # Errors
    /// Its NIC is a veth, or gone.
    pub fn inject(&self, frames: &[Vec<u8>]) -> Result<Duration> {
        let cable = self.cable.lock();
        let cable = cable.unwrap_or_else(PoisonError::into_inner);
        let cable = cable.as_ref().context("the NIC is no tap of QEMU's kind")?;
        let behind_header = |frame: &Vec<u8>| [&[0; cable::HEADER], &frame[..]].concat();
        let frames: Vec<Vec<u8>> = frames.iter().map(behind_header).collect();
        let started = clock_gettime(ClockId::ThreadCPUTime);
        for frame in &frames {
            cable.put(frame)?;
        }
        let ended = clock_gettime(ClockId::ThreadCPUTime);
        Ok(Duration::try_from(ended)? - Duration::try_from(started)?)
    }

    fn hold(&self, cable: Option<Cable>) {
        let held = self.cable.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = cable;
    }

    /// Gives its NIC another address; routes that go with the link being down are the caller's.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_mac(&mut self, mac: Mac) -> Result<()> {
        let text = mac_text(mac);
        self.ip(&format!("link set eth0 address {text}"))?;
        self.mac = mac;
        Ok(())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host's end of its NIC.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// The namespace that it is.
    pub fn space(&self) -> &Namespace {
        &self.space
    }

    /// Runs `ip WORDS` in it.
    ///
    /// # Errors
    /// `ip` says no.
    pub fn ip(&self, words: &str) -> Result<()> {
        self.space.ip(words)
    }

    /// A record that makes it an instance of its own: its NIC, and an instance-id and hostname after its name.
    pub fn record(&self) -> Value {
        let digits: String = self
            .name
            .bytes()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        json!({
            "instance-id": format!("i-{digits:0>17.17}"),
            "hostname": self.name,
            "nics": [{ "mac": mac_text(self.mac), "interface": self.interface }],
        })
    }

    /// Opens a connection to the metadata address.
    ///
    /// # Errors
    /// The outer error: this test's. The inner one: the guest's.
    pub fn connect(&self, port: u16) -> Result<io::Result<TcpStream>> {
        self.space.connect(METADATA, port, PATIENCE)
    }

    /// The same with less patience, where no answer is the expected one.
    ///
    /// # Errors
    /// As [`Guest::connect`].
    pub fn try_connect(&self, port: u16, limit: Duration) -> Result<io::Result<TcpStream>> {
        self.space.connect(METADATA, port, limit)
    }

    /// Opens a connection to one of the IPv6 metadata addresses, from its NIC where that must be said.
    ///
    /// # Errors
    /// As [`Guest::connect`].
    pub fn connect_ipv6(
        &self,
        address: Ipv6Addr,
        port: u16,
        limit: Duration,
    ) -> Result<io::Result<TcpStream>> {
        let scope = if address.is_unicast_link_local() {
            self.space.index_of("eth0")?
        } else {
            0
        };
        let to = SocketAddrV6::new(address, port, 0, scope);
        self.space.connect_to(to.into(), limit)
    }

    /// Asks one of the IPv6 metadata addresses.
    ///
    /// # Errors
    /// As [`Guest::ask`].
    pub fn ask_ipv6(&self, address: Ipv6Addr, request: &Request<'_>) -> Result<Reply> {
        request.send(self.connect_ipv6(address, 80, PATIENCE)??)
    }

    /// Asks the metadata service.
    ///
    /// # Errors
    /// No connection, or no proper answer.
    pub fn ask(&self, request: &Request<'_>) -> Result<Reply> {
        request.send(self.connect(80)??)
    }

    /// GET without a token.
    ///
    /// # Errors
    /// As [`Guest::ask`].
    pub fn get(&self, path: &str) -> Result<Reply> {
        self.ask(&Request::get(path))
    }

    /// Its NIC as raw frames.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wire(&self) -> Result<Wire> {
        Wire::open(&self.space, "eth0")
    }
}
