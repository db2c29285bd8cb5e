//! How a path may be spelt.

use super::lasting;
use crate::conformance::expect::{same, status};
use crate::conformance::row::{Dialect, Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, Subject};
use crate::conformance::wire::Script;

pub(super) const ROWS: &[Row] = &[
    must(
        "b8-leaf-with-slash",
        "A value answers with a slash at the end too",
        "botocore: availability-zone/; EC2 Instance Connect: instance-id/; ec2-metadata: user-data/",
        |probe| alike(probe, &format!("{}/", probe.leaf())),
    )
    .of(&Dialect::ALL),
    must(
        "b8-directory-without-slash",
        "A directory answers without its slash too",
        "cloud-init: dynamic/instance-identity; afterburn: public-keys",
        |probe| {
            let directories: &[&str] = match probe.dialect {
                Dialect::Ec2 => &["/latest", "/latest/meta-data", "/2009-04-04/meta-data"],
                Dialect::NoCloud | Dialect::OpenStack => &["/openstack", "/openstack/latest"],
            };
            for path in directories {
                let plain = probe.subject.read(path)?;
                let slashed = probe.subject.read(&format!("{path}/"))?;
                same(path, &slashed.body, &plain.body)?;
            }
            Ok(())
        },
    )
    .of(&[Dialect::Ec2, Dialect::OpenStack]),
    must(
        "b8-double-slash",
        "Several slashes count as one",
        "imdsv2-get: asks for GET //; clients that join a base URL and a path",
        |probe| {
            if probe.dialect == Dialect::Ec2 {
                let root = probe.subject.read("/")?;
                same("GET //", &root.body, &probe.subject.read("//")?.body)?;
            }
            alike(probe, &format!("/{}", probe.leaf().replace('/', "//")))
        },
    )
    .of(&Dialect::ALL),
    should(
        "b8-dots",
        "Segments of dots are 404, also as %2e",
        "what passes a filter must not lead elsewhere",
        |probe| {
            let leaf = probe.leaf();
            let (directory, name) = leaf.rsplit_once('/').unwrap_or_default();
            for path in [
                format!("{directory}/./{name}"),
                format!("{directory}/x/../{name}"),
                format!("{directory}/%2e/{name}"),
                format!("{directory}/x/%2e%2e/{name}"),
                format!("{directory}/x/.%2E/{name}"),
                format!("{leaf}/.."),
            ] {
                status(&path, &probe.subject.get(&path)?, 404)?;
            }
            Ok(())
        },
    )
    .of(&Dialect::ALL),
    should(
        "b8-control-characters",
        "Control characters in a path are 400, escaped or not",
        "RFC 9110, 4.2.5; they end up in logs",
        |probe| {
            for path in ["%00", "%0d%0aX:%20y", "%7f"].map(|it| format!("{}{it}", probe.leaf())) {
                status(&path, &probe.subject.get(&path)?, 400)?;
            }
            let ask = Ask::get(format!("{}\x01", probe.leaf()));
            status("an unescaped 01", &probe.subject.send(&ask)?, 400)
        },
    )
    .of(&Dialect::ALL),
    should(
        "t7-case",
        "Paths are case-sensitive",
        "a clone that answers to any case hides its users' mistakes",
        |probe| {
            let path = probe.leaf().to_ascii_uppercase();
            status(&path, &probe.subject.get(&path)?, 404)
        },
    )
    .of(&Dialect::ALL),
    should(
        "t7-query",
        "A query changes nothing",
        "clients that add one against caches",
        |probe| alike(probe, &format!("{}?a=b&c", probe.leaf())),
    )
    .of(&Dialect::ALL),
    must(
        "b8-missing",
        "What is not there is 404",
        "cloud-init, ohai, pollers of all kinds: 404 means none, anything else a fault",
        |probe| {
            for path in [probe.missing(), format!("{}/no-such-thing", probe.leaf())] {
                status(&path, &probe.subject.get(&path)?, 404)?;
            }
            Ok(())
        },
    )
    .of(&Dialect::ALL)
    .also(&["b1-13"]),
    should(
        "b8-unknown-version-openstack",
        "An unknown OpenStack version is 404, a future one too",
        "Nova; cloud-init asks for those that are listed",
        |probe| {
            for path in ["/openstack/2001-01-01/meta_data.json", "/openstack/2999-12-31/meta_data.json"] {
                status(path, &probe.subject.get(path)?, 404)?;
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b8-no-host",
        "HTTP/1.1 without a Host is served",
        "imdsv2-get: sends none",
        |probe| {
            let ask = Ask::get(probe.leaf()).host("");
            status("no Host", &probe.subject.send(&ask)?, 200)
        },
    )
    .of(&Dialect::ALL)
    .also(&["t5-no-host"]),
    must(
        "b8-octet-by-octet",
        "A request that arrives in many pieces is put together",
        "anything behind a slow or odd link",
        |probe| {
            let text = probe.subject.text(&Ask::get(probe.leaf()), true);
            let pieces: Vec<&[u8]> = text.chunks(text.len().div_ceil(6).max(1)).collect();
            let what = "a request in six pieces";
            let script = Script::new(&pieces, probe.subject.pace.patience);
            let exchange = probe.subject.play(what, &script)?;
            status(what, &Subject::answer(what, &exchange, false)?, 200)
        },
    )
    .of(&Dialect::ALL),
];

/// Another spelling of the value's path has the same answer.
fn alike(probe: &Probe<'_>, path: &str) -> Verdict {
    let plain = probe.subject.read(&probe.leaf())?;
    let other = probe.subject.read(path)?;
    same(path, &lasting(&plain.body), &lasting(&other.body))
}
