//! The socket buffer: bounded reads and writes, and the only raw pointers of the kernel side.

use aya_ebpf::bindings::{BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::{bpf_csum_diff, bpf_skb_change_tail};
use aya_ebpf::programs::TcContext;
use metad_common::abi::Address;
use metad_common::frame::{Frame, offset};
use metad_common::reason::Reason;

/// `PACKET_HOST` of `linux/if_packet.h`: the packet is for this host.
const PACKET_HOST: u32 = 0;

/// A frame in the kernel.
pub(crate) struct Packet {
    ctx: TcContext,
}

impl Frame for Packet {
    /// Reads from the linear part, or through the kernel where a guest has spread its headers over fragments:
    /// `virtio_net` lets a guest choose how much is linear, so a short linear part must not look like a short frame.
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let start = self.ctx.data() + offset;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the comparison above is the verifier's proof that N octets from `start` are in the packet;
            // [u8; N] has alignment 1 and any bit pattern.
            return Some(unsafe { core::ptr::read(start as *const [u8; N]) });
        }
        self.ctx.load(offset).ok()
    }

    #[inline(always)]
    fn addresses<const N: usize>(&self, offset: usize) -> Option<[Address; N]> {
        self.ctx.load(offset).ok()
    }

    #[inline(always)]
    fn carries_vlan_tag(&self) -> bool {
        // SAFETY: `skb` is the context pointer that the kernel called us with; the field is readable in tc programs.
        unsafe { (*self.ctx.skb.skb).vlan_present != 0 }
    }
}

impl Packet {
    #[inline(always)]
    pub(crate) fn new(ctx: TcContext) -> Self {
        Self { ctx }
    }

    #[inline(always)]
    pub(crate) fn context(&self) -> &TcContext {
        &self.ctx
    }

    /// Index of the interface that the program runs on.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: as in `carries_vlan_tag`.
        unsafe { (*self.ctx.skb.skb).ifindex }
    }

    /// Writes `octets` at a constant offset.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(
        &self,
        offset: usize,
        octets: &[u8; N],
    ) -> Result<(), Reason> {
        self.ctx
            .store(offset, octets, 0)
            .or(Err(Reason::RewriteFailed))
    }

    /// Changes an IPv4 address at `offset` and with it the IP and TCP checksums.
    ///
    /// The TCP checksum may be partial (to be completed by hardware that a virtual machine does not have): only the
    /// kernel's helper, told that the address is part of the pseudo header, gets both kinds right.
    #[inline(always)]
    pub(crate) fn rewrite_address(
        &self,
        offset: usize,
        from: [u8; 4],
        to: [u8; 4],
    ) -> Result<(), Reason> {
        let failed = Err(Reason::RewriteFailed);
        let (old, new) = (
            u64::from(u32::from_ne_bytes(from)),
            u64::from(u32::from_ne_bytes(to)),
        );
        let tcp = u64::from(BPF_F_PSEUDO_HDR) | 4;
        self.ctx
            .l4_csum_replace(offset::TCP + offset::CHECKSUM, old, new, tcp)
            .or(failed)?;
        self.ctx
            .l3_csum_replace(offset::IP_CHECKSUM, old, new, 4)
            .or(failed)?;
        self.write(offset, &to)
    }

    /// Changes both addresses of an IPv6 packet and with them the TCP checksum, partial or not, as in
    /// [`Self::rewrite_address`].
    ///
    /// Where the NIC has summed the whole packet up, the helper takes the change out of that sum as IPv4 needs it, for
    /// its header has a checksum too; writing the addresses puts it back.
    #[inline(always)]
    pub(crate) fn rewrite_addresses(
        &self,
        mut from: [Address; 2],
        mut to: [Address; 2],
    ) -> Result<(), Reason> {
        const LENGTH: u32 = 2 * 16;
        const _: () = assert!(size_of::<[Address; 2]>() == LENGTH as usize);
        let failed = Err(Reason::RewriteFailed);
        let (old, new) = (&raw mut from, &raw mut to);
        // SAFETY: both point to so many octets of ours, aligned as the helper's words are, which it only reads.
        let change = unsafe { bpf_csum_diff(old.cast(), LENGTH, new.cast(), LENGTH, 0) };
        let change = u64::try_from(change).or(Err(Reason::RewriteFailed))?;
        let tcp = offset::IPV6_TCP + offset::CHECKSUM;
        self.ctx
            .l4_csum_replace(tcp, 0, change, u64::from(BPF_F_PSEUDO_HDR))
            .or(failed)?;
        let recompute = u64::from(BPF_F_RECOMPUTE_CSUM);
        self.ctx
            .store(offset::IPV6_SOURCE, &to, recompute)
            .or(failed)
    }

    /// Changes a port at `offset` of an IPv6 packet and with it the TCP checksum. A partial one stays as it is: it does
    /// not cover the port yet.
    #[inline(always)]
    pub(crate) fn rewrite_port(
        &self,
        offset: usize,
        from: [u8; 2],
        to: [u8; 2],
    ) -> Result<(), Reason> {
        let (old, new) = (
            u64::from(u16::from_ne_bytes(from)),
            u64::from(u16::from_ne_bytes(to)),
        );
        self.ctx
            .l4_csum_replace(offset::IPV6_TCP + offset::CHECKSUM, old, new, 2)
            .or(Err(Reason::RewriteFailed))?;
        self.write(offset, &to)
    }

    /// Cuts the frame, or appends zeros to it.
    #[inline(always)]
    pub(crate) fn resize(&self, length: u32) -> Result<(), Reason> {
        let skb = self.ctx.skb.skb;
        // SAFETY: `skb` is the context pointer that the kernel called us with. No pointer into the packet is held.
        let done = unsafe { bpf_skb_change_tail(skb, length, 0) };
        if done == 0 {
            Ok(())
        } else {
            Err(Reason::RewriteFailed)
        }
    }

    /// Writes both MAC addresses.
    #[inline(always)]
    pub(crate) fn address_frame(&self, to: [u8; 6], from: [u8; 6]) -> Result<(), Reason> {
        self.write(offset::ETH_DESTINATION, &to)?;
        self.write(offset::ETH_SOURCE, &from)
    }

    /// Makes the receiving stack take the packet, whatever MAC address it came with.
    #[inline(always)]
    pub(crate) fn mark_for_host(&self) -> Result<(), Reason> {
        self.ctx
            .change_type(PACKET_HOST)
            .or(Err(Reason::RewriteFailed))
    }
}
