//!
pub mod domain_xml;
pub mod metadata;
pub mod network_xml;
mod xml;
