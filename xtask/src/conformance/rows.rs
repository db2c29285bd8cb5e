//! Every rule, in sections. The names follow the tables of `docs/conformance.md`: `t…` for transport and HTTP, `b1-…`
//! for EC2's decision table and tree, `b4-…` for NoCloud, `b5-…` for OpenStack, `b8-…` for the edge cases of all three.

mod edges;
mod framing;
mod keys;
mod methods;
mod nics;
mod nocloud;
mod openstack;
mod paths;
mod roles;
mod tokens;
mod transport;
mod tree;
mod ttl;
mod versions;

use super::row::{Dialect, Probe, Row};

/// A heading, and the rules below it.
pub(super) type Section = (&'static str, &'static [Row]);

/// All of them, in the order in which they are looked at.
pub(super) const SECTIONS: [Section; 14] = [
    ("Transport", transport::ROWS),
    ("Framing of answers", framing::ROWS),
    ("EC2: session tokens", tokens::ROWS),
    ("EC2: the time to live of a token", ttl::ROWS),
    ("EC2: versions", versions::ROWS),
    ("EC2: listings and the tree", tree::ROWS),
    ("EC2: keys and tags", keys::ROWS),
    ("EC2: network interfaces", nics::ROWS),
    ("EC2: roles and identity", roles::ROWS),
    ("Paths, in every dialect", paths::ROWS),
    ("Methods, in every dialect", methods::ROWS),
    ("Edge cases, in every dialect", edges::ROWS),
    ("NoCloud", nocloud::ROWS),
    ("OpenStack", openstack::ROWS),
];

/// Where each dialect keeps what every dialect has.
impl Probe<'_> {
    /// A value that is always there.
    fn leaf(&self) -> String {
        match self.dialect {
            Dialect::Ec2 => "/latest/meta-data/instance-id".to_owned(),
            Dialect::NoCloud => self.nocloud("meta-data"),
            Dialect::OpenStack => "/openstack/latest/meta_data.json".to_owned(),
        }
    }

    /// A path that nothing is at.
    fn missing(&self) -> String {
        match self.dialect {
            Dialect::Ec2 => "/latest/meta-data/no-such-thing".to_owned(),
            Dialect::NoCloud => self.nocloud("no-such-thing"),
            Dialect::OpenStack => "/openstack/latest/no-such-thing".to_owned(),
        }
    }

    fn user_data(&self) -> String {
        match self.dialect {
            Dialect::Ec2 => "/latest/user-data".to_owned(),
            Dialect::NoCloud => self.nocloud("user-data"),
            Dialect::OpenStack => "/openstack/latest/user_data".to_owned(),
        }
    }

    fn nocloud(&self, name: &str) -> String {
        format!("{}/{name}", self.subject.nocloud)
    }
}

/// What must be the same in two answers to one question. OpenStack may give new random numbers in each.
fn lasting(body: &[u8]) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut map)) = serde_json::from_slice(body) else {
        return body.to_vec();
    };
    if map.remove("random_seed").is_none() {
        return body.to_vec();
    }
    serde_json::Value::Object(map).to_string().into_bytes()
}
