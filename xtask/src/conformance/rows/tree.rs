//! Listings, and the leaves that clients cannot do without.

use std::time::Instant;

use crate::conformance::crawl;
use crate::conformance::expect::{holds, no, same, status};
use crate::conformance::row::{Probe, Row, Verdict, must, should};
use crate::conformance::subject::Ask;

pub(super) const ROWS: &[Row] = &[
    must(
        "t14-listed-answers",
        "Every listed name answers 200",
        "cloud-init: one leaf that does not costs 5 s, and then the whole meta-data",
        |probe| {
            let found = crawl::latest(probe.subject)?;
            holds(
                found.dead.is_empty(),
                "200 for every listed name",
                found.dead.join(", "),
            )
        },
    )
    .also(&["trap-1"]),
    must(
        "b1-directories-end-in-slash",
        "A directory is listed with a slash, a value without",
        "cloud-init: takes a name without a slash for a value, and loses what is below",
        |probe| {
            let found = crawl::latest(probe.subject)?;
            let odd = found.unmarked.join(", ");
            holds(odd.is_empty(), "a slash after every directory", odd)
        },
    ),
    should(
        "b1-listing-plain",
        "A listing has a name on each line, and nothing after the last",
        "captures of EC2; clients accept both",
        |probe| {
            for path in ["/latest/meta-data/", "/latest/"] {
                let text = probe.subject.read(path)?.text();
                let good = !text.is_empty() && text.split('\n').all(|it| !it.trim().is_empty());
                holds(good, format!("{path}: no empty line"), format!("{text:?}"))?;
            }
            Ok(())
        },
    ),
    must(
        "b1-13-unlisted",
        "What is not listed is 404: no role, no spot notice, no tags",
        "SDKs, termination handlers: poll these, and take 404 for none",
        |probe| {
            let paths = [
                "iam",
                "spot",
                "autoscaling",
                "tags",
                "public-keys",
                "elastic-gpus",
            ];
            for name in paths.into_iter().filter(|it| !probe.subject.has(it)) {
                for path in [
                    format!("/latest/meta-data/{name}"),
                    format!("/latest/meta-data/{name}/"),
                ] {
                    status(&path, &probe.subject.get(&path)?, 404)?;
                }
            }
            let path = "/latest/meta-data/spot/instance-action";
            if !probe.subject.has("spot") {
                status(path, &probe.subject.get(path)?, 404)?;
            }
            Ok(())
        },
    ),
    must(
        "t13-instance-id",
        "instance-id is there, on one line, and never empty",
        "cloud-init: waits for it; an empty one is not yet",
        |probe| value(probe, "instance-id"),
    ),
    should(
        "b1-instance-id-shape",
        "instance-id is i- and 8 to 32 hexadecimal digits",
        "EC2 Instance Connect: refuses others",
        |probe| {
            let text = probe.subject.read(&probe.leaf())?.text();
            let digits = text.strip_prefix("i-").unwrap_or_default();
            let good = (8..=32).contains(&digits.len())
                && digits
                    .bytes()
                    .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
            holds(good, "i-0123456789abcdef0", text)
        },
    ),
    must(
        "b1-hostname",
        "hostname and local-hostname are there",
        "cloud-init, afterburn: name the machine by them",
        |probe| {
            value(probe, "hostname")?;
            value(probe, "local-hostname")
        },
    ),
    must(
        "b1-instance-type",
        "instance-type is there",
        "afterburn: fails without it",
        |probe| value(probe, "instance-type"),
    ),
    must(
        "b1-ami",
        "ami-id and ami-launch-index are there",
        "ec2metadata, cloud-init: read both",
        |probe| {
            value(probe, "ami-id")?;
            let index = probe
                .subject
                .read("/latest/meta-data/ami-launch-index")?
                .text();
            holds(index.trim().parse::<u32>().is_ok(), "a number", index)
        },
    ),
    must(
        "b1-mac",
        "mac is there, in lower case, and has its directory",
        "EC2 Instance Connect, amazon-ec2-net-utils: find their NIC by it",
        |probe| {
            let mac = probe.subject.read("/latest/meta-data/mac")?.text();
            let good =
                mac.len() == 17 && mac.split(':').count() == 6 && mac == mac.to_ascii_lowercase();
            holds(good, "52:54:00:00:00:01", mac.as_str())?;
            probe
                .subject
                .read(&format!("/latest/meta-data/network/interfaces/macs/{mac}/"))
                .map(|_| ())
        },
    ),
    must(
        "b1-local-ipv4",
        "local-ipv4 is an address, where it is listed",
        "ec2-metadata, afterburn: parse it",
        |probe| {
            if !probe.subject.has("local-ipv4") {
                return Err(no("there is no local-ipv4 here"));
            }
            let text = probe.subject.read("/latest/meta-data/local-ipv4")?.text();
            holds(
                text.trim().parse::<std::net::Ipv4Addr>().is_ok(),
                "an address",
                text,
            )
        },
    ),
    must(
        "b1-zone",
        "placement/availability-zone answers with a slash at the end and without",
        "botocore: asks for placement/availability-zone/",
        |probe| {
            let path = "/latest/meta-data/placement/availability-zone";
            let answer = probe.subject.get(path)?;
            if answer.status == 404 {
                return Err(no("there is no zone here"));
            }
            status(path, &answer, 200)?;
            let slashed = probe.subject.read(&format!("{path}/"))?;
            same("the same with a slash", &answer.body, &slashed.body)
        },
    ),
    must(
        "b1-connect-keys",
        "HEAD of managed-ssh-keys/active-keys/USER/ is answered at once, 404 without any",
        "EC2 Instance Connect: asks at each login, and gives it a second",
        |probe| {
            let path = "/latest/meta-data/managed-ssh-keys/active-keys/root/";
            let began = Instant::now();
            let answer = probe.subject.send(&Ask::new("HEAD", path))?;
            let listed = probe.subject.has("managed-ssh-keys");
            let wanted = if listed && answer.status == 200 {
                200
            } else {
                404
            };
            status(&format!("HEAD {path}"), &answer, wanted)?;
            let took = began.elapsed();
            holds(
                took <= probe.subject.pace.hurry,
                "an answer within the second",
                format!("one after {:.1} s", took.as_secs_f32()),
            )
        },
    ),
    must(
        "t7-user-data-slash",
        "user-data/ is user-data",
        "ec2-metadata, ohai, facter: ask for user-data/",
        |probe| {
            let plain = probe.subject.get("/latest/user-data")?;
            let slashed = probe.subject.get("/latest/user-data/")?;
            status("/latest/user-data/", &slashed, plain.status)?;
            same("the same with a slash", &plain.body, &slashed.body)
        },
    ),
];

fn value(probe: &Probe<'_>, name: &str) -> Verdict {
    let path = format!("/latest/meta-data/{name}");
    let text = probe.subject.read(&path)?.text();
    let one = !text.trim().is_empty() && text.trim_end().lines().count() == 1;
    holds(one, format!("{path}: one line"), format!("{text:?}"))
}
