//! A KVM host for tests and the demo: libvirtd with its networks, and real guests on it. Runs inside a sandbox, so
//! nothing of it outlives the process that made it and nothing of it meets the machine's own network.

mod apart;
mod daemon;
mod domain;
mod guest;
mod host;
mod metadata;
mod network;
mod relay;
mod ssh;
mod wait;
mod xml;

pub use apart::Apart;
pub use daemon::{Libvirt, URI};
pub use domain::{Description, Identity, System};
pub use guest::Guest;
pub use host::{Asked, Host};
pub use metadata::Metadata;
pub use network::{Network, Nic};
pub use relay::Relay;
pub use ssh::Key;
pub use wait::until;
