//! OpenStack: its versions, and the files of each.

use serde_json::Value;

use super::roles::object;
use crate::conformance::expect::{fail, holds, no, status};
use crate::conformance::row::{Dialect, Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, Tokens};

/// Those that cloud-init knows.
const KNOWN: [&str; 8] = [
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
];

pub(super) const ROWS: &[Row] = &[
    must(
        "b5-versions",
        "/openstack lists versions, never nothing",
        "cloud-init: an empty answer means that this is no OpenStack",
        |probe| {
            let versions = probe.subject.list("/openstack")?;
            let good = versions.iter().any(|it| KNOWN.contains(&it.as_str()) || it == "latest");
            holds(good, "latest, or a version that cloud-init knows", versions.join(" "))
        },
    )
    .of(&[Dialect::OpenStack])
    .also(&["t13-openstack"]),
    must(
        "b5-listed-answers",
        "Every file that a version lists answers 200",
        "cloud-init: asks five times where a file gives 5xx; clients crawl",
        |probe| {
            for version in probe.subject.list("/openstack")? {
                for name in probe.subject.list(&format!("/openstack/{version}/"))? {
                    probe.subject.read(&format!("/openstack/{version}/{name}"))?;
                }
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b5-meta-data",
        "meta_data.json is a JSON object with uuid, hostname and name, in every version",
        "cloud-init: the data source fails without",
        |probe| {
            for version in probe.subject.list("/openstack")? {
                let path = format!("/openstack/{version}/meta_data.json");
                let read = object(probe, &path)?;
                for key in ["uuid", "hostname", "name"] {
                    holds(read[key].is_string(), format!("{path}: {key}"), read[key].to_string())?;
                }
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b5-random-seed",
        "random_seed is base64",
        "cloud-init: the data source fails on bad base64",
        |probe| {
            let read = object(probe, "/openstack/latest/meta_data.json")?;
            let Some(text) = read["random_seed"].as_str() else {
                return Err(no("there is no random_seed here"));
            };
            let plain = text.trim_end_matches('=');
            let alphabet = |it: u8| it.is_ascii_alphanumeric() || it == b'+' || it == b'/';
            let good = text.len().is_multiple_of(4) && text.len() - plain.len() <= 2 && plain.bytes().all(alphabet);
            holds(good, "base64", text)
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b5-files",
        "Every content_path answers 200",
        "cloud-init: the data source fails where a file is missing",
        |probe| {
            let read = object(probe, "/openstack/latest/meta_data.json")?;
            let files = read["files"].as_array().map_or(&[][..], Vec::as_slice);
            let more = read.get("network_config");
            let paths: Vec<&str> = files.iter().chain(more).filter_map(|it| it["content_path"].as_str()).collect();
            if paths.is_empty() {
                return Err(no("there are no files here"));
            }
            for path in paths {
                probe.subject.read(&format!("/openstack/{}", path.trim_start_matches('/')))?;
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b5-json",
        "vendor_data.json, vendor_data2.json and network_data.json are JSON objects, where they are listed",
        "cloud-init: the data source fails on anything else",
        |probe| {
            let names = probe.subject.list("/openstack/latest/")?;
            for name in ["vendor_data.json", "vendor_data2.json", "network_data.json"] {
                if names.iter().any(|it| it == name) {
                    object(probe, &format!("/openstack/latest/{name}"))?;
                }
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    must(
        "b5-network",
        "network_data.json has links, networks and services, and each network's link is one of the links",
        "cloud-init: fails on a network without its link",
        network,
    )
    .of(&[Dialect::OpenStack]),
    should(
        "b5-json-type",
        "JSON is application/json",
        "Nova",
        |probe| {
            for path in ["/openstack/latest/meta_data.json", "/openstack/latest/vendor_data.json"] {
                let answer = probe.subject.get(path)?;
                if answer.status == 200 {
                    let kind = answer.header("content-type").unwrap_or("none").to_owned();
                    holds(kind.starts_with("application/json"), format!("{path}: application/json"), kind)?;
                }
            }
            Ok(())
        },
    )
    .of(&[Dialect::OpenStack]),
    should(
        "b5-ec2-crawl",
        "/latest/meta-data/ answers 200 without a token",
        "cloud-init: reads it in every OpenStack guest, and waits 5 s where it cannot",
        |probe| {
            if probe.subject.facts.tokens == Tokens::Required {
                return Err(no("tokens are required here, which costs each boot 5 s"));
            }
            let path = "/latest/meta-data/";
            let answer = probe.subject.send(&Ask::get(path).anonymous())?;
            status(path, &answer, 200)
        },
    )
    .of(&[Dialect::OpenStack]),
];

fn network(probe: &Probe<'_>) -> Verdict {
    let path = "/openstack/latest/network_data.json";
    if probe.subject.get(path)?.status == 404 {
        return Err(no("there is no network_data.json here"));
    }
    let read = object(probe, path)?;
    let list = |key: &str| -> Result<Vec<Value>, _> {
        let list = read[key].as_array();
        list.cloned()
            .ok_or_else(|| fail(format!("{path}: a list as {key}"), read[key].to_string()))
    };
    list("services")?;
    let links = list("links")?;
    for network in list("networks")? {
        let known = links.iter().any(|link| link["id"] == network["link"]);
        holds(
            known,
            format!("{path}: a link that is there"),
            network["link"].to_string(),
        )?;
    }
    for link in links {
        let mac = link["ethernet_mac_address"].as_str().unwrap_or_default();
        holds(
            mac.len() == 17,
            format!("{path}: a MAC of each link"),
            link.to_string(),
        )?;
    }
    Ok(())
}
