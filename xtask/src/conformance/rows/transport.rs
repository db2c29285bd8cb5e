//! How a request may arrive: spelling, segments, what is too much.

use std::time::Instant;

use crate::conformance::expect::{fail, holds, status};
use crate::conformance::row::{Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, Subject};
use crate::conformance::wire::{self, End, Script, Until};

pub(super) const ROWS: &[Row] = &[
    must(
        "t5-http-1.0",
        "HTTP/1.0 is served",
        "busybox wget, scripts over nc: they speak nothing newer",
        |probe| ask(probe, &Ask::get(probe.leaf()).version("HTTP/1.0").host("")),
    )
    .once(),
    must(
        "t5-any-host",
        "Any Host is served",
        "cloud-init: asks http://instance-data.:8773 and names of its proxies too",
        |probe| {
            for host in ["metadata.example", "169.254.169.254:80", "[fd00:ec2::254]"] {
                ask(probe, &Ask::get(probe.leaf()).host(host))?;
            }
            Ok(())
        },
    )
    .once(),
    should(
        "t5-absolute-form",
        "A target with scheme and host is served",
        "RFC 9112, 3.2.2; clients that believe to speak to a proxy",
        |probe| {
            ask(
                probe,
                &Ask::get(format!("http://169.254.169.254{}", probe.leaf())),
            )
        },
    )
    .once(),
    must(
        "t5-two-segments",
        "A request in two segments is put together",
        "anything behind a small MTU; OpenStack's OVN agent failed here",
        |probe| {
            let text = probe.subject.text(&Ask::get(probe.leaf()), true);
            let (one, two) = text.split_at(text.len() / 2);
            played(probe, "a request in two segments", &[one, two])
        },
    )
    .also(&["trap-8"])
    .once(),
    must(
        "t5-half-close",
        "A client that has closed its side still gets its answer",
        "scripts over nc and socat: they close what they have sent",
        |probe| {
            let text = probe.subject.text(&Ask::get(probe.leaf()), true);
            let pieces = [text.as_slice()];
            let mut script = Script::new(&pieces, probe.subject.pace.patience);
            script.half_close = true;
            let exchange = probe.subject.play("a half-closed request", &script)?;
            let answer = Subject::answer("a half-closed request", &exchange, false)?;
            status("a half-closed request", &answer, 200)
        },
    )
    .once(),
    should(
        "t11-head-room",
        "A head of 4 KiB is served",
        "SDKs with long User-Agents, proxies that add headers",
        |probe| {
            ask(
                probe,
                &Ask::get(probe.leaf()).with("X-Fill", &"a".repeat(4 * 1024)),
            )
        },
    )
    .once(),
    should(
        "t11-head-limit",
        "A head of 64 KiB is refused with 431",
        "RFC 6585, 5: a server without a limit can be filled",
        |probe| {
            let ask = Ask::get(probe.leaf()).with("X-Fill", &"a".repeat(64 * 1024));
            status("a head of 64 KiB", &probe.subject.send(&ask)?, 431)
        },
    )
    .once(),
    must(
        "t11-concurrent",
        "Eight silent connections hold nobody up",
        "botocore, aws-config: they give up after one second",
        concurrent,
    )
    .once(),
    should(
        "t11-silent",
        "A connection that says nothing is closed",
        "a server that waits for ever can be filled",
        silent,
    )
    .once(),
    should(
        "b1-0-not-http",
        "What is no HTTP gets 400, and the connection is closed",
        "a client that speaks something else must not wait",
        |probe| refused(probe, "noise", b"\0\0\0\0\r\n\r\n"),
    )
    .once(),
    should(
        "b8-http-0.9",
        "HTTP/0.9 gets 400, and the connection is closed",
        "a body without a head would be taken for a value",
        |probe| {
            refused(
                probe,
                "HTTP/0.9",
                format!("GET {}\r\n\r\n", probe.leaf()).as_bytes(),
            )
        },
    )
    .once(),
    should(
        "b8-tls-hello",
        "The beginning of TLS gets 400 or nothing, and the connection is closed",
        "clients that try https first must not wait",
        tls_hello,
    )
    .once(),
    should(
        "b8-pipelined",
        "Where the answer says close, a second request in the pipe is not answered",
        "RFC 9112, 9.6",
        pipelined,
    )
    .once(),
];

fn ask(probe: &Probe<'_>, ask: &Ask) -> Verdict {
    let what = probe.leaf();
    status(&format!("GET {what}"), &probe.subject.send(ask)?, 200)
}

fn played(probe: &Probe<'_>, what: &str, pieces: &[&[u8]]) -> Verdict {
    let script = Script::new(pieces, probe.subject.pace.patience);
    let exchange = probe.subject.play(what, &script)?;
    status(what, &Subject::answer(what, &exchange, false)?, 200)
}

/// 400, and a close.
fn refused(probe: &Probe<'_>, what: &str, octets: &[u8]) -> Verdict {
    let exchange = ended(probe, what, octets)?;
    status(what, &Subject::answer(what, &exchange, false)?, 400)
}

/// Whatever the server says, it hangs up.
fn ended(
    probe: &Probe<'_>,
    what: &str,
    octets: &[u8],
) -> Result<wire::Exchange, crate::conformance::row::Miss> {
    let pieces = [octets];
    let mut script = Script::new(&pieces, probe.subject.pace.patience);
    script.until = Until::Closed;
    let exchange = probe.subject.play(what, &script)?;
    holds(
        matches!(exchange.end, End::Closed | End::Reset),
        format!("the connection is closed after {what}"),
        format!("it was open after {:.1} s", exchange.took.as_secs_f32()),
    )?;
    Ok(exchange)
}

fn tls_hello(probe: &Probe<'_>) -> Verdict {
    // A record of type handshake, version 3.1, 0x200 octets long, of which these are the first.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n";
    let exchange = ended(probe, "a TLS hello", hello)?;
    if exchange.octets.is_empty() {
        return Ok(());
    }
    let answer = Subject::answer("a TLS hello", &exchange, false)?;
    status("a TLS hello", &answer, 400)
}

fn pipelined(probe: &Probe<'_>) -> Verdict {
    let text = probe.subject.text(&Ask::get(probe.leaf()), true).repeat(2);
    let exchange = ended(probe, "two requests in one", &text)?;
    let answers = exchange
        .octets
        .windows(7)
        .filter(|it| it == b"HTTP/1.")
        .count();
    holds(
        answers == 1,
        "one answer, to the first of two requests that each said close",
        format!("{answers} answers"),
    )
}

fn concurrent(probe: &Probe<'_>) -> Verdict {
    let subject = probe.subject;
    let mut held = Vec::new();
    for _ in 0..8 {
        let stream = wire::connect(subject.address, subject.pace.patience)
            .map_err(|error| fail("nine connections at a time", error))?;
        held.push(stream);
    }
    let began = Instant::now();
    ask(probe, &Ask::get(probe.leaf()))?;
    let took = began.elapsed();
    drop(held);
    holds(
        took <= subject.pace.hurry,
        format!("an answer within {:.1} s", subject.pace.hurry.as_secs_f32()),
        format!("one after {:.1} s", took.as_secs_f32()),
    )
}

fn silent(probe: &Probe<'_>) -> Verdict {
    let mut script = Script::new(&[], probe.subject.pace.silence);
    script.until = Until::Closed;
    let exchange = probe.subject.play("silence", &script)?;
    holds(
        matches!(exchange.end, End::Closed | End::Reset),
        format!(
            "a silent connection is closed within {} s",
            probe.subject.pace.silence.as_secs_f32()
        ),
        "it was still open",
    )
}
