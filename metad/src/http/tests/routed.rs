//! The same decisions through the router, with identity, hop limit and log line.

use std::io::{self, Write};
use std::sync::Mutex;

use proptest::prelude::*;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::identity::Peer;
use crate::instance::Mac;
use crate::inventory::Seat;

/// A socket that remembers its hop limit.
#[derive(Default)]
pub(super) struct Rope(Mutex<Option<u8>>);

impl Line for Rope {
    fn set_hop_limit(&self, hops: u8) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(hops);
        Ok(())
    }
}

fn seat(guest: &Guest, generation: u64) -> Seat {
    Seat {
        slot: 5,
        generation,
        instance: Arc::new(guest.instance.clone()),
        nic: 0,
        mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
        interface: "vnet1".into(),
        ifindex: 9,
        answers: Arc::new(guest.answers.clone()),
        notice: Arc::default(),
        meter: Arc::default(),
    }
}

pub(super) fn app(guest: &Guest) -> App {
    let mut snapshot = Snapshot::default();
    snapshot.seats.insert(5, Arc::new(seat(guest, 1)));
    App {
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        tokens: guest.tokens.clone(),
        state: StateDesk::default(),
        signer: guest.signer.clone(),
        keep_alive: false,
        bounds: Arc::default(),
    }
}

fn peer(seat: Result<(u32, u64), Unknown>) -> Peer {
    Peer {
        seat,
        address: Some(CALLER.into()),
        over_ipv6: false,
    }
}

pub(super) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    *request.headers_mut() = header_map(headers);
    request.extensions_mut().insert(peer(Ok((5, 1))));
    request
}

pub(super) async fn ask(app: &App, request: Request) -> (u16, HeaderMap, Bytes) {
    let response = router(app.clone(), watch::channel(false).1)
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, body)
}

#[tokio::test]
async fn routes_lead_to_the_same_decisions() {
    for guest in [Guest::new(), Guest::required(), Guest::disabled()] {
        for method in ["GET", "PUT", "POST", "OPTIONS"] {
            for path in [
                "/",
                "//",
                "/latest",
                "/latest/meta-data/",
                "//latest//api/token/",
                "/latest/api/token",
                "/latest/api/token/x",
                "/1.0/api/token",
                "/nocloud",
                "/nocloud/",
                "/nocloud/meta-data/",
                "/nocloud/..",
                "/nocloudy",
                "/latest/%2e%2e",
                "/latest/%00",
                "/latest/%7bx%7d/%22",
                "/{x}",
                "/latest/meta-data?recursive=true#x",
                "http://169.254.169.254/latest/meta-data/",
            ] {
                let (status, _, body) = ask(&app(&guest), request(method, path, &[])).await;
                let path: Uri = path.parse().unwrap();
                let decided = guest.ask(method, path.path(), &[]);
                assert_eq!(status, decided.status, "{method} {path}");
                assert_eq!(body, decided.body, "{method} {path}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_path_is_routed_as_it_is_decided(path in "(/[a-z%.{}*:~!@$&'()+,;=0-9]{0,6}){1,4}") {
        let guest = Guest::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (status, ..) = runtime.block_on(ask(&app(&guest), request("GET", &path, &[])));
        prop_assert_eq!(status, guest.get(&path).status.as_u16());
    }
}

#[tokio::test]
async fn head_is_get_without_body() {
    let guest = Guest::new();
    for path in ["/latest/meta-data/", "/latest/user-data", "/nowhere", "/"] {
        let (status, headers, body) = ask(&app(&guest), request("HEAD", path, &[])).await;
        let get = guest.get(path);
        assert_eq!(status, get.status, "{path}");
        let length = get.body.len().to_string();
        assert_eq!(headers["content-length"], length.as_str(), "{path}");
        assert!(body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn replies_close_unless_they_may_stay() {
    let mut app = app(&Guest::new());
    let (_, headers, _) = ask(&app, request("GET", "/", &[])).await;
    assert_eq!(headers["connection"], "close");
    app.keep_alive = true;
    let (_, headers, _) = ask(&app, request("GET", "/", &[])).await;
    assert!(!headers.contains_key("connection"));
}

#[tokio::test]
async fn nobody_is_told_to_come_back() {
    let app = app(&Guest::new());
    let mut unsigned = request("GET", "/", &[]);
    unsigned.extensions_mut().remove::<Peer>();
    let (status, ..) = ask(&app, unsigned).await;
    assert_eq!(status, 503, "no listener vouches for it");
    for (case, claimed, expected) in [
        ("its own", Ok((5, 1)), 200),
        ("another generation", Ok((5, 2)), 503),
        ("no such slot", Ok((6, 1)), 503),
        ("spoofed", Err(Unknown::Mismatch), 503),
        ("too many", Err(Unknown::Crowded), 503),
    ] {
        let mut request = request("GET", "/", &[("x-forwarded-for", "192.0.2.7")]);
        request.extensions_mut().insert(peer(claimed));
        let (status, headers, _) = ask(&app, request).await;
        assert_eq!(status, expected, "{case}");
        assert_eq!(
            headers.contains_key("retry-after"),
            expected == 503,
            "{case}"
        );
    }
}

#[tokio::test]
async fn token_leaves_only_with_its_hop_limit() {
    let guest = Guest::with(|instance| instance.options.hop_limit = 2);
    let rope = Arc::new(Rope::default());
    let mut put = request("PUT", "/latest/api/token", &[(TTL, "60")]);
    let (status, _, body) = ask(&app(&guest), put).await;
    assert_eq!(status, 500, "no socket to limit");
    assert!(body.starts_with(b"<html>"));
    put = request("PUT", "/latest/api/token", &[(TTL, "60")]);
    let line: Arc<dyn Line> = Arc::<Rope>::clone(&rope);
    put.extensions_mut().insert(line);
    let (status, _, body) = ask(&app(&guest), put).await;
    assert_eq!((status, body.len()), (200, crate::token::TOKEN_CHARS));
    assert_eq!(*rope.0.lock().unwrap(), Some(2));
}

#[tokio::test]
async fn body_is_ignored_up_to_its_limit() {
    for (length, expected) in [(0_u16, 200), (4096, 200), (4097, 413)] {
        for announced in [true, false] {
            let mut request = request("GET", "/", &[]);
            if announced {
                request.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            let octets = vec![b'x'; usize::from(length)];
            *request.body_mut() = Body::from(octets);
            let (status, ..) = ask(&app(&Guest::new()), request).await;
            assert_eq!(status, expected, "{length} {announced}");
        }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    /// Has this thread log here until the guard is dropped.
    pub(super) fn open(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_request_is_one_line_without_secrets() {
    let guest = Guest::new();
    let page = Page::default();
    let _guard = page.open();
    let ttl = Ttl::new(60).unwrap();
    let token = guest
        .tokens
        .grant(&guest.instance, ttl, BootTime::now())
        .unwrap();
    let headers = [(TOKEN, token.as_str())];
    ask(
        &app(&guest),
        request("GET", "/latest/user-data?k=s3cret", &headers),
    )
    .await;
    ask(
        &app(&guest),
        request("GET", "//no%0awhere", &[(TOKEN, "forged-token")]),
    )
    .await;
    let mut nobody = request("GET", "/", &[]);
    nobody.extensions_mut().insert(peer(Err(Unknown::Mismatch)));
    ask(&app(&guest), nobody).await;
    let log = page.text();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    let begin = " INFO request guest=web1 mac=52:54:00:00:00:01 interface=vnet1 method=GET path=";
    assert!(
        lines[0].starts_with(&format!("{begin}\"/latest/user-data\" status=200 us=")),
        "{log}"
    );
    assert!(
        lines[1].starts_with(&format!("{begin}\"//no%0awhere\" status=400 us=")),
        "{log}"
    );
    assert!(
        lines[1].contains("reason=\"the path is malformed\""),
        "{log}"
    );
    assert!(lines[2].contains("request of nobody"), "{log}");
    for secret in [token.as_str(), "forged-token", "s3cret", "cloud-config"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
