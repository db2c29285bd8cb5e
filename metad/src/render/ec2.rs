//! The EC2 tree: what stands below `/<version>/`.

use uuid::Uuid;

use super::names::{identifier, is_segment, is_tag_key, key_name};
use super::tree::Directory;
use super::{Body, Content, document, iam, network, overlay, version};
use crate::instance::{Disk, DiskKind, Instance, PublicKey, Site};
use crate::signer::Form;

const LIFE_CYCLE: &str = "instance-life-cycle";

/// Builds the tree of `instance` for the guest behind its NIC number `nic`.
pub(super) fn directory(instance: &Instance, nic: usize) -> Directory {
    let meta_data = meta_data(instance, nic);
    let dynamic = dynamic(&instance.site, &meta_data);
    let mut root = Directory::default();
    root.directory_bare("dynamic", dynamic);
    root.directory_bare("meta-data", meta_data);
    if let Some(user_data) = &instance.user_data {
        let body = Body::Bytes(user_data.bytes());
        root.leaf("user-data", Content::Octets, body);
    }
    root
}

fn meta_data(instance: &Instance, nic: usize) -> Directory {
    let uuid = instance.uuid.as_bytes();
    let mut tree = Directory::default();
    let image = || identifier("ami-", &[b"image", uuid]);
    tree.text("ami-id", instance.image_id.clone().unwrap_or_else(image));
    tree.text("ami-launch-index", "0");
    tree.text("ami-manifest-path", "(unknown)");
    tree.directory("block-device-mapping", block_devices(&instance.disks));
    tree.directory("events", events());
    tree.text("hostname", instance.hostname.clone());
    tree.directory("iam", iam::directory(instance));
    tree.text("instance-action", "none");
    tree.text("instance-id", instance_id(instance));
    tree.text(LIFE_CYCLE, "on-demand");
    tree.text("instance-type", instance.instance_type.clone());
    tree.text("local-hostname", instance.hostname.clone());
    network::put(&mut tree, instance, nic);
    tree.directory("placement", placement(instance));
    tree.text("profile", "default-hvm");
    tree.directory("public-keys", public_keys(&instance.public_keys));
    tree.text("reservation-id", identifier("r-", &[b"reservation", uuid]));
    tree.text("security-groups", network::SECURITY_GROUP);
    tree.directory("services", services(&instance.site));
    tree.directory("tags", tags(instance));
    lay_over(&mut tree, instance);
    // Clients wait for ever on an empty instance-id, and nothing works without one.
    if tree
        .read("instance-id")
        .is_none_or(|id| id.trim().is_empty())
    {
        tree.text("instance-id", instance_id(instance));
    }
    for (path, since) in version::SINCE {
        tree.hide_before(path, since);
    }
    tree
}

/// What the owner says wins over what is made up here, and what was set while it runs over both.
fn lay_over(tree: &mut Directory, instance: &Instance) {
    let overlays = [&instance.meta_data, &instance.settings];
    for overlay in overlays {
        overlay::lay(tree, overlay);
    }
    // What is about to be taken away is a spot instance, unless somebody says otherwise.
    let said = overlays
        .iter()
        .any(|overlay| overlay.contains_key(LIFE_CYCLE));
    if !said && tree.below_mut("spot").is_some_and(|spot| !spot.is_empty()) {
        tree.text(LIFE_CYCLE, "spot");
    }
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
    let mut ordinary = 0_usize;
    for disk in disks.iter().filter(|disk| !disk.target.is_empty()) {
        let target = disk.target.clone();
        match disk.kind {
            DiskKind::Disk => {
                if ordinary == 0 {
                    tree.text("root", format!("/dev/{target}"));
                    tree.text("ami", target);
                } else {
                    tree.text(format!("ebs{ordinary}"), target);
                }
                ordinary += 1;
            }
            DiskKind::Ephemeral(number) => tree.text(format!("ephemeral{number}"), target),
            DiskKind::Swap => tree.text("swap", target),
            DiskKind::Cdrom | DiskKind::Floppy => {}
        }
    }
    tree
}

/// Nothing is ever scheduled, unless somebody sets it.
fn events() -> Directory {
    let mut maintenance = Directory::default();
    maintenance.text("history", "[]");
    maintenance.text("scheduled", "[]");
    let mut tree = Directory::default();
    tree.directory("maintenance", maintenance);
    tree
}

fn placement(instance: &Instance) -> Directory {
    let placement = &instance.placement;
    let mut tree = Directory::default();
    for (name, value) in [
        ("availability-zone", &placement.availability_zone),
        ("availability-zone-id", &placement.availability_zone_id),
        ("group-name", &placement.group_name),
        ("host-id", &placement.host_id),
        ("partition-number", &placement.partition_number),
        ("region", &placement.region),
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
pub(super) fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    (2..)
        .map(|number: usize| format!("{name}-{number}"))
        .find(|candidate| !taken.contains(candidate))
        .unwrap_or(name)
}

fn services(site: &Site) -> Directory {
    let mut tree = Directory::default();
    tree.text("domain", site.domain.clone());
    tree.text("partition", site.partition.clone());
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

fn dynamic(site: &Site, meta_data: &Directory) -> Directory {
    let mut identity = Directory::default();
    let document = document::body(&site.account_id, meta_data);
    identity.leaf("document", Content::Text, document);
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
