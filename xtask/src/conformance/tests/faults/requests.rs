//! Mistakes with paths, methods and headers.

use std::time::Duration;

use super::super::reply::{Framing, Reply};
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault(
        "a value has no slash",
        &[
            "b8-leaf-with-slash/ec2",
            "b8-leaf-with-slash/nocloud",
            "b8-leaf-with-slash/openstack",
            "b1-zone",
            "t7-user-data-slash",
        ],
        |q, a| {
            if q.target.ends_with('/')
                && !q.target.contains("api")
                && !a.body.is_empty()
                && is_leaf(&q.target)
            {
                a.refuse(404);
            }
        },
    ),
    fault("user-data has no slash", &["t7-user-data-slash"], |q, a| {
        if q.gets("/latest/user-data/") {
            a.refuse(404);
        }
    }),
    fault("the zone has no slash", &["b1-zone"], |q, a| {
        if q.target.ends_with("availability-zone/") {
            a.refuse(404);
        }
    }),
    fault(
        "OpenStack's directories want a slash",
        &["b8-directory-without-slash/openstack"],
        |q, a| {
            if q.gets("/openstack/latest") {
                a.refuse(404);
            }
        },
    ),
    fault(
        "slashes count one by one",
        &[
            "b8-double-slash/ec2",
            "b8-double-slash/nocloud",
            "b8-double-slash/openstack",
            "b1-5-token-path",
        ],
        |q, a| {
            if q.target.starts_with("//") && q.target.len() > 2 {
                a.refuse(404);
            }
        },
    ),
    fault("GET // is no root", &["b8-double-slash/ec2"], |q, a| {
        if q.gets("//") {
            a.refuse(404);
        }
    }),
    fault(
        "dots lead up",
        &["b8-dots/ec2", "b8-dots/nocloud", "b8-dots/openstack"],
        |q, a| {
            if q.target.contains("..") || q.target.contains("%2e") || q.target.contains("/./") {
                a.say("x");
            }
        },
    ),
    fault(
        "control characters are like others",
        &[
            "b8-control-characters/ec2",
            "b8-control-characters/nocloud",
            "b8-control-characters/openstack",
        ],
        |q, a| {
            if q.target.contains("%0") || q.target.contains('\x01') {
                a.refuse(404);
            }
        },
    ),
    fault(
        "any case will do",
        &["t7-case/ec2", "t7-case/nocloud", "t7-case/openstack"],
        |q, a| {
            if q.target.starts_with("/LATEST")
                || q.target.starts_with("/NOCLOUD")
                || q.target.starts_with("/OPENSTACK")
            {
                a.say("x");
            }
        },
    ),
    fault(
        "a query is part of the path",
        &["t7-query/ec2", "t7-query/nocloud", "t7-query/openstack"],
        |q, a| {
            if q.target.contains('?') {
                a.refuse(404);
            }
        },
    ),
    fault("MACs are not decoded", &["t7-percent"], |q, a| {
        if q.target.to_ascii_lowercase().contains("%3a") {
            a.refuse(404);
        }
    }),
    fault("paths are decoded twice", &["t7-decoded-once"], |q, a| {
        if q.target.contains("%253A") {
            a.say("52:54:00:00:00:01");
        }
    }),
    fault(
        "what is not there is a fault",
        &[
            "b8-missing/ec2",
            "b8-missing/nocloud",
            "b8-missing/openstack",
        ],
        |q, a| {
            if q.target.contains("no-such-thing") {
                a.refuse(500);
            }
        },
    ),
    fault(
        "HEAD is refused",
        &[
            "b8-head/ec2",
            "b8-head/nocloud",
            "b8-head/openstack",
            "b1-connect-keys",
        ],
        |q, a| {
            if q.method == "HEAD" && !q.target.contains("api/token") {
                *a = Reply::not_allowed("GET");
            }
        },
    ),
    fault(
        "HEAD has a body",
        &["b8-head/ec2", "b8-head/nocloud", "b8-head/openstack"],
        |_, a| a.talkative = true,
    ),
    fault(
        "HEAD has no length",
        &["b8-head/ec2", "b8-head/nocloud", "b8-head/openstack"],
        |q, a| {
            if q.method == "HEAD" {
                a.framing = Framing::Nothing;
            }
        },
    ),
    fault(
        "any method reads",
        &[
            "b8-other-methods/ec2",
            "b8-other-methods/nocloud",
            "b8-other-methods/openstack",
            "b8-options/ec2",
            "b8-options/nocloud",
            "b8-options/openstack",
            "b8-put/ec2",
            "b8-put/nocloud",
            "b8-put/openstack",
        ],
        |q, a| {
            if a.status == 405 && !q.target.contains("api/token") {
                a.say("x");
            }
        },
    ),
    fault(
        "OPTIONS is welcome",
        &[
            "b8-options/ec2",
            "b8-options/nocloud",
            "b8-options/openstack",
        ],
        |q, a| {
            if q.method == "OPTIONS" {
                *a = Reply::new(204, "text/plain", b"");
            }
        },
    ),
    fault(
        "PUT is not found",
        &["b8-put/ec2", "b8-put/nocloud", "b8-put/openstack"],
        |q, a| {
            if q.method == "PUT" && a.status == 405 {
                a.refuse(404);
            }
        },
    ),
    fault(
        "no Allow",
        &[
            "b8-other-methods/ec2",
            "b8-other-methods/nocloud",
            "b8-other-methods/openstack",
            "b8-options/ec2",
            "b8-options/nocloud",
            "b8-options/openstack",
            "b8-put/ec2",
            "b8-put/nocloud",
            "b8-put/openstack",
            "b1-2-token-takes-put",
        ],
        |_, a| a.drop("Allow"),
    ),
    fault(
        "Accept is obeyed",
        &[
            "b8-accept-json/ec2",
            "b8-accept-json/nocloud",
            "b8-accept-json/openstack",
        ],
        |q, a| {
            if q.header("accept") == Some("application/json") && !q.target.contains("user") {
                a.edit(|text| format!("{{{text:?}: 1}}"));
            }
        },
    ),
    fault(
        "Range is obeyed",
        &["b8-range/ec2", "b8-range/nocloud", "b8-range/openstack"],
        |q, a| {
            if q.header("range").is_some() && !q.target.contains("user") {
                a.status = 206;
                a.body.truncate(2);
            }
        },
    ),
    fault(
        "proxies may not read",
        &[
            "b8-forwarded-get/ec2",
            "b8-forwarded-get/nocloud",
            "b8-forwarded-get/openstack",
        ],
        |q, a| {
            if q.method == "GET" && q.header("x-forwarded-for").is_some() {
                a.refuse(403);
            }
        },
    ),
    fault(
        "keys are looked for slowly",
        &["b1-connect-keys"],
        |q, a| {
            if q.target.contains("managed-ssh-keys") {
                a.delay = Duration::from_millis(1800);
            }
        },
    ),
];

fn is_leaf(target: &str) -> bool {
    let leaves = [
        "instance-id/",
        "meta-data/",
        "user-data/",
        "meta_data.json/",
        "availability-zone/",
    ];
    let nocloud = target.starts_with("/nocloud") || !target.ends_with("meta-data/");
    nocloud && leaves.iter().any(|it| target.ends_with(it)) && !target.starts_with("/2")
}
