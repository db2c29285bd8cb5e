//! IPv6 inside metad's namespace: the addresses that guests ask, a route back to every slot, and silence. Nothing is
//! sent there but answers: no address detection, no router solicitation, no multicast report.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use metad_common::{service, slot};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{ANYBODY, VethError, step};
use crate::interfaces::Interface;

/// Where the kernel keeps IPv6's settings; not there in a kernel without IPv6.
const SETTINGS: &str = "/proc/sys/net/ipv6/conf";
/// The one neighbour, as in IPv4. Permanent, so nobody ever asks for it.
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fd);
/// What the far end must be told before it comes up. `addr_gen_mode` 1: no link-local address.
const QUIET: [(&str, &str); 5] = [
    ("addr_gen_mode", "1"),
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("accept_dad", "0"),
    ("disable_ipv6", "0"),
];

/// Whether this kernel has IPv6.
pub(super) fn is_there() -> bool {
    Path::new(SETTINGS).exists()
}

/// Keeps an interface that is not up yet from talking. Where settings cannot be written, as in some containers, it may
/// talk, and `reply` drops what it says.
pub(super) fn silence(loopback: &Interface, far: &Interface) {
    write(&loopback.name, "disable_ipv6", "0");
    for (setting, value) in QUIET {
        write(&far.name, setting, value);
    }
}

/// Adds addresses, neighbour and route. The addresses are on the loopback interface: on the far end, each would join a
/// multicast group and report that.
pub(super) async fn configure(
    handle: &Handle,
    loopback: &Interface,
    far: &Interface,
) -> Result<(), VethError> {
    for address in [service::IPV6, service::LINK_LOCAL_INSIDE] {
        handle
            .address()
            .add(loopback.index, IpAddr::from(address), 128)
            .replace()
            .execute()
            .await
            .map_err(step("add an IPv6 address to", &loopback.name))?;
    }
    handle
        .neighbours()
        .add(far.index, IpAddr::V6(NEIGHBOUR))
        .link_layer_address(&ANYBODY)
        .replace()
        .execute()
        .await
        .map_err(step("add the IPv6 neighbour to", &far.name))?;
    let route = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(Ipv6Addr::from(slot::ipv6(0).0), slot::PREFIX_LENGTH_IPV6)
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
        .map_err(step("add the IPv6 route to", &far.name))
}

fn write(interface: &str, setting: &str, value: &str) {
    let path = Path::new(SETTINGS).join(interface).join(setting);
    if let Err(error) = fs::write(&path, value) {
        tracing::warn!(path = %path.display(), %error, "cannot write a setting of metad's namespace");
    }
}
