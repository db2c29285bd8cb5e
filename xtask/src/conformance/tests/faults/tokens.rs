//! Mistakes with session tokens.

use super::super::model::World;
use super::super::reply::{Reply, Request};
use super::{Fault, fault};

const PATH: &str = "/latest/api/token";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const GRANTED: &str = "X-aws-ec2-metadata-token-ttl-seconds";

/// Gives a token, whatever was wrong with the request.
fn give(a: &mut Reply) {
    a.say("A123");
    a.set(GRANTED, "60");
}

fn ttl(q: &Request) -> Option<&str> {
    q.is("PUT", PATH).then(|| q.header(TTL)).flatten()
}

pub(super) const FAULTS: &[Fault] = &[
    fault("no tokens at all", &["b1-5-token"], |q, a| {
        if q.target.contains("api/token") {
            a.refuse(404);
        }
    }),
    fault(
        "the token says no time to live",
        &["b1-5-ttl-header"],
        |_, a| a.drop(GRANTED),
    ),
    fault(
        "the token says another time to live",
        &["b1-5-ttl-header", "b1-5-ttl-ends"],
        |q, a| {
            if q.method == "PUT" {
                a.set(GRANTED, "59");
            }
        },
    ),
    fault(
        "1 s is too short",
        &["b1-5-ttl-ends", "b1-8-expired"],
        |q, a| {
            if ttl(q) == Some("1") {
                a.refuse(400);
            }
        },
    ),
    fault(
        "a token ends in a line feed",
        &["b1-5-token-shape"],
        |q, a| {
            if q.is("PUT", PATH) && a.status == 200 {
                a.body.push(b'\n');
            }
        },
    ),
    fault(
        "tokens open nothing",
        &[
            "b1-5-token-opens",
            "b1-5-tokens-live-together",
            "b1-5-header-case",
            "b1-5-ttl-ends",
        ],
        |q, a| {
            if q.header(TOKEN).is_some()
                && a.status == 200
                && !q.target.starts_with("/nocloud")
                && !q.target.starts_with("/openstack")
            {
                a.refuse(401);
            }
        },
    ),
    fault(
        "a good token is looked for in one case alone",
        &["b1-5-header-case"],
        |q, a| {
            if q.raw.contains("X-AWS-EC2-METADATA-TOKEN:") {
                a.refuse(401);
            }
        },
    ),
    fault(
        "a further token ends the first",
        &["b1-5-tokens-live-together"],
        |q, a| {
            let number = q.header(TOKEN).and_then(|it| it.parse::<usize>().ok());
            if number.is_some_and(|it| it + 1 < a.given) {
                a.refuse(401);
            }
        },
    ),
    fault("tokens are put off", &["b1-5-no-throttle"], |q, a| {
        if q.is("PUT", PATH) && a.given == 40 {
            a.refuse(503);
        }
    }),
    fault(
        "the token has one spelling",
        &["b1-5-token-path"],
        |q, a| {
            if q.method == "PUT" && q.target != PATH && a.status == 200 {
                a.refuse(405);
            }
        },
    ),
    fault("GET gives a token", &["b1-2-token-takes-put"], |q, a| {
        if q.gets(PATH) {
            give(a);
        }
    }),
    fault(
        "proxies get tokens",
        &["b1-3-forwarded-put", "b1-3-forwarded-put-403"],
        |q, a| {
            if q.header("x-forwarded-for").is_some() && q.method == "PUT" {
                give(a);
            }
        },
    ),
    fault(
        "proxies get tokens where they name nobody",
        &["b1-3-forwarded-put", "b1-3-forwarded-put-403"],
        |q, a| {
            if q.header("x-forwarded-for") == Some("") && q.method == "PUT" {
                give(a);
            }
        },
    ),
    fault("proxies get 400", &["b1-3-forwarded-put-403"], |q, a| {
        if q.header("x-forwarded-for").is_some() && q.method == "PUT" {
            a.refuse(400);
        }
    }),
    fault(
        "dated versions give tokens",
        &["b1-6-dated-token"],
        |q, a| {
            if q.is("PUT", "/2021-01-03/api/token") {
                give(a);
            }
        },
    ),
    fault(
        "bad tokens are no matter",
        &["b1-8-bad-token", "b1-8-two-tokens", "b1-8-expired"],
        |q, a| {
            if q.header(TOKEN).is_some() && a.status == 401 {
                a.say("i-0123456789abcdef0");
            }
        },
    ),
    fault("an empty token is none", &["b1-8-bad-token"], |q, a| {
        if q.header(TOKEN) == Some("") && a.status == 401 {
            a.say("i-0123456789abcdef0");
        }
    }),
    fault(
        "the first of two tokens counts",
        &["b1-8-two-tokens"],
        |q, a| {
            if q.all(TOKEN).len() == 2 {
                a.say("i-0123456789abcdef0");
            }
        },
    ),
    fault("tokens live for ever", &["b1-8-expired"], |q, a| {
        let known = q
            .header(TOKEN)
            .is_some_and(|it| it.len() == 48 && it.starts_with("00"));
        if known && a.status == 401 && q.all(TOKEN).len() == 1 {
            a.say("i-0123456789abcdef0");
        }
    }),
    fault(
        "what is not there is 404 before it is 401",
        &["b1-9-required"],
        |q, a| {
            if q.gets("/nowhere") && a.status == 401 {
                a.refuse(404);
            }
        },
    )
    .in_world(World::bare),
    fault(
        "optional tokens are needed after all",
        &["b1-10-optional"],
        |_, _| {},
    )
    .in_world(World::bare)
    .said_to_be_optional(&["b1-10-optional"]),
    fault(
        "a body is not welcome",
        &["b8-put-with-body", "b1-5-expect"],
        |q, a| {
            if q.method == "PUT" && q.body > 0 {
                a.refuse(400);
            }
        },
    ),
    fault(
        "a body may have any length",
        &["b8-put-with-body"],
        |q, a| {
            if q.body > 4096 {
                give(a);
            }
        },
    ),
    fault("nothing is expected", &["b1-5-expect"], |q, a| {
        if q.header("expect").is_some() {
            a.refuse(417);
        }
    }),
    fault(
        "a time to live is not needed",
        &["b1-4-ttl-missing", "b1-alias"],
        |q, a| {
            if q.is("PUT", PATH) && q.header(TTL).is_none() {
                give(a);
            }
        },
    ),
    fault(
        "another name for the time to live",
        &["b1-alias"],
        |q, a| {
            if q.header("x-metadata-token-ttl-seconds").is_some() {
                give(a);
            }
        },
    ),
    fault(
        "an empty time to live is some",
        &["b1-4-ttl-empty"],
        |q, a| {
            if ttl(q) == Some("") {
                give(a);
            }
        },
    ),
    fault("21601 s are fine", &["b1-4-ttl-range"], |q, a| {
        if ttl(q) == Some("21601") {
            give(a);
        }
    }),
    fault("0 s are fine", &["b1-4-ttl-range"], |q, a| {
        if ttl(q) == Some("0") {
            give(a);
        }
    }),
    fault("+1 is a number", &["b1-4-ttl-decimal"], |q, a| {
        if ttl(q) == Some("+1") {
            give(a);
        }
    }),
    fault("numbers wrap", &["b1-4-ttl-overflow"], |q, a| {
        if ttl(q) == Some("4294967297") {
            give(a);
        }
    }),
    fault(
        "the first of two times counts",
        &["b1-4-ttl-twice"],
        |q, a| {
            if q.all(TTL).len() == 2 {
                give(a);
            }
        },
    ),
    fault("blanks are no number", &["b8-ttl-blanks"], |q, a| {
        if q.raw.contains("60 \t") {
            a.refuse(400);
        }
    }),
];
