//! Session tokens: how they are got, what they look like, and what they open.

use std::thread::sleep;

use crate::conformance::answer::Answer;
use crate::conformance::expect::{fail, holds, no, same, status};
use crate::conformance::row::{Miss, Probe, Row, Verdict, must, should};
use crate::conformance::subject::{Ask, TOKEN, TOKEN_PATH, TTL, Tokens};

pub(super) const ROWS: &[Row] = &[
    must(
        "b1-5-token",
        "PUT /latest/api/token gives a token",
        "cloud-init on EC2: any status from 400 on but 503 ends the data source for good",
        |probe| {
            let answer = put(probe, &Ask::token("60"))?;
            holds(!answer.text().trim().is_empty(), "a token", "an empty body")
        },
    )
    .also(&["trap-16", "t13-token"]),
    must(
        "b1-5-ttl-header",
        "The answer with the token has its time to live in a header",
        "Go SDK v2, aws-config: fail without it; Ruby's SDK fetches a token for each call",
        |probe| {
            let answer = got(probe, &Ask::token("60"))?;
            let ttl = answer.header(&TTL.to_ascii_lowercase()).unwrap_or("none");
            holds(ttl == "60", format!("{TTL}: 60"), ttl)
        },
    )
    .also(&["trap-5"]),
    must(
        "b1-5-token-shape",
        "A token fits a header: visible ASCII, no space, no line feed",
        "every SDK: sends it back as a header",
        |probe| {
            let body = got(probe, &Ask::token("60"))?.body;
            holds(
                body.iter().all(u8::is_ascii_graphic),
                "visible ASCII alone",
                crate::conformance::expect::shown(&body),
            )
        },
    ),
    must(
        "b1-5-token-opens",
        "A token opens what there is",
        "every SDK: IMDSv2 is this",
        |probe| opens(probe, &token(probe, "60")?, "a fresh token"),
    ),
    must(
        "b1-5-tokens-live-together",
        "A token stays good when further ones are given",
        "several programs in one guest: each has a token of its own",
        |probe| {
            let first = token(probe, "60")?;
            for _ in 0..8 {
                token(probe, "60")?;
            }
            opens(probe, &first, "the first of nine tokens")
        },
    ),
    must(
        "b1-5-no-throttle",
        "Forty tokens in a row are given, and none is put off by status",
        "Debian 12's cloud-init (22.4.2): a 503 at the token ends the data source",
        |probe| {
            token(probe, "60")?;
            for number in 1..=40 {
                let answer = probe.subject.send(&Ask::token("60"))?;
                status(&format!("token {number} of 40"), &answer, 200)?;
            }
            Ok(())
        },
    )
    .also(&["trap-17", "t12"]),
    must(
        "b1-5-header-case",
        "The names of the token's headers may have any case",
        "Go: sends X-Aws-Ec2-Metadata-Token; Python: sends lower case",
        |probe| {
            let answer = got(
                probe,
                &Ask::new("PUT", TOKEN_PATH).with(&TTL.to_ascii_uppercase(), "60"),
            )?;
            for name in [TOKEN.to_ascii_lowercase(), TOKEN.to_ascii_uppercase()] {
                let ask = Ask::get(probe.leaf()).anonymous();
                let ask = ask.with(&name, answer.text().trim());
                status(&name, &probe.subject.send(&ask)?, 200)?;
            }
            Ok(())
        },
    ),
    should(
        "b1-5-token-path",
        "The token's path is normalised as others are",
        "clients that join a base URL and a path with a slash too many",
        |probe| {
            token(probe, "60")?;
            for path in ["//latest/api/token", "/latest/api/token/"] {
                let ask = Ask::new("PUT", path).with(TTL, "60");
                status(&format!("PUT {path}"), &probe.subject.send(&ask)?, 200)?;
            }
            Ok(())
        },
    ),
    should(
        "b1-2-token-takes-put",
        "The token's path takes no other method: 405, Allow, no body",
        "captures of EC2",
        |probe| {
            token(probe, "60")?;
            for method in ["GET", "HEAD", "POST", "DELETE"] {
                let ask = Ask::new(method, TOKEN_PATH).with(TTL, "60").anonymous();
                let answer = probe.subject.send(&ask)?;
                let what = format!("{method} {TOKEN_PATH}");
                status(&what, &answer, 405)?;
                let allow = answer.header("allow").unwrap_or("none").to_owned();
                holds(
                    allow.contains("PUT"),
                    format!("{what}: Allow with PUT"),
                    allow,
                )?;
                same(&format!("{what}: no body"), b"", &answer.body)?;
            }
            Ok(())
        },
    ),
    must(
        "b1-3-forwarded-put",
        "A PUT with X-Forwarded-For gets no token",
        "guests behind an open proxy of their own: strangers would read their credentials",
        |probe| {
            for ask in forwarded(probe)? {
                let answer = probe.subject.send(&ask)?;
                holds(
                    (400..500).contains(&answer.status),
                    "a refusal",
                    format!("{}", answer.status),
                )?;
            }
            Ok(())
        },
    )
    .also(&["trap-11", "b8-forwarded-put"]),
    should(
        "b1-3-forwarded-put-403",
        "That refusal is 403",
        "AWS says rejected and gives no code; a client that reads 400 gives up, one that reads 403 uses version 1",
        |probe| {
            for ask in forwarded(probe)? {
                status(
                    "a PUT with X-Forwarded-For",
                    &probe.subject.send(&ask)?,
                    403,
                )?;
            }
            Ok(())
        },
    ),
    should(
        "b1-6-dated-token",
        "A PUT to the token's path of a dated version gets 403",
        "AWS documentation",
        |probe| {
            token(probe, "60")?;
            let ask = Ask::new("PUT", "/2021-01-03/api/token").with(TTL, "60");
            status("PUT /2021-01-03/api/token", &probe.subject.send(&ask)?, 403)
        },
    ),
    must(
        "b1-8-bad-token",
        "A token that is not one gets 401, whether or not one is needed",
        "SDKs: fetch a new token at 401 alone, such as after a restore of the guest",
        |probe| {
            token(probe, "60")?;
            let (unknown, long) = ("A".repeat(56), "A".repeat(600));
            for (what, value) in [
                ("unknown", &unknown),
                ("too long", &long),
                ("empty", &String::new()),
            ] {
                let ask = Ask::get(probe.leaf()).anonymous().with(TOKEN, value);
                status(
                    &format!("a token that is {what}"),
                    &probe.subject.send(&ask)?,
                    401,
                )?;
            }
            Ok(())
        },
    )
    .also(&["b8-token-bad"]),
    should(
        "b1-8-two-tokens",
        "Two tokens get 401",
        "no client sends two; what is meant cannot be known",
        |probe| {
            let token = token(probe, "60")?;
            let ask = Ask::get(probe.leaf()).anonymous();
            let ask = ask.with(TOKEN, &token).with(TOKEN, "A");
            status(
                "a good token and a bad one",
                &probe.subject.send(&ask)?,
                401,
            )
        },
    ),
    must(
        "b1-8-expired",
        "A token that has expired gets 401",
        "SDKs: fetch a new token at 401",
        |probe| {
            let token = token(probe, "1")?;
            // The last second counts to its end.
            sleep(probe.subject.pace.second * 5 / 2);
            let ask = Ask::get(probe.leaf()).anonymous().with(TOKEN, &token);
            status(
                "a token of 1 s after 2.5 s",
                &probe.subject.send(&ask)?,
                401,
            )
        },
    )
    .also(&["b8-token-expired"]),
    must(
        "b1-9-required",
        "Without a token everything is 401 where one is required, also what is not there, also //",
        "imdsv2-get: learns from the 401 of GET // that it needs a token",
        |probe| {
            if probe.subject.facts.tokens == Tokens::Optional {
                return Err(no("tokens are optional here"));
            }
            for path in [
                "/",
                "//",
                "/latest/meta-data/",
                "/latest/user-data",
                "/nowhere",
            ] {
                let answer = probe.subject.send(&Ask::get(path).anonymous())?;
                status(&format!("GET {path} without a token"), &answer, 401)?;
            }
            Ok(())
        },
    )
    .also(&["b8-token-none"]),
    must(
        "b1-10-optional",
        "Without a token everything is answered where none is required",
        "ec2metadata, cloudbase-init, cloud-init without EC2's DMI: know no tokens",
        |probe| {
            if probe.subject.facts.tokens == Tokens::Required {
                return Err(no("tokens are required here"));
            }
            let ask = Ask::get(probe.leaf()).anonymous();
            status("GET without a token", &probe.subject.send(&ask)?, 200)
        },
    ),
    should(
        "b8-put-with-body",
        "A PUT may bring a body: ignored up to 4 KiB, 413 beyond",
        "clients that send one; a server without a limit can be filled",
        |probe| {
            token(probe, "60")?;
            for (octets, wanted) in [(0, 200), (3, 200), (4096, 200), (1024 * 1024, 413)] {
                let ask = Ask::token("60").body(vec![b'x'; octets]);
                status(
                    &format!("a body of {octets} octets"),
                    &probe.subject.send(&ask)?,
                    wanted,
                )?;
            }
            Ok(())
        },
    )
    .also(&["t11-body-limit"]),
    should(
        "b1-5-expect",
        "A PUT that expects 100 Continue gets its token",
        "curl with a body",
        |probe| {
            token(probe, "60")?;
            let ask = Ask::token("60").with("Expect", "100-continue");
            status(
                "Expect: 100-continue",
                &probe.subject.send(&ask.body(b"abc".to_vec()))?,
                200,
            )
        },
    ),
];

/// The answer to a PUT, where the server gives tokens at all.
pub(super) fn got(probe: &Probe<'_>, ask: &Ask) -> Result<Answer, Miss> {
    if probe.subject.facts.token.is_none() {
        return Err(no("no token can be had, see b1-5-token"));
    }
    put(probe, ask)
}

fn put(probe: &Probe<'_>, ask: &Ask) -> Result<Answer, Miss> {
    let answer = probe.subject.send(ask)?;
    status("PUT for a token", &answer, 200)?;
    Ok(answer)
}

pub(super) fn token(probe: &Probe<'_>, seconds: &str) -> Result<String, Miss> {
    let token = got(probe, &Ask::token(seconds))?.text().trim().to_owned();
    if token.bytes().all(|it| it.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err(fail("a token that fits a header", token))
    }
}

pub(super) fn opens(probe: &Probe<'_>, token: &str, what: &str) -> Verdict {
    let ask = Ask::get(probe.leaf()).anonymous().with(TOKEN, token);
    status(what, &probe.subject.send(&ask)?, 200)
}

fn forwarded(probe: &Probe<'_>) -> Result<Vec<Ask>, Miss> {
    token(probe, "60")?;
    let with = |name, value| Ask::token("60").with(name, value);
    Ok(vec![
        with("X-Forwarded-For", "192.0.2.1"),
        with("x-forwarded-for", "127.0.0.1, 192.0.2.1"),
        with("X-Forwarded-For", ""),
    ])
}
