//! NoCloud: four files, which cloud-init must be able to read.

use crate::conformance::expect::{holds, status};
use crate::conformance::row::{Dialect, Probe, Row, Verdict, must, should};

pub(super) const ROWS: &[Row] = &[
    must(
        "b4-meta-data",
        "meta-data is UTF-8 and has an instance-id",
        "cloud-init: the data source fails without",
        |probe| {
            let path = probe.nocloud("meta-data");
            let body = probe.subject.read(&path)?.body;
            let text = std::str::from_utf8(&body).unwrap_or_default();
            // JSON or YAML: as a key of the outermost map.
            let found = text.lines().any(|line| {
                let line = line.trim_start_matches(['{', ' ', '"', '\'']);
                line.starts_with("instance-id")
            });
            holds(
                found || text.contains("\"instance-id\""),
                "an instance-id",
                crate::conformance::expect::shown(&body),
            )
        },
    )
    .of(&[Dialect::NoCloud]),
    must(
        "b4-user-data",
        "user-data answers 200, with or without any",
        "cloud-init: asks ten times, a second apart, and then the data source fails",
        |probe| probe.subject.read(&probe.nocloud("user-data")).map(|_| ()),
    )
    .of(&[Dialect::NoCloud]),
    should(
        "b4-vendor-data",
        "vendor-data answers 200, with or without any",
        "cloud-init: a 404 costs 10 s of each boot",
        |probe| {
            probe
                .subject
                .read(&probe.nocloud("vendor-data"))
                .map(|_| ())
        },
    )
    .of(&[Dialect::NoCloud]),
    should(
        "b4-network-config",
        "network-config answers 200, with or without any",
        "cloud-init since 23.4: a 404 costs 10 s of each boot",
        |probe| {
            probe
                .subject
                .read(&probe.nocloud("network-config"))
                .map(|_| ())
        },
    )
    .of(&[Dialect::NoCloud]),
    must(
        "b4-ec2-apart",
        "EC2's /latest/meta-data stays a listing, whatever NoCloud has",
        "EC2's clients: Firecracker answered YAML there",
        |probe| {
            if !probe.subject.facts.dialects.contains(&Dialect::Ec2) {
                return Err(crate::conformance::expect::no("EC2 is not looked at"));
            }
            let names = probe.subject.list("/latest/meta-data")?;
            let found = names.iter().any(|it| it == "instance-id");
            holds(found, "instance-id as a line", names.join(" "))
        },
    )
    .of(&[Dialect::NoCloud])
    .also(&["trap-10"]),
    should(
        "b4-same-instance",
        "NoCloud and EC2 name the same instance",
        "a guest that changes its data source must not run its first boot again",
        same_instance,
    )
    .of(&[Dialect::NoCloud]),
];

fn same_instance(probe: &Probe<'_>) -> Verdict {
    if !probe.subject.facts.dialects.contains(&Dialect::Ec2) {
        return Err(crate::conformance::expect::no("EC2 is not looked at"));
    }
    let path = "/latest/meta-data/instance-id";
    let answer = probe.subject.get(path)?;
    status(path, &answer, 200)?;
    let text = probe.subject.read(&probe.nocloud("meta-data"))?.text();
    let id = answer.text();
    holds(
        text.contains(id.trim()),
        format!("{id} in meta-data"),
        format!("{text:?}"),
    )
}
