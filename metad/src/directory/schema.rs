//! The keys of a record file and what each may hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::MapAccess;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::record_file::{Closed, Fields, Pairs, RecordFile, cidr, nics, read, read_as};
use crate::instance::{Cidr, ContentFile, Fixed, Given, Mac, Nic, Offer, Placement, PublicKey};
use crate::record::field;
use crate::record::payload::{Encoding, decode};

const OPENSSH: &str = "openssh-key";
const USER_DATA: [&str; 3] = ["user-data", "user-data-base64", "user-data-file"];

/// A record file as a whole.
#[derive(Default)]
pub(super) struct TopFields {
    file: RecordFile,
    /// Which of `USER_DATA` were said.
    user_data: Vec<&'static str>,
}

impl TopFields {
    pub(super) fn into_file(self) -> RecordFile {
        self.file
    }
}

impl Fields for TopFields {
    const KNOWN: &'static [&'static str] = &[
        "instance-id",
        "hostname",
        "instance-type",
        "image-id",
        "public-hostname",
        "public-ipv4",
        "iam-role",
        "files",
        "placement",
        "public-keys",
        "user-data",
        "user-data-base64",
        "user-data-file",
        "vendor-data",
        "network-config",
        "tags",
        "meta-data",
        "install",
        "options",
        "nics",
        "uuid",
    ];

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let record = &mut self.file.record;
        let plain = |text: &str| decode(text, Encoding::Plain);
        match key {
            "instance-id" => record.instance_id = read(map, key, field::word)?,
            "hostname" => record.hostname = read(map, key, field::hostname)?,
            "instance-type" => record.instance_type = read(map, key, field::line)?,
            "placement" => {
                if let Some(Closed(placement)) =
                    map.next_value::<Option<Closed<PlacementFields>>>()?
                {
                    record.placement = placement.0;
                }
            }
            "image-id" => record.image_id = read(map, key, field::word)?,
            "public-hostname" => record.public_hostname = read(map, key, field::hostname)?,
            "public-ipv4" => record.public_ipv4 = read(map, key, field::ipv4)?,
            "iam-role" => record.role = read(map, key, field::word)?,
            "files" => record.files = read_as(map, files)?,
            "public-keys" => record.public_keys = read_as(map, public_keys)?,
            "user-data" => record.user_data = read(map, key, plain)?,
            "user-data-base64" => {
                record.user_data = read(map, key, |text| decode(text, Encoding::Base64))?
            }
            "user-data-file" => self.file.user_data_file = read(map, key, path)?,
            "vendor-data" => record.vendor_data = read(map, key, plain)?,
            "network-config" => record.network_config = read(map, key, plain)?,
            "tags" => record.tags = read_as(map, tags)?,
            "meta-data" => record.meta_data = read_as(map, |tree| free_tree(key, tree))?,
            "install" => record.install = read_as(map, |tree| free_tree(key, tree))?,
            "options" => {
                if let Some(Closed(options)) = map.next_value::<Option<Closed<OptionFields>>>()? {
                    record.options = options.0;
                }
            }
            "uuid" => self.file.uuid = read(map, key, uuid)?,
            _ => {
                self.file.nics = read_as(map, nics)?;
            }
        }
        if USER_DATA.contains(&key) {
            self.user_data.push(key);
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), String> {
        match self.user_data.as_slice() {
            [one, other, ..] => Err(format!("`{one}` and `{other}` exclude each other")),
            [] | [_] => Ok(()),
        }
    }
}

#[derive(Default)]
struct PlacementFields(Placement);

impl Fields for PlacementFields {
    const KNOWN: &'static [&'static str] = &field::PLACEMENT;

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if let Some(value) = read(map, key, field::word)? {
            field::place(&mut self.0, key, value);
        }
        Ok(())
    }
}

#[derive(Default)]
struct OptionFields(Given);

impl Fields for OptionFields {
    const KNOWN: &'static [&'static str] = &field::OPTIONS;

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let given = &mut self.0;
        let mut take = |text: &str| {
            field::option(given, key, text).map_err(|error| format!("`{key}` {error}"))
        };
        match key {
            "hop-limit" => read_as(map, |hops: i64| take(&hops.to_string()))?,
            "dialects" => read_as(map, |words: Vec<String>| take(&words.join(" ")))?,
            _ => read_as(map, |text: String| take(&text))?,
        };
        Ok(())
    }
}

/// One entry of `nics`.
#[derive(Default)]
pub(super) struct NicFields {
    mac: Option<Mac>,
    interface: Option<String>,
    bridge: Option<String>,
    addresses: Vec<Cidr>,
    mtu: Option<u32>,
    dhcp: Option<bool>,
    fixed: Fixed,
}

impl NicFields {
    pub(super) fn into_nic(self) -> Result<Nic, String> {
        let mac = self.mac.ok_or("an entry of `nics` lacks `mac`")?;
        let interface = self
            .interface
            .ok_or_else(|| format!("the entry of `nics` for {mac} lacks `interface`"))?;
        let fixed = fixed(self.dhcp, self.fixed, &self.addresses)?;
        let host = |cidr: &Cidr| cidr.prefix == if cidr.address.is_ipv4() { 32 } else { 128 };
        let subnet = self
            .addresses
            .iter()
            .filter(|address| !host(address))
            .find_map(|address| address.network());
        Ok(Nic {
            mac,
            interface: Some(interface),
            bridge: self.bridge,
            network: None,
            addresses: self.addresses,
            subnet,
            mtu: self.mtu,
            fixed,
            offer: Offer::default(),
        })
    }
}

impl Fields for NicFields {
    const KNOWN: &'static [&'static str] = &[
        "mac",
        "interface",
        "bridge",
        "addresses",
        "mtu",
        "dhcp",
        "gateways",
        "nameservers",
    ];

    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "mac" => {
                self.mac = read(map, key, |text| {
                    text.trim()
                        .parse::<Mac>()
                        .map_err(|error| format!("is broken: {error}"))
                })?
            }
            "interface" => self.interface = read(map, key, interface)?,
            "bridge" => self.bridge = read(map, key, interface)?,
            "addresses" => {
                self.addresses =
                    read_as(map, |texts: Vec<String>| addresses(&texts))?.unwrap_or_default();
            }
            "dhcp" => self.dhcp = map.next_value()?,
            "gateways" => {
                self.fixed.gateways =
                    read_as(map, |texts: Vec<String>| hosts(key, &texts))?.unwrap_or_default();
            }
            "nameservers" => {
                self.fixed.nameservers =
                    read_as(map, |texts: Vec<String>| hosts(key, &texts))?.unwrap_or_default();
            }
            _ => self.mtu = map.next_value()?,
        }
        Ok(())
    }
}

fn public_keys(Pairs(pairs): Pairs) -> Result<Vec<PublicKey>, String> {
    let read = pairs.into_iter().map(|(name, text)| {
        let name =
            field::key_name(&name).map_err(|error| format!("a name in `public-keys` {error}"))?;
        let text = field::key_text(&text).map_err(|error| format!("the key `{name}` {error}"))?;
        let formats = [(OPENSSH.to_owned(), text)].into();
        Ok(PublicKey { name, formats })
    });
    read.collect()
}

/// Texts alone: octets of any kind go into the domain's XML.
fn files(Pairs(pairs): Pairs) -> Result<Vec<ContentFile>, String> {
    let read = pairs.into_iter().map(|(path, text)| {
        let path = field::file_path(&path).map_err(|error| format!("a path in `files` {error}"))?;
        let content =
            decode(&text, Encoding::Plain).map_err(|error| format!("the file `{path}` {error}"))?;
        Ok(ContentFile { path, content })
    });
    read.collect()
}

/// Reads tags, whose keys guests may ask for.
pub(super) fn tags(Pairs(pairs): Pairs) -> Result<BTreeMap<String, String>, String> {
    let read = pairs.into_iter().map(|(key, value)| {
        let key = field::tag_key(&key).map_err(|error| format!("a key of `tags` {error}"))?;
        let value = field::tag_value(&value).map_err(|error| format!("the tag `{key}` {error}"))?;
        Ok((key, value))
    });
    read.collect()
}

fn free_tree(key: &str, tree: Map<String, Value>) -> Result<Map<String, Value>, String> {
    match field::tree(&tree) {
        Ok(()) => Ok(tree),
        Err(error) => Err(format!("`{key}` {error}")),
    }
}

fn addresses(texts: &[String]) -> Result<Vec<Cidr>, String> {
    let read = texts.iter().map(|text| {
        let short: String = text.chars().take(60).collect();
        let refusal =
            || format!("`addresses` holds `{short}`, which is no address like 10.0.0.5/24");
        cidr(text).ok_or_else(refusal)
    });
    read.collect()
}

fn hosts(key: &str, texts: &[String]) -> Result<Vec<IpAddr>, String> {
    let read = texts.iter().map(|text| {
        let short: String = text.chars().take(60).collect();
        let refusal = || format!("`{key}` holds `{short}`, which is no address like 10.0.0.1");
        text.trim().parse().ok().ok_or_else(refusal)
    });
    read.collect()
}

/// What a guest without DHCP must be told; refuses what only such a guest has a use for.
fn fixed(
    dhcp: Option<bool>,
    fixed: Fixed,
    addresses: &[Cidr],
) -> Result<Option<Fixed>, &'static str> {
    if dhcp != Some(false) {
        return match fixed == Fixed::default() {
            true => Ok(None),
            false => {
                Err("`gateways` and `nameservers` are DHCP's to hand out unless `dhcp` is false")
            }
        };
    }
    if addresses.is_empty() {
        return Err("an entry of `nics` without DHCP lacks `addresses`");
    }
    let of_family = |v4| {
        let gateways = fixed.gateways.iter();
        gateways.filter(|gateway| gateway.is_ipv4() == v4).count()
    };
    if of_family(true) > 1 || of_family(false) > 1 {
        return Err("`gateways` holds two of one address family");
    }
    Ok(Some(fixed))
}

fn path(text: &str) -> Result<PathBuf, field::FieldError> {
    if text.is_empty() {
        return Err(field::FieldError::Empty);
    }
    Ok(PathBuf::from(text))
}

fn uuid(text: &str) -> Result<Uuid, String> {
    Uuid::parse_str(text.trim()).map_err(|error| format!("is no UUID: {error}"))
}

/// The kernel's own limit for an interface's name is 15 octets.
fn interface(text: &str) -> Result<String, String> {
    let name = field::word(text).map_err(|error| error.to_string())?;
    if name.len() > 15 {
        return Err("is longer than the 15 octets of an interface's name".to_owned());
    }
    Ok(name)
}
