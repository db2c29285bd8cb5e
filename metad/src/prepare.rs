//! What a libvirt domain or network lacks for its guests to look here. XML text comes in; the same text, changed in the
//! few places that matter, goes out with a sentence for each change. Pure, but for [`host`], which asks libvirt.
//!
//! What must never happen: that anything else of the text changes, that something which somebody else put there goes
//! without being asked for, or that a running domain or network is touched.

mod domain;
pub mod host;
mod network;
pub mod outlook;
mod seed;
mod smbios;
mod splice;

use uuid::Uuid;

use crate::libvirt::domain_xml::Place;
use crate::libvirt::xml::{Element, XmlError};

pub use domain::domain;
pub use network::{Network, network};
pub use seed::SEED_URL;

/// What cloud-init is to take a guest's SMBIOS tables for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Datasource {
    Ec2,
    Nocloud,
    Openstack,
}

impl Datasource {
    pub const ALL: [Self; 3] = [Self::Ec2, Self::Nocloud, Self::Openstack];

    /// As on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Nocloud => "nocloud",
            Self::Openstack => "openstack",
        }
    }

    /// As cloud-init's `datasource_list` spells it.
    pub fn cloud_init(self) -> &'static str {
        match self {
            Self::Ec2 => "Ec2",
            Self::Nocloud => "NoCloud",
            Self::Openstack => "OpenStack",
        }
    }
}

/// What a domain is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub datasource: Datasource,
    /// Where NoCloud's files are, instead of [`SEED_URL`].
    pub seed_url: Option<String>,
    /// Whether the domain may get another UUID, where it needs one.
    pub new_uuid: bool,
    /// Whether SMBIOS values that say something else may go.
    pub replace: bool,
}

/// A text with its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    pub text: String,
    /// One for each change; none: the text is as it was.
    pub changes: Vec<String>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
    /// The UUID that the domain gets, where it gets another one.
    pub new_uuid: Option<Uuid>,
}

/// Why a text is left as it is, and what now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the XML cannot be read: {0}")]
    Xml(Place),
    #[error("{place}\nhelp: {help}")]
    Odd { place: Place, help: String },
    #[error(
        "it has no SMBIOS tables: {why}\nhelp: name the data source in its image instead, in /etc/cloud/cloud.cfg.d/: `datasource_list: [ {} ]`",
        .datasource.cloud_init()
    )]
    NoSmbios { why: String, datasource: Datasource },
    #[error(
        "it shows its guest the SMBIOS values of the host (`<smbios mode='host'/>`), which leaves no room for others\nhelp: with `--replace` it shows its own instead; manufacturer, product and the rest are then QEMU's, and what is licensed to the host's values inside the guest may notice"
    )]
    HostSmbios,
    #[error(
        "its SMBIOS {what} is `{found}` already, and cloud-init needs `{wanted}` there\nhelp: if nothing in the guest relies on it, add `--replace`"
    )]
    Taken {
        what: &'static str,
        found: String,
        wanted: String,
    },
    #[error(
        "its SMBIOS {what} is `{found}`, by which cloud-init takes it for {taken_for}\nhelp: if nothing in the guest relies on it, `--replace` takes it out"
    )]
    OtherCloud {
        what: &'static str,
        found: String,
        taken_for: &'static str,
    },
    #[error(
        "cloud-init takes a machine for EC2 by a UUID that starts with `ec2`, and this one has {uuid}\n\
         help: the UUID of a domain cannot be changed; `--new-uuid` shows what it takes to define it anew as {suggested}\n\
         help: a guest under another UUID is another instance: metad gives it another instance-id, and cloud-init configures it from the start\n\
         help: `--datasource nocloud` and `--datasource openstack` work with any UUID"
    )]
    NotEc2 { uuid: Uuid, suggested: Uuid },
    #[error(
        "cloud-init takes a machine for EC2 by its UUID alone, and this one has {uuid}\n\
         help: choose `--datasource ec2`\n\
         help: or let `--new-uuid` show what it takes to define the domain anew as {suggested}; to cloud-init, that is another instance"
    )]
    LooksLikeEc2 { uuid: Uuid, suggested: Uuid },
    #[error(
        "{place}\nhelp: an emulated TPM keeps its state under the domain's UUID, and would come up empty under another; disks that are sealed to it would stay locked. Choose `--datasource nocloud`, or remove the TPM first"
    )]
    Tpm { place: Place },
    #[error(
        "the seed URL `{url}` {why}\nhelp: it is all of http://…/ up to where `meta-data` begins, such as {SEED_URL}"
    )]
    SeedUrl { url: String, why: &'static str },
    #[error(
        "a seed URL is for NoCloud\nhelp: leave `--seed-url` out, or choose `--datasource nocloud`"
    )]
    NoSeed,
    #[error("libvirt runs no DHCP server for it: {why}\nhelp: {help}")]
    NoDhcp { why: String, help: &'static str },
    #[error(
        "the change would not be clean: {0}\nhelp: this is a mistake in metad; nothing was changed"
    )]
    Unclean(String),
}

impl Refusal {
    /// Something about an element that cannot be worked with.
    fn odd(document: &str, element: &Element, predicate: &str, help: &str) -> Self {
        Self::Odd {
            place: place(document, element, predicate),
            help: help.to_owned(),
        }
    }
}

impl From<XmlError> for Refusal {
    fn from(error: XmlError) -> Self {
        Self::Xml(error.into())
    }
}

fn place(document: &str, element: &Element, predicate: &str) -> Place {
    let fault = element.fault(predicate);
    XmlError::at(document, fault.offset, fault.reason).into()
}

#[cfg(test)]
mod tests;
