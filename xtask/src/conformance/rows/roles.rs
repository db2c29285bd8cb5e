//! Credentials of a role, and the document that says who the instance is.

use serde_json::Value;

use crate::conformance::expect::{fail, holds, no, same, status};
use crate::conformance::row::{Miss, Probe, Row, must, should};

const ROLES: &str = "/latest/meta-data/iam/security-credentials";
const IDENTITY: &str = "/latest/dynamic/instance-identity";

pub(super) const ROWS: &[Row] = &[
    must(
        "t13-roles",
        "security-credentials/ is 404 without a role, and never an empty 200",
        "botocore: asks again and again (a clone of EC2 saw 42,517 requests in five days)",
        |probe| {
            let path = format!("{ROLES}/");
            let answer = probe.subject.get(&path)?;
            if !probe.subject.has("iam") {
                return status(&path, &answer, 404);
            }
            status(&path, &answer, 200)?;
            holds(!answer.text().trim().is_empty(), "a role", "an empty body")
        },
    )
    .also(&["trap-2"]),
    must(
        "b1-role-name",
        "security-credentials/ lists the role without a slash",
        "botocore: asks for exactly what it reads",
        |probe| {
            let name = role(probe)?;
            holds(!name.contains('/') && !name.contains('\n'), "a name", name)
        },
    ),
    must(
        "b1-role-keys",
        "The role is a JSON object with Code, Type, AccessKeyId, SecretAccessKey, Token, LastUpdated and Expiration",
        "every SDK: refuses credentials that lack one",
        |probe| {
            let read = credentials(probe)?;
            for key in [
                "Code",
                "Type",
                "AccessKeyId",
                "SecretAccessKey",
                "Token",
                "LastUpdated",
                "Expiration",
            ] {
                holds(
                    read[key].is_string(),
                    format!("a text as {key}"),
                    read[key].to_string(),
                )?;
            }
            holds(
                read["Code"] == "Success",
                "Code: Success",
                read["Code"].to_string(),
            )
        },
    ),
    must(
        "b1-role-expiration",
        "Expiration is a time like 2030-01-01T00:00:00Z",
        "every SDK: parses it, and asks again before it",
        |probe| {
            let read = credentials(probe)?;
            let text = read["Expiration"].as_str().unwrap_or_default();
            holds(is_time(text), "2030-01-01T00:00:00Z", text)
        },
    ),
    must(
        "b1-identity-listed",
        "dynamic/instance-identity lists document, with a slash at the end and without",
        "cloud-init on EC2: asks without, and for each name",
        |probe| {
            let plain = probe.subject.read(IDENTITY)?;
            let slashed = probe.subject.read(&format!("{IDENTITY}/"))?;
            same("the same list", &slashed.body, &plain.body)?;
            let names = plain.text();
            holds(
                names.lines().any(|it| it == "document"),
                "document",
                names.as_str(),
            )
        },
    ),
    must(
        "b1-identity-document",
        "The identity document is a JSON object, whose instanceId is the instance-id",
        "Go SDK: takes the region from it; cloud-init: keeps it",
        |probe| {
            let read = document(probe)?;
            let id = probe.subject.read(&probe.leaf())?.text();
            holds(
                read["instanceId"] == id.trim(),
                format!("instanceId {id}"),
                read["instanceId"].to_string(),
            )?;
            for key in [
                "accountId",
                "architecture",
                "availabilityZone",
                "imageId",
                "instanceType",
                "pendingTime",
                "privateIp",
                "region",
                "version",
            ] {
                holds(read.get(key).is_some(), format!("a key {key}"), "none")?;
            }
            Ok(())
        },
    ),
    must(
        "b1-identity-stable",
        "The identity document has the same octets each time",
        "Vault, Chef: check a signature over them that they fetched on its own",
        |probe| {
            let path = format!("{IDENTITY}/document");
            let first = probe.subject.read(&path)?;
            for _ in 0..3 {
                same(&path, &first.body, &probe.subject.read(&path)?.body)?;
            }
            Ok(())
        },
    ),
    should(
        "b1-identity-agrees",
        "The identity document agrees with meta-data about type, image, address, region and zone",
        "a client may read either",
        |probe| {
            let read = document(probe)?;
            for (key, path) in [
                ("instanceType", "instance-type"),
                ("imageId", "ami-id"),
                ("privateIp", "local-ipv4"),
                ("region", "placement/region"),
                ("availabilityZone", "placement/availability-zone"),
            ] {
                let answer = probe.subject.get(&format!("/latest/meta-data/{path}"))?;
                if answer.status == 200 {
                    let text = answer.text();
                    holds(
                        read[key] == text.trim(),
                        format!("{key} {text}"),
                        read[key].to_string(),
                    )?;
                }
            }
            Ok(())
        },
    ),
    should(
        "b1-identity-time",
        "pendingTime is a time like 2030-01-01T00:00:00Z",
        "Vault: parses it",
        |probe| {
            let read = document(probe)?;
            if read["pendingTime"].is_null() {
                return Err(no("the document gives no time"));
            }
            let text = read["pendingTime"].as_str().unwrap_or_default();
            holds(is_time(text), "2030-01-01T00:00:00Z", text)
        },
    ),
];

fn role(probe: &Probe<'_>) -> Result<String, Miss> {
    if !probe.subject.has("iam") {
        return Err(no("there is no role here"));
    }
    let text = probe.subject.read(&format!("{ROLES}/"))?.text();
    Ok(text.trim_end().to_owned())
}

fn credentials(probe: &Probe<'_>) -> Result<Value, Miss> {
    let role = role(probe)?;
    object(probe, &format!("{ROLES}/{}", role.trim_end_matches('/')))
}

fn document(probe: &Probe<'_>) -> Result<Value, Miss> {
    object(probe, &format!("{IDENTITY}/document"))
}

/// A JSON object.
pub(super) fn object(probe: &Probe<'_>, path: &str) -> Result<Value, Miss> {
    let body = probe.subject.read(path)?.body;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(map)) => Ok(Value::Object(map)),
        Ok(_) | Err(_) => Err(fail(
            format!("{path}: a JSON object"),
            crate::conformance::expect::shown(&body),
        )),
    }
}

/// `2030-01-01T00:00:00Z`, perhaps with a fraction.
fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|it| if it.is_ascii_digit() { '0' } else { it })
        .collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}
