//! Public keys and tags, the two directories whose names a person chose.

use crate::conformance::expect::{holds, no, same, status};
use crate::conformance::row::{Miss, Probe, Row, must, should};
use crate::conformance::subject::lines;

const KEYS: &str = "/latest/meta-data/public-keys";

pub(super) const ROWS: &[Row] = &[
    must(
        "b1-keys-listed",
        "public-keys/ lists NUMBER=NAME without a slash",
        "cloud-init, ec2metadata: take the number and ask for NUMBER/openssh-key",
        |probe| {
            for line in keys(probe)? {
                let number = line.split_once('=').map_or("", |it| it.0);
                let good = number.parse::<u32>().is_ok() && !line.ends_with('/');
                holds(good, "0=name", line.as_str())?;
            }
            Ok(())
        },
    )
    .also(&["trap-9"]),
    must(
        "b1-keys-one-equals",
        "Each of these lines has exactly one =",
        "afterburn: refuses the whole list otherwise",
        |probe| {
            for line in keys(probe)? {
                holds(line.matches('=').count() == 1, "one =", line.as_str())?;
            }
            Ok(())
        },
    ),
    must(
        "b1-keys-no-slash",
        "public-keys without a slash is the same list",
        "afterburn, ec2metadata: ask without",
        |probe| {
            keys(probe)?;
            let slashed = probe.subject.read(&format!("{KEYS}/"))?;
            let plain = probe.subject.read(KEYS)?;
            same("the same list", &slashed.body, &plain.body)
        },
    ),
    must(
        "b1-keys-directory",
        "public-keys/NUMBER/ lists openssh-key",
        "facter, ohai: crawl it",
        |probe| {
            for number in numbers(probe)? {
                let names = probe.subject.list(&format!("{KEYS}/{number}/"))?;
                holds(names == ["openssh-key"], "openssh-key", names.join(" "))?;
            }
            Ok(())
        },
    ),
    must(
        "b1-keys-text",
        "public-keys/NUMBER/openssh-key is one line of an authorized_keys file",
        "cloud-init, afterburn: write it there",
        |probe| {
            for number in numbers(probe)? {
                let text = probe
                    .subject
                    .read(&format!("{KEYS}/{number}/openssh-key"))?
                    .text();
                let line = text.trim_end();
                let good = line.lines().count() == 1 && line.split(' ').count() >= 2;
                holds(good, "ssh-ed25519 AAAA…", format!("{text:?}"))?;
            }
            Ok(())
        },
    ),
    must(
        "b1-keys-none",
        "Without keys there is no public-keys: unlisted, and 404",
        "cloud-init: a list that is empty or does not answer costs 5 s and all meta-data",
        |probe| {
            if probe.subject.has("public-keys") {
                return Err(no("there are keys here"));
            }
            for path in [KEYS.to_owned(), format!("{KEYS}/")] {
                status(&path, &probe.subject.get(&path)?, 404)?;
            }
            Ok(())
        },
    ),
    must(
        "b1-tags-names",
        "tags/instance/ lists keys without slashes, in letters, digits and + - = . , _ : @",
        "cloud-init: asks for each as it is listed; a space or a slash leads elsewhere",
        |probe| {
            for name in tags(probe)? {
                let good = name
                    .chars()
                    .all(|it| it.is_alphanumeric() || "+-=.,_:@".contains(it));
                holds(
                    good && name != "." && name != "..",
                    "a key that fits a path",
                    name.as_str(),
                )?;
            }
            Ok(())
        },
    ),
    must(
        "b1-tags-values",
        "Each listed tag has a value",
        "cloud-init, ec2-metadata: read each",
        |probe| {
            for name in tags(probe)? {
                probe
                    .subject
                    .read(&format!("/latest/meta-data/tags/instance/{name}"))?;
            }
            Ok(())
        },
    ),
    should(
        "b1-tags-none",
        "Without tags both tags and tags/instance are 404",
        "EC2 was seen to answer the second with an empty 200, which no client expects",
        |probe| {
            if probe.subject.has("tags") {
                return Err(no("there are tags here"));
            }
            for path in [
                "/latest/meta-data/tags",
                "/latest/meta-data/tags/instance",
                "/latest/meta-data/tags/instance/",
            ] {
                status(path, &probe.subject.get(path)?, 404)?;
            }
            Ok(())
        },
    ),
];

fn keys(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    if !probe.subject.has("public-keys") {
        return Err(no("there are no keys here"));
    }
    let text = probe.subject.read(&format!("{KEYS}/"))?.text();
    let keys = lines(&text);
    holds(!keys.is_empty(), "a key in the list", "an empty list")?;
    Ok(keys)
}

/// What stands before the `=`, or before the slash where there is one.
fn numbers(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    let number = |line: &String| {
        let end = line.find(['=', '/']).unwrap_or(line.len());
        line.chars().take(end).collect()
    };
    Ok(keys(probe)?.iter().map(number).collect())
}

fn tags(probe: &Probe<'_>) -> Result<Vec<String>, Miss> {
    if !probe.subject.has("tags") {
        return Err(no("there are no tags here"));
    }
    probe.subject.list("/latest/meta-data/tags/instance/")
}
