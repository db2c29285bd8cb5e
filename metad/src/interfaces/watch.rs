//! Follows the host's interfaces by rtnetlink: a full list first, then every happening, and a full list again whenever
//! the kernel had to drop events.

mod listing;

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use self::listing::{ListError, list};

use super::{Happening, Interface};
use crate::instance::Mac;

/// Why the host's interfaces cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("cannot open a netlink socket")]
    Open(#[source] io::Error),
    #[error(transparent)]
    List(#[from] ListError),
}

/// How long to wait before a broken netlink connection is made anew.
const AGAIN: Duration = Duration::from_millis(100);

/// Starts to follow the interfaces of the calling thread's network namespace. The first happening is the whole list.
///
/// # Errors
/// When the kernel gives no netlink socket or no list.
pub async fn watch() -> Result<mpsc::Receiver<Happening>, WatchError> {
    let (sender, receiver) = mpsc::channel(256);
    let events = open(&sender).await?;
    tokio::spawn(follow(sender, events));
    Ok(receiver)
}

/// Unsolicited messages, as the netlink crate hands them out.
type Messages =
    Pin<Box<dyn Stream<Item = (NetlinkMessage<RouteNetlinkMessage>, SocketAddr)> + Send>>;

/// A subscription; ends with its drop.
struct Events {
    messages: Messages,
    connection: AbortHandle,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn follow(sender: mpsc::Sender<Happening>, mut events: Events) {
    loop {
        let lost = tokio::select! {
            lost = relay(&sender, &mut events) => lost,
            () = sender.closed() => return,
        };
        if !lost {
            return;
        }
        tracing::warn!("interface events were lost; listing all interfaces again");
        loop {
            match open(&sender).await {
                Ok(anew) => {
                    events = anew;
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "cannot follow the network interfaces; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Passes happenings on until events are lost (`true`) or nobody listens (`false`).
async fn relay(sender: &mpsc::Sender<Happening>, events: &mut Events) -> bool {
    while let Some((message, _)) = events.messages.next().await {
        let payload = message.payload;
        if matches!(payload, NetlinkPayload::Overrun(_)) {
            return true;
        }
        let NetlinkPayload::InnerMessage(message) = payload else {
            continue;
        };
        let Some(happening) = happening(message) else {
            continue;
        };
        if sender.send(happening).await.is_err() {
            return false;
        }
    }
    true
}

/// What the kernel's message says of an interface; `None` for all others.
pub fn happening(message: RouteNetlinkMessage) -> Option<Happening> {
    // What a bridge says of its ports is incomplete, and a port that leaves it sounds like an interface that is gone. The
    // interface's own message comes as well.
    let own = |link: &LinkMessage| link.header.interface_family != AddressFamily::Bridge;
    if let RouteNetlinkMessage::NewLink(link) = message {
        own(&link).then(|| Happening::Is(interface(&link)))
    } else if let RouteNetlinkMessage::DelLink(link) = message {
        let index = link.header.index;
        own(&link).then_some(Happening::Gone { index })
    } else {
        None
    }
}

/// Subscribes first and lists then, so that nothing falls between.
async fn open(sender: &mpsc::Sender<Happening>) -> Result<Events, WatchError> {
    let (mut connection, handle, events) =
        new_multicast_connection(&[MulticastGroup::Link]).map_err(WatchError::Open)?;
    listing::prepare(&mut connection);
    let connection = tokio::spawn(connection).abort_handle();
    let events = Events {
        messages: Box::pin(events),
        connection,
    };
    let all = listing::whole(&handle).await?;
    // A closed channel shows at the next send.
    let _ = sender.send(Happening::All(all)).await;
    Ok(events)
}

fn interface(link: &LinkMessage) -> Interface {
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        controller: None,
        is_bridge: false,
        is_tap: false,
        is_tun: false,
        is_up: link.header.flags.contains(LinkFlags::Up),
        mac: None,
    };
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            interface.name.clone_from(name);
        } else if let LinkAttribute::Controller(index) = attribute {
            interface.controller = Some(*index);
        } else if let LinkAttribute::Address(octets) = attribute {
            interface.mac = octets.as_slice().try_into().ok().map(Mac);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            let is = |kind| infos.contains(&LinkInfo::Kind(kind));
            interface.is_bridge = is(InfoKind::Bridge);
            interface.is_tun = is(InfoKind::Tun);
            interface.is_tap = interface.is_tun || is(InfoKind::Veth) || is(InfoKind::Netkit);
        }
    }
    interface
}
