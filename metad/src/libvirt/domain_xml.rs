//! A domain's XML in, what metad wants to know of it out. Pure and total: libvirt writes the frame of the document,
//! but its `<metadata>` is whatever somebody put there. A domain whose metadata cannot be read still has its NICs.

use uuid::Uuid;

use super::metadata;
use super::xml::{self, Element, Fault, XmlError};
use crate::instance::{Disk, DiskKind, Mac, Nic, Offer};
use crate::record::Record;

/// Why a domain's XML cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("the domain's XML cannot be read: {0}")]
    Xml(Place),
    #[error("the domain's metadata cannot be read: {0}")]
    Metadata(Place),
}

/// What is wrong, and where in `virsh dumpxml DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub reason: String,
}

/// A domain as libvirt describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    pub name: String,
    pub uuid: Uuid,
    /// libvirt's number for this run of the domain; `None` while it is off.
    pub id: Option<u64>,
    /// Every `<interface>`, whatever its type, in the document's order. The host's end is only named while it runs.
    pub nics: Vec<Nic>,
    pub disks: Vec<Disk>,
    pub metadata: Result<Record, DomainError>,
}

/// Reads live or persistent XML, as `virDomainGetXMLDesc` gives it.
pub fn parse(document: &str) -> Result<Domain, DomainError> {
    let refuse = |error: XmlError| DomainError::Xml(error.into());
    let place = |fault: Fault| XmlError::at(document, fault.offset, fault.reason);
    let root = xml::parse(document).map_err(refuse)?;
    let mut domain = frame(&root).map_err(place).map_err(refuse)?;
    if let Some(metadata) = root.child("metadata") {
        let record = metadata::read(metadata).map_err(place);
        domain.metadata = record.map_err(|error| DomainError::Metadata(error.into()));
    }
    Ok(domain)
}

impl From<XmlError> for Place {
    fn from(error: XmlError) -> Self {
        Self {
            line: error.line,
            column: error.column,
            reason: error.reason,
        }
    }
}

fn frame(root: &Element) -> Result<Domain, Fault> {
    if root.name != "domain" || !root.namespace.is_empty() {
        return Err(root.fault("is no <domain>"));
    }
    let need = |name: &'static str| {
        let lacking = || root.fault(format!("holds no <{name}>"));
        root.child_text(name).ok_or_else(lacking)
    };
    let uuid = need("uuid")?;
    let id = match root.attribute("id") {
        Some(id) => Some(
            id.parse::<u64>()
                .ok()
                .ok_or_else(|| root.fault("has an `id` that is no number"))?,
        ),
        None => None,
    };
    let mut domain = Domain {
        name: need("name")?.text().trim().to_owned(),
        uuid: Uuid::parse_str(uuid.text().trim())
            .map_err(|error| uuid.fault(format!("is no UUID: {error}")))?,
        id,
        nics: Vec::new(),
        disks: Vec::new(),
        metadata: Ok(Record::default()),
    };
    let Some(devices) = root.child("devices") else {
        return Ok(domain);
    };
    for element in devices.children_named("interface") {
        let nic = interface(element, id.is_some())?;
        if domain.nics.iter().any(|other| other.mac == nic.mac) {
            return Err(element.fault(format!("has the MAC address {} of an earlier one", nic.mac)));
        }
        domain.nics.push(nic);
    }
    domain.disks = devices.children_named("disk").filter_map(disk).collect();
    Ok(domain)
}

fn interface(element: &Element, running: bool) -> Result<Nic, Fault> {
    let address = attribute_of(element, "mac", "address")
        .ok_or_else(|| element.fault("has no MAC address"))?;
    let mac: Mac = address
        .parse()
        .map_err(|error| element.fault(format!("is broken: {error}")))?;
    let target = attribute_of(element, "target", "dev").filter(|_| running);
    let size = attribute_of(element, "mtu", "size")
        .map(str::parse::<u32>)
        .transpose();
    let mtu =
        size.map_err(|error| element.fault(format!("has an MTU that is no number: {error}")))?;
    Ok(Nic {
        mac,
        interface: target.map(str::to_owned),
        bridge: attribute_of(element, "source", "bridge").map(str::to_owned),
        network: attribute_of(element, "source", "network").map(str::to_owned),
        addresses: Vec::new(),
        subnets: Vec::new(),
        mtu,
        fixed: None,
        offer: Offer::default(),
    })
}

/// A disk without a target is not attached to anything that a guest could name.
fn disk(element: &Element) -> Option<Disk> {
    let kind = match element.attribute("device") {
        None | Some("disk" | "lun") => role(element),
        Some("cdrom") => DiskKind::Cdrom,
        Some("floppy") => DiskKind::Floppy,
        Some(_) => return None,
    };
    let target = attribute_of(element, "target", "dev")?.to_owned();
    Some(Disk { target, kind })
}

/// EC2's role of a disk stands in its serial number, which the guest sees too: `ephemeral0` and so on, or `swap`.
fn role(element: &Element) -> DiskKind {
    let serial = element
        .child_text("serial")
        .map(|serial| serial.text().trim());
    match serial {
        Some("swap") => DiskKind::Swap,
        Some(serial) => serial
            .strip_prefix("ephemeral")
            .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|number| number.parse().ok())
            .map_or(DiskKind::Disk, DiskKind::Ephemeral),
        None => DiskKind::Disk,
    }
}

fn attribute_of<'a>(element: &'a Element, child: &'a str, name: &str) -> Option<&'a str> {
    let value = element.child(child)?.attribute(name)?.trim();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests;
