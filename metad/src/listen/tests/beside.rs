//! The narrow path beside the router: the same octets, whoever answers.

use super::*;
use crate::http::Line;
use crate::identity::Peer;

/// So many headers are the router's.
const FILLERS: usize = 40;
const TOKEN: &str = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60";
const READS: &[&str] = &[
    "/",
    "/latest",
    "/latest/",
    "//latest///meta-data//",
    "/latest/meta-data/instance-id",
    "/2009-04-04/meta-data/instance-id",
    "/latest/meta-data/network/interfaces/macs/",
    "/latest/meta-data/local-ipv4",
    "/latest/meta-data/public-keys/0/openssh-key",
    "/latest/dynamic/instance-identity/document",
    "/latest/user-data",
    "/latest/api/token",
    "/latest/nothing",
    "/1999-01-01/meta-data/",
    "/latest/../latest",
    "/openstack",
    "/openstack/latest/network_data.json",
    "/nocloud/meta-data",
    "/computeMetadata/v1/",
    "/v1.json",
    "/install/preseed",
];

/// The request as the router gets it, too.
fn filled(request: &str) -> String {
    format!("{request}\r\n{}\r\n", "X-Filler: y\r\n".repeat(FILLERS))
}

/// The first line, the headers in an order of their own, and the body; without what differs from one moment to the next.
fn timeless(reply: &str) -> (&str, Vec<&str>, &str) {
    let mut lines = head(reply).split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut headers: Vec<&str> = lines.filter(|line| !line.starts_with("Date: ")).collect();
    headers.sort_unstable();
    (first, headers, body(reply))
}

fn requests() -> Vec<String> {
    let reads = READS.iter().flat_map(|path| {
        ["GET", "HEAD"].map(|method| format!("{method} {path} HTTP/1.1\r\nHost: x"))
    });
    let bad = [
        "GET / HTTP/1.1\r\nX-aws-ec2-metadata-token: x",
        "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4",
        "GET / HTTP/1.1\r\nMetadata-Flavor: Google",
        "GET /computeMetadata/v1/instance/ HTTP/1.1\r\nMETADATA-FLAVOR: Google",
        "GET /computeMetadata/v1/instance/ HTTP/1.1\r\nX-Google-Metadata-Request: True",
        "GET /computeMetadata/v1/instance/ HTTP/1.1\r\nMetadata-Flavor: Google\r\nx-forwarded-for: 1.2.3.4",
        "GET / HTTP/1.1\r\nX-aws-ec2-metadata-token: x\r\nX-aws-ec2-metadata-token: y",
        "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 0",
        "PUT /latest/api/token HTTP/1.1\r\nX-Forwarded-For: x\r\nX-aws-ec2-metadata-token-ttl-seconds: 9",
    ];
    reads.chain(bad.map(str::to_owned)).collect()
}

struct Nowhere;

impl Line for Nowhere {
    fn set_hop_limit(&self, _hops: u8) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn narrow_path_and_router_say_the_same_octet_for_octet() {
    let service = Service::start_with(|desk| {
        let mut snapshot = seated(1);
        for seat in snapshot.seats.values_mut() {
            let seat = Arc::get_mut(seat).unwrap();
            let mut instance = (*seat.instance).clone();
            instance.user_data = Some(vec![b'#'; 1000].into());
            seat.answers = Arc::new(render::answers(&instance, 0));
        }
        desk.snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    });
    let peer = Peer {
        seat: Ok((SLOT, 1)),
        address: Some(GUEST.into()),
        over_ipv6: false,
    };
    let app = service.desk.app();
    for request in requests() {
        let by_router = service.exchange(filled(&request)).await;
        let plain = format!("{request}\r\n\r\n");
        let mut octets = Vec::new();
        let written = app.quick(&peer, &Nowhere, plain.as_bytes(), &mut octets);
        let written = written.unwrap_or_else(|| panic!("not taken: {request}"));
        assert!(written.ends, "{request}");
        octets.extend_from_slice(&written.body);
        let quick = String::from_utf8(octets).unwrap();
        assert_eq!(timeless(&quick), timeless(&by_router), "{request}");
        let on_a_socket = service.exchange(plain).await;
        assert_eq!(timeless(&on_a_socket), timeless(&by_router), "{request}");
    }
    let [quick, by_router] = [format!("{TOKEN}\r\n\r\n"), filled(TOKEN)];
    let [quick, by_router] = [
        service.exchange(quick).await,
        service.exchange(by_router).await,
    ];
    assert_eq!(timeless(head(&quick)), timeless(head(&by_router)));
    assert_ne!(body(&quick), body(&by_router), "two tokens");
}

/// Reads one reply off a connection that stays open.
fn next(client: &mut Client, is_head: bool) -> String {
    let mut octets = Vec::new();
    while !octets.ends_with(b"\r\n\r\n") {
        let mut next = [0];
        client.read_exact(&mut next).unwrap();
        octets.extend(next);
    }
    let text = String::from_utf8(octets).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.unwrap().parse().unwrap();
    let mut body = vec![0; if is_head { 0 } else { length }];
    client.read_exact(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn one_connection_may_change_between_both_as_it_likes() {
    let service = Service::start_with(|desk| desk.keep_alive = true);
    let ask = |plan: &'static [&'static str]| {
        service.client(move |mut client| {
            let told: Vec<String> = plan
                .iter()
                .map(|kind| {
                    let is_head = kind.starts_with("head");
                    let method = if is_head { "HEAD" } else { "GET" };
                    let request = format!("{method} /latest/user-data HTTP/1.1");
                    let request = match kind.ends_with("router") {
                        true => filled(&request),
                        false => format!("{request}\r\n\r\n"),
                    };
                    // In two pieces, it is not there as a whole at first.
                    let (first, rest) = request.split_at(20);
                    client.write_all(first.as_bytes()).unwrap();
                    client.write_all(rest.as_bytes()).unwrap();
                    next(&mut client, is_head)
                })
                .collect();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read(&mut client), "", "nothing more was asked");
            told
        })
    };
    let first = ask(&["get", "get", "head", "get router", "get", "head"]).await;
    let second = ask(&["get router", "head", "get", "get"]).await;
    for reply in first.iter().chain(&second) {
        assert_eq!(status(reply), "200");
        assert!(!head(reply).contains("Connection"), "{}", head(reply));
        assert!([0, 1024 * 1024].contains(&body(reply).len()));
        assert_eq!(timeless(head(reply)), timeless(head(&first[0])));
    }
}
