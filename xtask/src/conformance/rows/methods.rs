//! What may be asked of a path besides GET, and which headers change nothing.

use super::lasting;
use crate::conformance::expect::{holds, same, status};
use crate::conformance::row::{Dialect, Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, TOKEN, Tokens};

pub(super) const ROWS: &[Row] = &[
    must(
        "b8-head",
        "HEAD answers as GET does, with the same status and length, and no body",
        "EC2 Instance Connect, cloud-init's NoCloud: ask by HEAD",
        head,
    )
    .of(&Dialect::ALL)
    .also(&["t9-head"]),
    should(
        "b8-other-methods",
        "POST, DELETE and PATCH are 405 with Allow",
        "RFC 9110, 15.5.6",
        |probe| refused(probe, &["POST", "DELETE", "PATCH"]),
    )
    .of(&Dialect::ALL)
    .also(&["b1-7", "t9-methods"]),
    should(
        "b8-options",
        "OPTIONS is 405",
        "EC2 names it in an Allow, and nobody has seen it answered",
        |probe| refused(probe, &["OPTIONS"]),
    )
    .of(&Dialect::ALL),
    should(
        "b8-put",
        "PUT where no token is given is 405",
        "RFC 9110, 15.5.6",
        |probe| refused(probe, &["PUT"]),
    )
    .of(&Dialect::ALL),
    must(
        "b8-accept-json",
        "Accept: application/json changes nothing",
        "Go SDK: sends it to endpoints that are configured (Firecracker answered in JSON)",
        |probe| unchanged(probe, "Accept", "application/json"),
    )
    .of(&Dialect::ALL)
    .also(&["trap-6", "t10-accept"]),
    should(
        "b8-range",
        "Range changes nothing",
        "Firecracker, Nova and the mock of AWS answer whole",
        |probe| unchanged(probe, "Range", "bytes=0-1"),
    )
    .of(&Dialect::ALL),
    should(
        "b8-forwarded-get",
        "X-Forwarded-For changes nothing for GET, unless a token is required",
        "proxies for containers (kube2iam): add it",
        |probe| {
            if probe.dialect == Dialect::Ec2 && probe.subject.facts.tokens == Tokens::Required {
                return Err(crate::conformance::expect::no("tokens are required here"));
            }
            unchanged(probe, "X-Forwarded-For", "192.0.2.1")
        },
    )
    .of(&Dialect::ALL),
    must(
        "b8-tokens-ignored",
        "A token of EC2's is neither needed nor looked at",
        "cloud-init: has none in these dialects",
        |probe| {
            for ask in [
                Ask::get(probe.leaf()),
                Ask::get(probe.leaf()).with(TOKEN, "A"),
            ] {
                status(&probe.leaf(), &probe.subject.send(&ask.anonymous())?, 200)?;
            }
            Ok(())
        },
    )
    .of(&[Dialect::NoCloud, Dialect::OpenStack]),
];

fn refused(probe: &Probe<'_>, methods: &[&str]) -> Verdict {
    for method in methods {
        let ask = Ask::new(method, probe.leaf()).body(Vec::new());
        let answer = probe.subject.send(&ask)?;
        let what = format!("{method} {}", probe.leaf());
        status(&what, &answer, 405)?;
        let allow = answer.header("allow").unwrap_or("none").to_owned();
        holds(
            allow.contains("GET"),
            format!("{what}: Allow with GET"),
            allow,
        )?;
    }
    Ok(())
}

fn unchanged(probe: &Probe<'_>, name: &str, value: &str) -> Verdict {
    let plain = probe.subject.read(&probe.leaf())?;
    let answer = probe
        .subject
        .send(&Ask::get(probe.leaf()).with(name, value))?;
    status(&format!("{name}: {value}"), &answer, 200)?;
    same(
        "the same body",
        &lasting(&plain.body),
        &lasting(&answer.body),
    )?;
    let kinds = [&plain, &answer].map(|it| it.header("content-type").unwrap_or("none").to_owned());
    let [plain, got] = kinds;
    holds(plain == got, format!("content-type {plain}"), got)
}

fn head(probe: &Probe<'_>) -> Verdict {
    for path in [probe.leaf(), probe.user_data(), probe.missing()] {
        let get = probe.subject.get(&path)?;
        let head = probe.subject.send(&Ask::new("HEAD", path.as_str()))?;
        let what = format!("HEAD {path}");
        status(&what, &head, get.status)?;
        let lengths = (head.length(), get.length());
        holds(
            lengths.0 == lengths.1 || lengths.1.is_none(),
            format!("{what}: Content-Length {:?}", lengths.1),
            format!("{:?}", lengths.0),
        )?;
        holds(
            head.extra == 0,
            format!("{what}: no body"),
            format!("{} octets", head.extra),
        )?;
    }
    Ok(())
}
