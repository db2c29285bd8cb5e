//! A password through the router, into a store and out again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use uuid::Uuid;

use super::routed::{app, ask, request};
use super::*;
use crate::instance::Switch;

const PATH: &str = "/openstack/latest/password";

/// Keeps what fits into memory, or nothing.
#[derive(Debug, Default)]
struct Shelf {
    kept: Mutex<BTreeMap<Uuid, Bytes>>,
    fails: bool,
}

impl Passwords for Shelf {
    fn left(&self, instance: Uuid) -> Option<Bytes> {
        self.kept.lock().unwrap().get(&instance).cloned()
    }

    fn keep(&self, instance: Uuid, password: Bytes) -> Keeping<'_> {
        let kept = if self.fails {
            Err(NotKept::Failed)
        } else {
            let mut kept = self.kept.lock().unwrap();
            kept.insert(instance, password);
            Ok(())
        };
        Box::pin(std::future::ready(kept))
    }
}

fn guest() -> Guest {
    Guest::with(|instance| instance.options.password = Switch::Enabled)
}

fn with(store: Option<Shelf>) -> App {
    let store = store.map(|store| -> Arc<dyn Passwords> { Arc::new(store) });
    App {
        passwords: store,
        ..app(&guest())
    }
}

fn post(octets: usize) -> Request {
    let mut request = request("POST", PATH, &[]);
    *request.body_mut() = Body::from(vec![b'p'; octets]);
    request
}

#[tokio::test]
async fn password_is_stored_once() {
    let app = with(Some(Shelf::default()));
    let (status, headers, body) = ask(&app, request("GET", PATH, &[])).await;
    assert_eq!((status, body.len()), (200, 0), "none yet");
    assert_eq!(headers["content-length"], "0");
    let (status, _, body) = ask(&app, post(1020)).await;
    assert_eq!((status, body.len()), (200, 0), "the first");
    let (status, ..) = ask(&app, post(1)).await;
    assert_eq!(status, 409, "the second");
    let (status, ..) = ask(&app, post(2000)).await;
    assert_eq!(status, 409, "it is taken, whatever comes");
    for version in ["latest", "2013-04-04"] {
        let path = format!("/openstack/{version}/password");
        let (status, headers, body) = ask(&app, request("GET", &path, &[])).await;
        assert_eq!((status, &body[..]), (200, &[b'p'; 1020][..]), "{version}");
        assert_eq!(headers["content-length"], "1020");
        assert_eq!(headers["content-type"], "text/plain");
    }
    let (status, headers, body) = ask(&app, request("HEAD", PATH, &[])).await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(headers["content-length"], "1020");
}

#[tokio::test]
async fn password_that_is_none_or_too_long_is_refused_and_not_stored() {
    for (octets, expected) in [
        (0, 400),
        (1, 200),
        (1020, 200),
        (1021, 400),
        (4096, 400),
        (4097, 413),
    ] {
        let app = with(Some(Shelf::default()));
        let (status, ..) = ask(&app, post(octets)).await;
        assert_eq!(status, expected, "{octets}");
        let (_, _, body) = ask(&app, request("GET", PATH, &[])).await;
        let kept = if expected == 200 { octets } else { 0 };
        assert_eq!(body.len(), kept, "{octets}");
    }
}

#[tokio::test]
async fn password_that_cannot_be_kept_is_asked_for_again() {
    let failing = Shelf {
        fails: true,
        ..Shelf::default()
    };
    for (case, store) in [
        ("the store fails", Some(failing)),
        ("there is no store", None),
    ] {
        let (status, headers, _) = ask(&with(store), post(8)).await;
        assert_eq!(status, 503, "{case}");
        assert_eq!(headers["retry-after"], "1", "{case}");
    }
}
