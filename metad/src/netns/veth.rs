//! The veth into metad's namespace, and what the namespace needs to answer: for each family its addresses, one neighbour,
//! one route.

mod ipv6;
mod left;
mod tcp;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use metad_common::slot;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoVeth, LinkAttribute,
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder, new_connection};
use rustix::io::Errno;

pub(crate) use left::leads_into;
pub use left::left;

use super::{NAME_IS_TAKEN, Namespace, NetnsError};
use crate::instance::Mac;
use crate::interfaces::{Interface, watch};

/// The metadata service's IPv4 address.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The one neighbour in the namespace, so that a thousand guests do not fill the neighbour table: every answer goes
/// there, and `reply` takes it on the other side.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// Why the veth or its far end cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum VethError {
    #[error("cannot open a netlink socket")]
    Netlink(#[source] io::Error),
    #[error("cannot {step} {interface}{}", name_is_taken(source))]
    Step {
        step: &'static str,
        interface: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("the interface {0} is not there although it was made just now")]
    Vanished(String),
    #[error(transparent)]
    Interfaces(#[from] watch::ListError),
    #[error(transparent)]
    Namespace(#[from] NetnsError),
}

/// The two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Veth {
    /// Index of the host's end.
    pub host: u32,
    /// Address of the end inside the namespace.
    pub daemon_mac: Mac,
}

/// Makes the veth `host` (here) and `inside` (in `namespace`) and all that the namespace needs.
///
/// # Errors
/// Names the step and the interface. What was made until then goes with the namespace.
pub async fn create(host: &str, inside: &str, namespace: &Namespace) -> Result<Veth, VethError> {
    let (connection, handle, _) = new_connection().map_err(VethError::Netlink)?;
    tokio::spawn(connection);
    let peer = LinkUnspec::new_with_name(inside)
        .setns_by_fd(namespace.file().as_raw_fd())
        .build();
    let veth = LinkVeth::new(host, inside)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    handle
        .link()
        .add(veth)
        .execute()
        .await
        .map_err(step("create the veth", host))?;
    let here = find(host).await?;
    // No link-local address may ever appear on the host's end.
    let without_ipv6 = LinkUnspec::new_with_index(here.index)
        .append_extra_attribute(no_ipv6_address())
        .build();
    match handle.link().set(without_ipv6).execute().await {
        Err(error) if !is_without_ipv6(&error) => {
            return Err(step("keep IPv6 off", host)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let up = LinkUnspec::new_with_index(here.index).up().build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(step("bring up", host))?;
    let configured =
        namespace.run(|| inside_runtime(async |handle| configure(handle, inside, Far::New).await));
    let far = configured??;
    Ok(Veth {
        host: here.index,
        daemon_mac: far,
    })
}

/// Removes the interface called `name` from this namespace, and its other end with it. `false`: there was none.
///
/// # Errors
/// When it is there and stays.
pub async fn remove(name: &str) -> Result<bool, VethError> {
    let (connection, handle, _) = new_connection().map_err(VethError::Netlink)?;
    tokio::spawn(connection);
    let all = watch::list().await?;
    let Some(found) = all.into_iter().find(|interface| interface.name == name) else {
        return Ok(false);
    };
    match handle.link().del(found.index).execute().await {
        Ok(()) => Ok(true),
        // It went with the namespace of its other end just now.
        Err(error) if has_code(&error, Errno::NODEV) => Ok(false),
        Err(error) => Err(step("remove", name)(error)),
    }
}

/// For a thread inside the namespace: a runtime of its own, since a netlink socket belongs to the namespace of the thread
/// that opens it.
fn inside_runtime<T>(
    work: impl AsyncFnOnce(&Handle) -> Result<T, VethError>,
) -> Result<T, VethError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VethError::Netlink)?;
    runtime.block_on(async {
        let (connection, handle, _) = new_connection().map_err(VethError::Netlink)?;
        let connection = tokio::spawn(connection);
        let outcome = work(&handle).await;
        connection.abort();
        outcome
    })
}

/// Whether an end has just been made, or serves already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    New,
    Serving,
}

/// Adds what the namespace needs and does not have.
async fn configure(handle: &Handle, inside: &str, state: Far) -> Result<Mac, VethError> {
    let loopback = find("lo").await?;
    let far = find(inside).await?;
    let mac = far
        .mac
        .ok_or_else(|| VethError::Vanished(inside.to_owned()))?;
    tcp::settle();
    let with_ipv6 = ipv6::is_there();
    if with_ipv6 && state == Far::New {
        ipv6::silence(&loopback, &far);
    }
    for interface in [&loopback, &far] {
        let up = LinkUnspec::new_with_index(interface.index).up().build();
        handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(step("bring up", &interface.name))?;
    }
    handle
        .address()
        .add(far.index, IpAddr::V4(METADATA), 32)
        .replace()
        .execute()
        .await
        .map_err(step("add 169.254.169.254 to", inside))?;
    handle
        .neighbours()
        .add(far.index, IpAddr::V4(NEIGHBOUR))
        .link_layer_address(&ANYBODY)
        .replace()
        .execute()
        .await
        .map_err(step("add the neighbour to", inside))?;
    let [a, b, c, d] = slot::address(0);
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::new(a, b, c, d), slot::PREFIX_LENGTH)
        .gateway(NEIGHBOUR)
        .output_interface(far.index)
        .onlink()
        .build();
    handle
        .route()
        .add(route)
        .replace()
        .execute()
        .await
        .map_err(step("add the route to", inside))?;
    if with_ipv6 {
        ipv6::configure(handle, &loopback, &far).await?;
    }
    Ok(mac)
}

/// A locally administered address that nobody has: `reply` writes the guest's over it.
const ANYBODY: [u8; 6] = [0x02, 0x6d, 0x65, 0x74, 0x61, 0x64];

async fn find(name: &str) -> Result<Interface, VethError> {
    let all = watch::list().await?;
    all.into_iter()
        .find(|interface| interface.name == name)
        .ok_or_else(|| VethError::Vanished(name.to_owned()))
}

fn no_ipv6_address() -> LinkAttribute {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])])
}

/// The remedy where something that is not ours has the name.
fn name_is_taken(error: &rtnetlink::Error) -> &'static str {
    if has_code(error, Errno::EXIST) {
        NAME_IS_TAKEN
    } else {
        ""
    }
}

/// A kernel that has no IPv6 gives the interface no address either.
fn is_without_ipv6(error: &rtnetlink::Error) -> bool {
    has_code(error, Errno::AFNOSUPPORT)
}

fn has_code(error: &rtnetlink::Error, errno: Errno) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return false;
    };
    message.raw_code().unsigned_abs() == errno.raw_os_error().unsigned_abs()
}

fn step(step: &'static str, interface: &str) -> impl FnOnce(rtnetlink::Error) -> VethError {
    let interface = interface.to_owned();
    move |source| VethError::Step {
        step,
        interface,
        source,
    }
}
