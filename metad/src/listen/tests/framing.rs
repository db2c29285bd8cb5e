//! Requests as guests really write them, and replies as they really leave.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

const ID: &str = "i-0123456789abcdef0";
const PATH: &str = "/latest/meta-data/instance-id";

#[tokio::test]
async fn every_kind_of_client_is_served() {
    let service = Service::start();
    for (case, request) in [
        ("no Host", format!("GET {PATH} HTTP/1.1\r\n\r\n")),
        (
            "any Host",
            format!("GET {PATH} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        ),
        (
            "empty Host",
            format!("GET {PATH} HTTP/1.1\r\nHost:\r\n\r\n"),
        ),
        ("HTTP/1.0", format!("GET {PATH} HTTP/1.0\r\n\r\n")),
        (
            "absolute form",
            format!("GET http://169.254.169.254{PATH} HTTP/1.1\r\nHost: x\r\n\r\n"),
        ),
        ("query", format!("GET {PATH}?a=b HTTP/1.1\r\n\r\n")),
        (
            "keep-alive wanted",
            format!("GET {PATH} HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"),
        ),
        (
            "keep-alive of 1.0",
            format!("GET {PATH} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ),
        ("bare line feeds", format!("GET {PATH} HTTP/1.1\n\n")),
    ] {
        let reply = service.exchange(request).await;
        assert_eq!(status(&reply), "200", "{case}: {reply}");
        assert_eq!(body(&reply), ID, "{case}");
        let head = head(&reply);
        for line in [
            "Content-Length: 19",
            "Content-Type: text/plain",
            "Connection: close",
            "Server: EC2ws",
            "Date: ",
            "Last-Modified: ",
            "Accept-Ranges: none",
        ] {
            let found = head.lines().filter(|found| found.starts_with(line));
            assert_eq!(found.count(), 1, "{case}: {line} in {head}");
        }
        assert!(!head.contains("Transfer-Encoding"), "{case}: {head}");
    }
}

#[tokio::test]
async fn head_in_pieces_is_put_together() {
    let service = Service::start();
    let reply = service
        .client(|mut client| {
            let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
            for octet in request.as_bytes() {
                client.write_all(&[*octet]).unwrap();
            }
            read(&mut client)
        })
        .await;
    assert_eq!(body(&reply), ID);
}

#[tokio::test]
async fn half_closed_connection_gets_its_answer() {
    let service = Service::start();
    let reply = service
        .client(|mut client| {
            let request = format!("GET {PATH} HTTP/1.1\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            read(&mut client)
        })
        .await;
    assert_eq!(body(&reply), ID);
}

#[tokio::test]
async fn second_request_in_the_pipe_is_not_answered() {
    let service = Service::start();
    let request = format!("GET {PATH} HTTP/1.1\r\n\r\n");
    let reply = service.exchange(request.repeat(2)).await;
    assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{reply}");
}

#[tokio::test]
async fn connection_may_stay_where_that_is_configured() {
    let service = Service::start_with(|desk| desk.keep_alive = true);
    let request = format!("GET {PATH} HTTP/1.1\r\n\r\n");
    let last = format!("GET {PATH} HTTP/1.1\r\nConnection: close\r\n\r\n");
    let reply = service.exchange(request.repeat(2) + &last).await;
    assert_eq!(reply.matches("HTTP/1.1 200").count(), 3, "{reply}");
    assert_eq!(reply.matches("Connection: close").count(), 1, "{reply}");
}

#[tokio::test]
async fn head_request_has_the_length_and_no_body() {
    let service = Service::start();
    let reply = service
        .exchange("HEAD /latest/user-data HTTP/1.1\r\n\r\n")
        .await;
    assert!(head(&reply).contains("Content-Length: 1048576"), "{reply}");
    assert_eq!(body(&reply), "");
}

#[tokio::test]
async fn large_user_data_arrives_whole_with_its_length() {
    let service = Service::start();
    let reply = service
        .exchange("GET /latest/user-data HTTP/1.1\r\n\r\n")
        .await;
    assert!(head(&reply).contains("Content-Length: 1048576"));
    assert!(!head(&reply).contains("Transfer-Encoding"));
    assert_eq!(body(&reply).len(), 1024 * 1024);
}

#[tokio::test]
async fn empty_body_has_a_length_too() {
    let service = Service::start();
    for request in [
        "GET /nocloud/vendor-data HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\n\r\n",
    ] {
        let reply = service.exchange(request).await;
        assert!(head(&reply).contains("Content-Length: 0"), "{reply}");
    }
}

#[tokio::test]
async fn what_is_not_http_gets_400_and_a_close() {
    let service = Service::start();
    for (case, octets) in [
        (
            "TLS hello",
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        ),
        ("HTTP/0.9", b"GET /\r\n\r\n"),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\n\r\n"),
        ("control character", b"GET /\x01 HTTP/1.1\r\n\r\n"),
        ("header without a name", b"GET / HTTP/1.1\r\n: x\r\n\r\n"),
        (
            "two lengths",
            b"PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        ),
        ("NUL in the path", b"GET /%00 HTTP/1.1\r\n\r\n"),
        ("noise", b"\0\0\0\0\r\n\r\n"),
    ] {
        let reply = service.exchange(octets).await;
        assert_eq!(status(&reply), "400", "{case}: {reply:?}");
        assert!(head(&reply).contains("Content-Length"), "{case}: {reply:?}");
    }
}

#[tokio::test]
async fn odd_requests_are_refused_like_any_other() {
    let service = Service::start();
    for (case, octets, expected) in [
        ("CONNECT", "CONNECT x:80 HTTP/1.1\r\n\r\n", "405"),
        ("OPTIONS of all", "OPTIONS * HTTP/1.1\r\n\r\n", "405"),
        ("own method", "BREW / HTTP/1.1\r\n\r\n", "405"),
        (
            "upgrade",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "200",
        ),
        ("range", "GET / HTTP/1.1\r\nRange: bytes=0-1\r\n\r\n", "200"),
        (
            "conditional",
            "GET / HTTP/1.1\r\nIf-Modified-Since: Sat, 01 Jan 2050 00:00:00 GMT\r\n\r\n",
            "200",
        ),
        ("no path", "GET latest HTTP/1.1\r\n\r\n", "400"),
        (
            "no path but a scheme",
            "GET http://x HTTP/1.1\r\n\r\n",
            "200",
        ),
        (
            "letters beyond ASCII",
            "GET /gr\u{f6}\u{df}e HTTP/1.1\r\n\r\n",
            "404",
        ),
    ] {
        let reply = service.exchange(octets).await;
        assert_eq!(status(&reply), expected, "{case}: {reply:?}");
        assert!(head(&reply).contains("Content-Length"), "{case}: {reply:?}");
        assert!(!head(&reply).contains("Location"), "{case}: {reply:?}");
    }
}

#[tokio::test]
async fn put_gets_a_token_with_or_without_a_body() {
    let service = Service::start();
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds";
    for (case, rest) in [
        ("no length", "\r\n"),
        ("no octets", "Content-Length: 0\r\n\r\n"),
        ("some octets", "Content-Length: 3\r\n\r\nabc"),
        (
            "in chunks",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "expecting",
            "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        ),
    ] {
        let put = format!("PUT /latest/api/token HTTP/1.1\r\n{ttl}: 60\r\n{rest}");
        let reply = service.exchange(put).await;
        let reply = reply.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(status(reply), "200", "{case}: {reply}");
        let granted = format!("{}: 60", ttl.to_ascii_lowercase());
        assert!(
            head(reply).to_ascii_lowercase().contains(&granted),
            "{case}: {reply}"
        );
        let get = format!(
            "GET {PATH} HTTP/1.1\r\nX-aws-ec2-metadata-token: {}\r\n\r\n",
            body(reply)
        );
        assert_eq!(body(&service.exchange(get).await), ID, "{case}");
    }
}

#[tokio::test]
async fn noise_is_answered_or_closed_and_hurts_nobody() {
    let service = Service::start();
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        "(GET|PUT|HEAD) /[ -~]{0,20} HTTP/1\\.[01]\r\n".prop_map(String::into_bytes),
        "[A-Za-z-]{1,20}: ?[ -~]{0,20}\r\n".prop_map(String::into_bytes),
        "(Content-Length|Transfer-Encoding|Expect): ([0-9]{1,5}|chunked|100-continue)\r\n"
            .prop_map(String::into_bytes),
        Just(b"\r\n\r\n".to_vec()),
    ];
    let noise = proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let octets = noise.new_tree(&mut runner).unwrap().current();
        let shown = String::from_utf8_lossy(&octets).into_owned();
        let reply = service
            .client(move |mut client| {
                client.write_all(&octets).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                read(&mut client)
            })
            .await;
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1."),
            "{shown:?}: {reply:?}"
        );
    }
    let reply = service
        .exchange(format!("GET {PATH} HTTP/1.1\r\n\r\n"))
        .await;
    assert_eq!(body(&reply), ID);
}
