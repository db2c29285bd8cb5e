//! Mistakes of transport and framing.

use super::super::model::Quirk;
use super::super::reply::Framing;
use super::{Fault, fault};

pub(super) const FAULTS: &[Fault] = &[
    fault("HTTP/1.0 is refused", &["t5-http-1.0"], |q, a| {
        if q.version == "HTTP/1.0" {
            a.refuse(400);
        }
    }),
    fault("Host must be its own", &["t5-any-host"], |q, a| {
        if q.header("host")
            .is_some_and(|host| host.contains("example"))
        {
            a.refuse(404);
        }
    }),
    fault(
        "HTTP/1.1 needs a Host",
        &[
            "b8-no-host/ec2",
            "b8-no-host/nocloud",
            "b8-no-host/openstack",
        ],
        |q, a| {
            if q.version == "HTTP/1.1" && q.head <= 8192 && q.header("host").is_none() {
                a.refuse(400);
            }
        },
    ),
    fault(
        "an absolute target is a path",
        &["t5-absolute-form"],
        |q, a| {
            if q.target.starts_with("http://") {
                a.refuse(404);
            }
        },
    ),
    fault(
        "one read is a request",
        &[
            "t5-two-segments",
            "b8-octet-by-octet/ec2",
            "b8-octet-by-octet/nocloud",
            "b8-octet-by-octet/openstack",
        ],
        |_, _| {},
    )
    .with_quirk(Quirk::OneRead),
    fault(
        "a half-closed connection is gone",
        &["t5-half-close"],
        |_, _| {},
    )
    .with_quirk(Quirk::HalfCloseIsGone),
    fault("a head may have 2 KiB", &["t11-head-room"], |q, a| {
        if q.head > 2048 {
            a.refuse(431);
        }
    }),
    fault("a head may have any length", &["t11-head-limit"], |q, a| {
        if q.head > 8192 {
            a.say("x");
        }
    }),
    fault(
        "one connection at a time",
        &["t11-concurrent", "t11-silent"],
        |_, _| {},
    )
    .with_quirk(Quirk::Serial),
    fault("silence may last", &["t11-silent"], |_, _| {}).with_quirk(Quirk::Patient),
    fault(
        "noise is waited for",
        &["b1-0-not-http", "b8-http-0.9", "b8-tls-hello"],
        |_, _| {},
    )
    .with_quirk(Quirk::Deaf),
    fault(
        "noise is a request",
        &["b1-0-not-http", "b8-http-0.9", "b8-tls-hello"],
        |q, a| {
            if q.is_odd() {
                a.say("x");
            }
        },
    ),
    fault(
        "everything in the pipe is answered",
        &["b8-pipelined"],
        |_, _| {},
    )
    .with_quirk(Quirk::Pipelining),
    fault("no length", &["t6-content-length"], |_, a| {
        a.framing = Framing::Nothing
    }),
    fault("empty values have a length", &["t6-length-true"], |q, a| {
        if a.body.is_empty() && q.method != "HEAD" && q.target == "/nocloud/vendor-data" {
            a.framing = Framing::Over(4);
        }
    }),
    fault(
        "a listing is longer than it says",
        &[
            "t6-length-true",
            "b4-ec2-apart",
            "b8-directory-without-slash/ec2",
        ],
        |q, a| {
            if q.gets("/latest/meta-data") {
                a.set("Content-Length", "9");
                a.framing = Framing::Nothing;
            }
        },
    ),
    fault("listings are chunked", &["t6-not-chunked"], |q, a| {
        if q.gets("/latest") {
            a.framing = Framing::Chunked;
        }
    }),
    fault(
        "the connection stays",
        &["t6-closes", "t6-says-close"],
        |q, a| {
            a.drop("Connection");
            a.stays = q.header("connection").is_none() && !q.is_odd();
        },
    ),
    fault("closes and does not say so", &["t6-says-close"], |_, a| {
        a.drop("Connection")
    }),
    fault(
        "a directory leads to its slash",
        &[
            "t8-no-redirect",
            "b8-directory-without-slash/ec2",
            "b4-ec2-apart",
            "b1-versions-answer",
        ],
        |q, a| {
            if q.gets("/latest/meta-data") || q.gets("/latest") {
                a.refuse(301);
                a.set("Location", "/latest/meta-data/");
            }
        },
    ),
    fault("values are packed", &["t10-not-encoded"], |q, a| {
        if q.header("accept-encoding").is_some() && !q.target.contains("user") {
            a.set("Content-Encoding", "gzip");
        }
    }),
    fault("another Server", &["b0-server"], |_, a| {
        a.set("Server", "nginx")
    }),
    fault("values are HTML", &["b0-text-plain"], |q, a| {
        if q.target.contains("meta-data/") && q.target.starts_with("/latest") {
            a.set("Content-Type", "text/html");
        }
    }),
];
