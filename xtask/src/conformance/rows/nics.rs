//! The directory of each network interface, by which cloud-init configures them.

use crate::conformance::expect::{holds, no, same, status};
use crate::conformance::row::{Miss, Probe, Row, must, should};

const MACS: &str = "/latest/meta-data/network/interfaces/macs";

pub(super) const ROWS: &[Row] = &[
    must(
        "b1-macs-listed",
        "network/interfaces/macs/ lists each MAC in lower case, with a slash",
        "cloud-init: compares with the guest's own, and asks below",
        |probe| {
            for line in lines(probe)? {
                let mac = line.strip_suffix('/').unwrap_or_default();
                let good = mac.len() == 17
                    && mac.split(':').count() == 6
                    && mac == mac.to_ascii_lowercase();
                holds(good, "52:54:00:00:00:01/", line.as_str())?;
            }
            Ok(())
        },
    ),
    must(
        "b1-macs-device-number",
        "Each has a device-number, and they differ",
        "cloud-init: orders interfaces by it",
        |probe| {
            let mut numbers = Vec::new();
            for mac in macs(probe)? {
                let text = probe
                    .subject
                    .read(&format!("{MACS}/{mac}/device-number"))?
                    .text();
                holds(
                    text.trim().parse::<u32>().is_ok(),
                    "a number",
                    text.as_str(),
                )?;
                holds(
                    !numbers.contains(&text),
                    "a number of its own",
                    text.as_str(),
                )?;
                numbers.push(text);
            }
            Ok(())
        },
    ),
    must(
        "b1-macs-mac",
        "The mac in each directory is the directory's",
        "amazon-ec2-net-utils: matches by it",
        |probe| {
            for mac in macs(probe)? {
                let told = probe.subject.read(&format!("{MACS}/{mac}/mac"))?;
                same(
                    &format!("{MACS}/{mac}/mac"),
                    mac.as_bytes(),
                    told.text().trim().as_bytes(),
                )?;
            }
            Ok(())
        },
    ),
    must(
        "b1-macs-addresses",
        "local-ipv4s and ipv6s hold an address on each line; one NIC at least has some",
        "cloud-init: configures these",
        |probe| {
            let mut addresses = 0;
            for mac in macs(probe)? {
                for name in ["local-ipv4s", "ipv6s"] {
                    let path = format!("{MACS}/{mac}/{name}");
                    let answer = probe.subject.get(&path)?;
                    if answer.status == 404 {
                        continue;
                    }
                    status(&path, &answer, 200)?;
                    for line in answer.text().lines() {
                        let good = line.parse::<std::net::IpAddr>().is_ok();
                        holds(good, format!("{path}: an address"), line)?;
                        addresses += 1;
                    }
                }
            }
            holds(addresses > 0, "an address", "none at all")
        },
    ),
    must(
        "b1-macs-vpc",
        "Each has vpc-id and subnet-id",
        "cloud-init: reads the whole tree twice without",
        |probe| {
            for mac in macs(probe)? {
                for name in ["vpc-id", "subnet-id"] {
                    probe.subject.read(&format!("{MACS}/{mac}/{name}"))?;
                }
            }
            Ok(())
        },
    ),
    must(
        "t7-percent",
        "A path is decoded: %3A is the colon of a MAC",
        "clients that build a URL by the book",
        |probe| {
            for mac in macs(probe)? {
                let escaped = mac.replace(':', "%3A");
                probe.subject.read(&format!("{MACS}/{escaped}/mac"))?;
                probe
                    .subject
                    .read(&format!("{MACS}/{}/mac", escaped.to_ascii_lowercase()))?;
            }
            Ok(())
        },
    ),
    should(
        "t7-decoded-once",
        "A path is decoded once: %253A is no colon",
        "what passes a filter must not change afterwards",
        |probe| {
            let mac = macs(probe)?.into_iter().next().unwrap_or_default();
            let path = format!("{MACS}/{}/mac", mac.replace(':', "%253A"));
            status(&path, &probe.subject.get(&path)?, 404)
        },
    ),
];

fn lines(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    if !probe.subject.has("network") {
        return Err(no("there is no network/ here"));
    }
    let lines = probe.subject.list(&format!("{MACS}/"))?;
    holds(!lines.is_empty(), "a MAC", "an empty list")?;
    Ok(lines)
}

fn macs(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    let trimmed = |line: String| line.trim_end_matches('/').to_owned();
    Ok(lines(probe)?.into_iter().map(trimmed).collect())
}
