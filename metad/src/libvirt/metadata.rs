//! What a domain says of itself: the `<metadata>` element in, a [`Record`] out. Three dialects, the first that is
//! there counts alone:
//!
//! 1. one `<instance>` in the namespace [`NAMESPACE`]. Strict: what is not known is refused with the nearest known name.
//! 2. one `<instance>` in the namespace [`NOVA_NAMESPACE`], with the elements of 3.
//! 3. `<instance-id>`, `<instance-type>`, `<userdata>`, `<placement>`, `<public-keys>` and `<additional>` without
//!    namespace. libvirt deletes these since 2.0, so only an older one still has them. Lenient: what is not known is
//!    somebody else's, and an empty element says nothing.
//!
//! `<meta-data>` is a free tree: a JSON object as text, or nested elements, where an element's name is the key, text
//! is a string without the white space around it, and repeated elements make a list.

use std::collections::BTreeMap;

use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::xml::{Element, Fault};
use crate::instance::{ContentFile, Given, Placement, PublicKey};
use crate::nearest::nearest;
use crate::record::Record;
use crate::record::field::{self, FieldError, did_you_mean};
use crate::record::payload::{self, Encoding};

/// The namespace of metad's own element.
pub const NAMESPACE: &str = "urn:metad:instance:1";
/// The namespace that a predecessor put its elements into; OpenStack's own is another one.
pub const NOVA_NAMESPACE: &str = "http://openstack.org/nova/instance/1";

const OUR_PREFIX: &str = "urn:metad:";
const OPENSSH: &str = "openssh-key";

const FIELDS: [&str; 17] = [
    "instance-id",
    "instance-type",
    "image-id",
    "public-hostname",
    "public-ipv4",
    "iam-role",
    "files",
    "hostname",
    "placement",
    "public-keys",
    "user-data",
    "vendor-data",
    "network-config",
    "tags",
    "options",
    "meta-data",
    "install",
];

/// Reads what `<metadata>` says of the instance; a domain that says nothing has an empty record.
pub(crate) fn read(metadata: &Element) -> Result<Record, Fault> {
    let mut ours = None;
    for child in &metadata.children {
        if child.namespace == NAMESPACE {
            if child.name != "instance" {
                return Err(unknown_element(child, &["instance"]));
            }
            if ours.replace(child).is_some() {
                return Err(child.fault("stands here twice"));
            }
        } else if child.namespace.starts_with(OUR_PREFIX) {
            let reason = format!(
                "is in the namespace `{}`, this metad reads `{NAMESPACE}`",
                child.namespace
            );
            return Err(child.fault(reason));
        }
    }
    if let Some(instance) = ours {
        return own(instance);
    }
    let nova = |child: &&Element| child.namespace == NOVA_NAMESPACE && child.name == "instance";
    predecessor(metadata.children.iter().find(nova).unwrap_or(metadata))
}

fn own(instance: &Element) -> Result<Record, Fault> {
    let mut record = Record::default();
    for child in container(instance, &FIELDS)? {
        match child.name.as_str() {
            "instance-id" => record.instance_id = Some(value(child, field::word)?),
            "instance-type" => record.instance_type = Some(value(child, field::line)?),
            "hostname" => record.hostname = Some(value(child, field::hostname)?),
            "image-id" => record.image_id = Some(value(child, field::word)?),
            "placement" => record.placement = placement(child)?,
            "public-hostname" => record.public_hostname = Some(value(child, field::hostname)?),
            "public-ipv4" => record.public_ipv4 = Some(value(child, field::ipv4)?),
            "iam-role" => record.role = Some(value(child, field::word)?),
            "files" => record.files = Some(files(child)?),
            "public-keys" => record.public_keys = Some(public_keys(child, true)?),
            "user-data" => record.user_data = Some(octets(child, true)?.into()),
            "vendor-data" => record.vendor_data = Some(octets(child, true)?.into()),
            "network-config" => record.network_config = Some(octets(child, true)?.into()),
            "tags" => record.tags = Some(tags(child)?),
            "options" => record.options = options(child)?,
            "install" => record.install = Some(free_tree(child)?),
            _ => record.meta_data = Some(free_tree(child)?),
        }
    }
    Ok(record)
}

fn predecessor(root: &Element) -> Result<Record, Fault> {
    let said = |parent: &'_ Element, name: &str, read: Read| match parent.child_text(name) {
        Some(child) => read(child.text())
            .map(Some)
            .map_err(|error| child.fault(error)),
        None => Ok(None),
    };
    let mut record = Record {
        instance_id: said(root, "instance-id", field::word)?,
        ..Record::default()
    };
    if let Some(instance_type) = said(root, "instance-type", field::line)? {
        record.instance_type = Some(instance_type);
    }
    if let Some(placement) = root.child("placement") {
        record.placement.availability_zone = said(placement, "availability-zone", field::line)?;
    }
    if let Some(keys) = root.child("public-keys") {
        record.public_keys = Some(public_keys(keys, false)?);
    }
    if let Some(child) = root.child("userdata") {
        record.user_data = Some(octets(child, false)?.into());
    }
    if let Some(child) = root.child_text("additional") {
        record.meta_data = json_object(child)?;
    }
    Ok(record)
}

type Read = fn(&str) -> Result<String, FieldError>;

fn value<T>(element: &Element, read: fn(&str) -> Result<T, FieldError>) -> Result<T, Fault> {
    leaf(element, &[])?;
    read(element.text()).map_err(|error| element.fault(error))
}

fn octets(element: &Element, strict: bool) -> Result<bytes::Bytes, Fault> {
    if strict {
        leaf(element, &["encoding"])?;
    }
    let encoding = match element.attribute("encoding") {
        Some(word) => word.parse().map_err(|error| element.fault(error))?,
        None => Encoding::Plain,
    };
    let text = match encoding {
        Encoding::Plain => payload::dedent(element.literal()),
        Encoding::Base64 | Encoding::GzipBase64 => element.literal().to_owned(),
    };
    payload::decode(&text, encoding).map_err(|error| element.fault(error))
}

fn public_keys(element: &Element, strict: bool) -> Result<Vec<PublicKey>, Fault> {
    let mut keys: Vec<PublicKey> = Vec::new();
    for (index, child) in several(element, "public-key", strict)?.enumerate() {
        let name = match child.attribute("name") {
            Some(name) => {
                field::key_name(name).map_err(|error| in_attribute(child, "name", &error))?
            }
            None if strict => return Err(child.fault("lacks the attribute `name`")),
            None => index.to_string(),
        };
        if keys.iter().any(|known| known.name == name) {
            return Err(child.fault(format!("named `{name}` stands here twice")));
        }
        if strict {
            only_attributes(child, &["name"])?;
        }
        let mut formats = BTreeMap::new();
        for key in several(child, "key", strict)? {
            if strict {
                leaf(key, &["format"])?;
            }
            let format = field::word(key.attribute("format").unwrap_or(OPENSSH))
                .map_err(|error| in_attribute(key, "format", &error))?;
            let check = match format.as_str() {
                OPENSSH => field::openssh_key,
                _ => field::key_text,
            };
            let text = check(key.text()).map_err(|error| key.fault(error))?;
            if formats.insert(format, text).is_some() {
                return Err(key.fault("of this format stands here twice"));
            }
        }
        if formats.is_empty() {
            return Err(child.fault("holds no <key>"));
        }
        keys.push(PublicKey { name, formats });
    }
    Ok(keys)
}

fn tags(element: &Element) -> Result<BTreeMap<String, String>, Fault> {
    let mut tags = BTreeMap::new();
    for child in several(element, "tag", true)? {
        leaf(child, &["key"])?;
        let key = child
            .attribute("key")
            .ok_or_else(|| child.fault("lacks the attribute `key`"))?;
        let key = field::tag_key(key).map_err(|error| in_attribute(child, "key", &error))?;
        let text = field::tag_value(child.text()).map_err(|error| child.fault(error))?;
        if tags.contains_key(&key) {
            return Err(child.fault(format!("with the key `{key}` stands here twice")));
        }
        tags.insert(key, text);
    }
    Ok(tags)
}

fn options(element: &Element) -> Result<Given, Fault> {
    leaf(element, &field::OPTIONS)?;
    let mut given = Given::default();
    for name in field::OPTIONS {
        if let Some(text) = element.attribute(name) {
            field::option(&mut given, name, text)
                .map_err(|error| in_attribute(element, name, &error))?;
        }
    }
    Ok(given)
}

fn files(element: &Element) -> Result<Vec<ContentFile>, Fault> {
    let mut files: Vec<ContentFile> = Vec::new();
    for child in several(element, "file", true)? {
        only_attributes(child, &["path", "encoding"])?;
        let path = child
            .attribute("path")
            .ok_or_else(|| child.fault("lacks the attribute `path`"))?;
        let path = field::file_path(path).map_err(|error| in_attribute(child, "path", &error))?;
        if files.iter().any(|file| file.path == path) {
            return Err(child.fault(format!("for `{path}` stands here twice")));
        }
        let content = octets(child, false)?;
        files.push(ContentFile { path, content });
    }
    Ok(files)
}

fn placement(element: &Element) -> Result<Placement, Fault> {
    let mut placement = Placement::default();
    for part in container(element, &field::PLACEMENT)? {
        let text = value(part, field::word)?;
        field::place(&mut placement, &part.name, text);
    }
    Ok(placement)
}

fn free_tree(element: &Element) -> Result<Map<String, Value>, Fault> {
    only_attributes(element, &[])?;
    let tree = if element.children.is_empty() {
        json_object(element)?.unwrap_or_default()
    } else {
        object_of(element)?
    };
    field::tree(&tree).map_err(|error| element.fault(error))?;
    Ok(tree)
}

fn json_object(element: &Element) -> Result<Option<Map<String, Value>>, Fault> {
    let text = element.literal().trim();
    if text.is_empty() {
        return Ok(None);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => {
            field::tree(&object).map_err(|error| element.fault(error))?;
            Ok(Some(object))
        }
        Ok(_) => Err(element.fault("holds JSON that is not an object")),
        Err(error) => Err(element.fault(format!("holds neither elements nor JSON: {error}"))),
    }
}

/// Its depth is the document's, which the XML reader bounds.
fn object_of(element: &Element) -> Result<Map<String, Value>, Fault> {
    no_text(element)?;
    let mut object = Map::new();
    for child in in_namespace(element)? {
        only_attributes(child, &[])?;
        let new = if child.children.is_empty() {
            Value::String(child.literal().trim().to_owned())
        } else {
            Value::Object(object_of(child)?)
        };
        let entry = object.entry(child.name.clone());
        match entry {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
            }
            Entry::Occupied(mut occupied) => {
                let old = occupied.get_mut();
                match old.as_array_mut() {
                    Some(list) => list.push(new),
                    None => *old = Value::Array(vec![old.take(), new]),
                }
            }
        }
    }
    Ok(object)
}

/// The children of an element that holds each of `known` at most once, and nothing else.
fn container<'a>(element: &'a Element, known: &[&str]) -> Result<Vec<&'a Element>, Fault> {
    only_attributes(element, &[])?;
    no_text(element)?;
    let children = in_namespace(element)?;
    for (index, child) in children.iter().enumerate() {
        if !known.contains(&child.name.as_str()) {
            return Err(unknown_element(child, known));
        }
        let earlier = children.get(..index).unwrap_or_default();
        if earlier.iter().any(|earlier| earlier.name == child.name) {
            return Err(child.fault("stands here twice"));
        }
    }
    Ok(children)
}

/// The children of an element that holds any number of `name`.
fn several<'a>(
    element: &'a Element,
    name: &'a str,
    strict: bool,
) -> Result<impl Iterator<Item = &'a Element>, Fault> {
    if strict {
        no_text(element)?;
        for child in in_namespace(element)? {
            if child.name != name {
                return Err(unknown_element(child, &[name]));
            }
        }
    }
    Ok(element.children_named(name))
}

fn in_namespace(element: &Element) -> Result<Vec<&Element>, Fault> {
    let bare = |child: &&Element| child.namespace.is_empty() && !element.namespace.is_empty();
    if let Some(child) = element.children.iter().find(bare) {
        return Err(child.fault(format!(
            "is in no namespace, put it into `{NAMESPACE}` like <{}>",
            element.name
        )));
    }
    let ours = |child: &&Element| child.namespace == element.namespace;
    Ok(element.children.iter().filter(ours).collect())
}

fn leaf(element: &Element, attributes: &[&str]) -> Result<(), Fault> {
    only_attributes(element, attributes)?;
    match element.children.first() {
        Some(child) => {
            Err(element.fault(format!("holds <{}> where only text is read", child.name)))
        }
        None => Ok(()),
    }
}

fn only_attributes(element: &Element, known: &[&str]) -> Result<(), Fault> {
    match element.attribute_names().find(|name| !known.contains(name)) {
        Some(name) => Err(element.fault(format!(
            "has the unknown attribute `{name}`{}",
            did_you_mean(nearest(name, known.iter().copied()))
        ))),
        None => Ok(()),
    }
}

fn no_text(element: &Element) -> Result<(), Fault> {
    if element.text().trim().is_empty() {
        Ok(())
    } else {
        Err(element.fault("holds text where only elements are read"))
    }
}

fn unknown_element(element: &Element, known: &[&str]) -> Fault {
    let meant = nearest(&element.name, known.iter().copied());
    let hint = meant.map(|known| format!(", did you mean <{known}>?"));
    element.fault(format!("is not known here{}", hint.unwrap_or_default()))
}

fn in_attribute(element: &Element, attribute: &str, error: &FieldError) -> Fault {
    element.fault(format!("has an attribute `{attribute}` that {error}"))
}

#[cfg(test)]
mod tests;
