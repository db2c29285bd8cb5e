//! A frame before there is a socket buffer: bounded reads, and no writes at all.

use aya_ebpf::programs::XdpContext;
use metad_common::abi::Address;
use metad_common::frame::Frame;

/// A frame as XDP sees it.
pub(crate) struct Raw {
    ctx: XdpContext,
}

impl Frame for Raw {
    /// A program that does not ask for fragments gets the frame in one piece.
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let start = self.ctx.data() + offset;
        if start + N > self.ctx.data_end() {
            return None;
        }
        // SAFETY: the comparison above is the verifier's proof that N octets from `start` are in the frame; [u8; N] has
        // alignment 1 and any bit pattern.
        Some(unsafe { core::ptr::read(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]> {
        let start = self.ctx.data() + offset;
        if start + N * size_of::<Address>() > self.ctx.data_end() {
            return None;
        }
        // SAFETY: as above, and read as unaligned.
        Some(unsafe { core::ptr::read_unaligned(start as *const [Address; N]) })
    }

    /// A tag that was stripped on receipt cannot be seen here. What it would change is that the frame is refused:
    /// `guest_ingress` sees to that.
    #[inline(always)]
    fn carries_vlan_tag(&self) -> bool {
        false
    }
}

impl Raw {
    #[inline(always)]
    pub(crate) fn new(ctx: XdpContext) -> Self {
        Self { ctx }
    }

    #[inline(always)]
    pub(crate) fn context(&self) -> &XdpContext {
        &self.ctx
    }

    /// Index of the interface that the frame came in on.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: `ctx` is the context pointer that the kernel called us with.
        unsafe { (*self.ctx.ctx).ingress_ifindex }
    }
}
