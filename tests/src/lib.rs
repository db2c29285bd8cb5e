//! The laboratory of metad: a throw-away world to run the daemon and its guests in. Tests, demo and xtask use it.
//!
//! Nothing here may touch the machine's own network namespace: everything happens inside a [`sandbox`].

pub mod bench;
pub mod clients;
pub mod frames;
pub mod hostvm;
pub mod image;
pub mod lab;
pub mod load;
pub mod machine;
pub mod needs;
pub mod peers;
pub mod progress;
pub mod sandbox;
pub mod siege;
pub mod smallguest;
pub mod virt;
