//! The keys of a record file and what each may hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::MapAccess;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::record_file::{Closed, Fields, Pairs, RecordFile, cidr, nics, read, read_named};
use crate::instance::{Cidr, ContentFile, Fixed, Given, Mac, Nic, Offer, Placement, PublicKey};
use crate::record::field;
use crate::record::payload::{Encoding, decode};

/// What a key takes, as a refusal says it.
const BLOCK: &str = "a text; a longer one is a block, `KEY: |` and its lines indented below";
const TEXT: &str = "a text";
const LIST: &str = "a list, like `[one, two]`";
const MAPPING: &str = "a mapping";
const TEXTS: &str = "a mapping of names to texts";
const NUMBER: &str = "a number";
const TRUTH: &str = "`true` or `false`";

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
        let plain = |text: String| {
            decode(&text, Encoding::Plain).map_err(|error| format!("`{key}` {error}"))
        };
        match key {
            "instance-id" => record.instance_id = read(map, key, field::word)?,
            "hostname" => record.hostname = read(map, key, field::hostname)?,
            "instance-type" => record.instance_type = read(map, key, field::line)?,
            "placement" => {
                let read = |Closed(PlacementFields(placement))| Ok(placement);
                record.placement = read_named(map, key, MAPPING, read)?.unwrap_or_default();
            }
            "image-id" => record.image_id = read(map, key, field::word)?,
            "public-hostname" => record.public_hostname = read(map, key, field::hostname)?,
            "public-ipv4" => record.public_ipv4 = read(map, key, field::ipv4)?,
            "iam-role" => record.role = read(map, key, field::word)?,
            "files" => record.files = read_named(map, key, TEXTS, files)?,
            "public-keys" => record.public_keys = read_named(map, key, TEXTS, public_keys)?,
            "user-data" => record.user_data = read_named(map, key, BLOCK, plain)?.map(Into::into),
            "user-data-base64" => {
                let user_data = read(map, key, |text| decode(text, Encoding::Base64))?;
                record.user_data = user_data.map(Into::into);
            }
            "user-data-file" => self.file.user_data_file = read(map, key, path)?,
            "vendor-data" => {
                record.vendor_data = read_named(map, key, BLOCK, plain)?.map(Into::into)
            }
            "network-config" => {
                record.network_config = read_named(map, key, BLOCK, plain)?.map(Into::into)
            }
            "tags" => record.tags = read_named(map, key, TEXTS, tags)?,
            "meta-data" => {
                record.meta_data = read_named(map, key, MAPPING, |tree| free_tree(key, tree))?
            }
            "install" => {
                record.install = read_named(map, key, MAPPING, |tree| free_tree(key, tree))?
            }
            "options" => {
                let read = |Closed(OptionFields(options))| Ok(options);
                record.options = read_named(map, key, MAPPING, read)?.unwrap_or_default();
            }
            "uuid" => self.file.uuid = read(map, key, uuid)?,
            _ => {
                self.file.nics = read_named(map, key, "a list of mappings", nics)?;
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
            "hop-limit" => read_named(map, key, NUMBER, |hops: i64| take(&hops.to_string()))?,
            "dialects" => read_named(map, key, LIST, |words: Vec<String>| take(&words.join(" ")))?,
            _ => read_named(map, key, TEXT, |text: String| take(&text))?,
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
    /// The first of them that was said without a prefix length.
    bare: Option<String>,
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
        let fixed = fixed(self.dhcp, self.fixed, &self.addresses, self.bare.as_deref())?;
        let host = |cidr: &Cidr| cidr.prefix == if cidr.address.is_ipv4() { 32 } else { 128 };
        let networks = self.addresses.iter().filter(|address| !host(address));
        let mut subnets: Vec<Cidr> = Vec::new();
        for network in networks.filter_map(|it| it.network()) {
            let known = |it: &Cidr| it.address.is_ipv4() == network.address.is_ipv4();
            if !subnets.iter().any(known) {
                subnets.push(network);
            }
        }
        Ok(Nic {
            mac,
            interface: Some(interface),
            bridge: self.bridge,
            network: None,
            addresses: self.addresses,
            subnets,
            mtu: self.mtu,
            fixed: fixed.map(Box::new),
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
                let read = |texts: Vec<String>| {
                    self.bare = texts.iter().find(|text| !text.contains('/')).cloned();
                    addresses(&texts)
                };
                self.addresses = read_named(map, key, LIST, read)?.unwrap_or_default();
            }
            "dhcp" => self.dhcp = read_named(map, key, TRUTH, Ok)?,
            "gateways" => {
                let read = |texts: Vec<String>| hosts(key, &texts);
                self.fixed.gateways = read_named(map, key, LIST, read)?.unwrap_or_default();
            }
            "nameservers" => {
                let read = |texts: Vec<String>| hosts(key, &texts);
                self.fixed.nameservers = read_named(map, key, LIST, read)?.unwrap_or_default();
            }
            _ => self.mtu = read_named(map, key, NUMBER, Ok)?,
        }
        Ok(())
    }
}

fn public_keys(Pairs(pairs): Pairs) -> Result<Vec<PublicKey>, String> {
    let read = pairs.into_iter().map(|(name, text)| {
        let name =
            field::key_name(&name).map_err(|error| format!("a name in `public-keys` {error}"))?;
        let text =
            field::openssh_key(&text).map_err(|error| format!("the key `{name}` {error}"))?;
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
    bare: Option<&str>,
) -> Result<Option<Fixed>, String> {
    if dhcp != Some(false) {
        return match fixed == Fixed::default() {
            true => Ok(None),
            false => Err(
                "`gateways` and `nameservers` are DHCP's to hand out unless `dhcp` is false"
                    .to_owned(),
            ),
        };
    }
    if addresses.is_empty() {
        return Err("an entry of `nics` without DHCP lacks `addresses`".to_owned());
    }
    if let Some(bare) = bare {
        return Err(format!(
            "`addresses` holds `{bare}` without a prefix length, which a NIC without DHCP needs, like 10.0.0.5/24"
        ));
    }
    let of_family = |v4| {
        let gateways = fixed.gateways.iter();
        gateways.filter(|gateway| gateway.is_ipv4() == v4).count()
    };
    if of_family(true) > 1 || of_family(false) > 1 {
        return Err("`gateways` holds two of one address family".to_owned());
    }
    if let Some(far) = fixed.gateways.iter().find(|it| !is_near(**it, addresses)) {
        return Err(format!(
            "`gateways` holds `{far}`, which is in no network of `addresses`"
        ));
    }
    Ok(Some(fixed))
}

/// Whether a guest with `addresses` reaches `host` without a router.
fn is_near(host: IpAddr, addresses: &[Cidr]) -> bool {
    // Every IPv6 interface has an address of the same network.
    let of_link = matches!(host, IpAddr::V6(host) if host.is_unicast_link_local());
    let holds = |address: &Cidr| {
        let there = Cidr {
            address: host,
            ..*address
        };
        address.address.is_ipv4() == host.is_ipv4() && there.network() == address.network()
    };
    of_link || addresses.iter().any(holds)
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
