//! metad, the metadata service of a KVM host.
//!
//! The rooms stand in the order of one request: a frame enters through the [`datapath`], a connection through
//! [`listen`], a request through [`http`], and leaves as what [`render`] made of an [`instance`]. The slow side,
//! from [`source`] to [`inventory`], keeps what those rooms read.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod config;
pub mod credentials;
pub mod datapath;
pub mod directory;
pub mod exit;
pub mod http;
pub mod identity;
pub mod install;
pub mod instance;
pub mod interfaces;
pub mod inventory;
pub mod keyfile;
pub mod libvirt;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod nearest;
pub mod netns;
pub mod prepare;
pub mod record;
pub mod render;
pub mod settings;
pub mod signer;
pub mod source;
pub mod takeover;
pub mod token;
