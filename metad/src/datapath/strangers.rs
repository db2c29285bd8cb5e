//! Senders that no NIC is known for, as `guest_ingress` reports them.

use std::io;

use aya::maps::{MapData, RingBuf};
use metad_common::abi::Stranger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::instance::Mac;

/// The ring of unknown senders.
pub struct Strangers {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Strangers {
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the ring keeps its descriptor, the map's, open and the same for as long as it lives.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        let ring = ring.map_err(io::Error::from)?;
        Ok(Self { ring })
    }

    /// Waits for reports and returns all that are there: `(ifindex, MAC)`.
    ///
    /// # Errors
    /// When the runtime cannot wait for the ring any more.
    pub async fn next(&mut self) -> io::Result<Vec<(u32, Mac)>> {
        loop {
            let mut ready = self.ring.readable_mut().await?;
            let mut all = Vec::new();
            while let Some(item) = ready.get_inner_mut().next() {
                all.extend(stranger(&item));
            }
            ready.clear_ready();
            if !all.is_empty() {
                return Ok(all);
            }
        }
    }
}

/// Reads a [`Stranger`] as the kernel side wrote it.
fn stranger(octets: &[u8]) -> Option<(u32, Mac)> {
    let record: &[u8; size_of::<Stranger>()] = octets.try_into().ok()?;
    let [i0, i1, i2, i3, a, b, c, d, e, f, _, _] = *record;
    Some((
        u32::from_ne_bytes([i0, i1, i2, i3]),
        Mac([a, b, c, d, e, f]),
    ))
}
