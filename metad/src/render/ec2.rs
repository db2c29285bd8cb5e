//! The EC2 tree: what stands below `/<version>/`.

use uuid::Uuid;

use super::names::{identifier, is_segment, is_tag_key, key_name};
use super::tree::Directory;
use super::{Body, Content, Version, document, network, overlay};
use crate::instance::{Disk, DiskKind, Instance, PublicKey};
use crate::signer::Form;

/// The account that owns everything here; EC2's have twelve digits.
pub(super) const OWNER_ID: &str = "000000000000";

/// Builds the tree of `instance` for the guest behind its NIC number `nic`.
pub(super) fn directory(instance: &Instance, nic: usize) -> Directory {
    let meta_data = meta_data(instance, nic);
    let dynamic = dynamic(&meta_data);
    let mut root = Directory::default();
    root.directory_bare("dynamic", dynamic);
    root.directory_bare("meta-data", meta_data);
    if let Some(user_data) = &instance.user_data {
        let body = Body::Bytes(user_data.clone());
        root.leaf("user-data", Content::Octets, body);
    }
    root
}

fn meta_data(instance: &Instance, nic: usize) -> Directory {
    let uuid = instance.uuid.as_bytes();
    let mut tree = Directory::default();
    tree.text("ami-id", identifier("ami-", &[b"image", uuid]));
    tree.text("ami-launch-index", "0");
    tree.text("ami-manifest-path", "(unknown)");
    tree.directory("block-device-mapping", block_devices(&instance.disks));
    tree.text("hostname", instance.hostname.clone());
    tree.text("instance-action", "none");
    tree.text("instance-id", instance_id(instance));
    tree.text("instance-life-cycle", "on-demand");
    tree.text("instance-type", instance.instance_type.clone());
    tree.text("local-hostname", instance.hostname.clone());
    network::put(&mut tree, instance, nic);
    tree.directory("placement", placement(instance));
    tree.text("profile", "default-hvm");
    tree.directory("public-keys", public_keys(&instance.public_keys));
    tree.text("reservation-id", identifier("r-", &[b"reservation", uuid]));
    tree.text("security-groups", network::SECURITY_GROUP);
    tree.directory("services", services());
    tree.directory_since("tags", Version::TAGS, tags(instance));
    overlay::lay(&mut tree, &instance.meta_data);
    // Clients wait for ever on an empty instance-id, and nothing works without one.
    if tree
        .read("instance-id")
        .is_none_or(|id| id.trim().is_empty())
    {
        tree.text("instance-id", instance_id(instance));
    }
    tree
}

fn instance_id(instance: &Instance) -> String {
    if instance.instance_id.trim().is_empty() {
        default_instance_id(instance.uuid)
    } else {
        instance.instance_id.clone()
    }
}

fn default_instance_id(uuid: Uuid) -> String {
    let hexadecimal = uuid.simple().to_string();
    format!("i-{}", hexadecimal.get(..17).unwrap_or(&hexadecimal))
}

/// `ami` and `root` are the first disk, `ebs1` and on the others. Drives whose medium changes are nobody's to mount.
fn block_devices(disks: &[Disk]) -> Directory {
    let mut tree = Directory::default();
    let disks = disks
        .iter()
        .filter(|disk| disk.kind == DiskKind::Disk && !disk.target.is_empty());
    for (index, disk) in disks.enumerate() {
        if index == 0 {
            tree.text("ami", disk.target.clone());
            tree.text("root", format!("/dev/{}", disk.target));
        } else {
            tree.text(format!("ebs{index}"), disk.target.clone());
        }
    }
    tree
}

fn placement(instance: &Instance) -> Directory {
    let mut tree = Directory::default();
    for (name, value) in [
        ("availability-zone", &instance.placement.availability_zone),
        ("region", &instance.placement.region),
    ] {
        if let Some(value) = value {
            tree.text(name, value.clone());
        }
    }
    tree
}

fn public_keys(keys: &[PublicKey]) -> Directory {
    let mut tree = Directory::default();
    let mut names: Vec<String> = Vec::new();
    // A key without the one format that every client asks for would cost the guest its whole meta-data.
    let usable = keys
        .iter()
        .filter(|key| key.formats.contains_key("openssh-key"));
    for (index, key) in usable.enumerate() {
        let mut formats = Directory::default();
        for (format, text) in &key.formats {
            if is_segment(format) {
                formats.text(format, text.trim().to_owned());
            }
        }
        let name = unique(key_name(&key.name, index), &names);
        names.push(name.clone());
        tree.public_key(index, name, formats);
    }
    tree
}

/// Clients keep keys by name, and would lose the first of two that share one.
fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    (2..)
        .map(|number: usize| format!("{name}-{number}"))
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or(name)
}

fn services() -> Directory {
    let mut tree = Directory::default();
    tree.text("domain", "amazonaws.com");
    tree.text("partition", "aws");
    tree
}

fn tags(instance: &Instance) -> Directory {
    let mut values = Directory::default();
    for (key, value) in &instance.tags {
        if is_tag_key(key) {
            values.text(key, value.clone());
        }
    }
    let mut tree = Directory::default();
    tree.directory("instance", values);
    tree
}

fn dynamic(meta_data: &Directory) -> Directory {
    let mut identity = Directory::default();
    identity.leaf("document", Content::Text, document::body(meta_data));
    for (name, form) in [("rsa2048", Form::Rsa2048), ("signature", Form::Signature)] {
        identity.leaf(name, Content::Text, Body::Proof(form));
    }
    let mut fws = Directory::default();
    fws.text("instance-monitoring", "disabled");
    let mut tree = Directory::default();
    tree.directory("fws", fws);
    tree.directory("instance-identity", identity);
    tree
}
