//! Lays what sources say of one machine over each other and fills every gap with a default.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::instance::{Details, Instance, Shared};
use crate::record::{self, Defaults};
use crate::settings::Kept;
use crate::source::Subject;

/// EC2's form of a type; libvirt knows none.
const DEFAULT_TYPE: &str = "kvm.guest";
/// Makes UUIDs for machines that have none, from their names (RFC 9562, version 5).
const NAMES: Uuid = Uuid::from_bytes(*b"metad:instance:1");

/// Makes an instance of a machine and of the additions to it, the last of which wins. `plain` is what an instance that
/// says nothing has, see [`plain`].
pub(super) fn instance(
    defaults: &Defaults,
    plain: &Shared<Details>,
    machine: &Subject,
    additions: &[&Subject],
) -> Instance {
    let mut record = machine.record.clone();
    for addition in additions {
        record = addition.record.clone().over(record);
    }
    let uuid = machine
        .uuid
        .unwrap_or_else(|| Uuid::new_v5(&NAMES, machine.name.as_bytes()));
    let details = if record.is_plain() {
        plain.clone()
    } else {
        details(defaults, record.details.into_inner()).into()
    };
    Instance {
        name: machine.name.clone(),
        uuid,
        epoch: machine.epoch,
        instance_id: record.instance_id.unwrap_or_else(|| instance_id_of(uuid)),
        hostname: record
            .hostname
            .unwrap_or_else(|| hostname_of(&machine.name)),
        credentials: None,
        user_data: record.user_data,
        seed: None,
        options: record.options.over(defaults.options).decide(),
        nics: machine.nics.clone().unwrap_or_default(),
        disks: machine.disks.clone(),
        details,
    }
}

/// What every instance has that says nothing itself.
pub(super) fn plain(defaults: &Defaults) -> Shared<Details> {
    details(defaults, record::Details::default()).into()
}

fn details(defaults: &Defaults, said: record::Details) -> Details {
    let instance_type = said.instance_type;
    Details {
        instance_type: instance_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
        image_id: said.image_id,
        placement: said.placement.over(defaults.placement.clone()),
        public_hostname: said.public_hostname,
        public_ipv4: said.public_ipv4,
        public_keys: said.public_keys.unwrap_or_default(),
        role: said.role,
        vendor_data: said.vendor_data,
        network_config: said.network_config,
        files: said.files.unwrap_or_default(),
        tags: said.tags.unwrap_or_default(),
        meta_data: said.meta_data.unwrap_or_default(),
        install: said.install.unwrap_or_default(),
        settings: serde_json::Map::new(),
        password: None,
        site: Arc::clone(&defaults.site),
    }
}

/// Adds what is kept of the instance: what was set lies over what any source says.
pub(super) fn add_kept(instance: &mut Instance, kept: &Kept) {
    instance.password.clone_from(&kept.password);
    instance.settings.clone_from(&kept.settings);
    // Every dialect has tags, not EC2's tree alone, and old versions of that must not see them.
    let Some(Value::Object(mut tags)) = instance.settings.remove("tags") else {
        return;
    };
    let Some(Value::Object(set)) = tags.remove("instance") else {
        return;
    };
    for (key, value) in set {
        match value {
            Value::Null => {
                instance.tags.remove(&key);
            }
            Value::String(text) => {
                instance.tags.insert(key, text);
            }
            value @ (Value::Bool(_) | Value::Number(_)) => {
                instance.tags.insert(key, value.to_string());
            }
            Value::Array(_) | Value::Object(_) => {}
        }
    }
}

/// `i-` and the first 17 hexadecimal digits of the UUID, which EC2 Instance Connect accepts
/// (`^i-[0-9a-f]{8,32}$`).
fn instance_id_of(uuid: Uuid) -> String {
    let digits = uuid.simple().to_string();
    format!("i-{}", digits.get(..17).unwrap_or(&digits))
}

/// A domain's name as a host name (RFC 1123): what does not belong there becomes a dash.
fn hostname_of(name: &str) -> String {
    let text: String = name
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || char == '.' {
                char
            } else {
                '-'
            }
        })
        .collect();
    let labels: Vec<&str> = text
        .split('.')
        .map(|label| label.get(..63).unwrap_or(label).trim_matches('-'))
        .filter(|label| !label.is_empty())
        .collect();
    if labels.is_empty() {
        "guest".to_owned()
    } else {
        labels.join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_become_host_names() {
        for (name, expected) in [
            ("web1", "web1"),
            ("Web_1", "Web-1"),
            ("my guest.example.org", "my-guest.example.org"),
            ("-x-", "x"),
            ("..", "guest"),
            ("größe", "gr--e"),
        ] {
            assert_eq!(hostname_of(name), expected, "{name}");
        }
    }

    #[test]
    fn instance_id_is_stable_and_in_aws_form() {
        let uuid = Uuid::parse_str("ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8").unwrap();
        assert_eq!(instance_id_of(uuid), "i-ec2a1b2c3d4e5f607");
    }
}
