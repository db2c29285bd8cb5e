//! What may stand in the header that asks for a token's time to live.

use super::tokens::{got, opens, token};
use crate::conformance::expect::{holds, status};
use crate::conformance::row::{Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, TOKEN_PATH, TTL};

pub(super) const ROWS: &[Row] = &[
    must(
        "b1-5-ttl-ends",
        "1 and 21600 seconds are granted as asked, and the token is good at once",
        "imdsv2-get: asks for 1; cloud-init, ec2-metadata: ask for 21600",
        |probe| {
            for seconds in ["1", "21600"] {
                let answer = got(probe, &Ask::token(seconds))?;
                opens(
                    probe,
                    answer.text().trim(),
                    &format!("a token of {seconds} s, used at once"),
                )?;
                let granted = answer.header(&TTL.to_ascii_lowercase()).unwrap_or(seconds);
                holds(granted == seconds, format!("{seconds} s granted"), granted)?;
            }
            Ok(())
        },
    ),
    should(
        "b1-4-ttl-missing",
        "No time to live: 400",
        "AWS documentation: the header is required",
        |probe| {
            token(probe, "60")?;
            let answer = probe.subject.send(&Ask::new("PUT", TOKEN_PATH))?;
            status("no time to live", &answer, 400)
        },
    )
    .also(&["b8-ttl-missing"]),
    should(
        "b1-4-ttl-empty",
        "An empty time to live: 400",
        "AWS documentation: a number of seconds",
        |probe| refused(probe, &["", "  "]),
    )
    .also(&["b8-ttl-empty"]),
    should(
        "b1-4-ttl-range",
        "0, -1 and 21601 seconds: 400",
        "AWS documentation: 1 to 21600",
        |probe| refused(probe, &["0", "-1", "21601"]),
    )
    .also(&["b8-ttl-range"]),
    should(
        "b1-4-ttl-decimal",
        "A time to live that is no decimal number: 400",
        "AWS documentation: a number of seconds",
        |probe| refused(probe, &["abc", "+1", "0x1", "1.0", "1e2", "6 0"]),
    )
    .also(&["b8-ttl-word"]),
    should(
        "b1-4-ttl-overflow",
        "A number that no machine word holds: 400",
        "2^32 + 1 must not become 1",
        |probe| {
            refused(
                probe,
                &[
                    "4294967297",
                    "18446744073709551617",
                    "99999999999999999999999999",
                ],
            )
        },
    ),
    should(
        "b1-4-ttl-twice",
        "Two different times to live: 400",
        "what is meant cannot be known",
        |probe| {
            token(probe, "60")?;
            let ask = Ask::token("60").with(TTL, "61");
            status("60 and 61 seconds", &probe.subject.send(&ask)?, 400)
        },
    ),
    should(
        "b8-ttl-blanks",
        "White space around the number does not count",
        "RFC 9110, 5.5: it is no part of a field's value",
        |probe| {
            token(probe, "60")?;
            let answer = probe.subject.send(&Ask::token("  60 \t"))?;
            status("blanks around 60", &answer, 200)
        },
    ),
    should(
        "b1-alias",
        "Another project's name for the header is not EC2's",
        "a token by accident helps nobody: clients that send the alias alone work nowhere else",
        |probe| {
            token(probe, "60")?;
            let ask = Ask::new("PUT", TOKEN_PATH).with("X-metadata-token-ttl-seconds", "60");
            status(
                "X-metadata-token-ttl-seconds",
                &probe.subject.send(&ask)?,
                400,
            )
        },
    ),
];

fn refused(probe: &Probe<'_>, values: &[&str]) -> Verdict {
    token(probe, "60")?;
    for value in values {
        let answer = probe.subject.send(&Ask::token(value))?;
        status(&format!("a time to live of {value:?}"), &answer, 400)?;
    }
    Ok(())
}
