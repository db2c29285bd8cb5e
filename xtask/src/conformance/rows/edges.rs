//! User-data: none, empty, any octets.

use crate::conformance::expect::{holds, no, same, status};
use crate::conformance::row::{Dialect, Probe, Row, Verdict, must, should};
use crate::conformance::subject::Ask;

pub(super) const ROWS: &[Row] = &[
    must(
        "b8-no-user-data",
        "No user-data: 404 in EC2 and OpenStack, an empty 200 in NoCloud",
        "cloud-init: a 404 in NoCloud costs 10 s and the data source; anything but 404 elsewhere is an error",
        no_user_data,
    )
    .of(&Dialect::ALL),
    must(
        "b8-empty-user-data",
        "Empty user-data: 200 with a length of 0",
        "cloud-init: takes the owner at his word",
        |probe| {
            let empty = probe.subject.facts.user_data.as_ref().is_some_and(Vec::is_empty);
            if !empty {
                return Err(no("the user-data here is not empty"));
            }
            let answer = probe.subject.read(&probe.user_data())?;
            let length = answer.header("content-length").unwrap_or("none").to_owned();
            holds(length == "0", "Content-Length: 0", length)
        },
    )
    .of(&Dialect::ALL),
    must(
        "b8-raw-user-data",
        "User-data goes out octet for octet, however it is asked for",
        "cloud-init: unpacks gzip and MIME itself",
        |probe| {
            let octets = octets(probe)?;
            for (name, value) in [("Accept", "*/*"), ("Accept-Encoding", "gzip"), ("Accept", "application/json"), ("Range", "bytes=0-0")] {
                let ask = Ask::get(probe.user_data()).with(name, value);
                let answer = probe.subject.send(&ask)?;
                status(&format!("{name}: {value}"), &answer, 200)?;
                let encoding = answer.header("content-encoding").unwrap_or("none").to_owned();
                holds(encoding == "none", "no Content-Encoding", encoding)?;
                same(&format!("{name}: {value}"), octets, &answer.body)?;
            }
            Ok(())
        },
    )
    .of(&Dialect::ALL),
    should(
        "b8-user-data-type",
        "User-data is application/octet-stream",
        "captures of EC2: it may be anything",
        |probe| {
            octets(probe)?;
            let answer = probe.subject.read(&probe.user_data())?;
            let kind = answer.header("content-type").unwrap_or("none").to_owned();
            holds(kind == "application/octet-stream", "application/octet-stream", kind)
        },
    )
    .of(&Dialect::ALL),
    should(
        "b1-user-data-versions",
        "User-data is the same in every version",
        "Ignition: 2019-10-01; cloudbase-init: 2009-04-04",
        |probe| {
            let octets = octets(probe)?;
            for version in ["2009-04-04", "2019-10-01", "2021-03-23"] {
                let path = format!("/{version}/user-data");
                same(&path, octets, &probe.subject.read(&path)?.body)?;
            }
            Ok(())
        },
    ),
];

fn octets<'a>(probe: &Probe<'a>) -> Result<&'a [u8], crate::conformance::row::Miss> {
    let octets = probe.subject.facts.user_data.as_deref().unwrap_or_default();
    if octets.is_empty() {
        return Err(no("there is no user-data here"));
    }
    Ok(octets)
}

fn no_user_data(probe: &Probe<'_>) -> Verdict {
    if probe.subject.facts.user_data.is_some() {
        return Err(no("there is user-data here"));
    }
    let path = probe.user_data();
    let answer = probe.subject.get(&path)?;
    match probe.dialect {
        Dialect::NoCloud => {
            status(&path, &answer, 200)?;
            same(&path, b"", &answer.body)
        }
        Dialect::Ec2 | Dialect::OpenStack => status(&path, &answer, 404),
    }
}
