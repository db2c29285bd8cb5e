//! What a domain's XML says of the SMBIOS tables that its guest will see, and by which cloud-init chooses.

use uuid::Uuid;

use super::{Datasource, Refusal, place};
use crate::libvirt::xml::Element;

/// The parts of a domain that decide over its SMBIOS tables.
pub(super) struct Machine<'a> {
    pub(super) uuid_element: &'a Element,
    pub(super) uuid: Uuid,
    pub(super) os: &'a Element,
    /// `<os><smbios mode=…/>`.
    pub(super) mode: Option<&'a Element>,
    /// `<sysinfo type='smbios'>`.
    pub(super) sysinfo: Option<&'a Element>,
}

/// Machines without SMBIOS tables.
const WITHOUT: [&str; 6] = ["s390x", "s390", "ppc64", "ppc64le", "ppc", "riscv32"];

impl<'a> Machine<'a> {
    /// Finds them, or says what stands in the way whatever the data source.
    pub(super) fn read(
        document: &str,
        root: &'a Element,
        datasource: Datasource,
    ) -> Result<Self, Refusal> {
        let odd = |element: &Element, predicate: &str, help: &str| {
            Refusal::odd(document, element, predicate, help)
        };
        if root.name != "domain" || !root.namespace.is_empty() {
            let help = "what `virsh dumpxml --inactive DOMAIN` prints is wanted here";
            return Err(odd(root, "is no <domain>", help));
        }
        let uuid_element = root.child_text("uuid").ok_or_else(|| {
            let help = "add one, such as `<uuid>` with what `uuidgen` prints; for EC2, it has to start with `ec2`";
            odd(root, "holds no <uuid>", help)
        })?;
        let uuid = Uuid::parse_str(uuid_element.text().trim()).map_err(|error| {
            let help = "it is 32 hexadecimal digits, as `uuidgen` prints them";
            odd(uuid_element, &format!("is no UUID: {error}"), help)
        })?;
        let os = root.child("os").ok_or_else(|| {
            let help = "a domain of full virtualisation says `<os><type>hvm</type></os>`";
            odd(root, "holds no <os>", help)
        })?;
        has_tables(os, datasource)?;
        let mut tables = root
            .children_named("sysinfo")
            .filter(|sysinfo| sysinfo.attribute("type") == Some("smbios"));
        let sysinfo = tables.next();
        if let Some(second) = tables.next() {
            let help = "libvirt uses the first one; put all entries into that and remove the other";
            return Err(odd(second, "of type smbios is the second one", help));
        }
        if let Some(nameless) = root
            .children_named("sysinfo")
            .find(|sysinfo| sysinfo.attribute("type").is_none())
        {
            return Err(odd(nameless, "has no `type`", "say `type='smbios'`"));
        }
        refuse_passthrough(document, root)?;
        let machine = Self {
            uuid_element,
            uuid,
            os,
            mode: os.child("smbios"),
            sysinfo,
        };
        machine.refuse_doubles(document)?;
        Ok(machine)
    }

    /// A block of the tables, such as `system`.
    pub(super) fn block(&self, block: &str) -> Option<&'a Element> {
        self.sysinfo?
            .children
            .iter()
            .find(|child| child.name == block && child.namespace.is_empty())
    }

    /// An entry of a block.
    pub(super) fn entry(&self, block: &str, name: &str) -> Option<&'a Element> {
        self.block(block)?
            .children
            .iter()
            .find(|child| is_entry(child, name))
    }

    /// An entry that says something: libvirt leaves an empty one out.
    pub(super) fn value(&self, block: &str, name: &str) -> Option<(&'a Element, &'a str)> {
        let entry = self.entry(block, name)?;
        let value = entry.text().trim();
        (!value.is_empty()).then_some((entry, value))
    }

    /// Which of two the guest sees is libvirt's affair; here it would be a guess.
    fn refuse_doubles(&self, document: &str) -> Result<(), Refusal> {
        for (block, name) in [
            ("system", "serial"),
            ("system", "product"),
            ("system", "uuid"),
            ("chassis", "asset"),
        ] {
            let blocks = self
                .sysinfo
                .into_iter()
                .flat_map(|sysinfo| sysinfo.children_named(block));
            let mut entries = blocks
                .flat_map(|block| &block.children)
                .filter(|child| is_entry(child, name));
            if let (Some(_), Some(second)) = (entries.next(), entries.next()) {
                let predicate = format!("is the second one called `{name}`");
                return Err(Refusal::odd(
                    document,
                    second,
                    &predicate,
                    "keep the one that is meant",
                ));
            }
        }
        Ok(())
    }
}

fn is_entry(element: &Element, name: &str) -> bool {
    element.name == "entry"
        && element.namespace.is_empty()
        && element.attribute("name") == Some(name)
}

fn has_tables(os: &Element, datasource: Datasource) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::NoSmbios { why, datasource });
    let Some(kind) = os.child("type") else {
        return Ok(());
    };
    match (kind.text().trim(), kind.attribute("arch")) {
        ("" | "hvm", Some(arch)) if WITHOUT.contains(&arch) => {
            refuse(format!("machines of architecture {arch} have none"))
        }
        ("" | "hvm", _) => Ok(()),
        (other, _) => refuse(format!(
            "only full virtualisation (hvm) has them, and this is `{other}`"
        )),
    }
}

/// libvirt puts these words behind its own, so QEMU takes them instead.
fn refuse_passthrough(document: &str, root: &Element) -> Result<(), Refusal> {
    let namespace = "http://libvirt.org/schemas/domain/qemu/1.0";
    let lines = root
        .children
        .iter()
        .filter(|child| child.name == "commandline" && child.namespace == namespace);
    for line in lines {
        let mut words = line.children.iter().filter(|word| word.name == "arg");
        while let Some(word) = words.next() {
            if word.attribute("value") != Some("-smbios") {
                continue;
            }
            let value = words.next().and_then(|word| word.attribute("value"));
            if value.is_some_and(|value| {
                value
                    .split(',')
                    .any(|part| part == "type=1" || part == "type=3")
            }) {
                let predicate = "gives QEMU an SMBIOS table of its own, which would count instead";
                return Err(Refusal::odd(
                    document,
                    word,
                    predicate,
                    "remove it and the word behind it with `virsh edit`, then prepare the domain",
                ));
            }
        }
    }
    Ok(())
}

/// By what, besides, cloud-init would take the machine for another cloud: the entry with what it is taken for.
pub(super) fn other_clouds<'a>(
    machine: &Machine<'a>,
    datasource: Datasource,
) -> Vec<(&'a Element, &'static str, &'a str, &'static str)> {
    let mut found = Vec::new();
    for (block, name, what, taken_for) in [
        (
            "system",
            "serial",
            "serial number",
            of_serial as fn(&str) -> Option<&'static str>,
        ),
        ("system", "product", "product name", of_product),
        ("system", "manufacturer", "manufacturer", of_manufacturer),
        ("chassis", "asset", "chassis asset tag", of_asset),
    ] {
        let Some((entry, value)) = machine.value(block, name) else {
            continue;
        };
        match taken_for(value) {
            Some(cloud) if cloud != datasource.cloud_init() => {
                found.push((entry, what, value, cloud))
            }
            Some(_) | None => {}
        }
    }
    found
}

fn of_serial(serial: &str) -> Option<&'static str> {
    let nocloud = serial
        .split_whitespace()
        .any(|word| word.starts_with("ds=nocloud"));
    match nocloud {
        true => Some("NoCloud"),
        false if serial.starts_with("GoogleCloud-") => Some("GCE"),
        false => None,
    }
}

fn of_product(product: &str) -> Option<&'static str> {
    match product {
        "OpenStack Nova" | "OpenStack Compute" => Some("OpenStack"),
        "Google Compute Engine" => Some("GCE"),
        "Alibaba Cloud ECS" => Some("AliYun"),
        _ => None,
    }
}

fn of_manufacturer(manufacturer: &str) -> Option<&'static str> {
    match manufacturer {
        "DigitalOcean" => Some("DigitalOcean"),
        "Hetzner" => Some("Hetzner"),
        "Vultr" => Some("Vultr"),
        "UpCloud" => Some("UpCloud"),
        "Scaleway" => Some("Scaleway"),
        "Akamai" | "Linode" => Some("Akamai"),
        _ => None,
    }
}

fn of_asset(tag: &str) -> Option<&'static str> {
    match tag {
        "OpenStack Nova"
        | "OpenStack Compute"
        | "OpenTelekomCloud"
        | "SAP CCloud VM"
        | "HUAWEICLOUD"
        | "Samsung Cloud Platform" => Some("OpenStack"),
        "7783-7084-3265-9085-8269-3286-77" => Some("Azure"),
        "OracleCloud.com" => Some("Oracle"),
        _ => None,
    }
}

/// Whether some cloud-init takes this UUID for EC2's: the newer ones read it in either byte order.
pub(super) fn looks_like_ec2(uuid: Uuid) -> bool {
    starts_with_ec2(uuid.as_bytes()) || starts_with_ec2(&uuid.to_bytes_le())
}

/// Whether every cloud-init takes it for EC2's.
pub(super) fn is_ec2(uuid: Uuid) -> bool {
    starts_with_ec2(uuid.as_bytes())
}

fn starts_with_ec2(bytes: &[u8; 16]) -> bool {
    let [first, second, ..] = *bytes;
    first == 0xec && second >> 4 == 2
}

/// The UUID that suits, of which as much stays as can: what a dry run shows is then what happens.
pub(super) fn suited(uuid: Uuid, datasource: Datasource) -> Uuid {
    let mut bytes = *uuid.as_bytes();
    let [first, second, _, fourth, ..] = &mut bytes;
    match datasource {
        Datasource::Ec2 => {
            *first = 0xec;
            *second = 0x20 | (*second & 0x0f);
        }
        Datasource::Nocloud | Datasource::Openstack => {
            *first &= 0x0f;
            *fourth &= 0x0f;
        }
    }
    Uuid::from_bytes(bytes)
}

/// An emulated TPM, whose state libvirt keeps by UUID.
pub(super) fn refuse_tpm(document: &str, root: &Element) -> Result<(), Refusal> {
    let devices = root.child("devices").into_iter();
    let tpm = devices
        .flat_map(|devices| devices.children_named("tpm"))
        .find(|tpm| {
            tpm.child("backend")
                .is_some_and(|backend| backend.attribute("type") == Some("emulator"))
        });
    match tpm {
        Some(tpm) => Err(Refusal::Tpm {
            place: place(document, tpm, "is emulated"),
        }),
        None => Ok(()),
    }
}
