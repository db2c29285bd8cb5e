//! What the kernel programs and the daemon must agree on: how a frame is read, what becomes of it, and what the maps
//! hold.
//!
//! Everything here is pure and runs in both places, so the code that decides in the kernel is the code that is
//! property-tested on a laptop. No I/O, no allocation, and no aya, except to derive `Pod` behind the `user` feature.

#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod frame;
pub mod limit;
pub mod names;
pub mod neighbour;
pub mod reason;
pub mod service;
pub mod slot;
pub mod verdict;
