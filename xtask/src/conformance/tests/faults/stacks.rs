//! Mistakes in NoCloud and OpenStack.

use super::super::model::World;
use super::super::reply::{Framing, Reply};
use super::{Fault, fault};

const META: &str = "/openstack/latest/meta_data.json";

pub(super) const FAULTS: &[Fault] = &[
    fault(
        "NoCloud has no id",
        &["b4-meta-data", "b4-same-instance"],
        |q, a| {
            if q.target.contains("nocloud") && q.target.contains("meta-data") && a.status == 200 {
                a.edit(|_| "{}".to_owned());
            }
        },
    ),
    fault(
        "NoCloud is another instance",
        &["b4-same-instance"],
        |q, a| {
            if q.target.contains("nocloud") && q.target.contains("meta-data") && a.status == 200 {
                a.edit(|text| text.replace("i-0", "i-1"));
            }
        },
    ),
    fault(
        "NoCloud has no user-data",
        &["b4-user-data", "b8-no-user-data/nocloud"],
        |q, a| {
            if q.target.starts_with("/nocloud/user-data") {
                a.refuse(404);
            }
        },
    )
    .in_world(World::bare),
    fault("NoCloud has no vendor-data", &["b4-vendor-data"], |q, a| {
        if q.target == "/nocloud/vendor-data" {
            a.refuse(404);
        }
    }),
    fault(
        "NoCloud has no network-config",
        &["b4-network-config"],
        |q, a| {
            if q.target == "/nocloud/network-config" {
                a.refuse(404);
            }
        },
    ),
    fault(
        "NoCloud stands at EC2's place",
        &["b4-ec2-apart", "b8-directory-without-slash/ec2"],
        |q, a| {
            if q.gets("/latest/meta-data") {
                a.say("{\"instance-id\": \"i-0123456789abcdef0\"}");
            }
        },
    ),
    fault(
        "NoCloud wants tokens",
        &["b8-tokens-ignored/nocloud"],
        |q, a| {
            if q.target.starts_with("/nocloud") && q.header("x-aws-ec2-metadata-token").is_some() {
                a.refuse(401);
            }
        },
    ),
    fault(
        "OpenStack wants tokens",
        &["b8-tokens-ignored/openstack"],
        |q, a| {
            if q.target.starts_with("/openstack") && q.header("x-aws-ec2-metadata-token").is_some()
            {
                a.refuse(401);
            }
        },
    ),
    fault(
        "NoCloud packs user-data",
        &["b8-raw-user-data/nocloud"],
        |q, a| {
            if q.target == "/nocloud/user-data" && q.header("accept-encoding").is_some() {
                a.body.push(0);
            }
        },
    ),
    fault(
        "OpenStack cuts user-data",
        &["b8-raw-user-data/openstack"],
        |q, a| {
            if q.target == "/openstack/latest/user_data" && q.header("range").is_some() {
                a.status = 206;
            }
        },
    ),
    fault(
        "NoCloud's user-data is text",
        &["b8-user-data-type/nocloud"],
        |q, a| {
            if q.target == "/nocloud/user-data" {
                a.set("Content-Type", "text/plain");
            }
        },
    ),
    fault(
        "OpenStack's user-data is text",
        &["b8-user-data-type/openstack"],
        |q, a| {
            if q.target == "/openstack/latest/user_data" {
                a.set("Content-Type", "text/plain");
            }
        },
    ),
    fault(
        "OpenStack has empty user-data for none",
        &["b8-no-user-data/openstack"],
        |q, a| {
            if q.target == "/openstack/latest/user_data" && a.status == 404 {
                *a = Reply::new(200, "application/octet-stream", b"");
            }
        },
    )
    .in_world(World::bare),
    fault(
        "empty user-data is not found",
        &[
            "b8-empty-user-data/nocloud",
            "b8-empty-user-data/openstack",
            "b4-user-data",
            "b5-listed-answers",
        ],
        |q, a| {
            if q.target == "/nocloud/user-data" || q.target == "/openstack/latest/user_data" {
                a.refuse(404);
            }
        },
    )
    .in_world(World::empty),
    fault(
        "an unknown OpenStack version is latest",
        &["b8-unknown-version-openstack"],
        |q, a| {
            if q.target.starts_with("/openstack/2001") {
                a.say("{}");
            }
        },
    ),
    fault(
        "OpenStack lists no version that is known",
        &["b5-versions"],
        |q, a| {
            if q.target == "/openstack" || q.target == "/openstack/" {
                a.say("1999-01-01");
            }
            if q.target.starts_with("/openstack/1999-01-01") {
                a.say(if q.target.ends_with('/') {
                    "x"
                } else {
                    "{\"uuid\":\"\",\"hostname\":\"\",\"name\":\"\"}"
                });
            }
        },
    ),
    fault(
        "OpenStack lists a file that is not there",
        &["b5-listed-answers"],
        |q, a| {
            if q.target.trim_end_matches('/') == "/openstack/latest" {
                a.edit(|text| format!("{text}\npassword"));
            }
        },
    ),
    fault("OpenStack names no host", &["b5-meta-data"], |q, a| {
        if q.target.contains("meta_data.json") {
            a.edit(|text| text.replace("hostname", "host"));
        }
    }),
    fault(
        "OpenStack's random numbers are none",
        &["b5-random-seed"],
        |q, a| {
            if q.target == META {
                a.edit(|text| text.replace("AAAA", "A-A"));
            }
        },
    ),
    fault("OpenStack's file is not there", &["b5-files"], |q, a| {
        if q.target == "/openstack/content/0000" {
            a.refuse(404);
        }
    }),
    fault("OpenStack's vendor data is a list", &["b5-json"], |q, a| {
        if q.target == "/openstack/latest/vendor_data.json" {
            a.edit(|_| "[]".to_owned());
        }
    }),
    fault(
        "OpenStack's network hangs in the air",
        &["b5-network"],
        |q, a| {
            if q.target == "/openstack/latest/network_data.json" {
                a.edit(|text| text.replace("\"link\":\"l\"", "\"link\":\"m\""));
            }
        },
    ),
    fault("OpenStack's link has no MAC", &["b5-network"], |q, a| {
        if q.target == "/openstack/latest/network_data.json" {
            a.edit(|text| text.replace("ethernet_mac_address", "mac"));
        }
    }),
    fault("OpenStack's JSON is text", &["b5-json-type"], |q, a| {
        if q.target.ends_with("vendor_data.json") {
            a.set("Content-Type", "text/plain");
        }
    }),
    fault(
        "EC2 wants tokens beside OpenStack",
        &["b5-ec2-crawl"],
        |_, _| {},
    )
    .in_world(World::bare)
    .said_to_be_optional(&["b5-ec2-crawl"]),
    fault("OpenStack is chunked", &["t6-not-chunked"], |q, a| {
        if q.target == "/openstack" {
            a.framing = Framing::Chunked;
        }
    }),
];
