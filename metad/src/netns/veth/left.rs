//! The veth of an earlier daemon, found again.

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::{Handle, new_connection};

use super::{Far, Veth, VethError, configure, inside_runtime, step};
use crate::netns::Namespace;

/// An end, and the index of its peer in whatever namespace that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    index: u32,
    peer: Option<u32>,
}

/// Finds the veth that an earlier daemon has left, and makes up for what the namespace has lost. `None`: it is not
/// there, or does not lead into the namespace.
///
/// # Errors
/// The kernel cannot be asked, or what is missing cannot be added.
pub async fn left(
    host: &str,
    inside: &str,
    namespace: &Namespace,
) -> Result<Option<Veth>, VethError> {
    let Some(here) = leads_into(host, inside, namespace).await? else {
        return Ok(None);
    };
    let configured = namespace
        .run(|| inside_runtime(async |handle| configure(handle, inside, Far::Serving).await));
    Ok(Some(Veth {
        host: here,
        daemon_mac: configured??,
    }))
}

/// The index of the interface `host`, if it is one end of a veth whose other end is `inside`, in `namespace`. `None`: there
/// is none of this name, or it is another.
///
/// # Errors
/// The kernel cannot be asked.
pub(crate) async fn leads_into(
    host: &str,
    inside: &str,
    namespace: &Namespace,
) -> Result<Option<u32>, VethError> {
    let (connection, handle, _) = new_connection().map_err(VethError::Netlink)?;
    tokio::spawn(connection);
    let here = end(&handle, host).await?;
    let far = namespace.run(|| inside_runtime(async |handle| end(handle, inside).await))??;
    let (Some(here), Some(far)) = (here, far) else {
        return Ok(None);
    };
    let linked = here.peer == Some(far.index) && far.peer == Some(here.index);
    Ok(linked.then_some(here.index))
}

async fn end(handle: &Handle, name: &str) -> Result<Option<End>, VethError> {
    let mut all = handle.link().get().execute();
    let failed = |error| step("look for", name)(error);
    while let Some(link) = all.try_next().await.map_err(failed)? {
        let attributes = link.attributes.iter();
        let mut is_it = false;
        let mut peer = None;
        for attribute in attributes {
            if let LinkAttribute::IfName(found) = attribute {
                is_it = found == name;
            } else if let LinkAttribute::Link(index) = attribute {
                peer = Some(*index);
            }
        }
        if is_it {
            let index = link.header.index;
            return Ok(Some(End { index, peer }));
        }
    }
    Ok(None)
}
