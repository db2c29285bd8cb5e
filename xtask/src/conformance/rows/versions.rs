//! The versions at the root, and those that clients have built in.

use crate::conformance::expect::{holds, no, same, status};
use crate::conformance::row::{Miss, Probe, Row, Verdict, must, should};
use crate::conformance::subject::lines;

pub(super) const ROWS: &[Row] = &[
    must(
        "b1-versions-list",
        "/ lists the versions, one per line, latest last",
        "ohai: reads it to pick a version",
        |probe| {
            let versions = listed(probe)?;
            let last = versions.last().cloned().unwrap_or_default();
            holds(last == "latest", "latest as the last line", last)?;
            let odd = versions.iter().find(|it| it.contains('/'));
            holds(
                odd.is_none(),
                "no slashes",
                odd.cloned().unwrap_or_default(),
            )
        },
    ),
    should(
        "b1-versions-sorted",
        "The oldest version comes first",
        "captures of EC2",
        |probe| {
            let mut versions = listed(probe)?;
            versions.pop();
            let mut sorted = versions.clone();
            sorted.sort();
            holds(versions == sorted, sorted.join(" "), versions.join(" "))
        },
    ),
    must(
        "b1-versions-ohai",
        "The list has a version from 2008 to 2014",
        "ohai 16: raises where it knows none of them",
        |probe| {
            let known = [
                "2008-02-01",
                "2008-09-01",
                "2009-04-04",
                "2011-01-01",
                "2011-05-01",
                "2012-01-12",
                "2014-02-25",
                "2014-11-05",
            ];
            let versions = listed(probe)?;
            let found = versions.iter().any(|it| known.contains(&it.as_str()));
            holds(found, known.join(" or "), versions.join(" "))
        },
    ),
    must(
        "b1-versions-answer",
        "Every listed version answers, with a slash at the end and without",
        "ohai: crawls the version that it picked",
        |probe| {
            for version in listed(probe)? {
                for path in [format!("/{version}"), format!("/{version}/")] {
                    probe.subject.read(&path)?;
                }
            }
            Ok(())
        },
    ),
    must(
        "b1-version-2009-04-04",
        "2009-04-04 has the same tree",
        "cloud-init without EC2's DMI, ec2metadata, cloudbase-init: have it built in",
        |probe| version(probe, "2009-04-04"),
    ),
    must(
        "b1-version-2019-10-01",
        "2019-10-01 has the same tree",
        "Ignition: has it built in",
        |probe| version(probe, "2019-10-01"),
    ),
    must(
        "b1-version-2021-01-03",
        "2021-01-03 has the same tree",
        "afterburn: has it built in",
        |probe| version(probe, "2021-01-03"),
    ),
    must(
        "b1-version-cloud-init",
        "One of 2021-03-23, 2018-09-24, 2016-09-02 has the same tree",
        "cloud-init on EC2: tries them in this order",
        |probe| {
            let versions = ["2021-03-23", "2018-09-24", "2016-09-02"];
            let mut misses = versions.iter().map(|it| version(probe, it));
            if misses.any(|it| it.is_ok()) {
                return Ok(());
            }
            version(probe, "2021-03-23")
        },
    ),
    should(
        "b1-version-lists",
        "A version lists meta-data, dynamic, and user-data where there is some",
        "captures of EC2",
        |probe| {
            let names = probe.subject.list("/latest/")?;
            let has = |name: &str| names.iter().any(|it| it.trim_end_matches('/') == name);
            for name in ["meta-data", "dynamic"] {
                holds(has(name), format!("{name} in /latest/"), names.join(" "))?;
            }
            let wanted = probe.subject.facts.user_data.is_some();
            holds(
                has("user-data") == wanted,
                format!("user-data {}listed", if wanted { "" } else { "not " }),
                names.join(" "),
            )
        },
    ),
    should(
        "b1-tags-since",
        "tags/ is there from 2021-03-23 on, and not before",
        "AWS documentation; old clients do not expect it",
        |probe| {
            if !probe.subject.has("tags") {
                return Err(no("there are no tags here"));
            }
            for (version, there) in [("2021-01-03", false), ("2021-03-23", true)] {
                let names = probe.subject.list(&format!("/{version}/meta-data/"))?;
                let listed = names.iter().any(|it| it.trim_end_matches('/') == "tags");
                holds(
                    listed == there,
                    format!("{version}: tags {}listed", if there { "" } else { "not " }),
                    names.join(" "),
                )?;
            }
            Ok(())
        },
    ),
    must(
        "b1-11-unknown-version",
        "A version that is not one is 404",
        "cloud-init: takes a 404 to go on to the next; anything else is an error",
        |probe| {
            for path in ["/1.1/meta-data/", "/nowhere/", "/2015-01-01/meta-data/"] {
                status(path, &probe.subject.get(path)?, 404)?;
            }
            Ok(())
        },
    )
    .also(&["b8-unknown-version"]),
    should(
        "b8-future-version",
        "A version of the future is 404",
        "EC2 knows no version before its time",
        |probe| {
            let path = "/2999-12-31/meta-data/";
            status(path, &probe.subject.get(path)?, 404)
        },
    ),
];

fn listed(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    Ok(lines(&probe.subject.read("/")?.text()))
}

fn version(probe: &Probe<'_>, version: &str) -> Verdict {
    let latest = probe.subject.read(&probe.leaf())?;
    let path = format!("/{version}/meta-data/instance-id");
    let here = probe.subject.read(&path)?;
    same(&path, &latest.body, &here.body)
}
