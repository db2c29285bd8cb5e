//! Mistakes in EC2's directories of keys, tags and NICs, in the identity document and in user-data.

use super::super::model::World;
use super::super::reply::{Framing, Reply, Request};
use super::{Fault, fault};

const DOCUMENT: &str = "/latest/dynamic/instance-identity/document";
const KEYS: &str = "/latest/meta-data/public-keys";
const MACS: &str = "/latest/meta-data/network/interfaces/macs/";
const MAC: &str = "52:54:00:00:00:01";

/// A request of a path below `/latest/meta-data/`, whatever its slashes.
fn of(q: &Request, path: &str) -> bool {
    q.target.trim_end_matches('/') == format!("/latest/meta-data/{path}")
}

pub(super) const FAULTS: &[Fault] = &[
    fault(
        "keys are directories",
        &["b1-keys-listed", "b1-keys-one-equals"],
        |q, a| {
            if q.target.trim_end_matches('/') == KEYS {
                a.say("0/");
            }
        },
    ),
    fault(
        "a key's name has a sign of its own",
        &["b1-keys-one-equals"],
        |q, a| {
            if q.target.trim_end_matches('/') == KEYS {
                a.say("0=me=you");
            }
        },
    ),
    fault("keys want a slash", &["b1-keys-no-slash"], |q, a| {
        if q.target == KEYS {
            a.refuse(404);
        }
    }),
    fault(
        "a key's directory lists nothing",
        &["b1-keys-directory"],
        |q, a| {
            if q.target == format!("{KEYS}/0/") {
                a.refuse(404);
            }
        },
    ),
    fault("a key has two lines", &["b1-keys-text"], |q, a| {
        if q.target == format!("{KEYS}/0/openssh-key") {
            a.edit(|text| format!("{text}\n{text}"));
        }
    }),
    fault(
        "no keys are an empty list",
        &["b1-keys-none", "b1-13-unlisted"],
        |q, a| {
            if q.target.trim_end_matches('/') == KEYS && a.status == 404 {
                a.say("");
            }
        },
    )
    .in_world(World::bare),
    fault("a tag has a space", &["b1-tags-names"], |q, a| {
        if of(q, "tags/instance") {
            a.say("role\ncost%20center");
        } else if q.target.ends_with("cost%20center") {
            a.say("7");
        }
    }),
    fault(
        "a tag has no value",
        &["b1-tags-values", "t14-listed-answers"],
        |q, a| {
            if of(q, "tags/instance/role") {
                a.refuse(404);
            }
        },
    ),
    fault("no tags are an empty list", &["b1-tags-none"], |q, a| {
        if of(q, "tags/instance") && a.status == 404 {
            a.say("");
        }
    })
    .in_world(World::bare),
    fault(
        "MACs look like values",
        &["b1-macs-listed", "b1-directories-end-in-slash"],
        |q, a| {
            if q.target == MACS {
                a.edit(|text| text.replace('/', ""));
            }
        },
    ),
    fault(
        "NICs have one number",
        &["b1-macs-device-number"],
        |q, a| {
            if q.target.ends_with("/device-number") {
                a.say("0");
            }
        },
    ),
    fault("a NIC is another", &["b1-macs-mac"], |q, a| {
        if q.target == format!("{MACS}{MAC}/mac") {
            a.say("52:54:00:00:00:09");
        }
    }),
    fault("addresses have prefixes", &["b1-macs-addresses"], |q, a| {
        if q.target.ends_with("/local-ipv4s") {
            a.say("192.0.2.5/24");
        }
    }),
    fault(
        "no NIC has an address",
        &["b1-macs-addresses", "t14-listed-answers"],
        |q, a| {
            if q.target.ends_with("/local-ipv4s") {
                a.refuse(404);
            }
        },
    ),
    fault("NICs are in no network", &["b1-macs-vpc"], |q, a| {
        if q.target.starts_with(MACS) && q.target.ends_with('/') {
            a.edit(|text| text.replace("\nvpc-id", ""));
        } else if q.target.ends_with("/vpc-id") {
            a.refuse(404);
        }
    }),
    fault(
        "no identity",
        &["b1-identity-listed", "t14-listed-answers"],
        |q, a| {
            if q.target.trim_end_matches('/') == "/latest/dynamic/instance-identity" {
                a.refuse(404);
            }
        },
    ),
    fault("another's identity", &["b1-identity-document"], |q, a| {
        if q.target == DOCUMENT {
            a.edit(|text| text.replace("i-0123456789abcdef0", "i-1"));
        }
    }),
    fault(
        "an identity without an account",
        &["b1-identity-document"],
        |q, a| {
            if q.target == DOCUMENT {
                a.edit(|text| text.replace("\"accountId\":null,", ""));
            }
        },
    ),
    fault(
        "an identity of another region",
        &["b1-identity-agrees"],
        |q, a| {
            if q.target == DOCUMENT {
                a.edit(|text| text.replace("\"cellar-1\"", "\"attic-1\""));
            }
        },
    ),
    fault(
        "an identity of no known time",
        &["b1-identity-time"],
        |q, a| {
            if q.target == DOCUMENT {
                a.edit(|text| text.replace("2030-01-01T00:00:00Z", "yesterday"));
            }
        },
    ),
    fault(
        "an identity that never is the same",
        &["b1-identity-stable"],
        |q, a| {
            if q.target == DOCUMENT {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
                a.edit(|text| {
                    text.replace(
                        "\"version\"",
                        &format!("\"n\":{},\"version\"", now.as_nanos()),
                    )
                });
            }
        },
    ),
    fault(
        "old versions have other user-data",
        &["b1-user-data-versions"],
        |q, a| {
            if q.gets("/2019-10-01/user-data") {
                a.say("x");
            }
        },
    ),
    fault(
        "no user-data is a fault",
        &["b8-no-user-data/ec2"],
        |q, a| {
            if q.target.starts_with("/latest/user-data") && a.status == 404 {
                a.refuse(500);
            }
        },
    )
    .in_world(World::bare),
    fault(
        "no user-data is empty user-data",
        &["b1-version-lists", "b8-empty-user-data/openstack"],
        |q, a| {
            if q.target.starts_with("/latest/user-data") && a.status == 404 {
                *a = Reply::new(200, "application/octet-stream", b"");
            }
        },
    )
    .in_world(World::bare),
    fault(
        "empty user-data has no length",
        &["b8-empty-user-data/ec2", "t6-content-length"],
        |q, a| {
            if q.gets("/latest/user-data") {
                a.framing = Framing::Nothing;
            }
        },
    )
    .in_world(World::empty),
    fault(
        "user-data is unpacked",
        &["b8-raw-user-data/ec2"],
        |q, a| {
            if q.gets("/latest/user-data") && q.header("accept-encoding").is_some() {
                a.set("Content-Encoding", "gzip");
            }
        },
    ),
    fault("user-data is text", &["b8-user-data-type/ec2"], |q, a| {
        if q.gets("/latest/user-data") {
            a.set("Content-Type", "text/plain");
        }
    }),
];
