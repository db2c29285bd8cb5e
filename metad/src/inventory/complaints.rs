//! Why a NIC is not answered, in words.

use std::collections::BTreeMap;

use super::bindings::{Claim, NicName, Refused};

/// What is wrong with claims that were refused: `(machine, problem)`.
pub(super) fn complaints<'a>(
    refused: &'a Refused,
    claims: &'a BTreeMap<NicName, Claim>,
) -> impl Iterator<Item = (String, String)> + 'a {
    let say = |name: &NicName, why: String| {
        let interface = claims.get(name).map_or("?", |claim| &*claim.interface);
        (
            name.machine.to_string(),
            format!("NIC {} on {interface} is not answered: {why}", name.mac),
        )
    };
    let unconfirmed = "the interface came back and its source has not named it since";
    let contested_by = |name: &NicName| {
        let rivals: Vec<_> = rivals(name, claims)
            .map(|rival| format!("`{rival}`"))
            .collect();
        let claim = if rivals.len() == 1 { "claims" } else { "claim" };
        let rivals = rivals.join(", ");
        format!("{rivals} {claim} the same MAC address there, and neither gets it")
    };
    let without_slot = "every slot is taken or resting";
    let contested = refused.contested.iter();
    let contested = contested.map(move |name| say(name, contested_by(name)));
    let lists = [
        (&refused.unconfirmed, unconfirmed),
        (&refused.without_slot, without_slot),
    ];
    let others = lists
        .into_iter()
        .flat_map(move |(names, why)| names.iter().map(move |name| say(name, why.to_owned())));
    contested.chain(others)
}

/// The other machines that claim a NIC's place.
fn rivals<'a>(
    name: &'a NicName,
    claims: &'a BTreeMap<NicName, Claim>,
) -> impl Iterator<Item = &'a str> {
    let place = claims.get(name).and_then(|claim| claim.ifindex);
    let others = claims.iter().filter(move |(other, claim)| {
        *other != name && other.mac == name.mac && claim.ifindex == place
    });
    others.map(|(other, _)| &*other.machine)
}
