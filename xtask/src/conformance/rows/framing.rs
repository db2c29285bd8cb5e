//! How an answer is framed: its length, its end, its headers.

use crate::conformance::answer::Answer;
use crate::conformance::expect::{holds, same};
use crate::conformance::row::{Dialect, Miss, Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, Subject, TOKEN_PATH};
use crate::conformance::wire::{End, Script, Until};

pub(super) const ROWS: &[Row] = &[
    must(
        "t6-content-length",
        "Every answer has its Content-Length",
        "busybox wget and other HTTP/1.0 clients: without one, an answer that was cut short looks whole",
        |probe| {
            each(probe, |what, answer| {
                holds(
                    answer.length().is_some() || answer.is_chunked(),
                    format!("{what}: a Content-Length"),
                    "none",
                )
            })
        },
    )
    .once(),
    must(
        "t6-length-true",
        "Content-Length is the number of octets that follow, also where there are none",
        "every client: too much hangs it, too little cuts values (Firecracker had empty values with a length)",
        length_true,
    )
    .also(&["trap-7"])
    .once(),
    must(
        "t6-not-chunked",
        "No answer is chunked",
        "imdsv2-get: takes whatever follows the head as the value",
        |probe| {
            each(probe, |what, answer| {
                holds(
                    !answer.is_chunked(),
                    format!("{what}: not chunked"),
                    "Transfer-Encoding: chunked",
                )
            })
        },
    )
    .once(),
    must(
        "t6-closes",
        "The server closes after its answer, within the second, also where nobody asked it to",
        "imdsv2-get: reads to the end of the connection, and hangs",
        |probe| {
            let exchange = probe.subject.until_closed(&Ask::get(probe.leaf()))?;
            holds(
                exchange.end == End::Closed,
                "the end of the connection after the answer",
                match exchange.end {
                    End::Reset => "a reset".to_owned(),
                    End::Closed | End::Whole | End::Open | End::TooMuch => {
                        format!("still open after {:.1} s", exchange.took.as_secs_f32())
                    }
                },
            )
        },
    )
    .also(&["trap-3"])
    .once(),
    should(
        "t6-says-close",
        "Every answer says Connection: close",
        "EC2 does, in every capture that is known",
        |probe| {
            each(probe, |what, answer| {
                let said = answer.header("connection").unwrap_or("nothing").to_owned();
                holds(
                    said.eq_ignore_ascii_case("close"),
                    format!("{what}: Connection: close"),
                    said,
                )
            })
        },
    )
    .once(),
    must(
        "t8-no-redirect",
        "Nothing is redirected",
        "AWS SDKs: do not follow (a directory without its slash answers 301 from many web servers)",
        |probe| {
            each(probe, |what, answer| {
                holds(
                    !(300..400).contains(&answer.status),
                    format!("{what}: no redirect"),
                    format!("{} to {}", answer.status, answer.header("location").unwrap_or("?")),
                )
            })
        },
    )
    .also(&["trap-4"])
    .once(),
    must(
        "t10-not-encoded",
        "Accept-Encoding changes nothing",
        "imdsv2-get, aws-config: take the body as it is, as UTF-8",
        |probe| {
            let plain = probe.subject.read(&probe.leaf())?;
            let ask = Ask::get(probe.leaf()).with("Accept-Encoding", "gzip, br, zstd, deflate");
            let answer = probe.subject.send(&ask)?;
            let encoding = answer.header("content-encoding").unwrap_or("none").to_owned();
            holds(encoding == "none", "no Content-Encoding", encoding)?;
            let (plain, got) = (super::lasting(&plain.body), super::lasting(&answer.body));
            same("the same body", &plain, &got)
        },
    )
    .once(),
    should(
        "b0-server",
        "The Server is EC2ws",
        "old Terraform and fluent plugins: decide by it whether this is EC2",
        |probe| {
            let answer = probe.subject.get(&probe.leaf())?;
            let server = answer.header("server").unwrap_or("none").to_owned();
            holds(server == "EC2ws", "Server: EC2ws", server)
        },
    ),
    should(
        "b0-text-plain",
        "Values and listings are text/plain",
        "AWS documentation: the content type is text/plain",
        |probe| {
            for path in [probe.leaf(), "/latest/meta-data/".to_owned()] {
                let answer = probe.subject.read(&path)?;
                let kind = answer.header("content-type").unwrap_or("none").to_owned();
                holds(
                    kind.starts_with("text/plain"),
                    format!("{path}: text/plain"),
                    kind,
                )?;
            }
            Ok(())
        },
    ),
];

/// Answers of every kind: values, listings, refusals, empty ones.
fn samples(probe: &Probe<'_>) -> Vec<Ask> {
    let mut asks = vec![
        Ask::get(probe.leaf()),
        Ask::get(probe.missing()),
        Ask::new("POST", probe.leaf()).body(Vec::new()),
        Ask::get("/"),
    ];
    for dialect in &probe.subject.facts.dialects {
        match dialect {
            Dialect::Ec2 => asks.extend([
                Ask::get("/latest"),
                Ask::get("/latest/meta-data"),
                Ask::get("/latest/meta-data/"),
                Ask::get("/latest/user-data"),
                Ask::get(TOKEN_PATH),
                Ask::token("60"),
                Ask::new("PUT", TOKEN_PATH),
            ]),
            Dialect::NoCloud => asks.extend(
                ["meta-data", "user-data", "vendor-data"].map(|it| Ask::get(probe.nocloud(it))),
            ),
            Dialect::OpenStack => asks.extend(
                [
                    "/openstack",
                    "/openstack/latest",
                    "/openstack/latest/user_data",
                ]
                .map(Ask::get),
            ),
        }
    }
    asks
}

fn each(probe: &Probe<'_>, check: impl Fn(&str, &Answer) -> Verdict) -> Verdict {
    for ask in samples(probe) {
        let (what, answer) = exchanged(probe, &ask, Until::OneAnswer)?;
        check(&what, &answer)?;
    }
    Ok(())
}

/// Asks, and reads one answer or to the close.
fn exchanged(probe: &Probe<'_>, ask: &Ask, until: Until) -> Result<(String, Answer), Miss> {
    let text = probe.subject.text(ask, true);
    let what = String::from_utf8_lossy(&text)
        .split(" HTTP/")
        .next()
        .unwrap_or_default()
        .to_owned();
    let pieces = [text.as_slice()];
    let mut script = Script::new(&pieces, probe.subject.pace.patience);
    script.until = until;
    let exchange = probe.subject.play(&what, &script)?;
    let answer = Subject::answer(&what, &exchange, false)?;
    Ok((what, answer))
}

/// To the close, so that octets beyond the length are seen; a server that stays open shows none.
fn length_true(probe: &Probe<'_>) -> Verdict {
    for ask in samples(probe) {
        let (what, answer) = exchanged(probe, &ask, Until::Closed)?;
        let Some(length) = answer.length() else {
            continue;
        };
        let came = answer.body.len() + answer.extra;
        holds(
            came == length,
            format!("{what}: {length} octets, as Content-Length says"),
            came.to_string(),
        )?;
    }
    Ok(())
}
