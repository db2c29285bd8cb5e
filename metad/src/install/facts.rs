//! What a template may know: an instance, the NIC that asks, and the variables that somebody said of either.

use serde_json::{Map, Value, json};

use crate::instance::{Instance, Nic};

/// Where the installer finds everything else.
const URL: &str = "http://169.254.169.254";

/// Lists the names that templates begin with.
pub(super) fn of(instance: &Instance, nic: usize, variables: &Map<String, Value>) -> Value {
    let mut install = variables.clone();
    install.extend(instance.install.clone());
    let keys: Vec<&str> = instance
        .public_keys
        .iter()
        .filter_map(|key| key.formats.get("openssh-key"))
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let (host, domain) = match instance.hostname.split_once('.') {
        Some((host, domain)) => (host, domain),
        None => (instance.hostname.as_str(), ""),
    };
    let nics: Vec<Value> = instance.nics.iter().map(facts_of).collect();
    let asking = nics.get(nic).cloned().unwrap_or_default();
    json!({
        "instance": {
            "name": instance.name,
            "id": instance.instance_id,
            "uuid": instance.uuid.to_string(),
            "type": instance.instance_type,
            "hostname": instance.hostname,
            "host": host,
            "domain": domain,
            "keys": keys,
            "tags": instance.tags,
            "region": instance.placement.region,
            "availability_zone": instance.placement.availability_zone,
        },
        "nic": asking,
        "nics": nics,
        "install": install,
        "url": URL,
    })
}

/// The same without the NIC that asks.
pub(super) fn of_every_nic(facts: &Value) -> Value {
    let mut facts = facts.clone();
    if let Some(facts) = facts.as_object_mut() {
        facts.remove("nic");
    }
    facts
}

fn facts_of(nic: &Nic) -> Value {
    let addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
    json!({
        "mac": nic.mac.to_string(),
        "network": nic.network,
        "addresses": addresses,
        "mtu": nic.mtu,
    })
}
