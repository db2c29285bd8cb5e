//! Mistakes in EC2's versions, listings and values.

use super::super::model::World;
use super::super::reply::Request;
use super::{Fault, fault};

/// A GET of a path below `/latest/meta-data/`, whatever its slashes.
fn of(q: &Request, path: &str) -> bool {
    q.target.trim_end_matches('/') == format!("/latest/meta-data/{path}")
}

/// The instance's own name, however it is asked for.
fn is_id(q: &Request) -> bool {
    let path = q.target.split('?').next().unwrap_or_default();
    path.trim_end_matches('/').ends_with("instance-id")
}

pub(super) const FAULTS: &[Fault] = &[
    fault(
        "the root is in words",
        &["b1-versions-list", "b1-versions-answer"],
        |q, a| {
            if q.target == "/" || q.target == "//" {
                a.edit(|text| format!("{text}\nwelcome/"));
            }
        },
    ),
    fault(
        "latest comes first",
        &["b1-versions-list", "b1-versions-sorted"],
        |q, a| {
            if q.target == "/" || q.target == "//" {
                a.edit(|text| format!("latest\n{}", text.replace("\nlatest", "")));
            }
        },
    ),
    fault("versions in any order", &["b1-versions-sorted"], |q, a| {
        if q.target == "/" || q.target == "//" {
            a.edit(|text| text.replace("1.0\n2009-04-04", "2009-04-04\n1.0"));
        }
    }),
    fault(
        "only new versions are listed",
        &["b1-versions-ohai"],
        |q, a| {
            if q.target == "/" || q.target == "//" {
                a.edit(|text| text.replace("2009-04-04\n2014-11-05\n", ""));
            }
        },
    ),
    fault(
        "a listed version is not there",
        &["b1-versions-answer"],
        |q, a| {
            if q.target.starts_with("/2014-11-05") {
                a.refuse(404);
            }
        },
    ),
    fault(
        "2009-04-04 is not there",
        &[
            "b1-versions-answer",
            "b1-version-2009-04-04",
            "b8-directory-without-slash/ec2",
            "b1-user-data-versions",
        ],
        |q, a| {
            if q.target.starts_with("/2009-04-04") {
                a.refuse(404);
            }
        },
    ),
    fault(
        "2009-04-04 is another instance",
        &["b1-version-2009-04-04"],
        |q, a| {
            if q.target == "/2009-04-04/meta-data/instance-id" {
                a.say("i-1");
            }
        },
    ),
    fault(
        "2019-10-01 lacks the id",
        &["b1-version-2019-10-01"],
        |q, a| {
            if q.target == "/2019-10-01/meta-data/instance-id" {
                a.refuse(404);
            }
        },
    ),
    fault(
        "2021-01-03 lacks the id",
        &["b1-version-2021-01-03"],
        |q, a| {
            if q.target == "/2021-01-03/meta-data/instance-id" {
                a.refuse(404);
            }
        },
    ),
    fault(
        "cloud-init's versions lack the id",
        &["b1-version-cloud-init"],
        |q, a| {
            let versions = ["/2021-03-23/", "/2018-09-24/", "/2016-09-02/"];
            if q.target.ends_with("/instance-id")
                && versions.iter().any(|it| q.target.starts_with(it))
            {
                a.refuse(404);
            }
        },
    ),
    fault(
        "a version does not list dynamic",
        &["b1-version-lists"],
        |q, a| {
            if q.gets("/latest/") || q.gets("/latest") {
                a.edit(|text| text.replace("dynamic\n", ""));
            }
        },
    ),
    fault(
        "user-data is listed where there is none",
        &["b1-version-lists", "t14-listed-answers"],
        |q, a| {
            if (q.gets("/latest/") || q.gets("/latest")) && a.status == 200 {
                a.edit(|text| format!("{text}\nuser-data"));
            }
        },
    )
    .in_world(World::bare),
    fault("tags are in old versions", &["b1-tags-since"], |q, a| {
        if q.gets("/2021-01-03/meta-data/") {
            a.edit(|text| format!("{text}\ntags/"));
        }
    }),
    fault(
        "unknown versions are like latest",
        &["b1-11-unknown-version"],
        |q, a| {
            if q.target.starts_with("/2015-01-01") {
                a.say("x");
            }
        },
    ),
    fault("the future has come", &["b8-future-version"], |q, a| {
        if q.target.starts_with("/2999") {
            a.say("x");
        }
    }),
    fault(
        "a listed value is not there",
        &["t14-listed-answers"],
        |q, a| {
            if q.gets("/latest/meta-data/") || q.gets("/latest/meta-data") {
                a.edit(|text| format!("{text}\nkernel-id"));
            }
        },
    ),
    fault(
        "a listed directory is not there",
        &["t14-listed-answers"],
        |q, a| {
            if q.gets("/latest/meta-data/") || q.gets("/latest/meta-data") {
                a.edit(|text| format!("{text}\nservices/"));
            }
        },
    ),
    fault(
        "directories look like values",
        &["b1-directories-end-in-slash"],
        |q, a| {
            if q.gets("/latest/meta-data/") || q.gets("/latest/meta-data") {
                a.edit(|text| text.replace("placement/", "placement"));
            }
        },
    ),
    fault(
        "listings end in a line feed",
        &["b1-listing-plain"],
        |q, a| {
            if q.gets("/latest/meta-data/") || q.gets("/latest/meta-data") {
                a.body.push(b'\n');
            }
        },
    ),
    fault(
        "an unlisted role is an empty list",
        &["b1-13-unlisted", "t13-roles"],
        |q, a| {
            if q.target.starts_with("/latest/meta-data/iam") && a.status == 404 {
                a.say("");
            }
        },
    )
    .in_world(World::bare),
    fault(
        "no spot notice is an empty one",
        &["b1-13-unlisted"],
        |q, a| {
            if of(q, "spot/instance-action") {
                a.say("");
            }
        },
    ),
    fault(
        "a role has no name",
        &["t13-roles", "b1-role-keys", "b1-role-expiration"],
        |q, a| {
            if of(q, "iam/security-credentials") {
                a.say("");
            }
        },
    ),
    fault(
        "a role has a slash",
        &["b1-role-name", "t14-listed-answers"],
        |q, a| {
            if of(q, "iam/security-credentials") {
                a.say("app/");
            }
        },
    ),
    fault("credentials have no token", &["b1-role-keys"], |q, a| {
        if of(q, "iam/security-credentials/app") {
            a.edit(|text| text.replace("\"Token\"", "\"SessionToken\""));
        }
    }),
    fault("credentials failed", &["b1-role-keys"], |q, a| {
        if of(q, "iam/security-credentials/app") {
            a.edit(|text| text.replace("Success", "Failed"));
        }
    }),
    fault(
        "credentials end in seconds",
        &["b1-role-expiration"],
        |q, a| {
            if of(q, "iam/security-credentials/app") {
                a.edit(|text| text.replace("2030-01-01T06:00:00Z", "1893477600"));
            }
        },
    ),
    fault(
        "an empty id",
        &[
            "t13-instance-id",
            "b1-instance-id-shape",
            "b1-identity-document",
        ],
        |q, a| {
            if is_id(q) && a.status == 200 {
                a.body.clear();
            }
        },
    ),
    fault(
        "an id of another shape",
        &[
            "b1-instance-id-shape",
            "b1-identity-document",
            "b4-same-instance",
        ],
        |q, a| {
            if is_id(q) && a.status == 200 {
                a.edit(|text| text.replace("i-", "vm-"));
            }
        },
    ),
    fault("no hostname", &["b1-hostname"], |q, a| {
        if of(q, "local-hostname") {
            a.say("");
        }
    }),
    fault(
        "no type",
        &["b1-instance-type", "b1-identity-agrees"],
        |q, a| {
            if of(q, "instance-type") {
                a.say("");
            }
        },
    ),
    fault("an index in words", &["b1-ami"], |q, a| {
        if of(q, "ami-launch-index") {
            a.say("none");
        }
    }),
    fault("a MAC in capitals", &["b1-mac"], |q, a| {
        if of(q, "mac") {
            a.say("52:54:00:00:00:0A");
        }
    }),
    fault("a MAC without a directory", &["b1-mac"], |q, a| {
        if of(q, "mac") {
            a.say("52:54:00:00:00:09");
        }
    }),
    fault(
        "an address with its prefix",
        &["b1-local-ipv4", "b1-identity-agrees"],
        |q, a| {
            if of(q, "local-ipv4") {
                a.say("192.0.2.5/24");
            }
        },
    ),
    fault(
        "keys are looked for and found empty",
        &["b1-connect-keys"],
        |q, a| {
            if q.target.contains("managed-ssh-keys") {
                a.say("");
            }
        },
    ),
];
