//! Floor 2: the programs in the kernel, one frame at a time, with the octets that must come out.

mod guard;
mod ipv6;
mod limits;
mod loaded;
mod replies;
mod requests;

pub(crate) use loaded::{
    Loaded, Outcome, PASS, REDIRECT, SHOT, SLOT_ADDRESS, SLOT_IPV6, XDP_DROP, XDP_PASS,
};
