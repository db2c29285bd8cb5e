//! A password through the router to the one who keeps it, and out again.

use std::sync::Mutex;

use uuid::Uuid;

use super::routed::{app, ask, request};
use super::*;
use crate::instance::Switch;
use crate::settings::{Errand as Wanted, StateDesk, Stored};

const PATH: &str = "/openstack/latest/password";

/// What came to the desk.
type Kept = Arc<Mutex<Vec<(Uuid, Bytes)>>>;

fn guest(left: Option<&'static [u8]>) -> Guest {
    Guest::with(|instance| {
        instance.options.password = Switch::Enabled;
        instance.password = left.map(Bytes::from_static);
    })
}

/// Sits behind the desk and says of every password that it was `stored`.
fn desk(stored: Stored) -> (StateDesk, Kept) {
    let (desk, mut wants) = StateDesk::open();
    let kept = Kept::default();
    let shelf = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Some(want) = wants.recv().await {
            if let Wanted::Password(instance, password, answer) = want {
                shelf.lock().unwrap().push((instance, password));
                answer.send(stored).unwrap();
            }
        }
    });
    (desk, kept)
}

fn with(guest: &Guest, state: StateDesk) -> App {
    App {
        state,
        ..app(guest)
    }
}

fn post(octets: usize) -> Request {
    let mut request = request("POST", PATH, &[]);
    *request.body_mut() = Body::from(vec![b'p'; octets]);
    request
}

#[tokio::test]
async fn password_goes_to_whoever_keeps_it() {
    let guest = guest(None);
    let (desk, kept) = desk(Stored::Stored);
    let app = with(&guest, desk);
    let (status, headers, body) = ask(&app, request("GET", PATH, &[])).await;
    assert_eq!((status, body.len()), (200, 0), "none yet");
    assert_eq!(headers["content-length"], "0");
    let (status, _, body) = ask(&app, post(1020)).await;
    assert_eq!((status, body.len()), (200, 0));
    let octets = Bytes::from(vec![b'p'; 1020]);
    assert_eq!(*kept.lock().unwrap(), [(guest.instance.uuid, octets)]);
}

#[tokio::test]
async fn password_that_was_left_is_told_and_never_replaced() {
    let (desk, kept) = desk(Stored::Stored);
    let app = with(&guest(Some(b"\xffsecret\0")), desk);
    for version in ["latest", "2013-04-04"] {
        let path = format!("/openstack/{version}/password");
        let (status, headers, body) = ask(&app, request("GET", &path, &[])).await;
        assert_eq!(
            (status, &body[..]),
            (200, &b"\xffsecret\0"[..]),
            "{version}"
        );
        assert_eq!(headers["content-length"], "8");
        assert_eq!(headers["content-type"], "text/plain");
    }
    for octets in [0, 1, 2000] {
        assert_eq!(ask(&app, post(octets)).await.0, 409, "{octets}");
    }
    assert!(kept.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn password_that_is_none_or_too_long_is_refused_and_not_kept() {
    for (octets, expected) in [
        (0, 400),
        (1, 200),
        (1020, 200),
        (1021, 400),
        (4096, 400),
        (4097, 413),
    ] {
        let (desk, kept) = desk(Stored::Stored);
        let (status, ..) = ask(&with(&guest(None), desk), post(octets)).await;
        assert_eq!(status, expected, "{octets}");
        assert_eq!(
            kept.lock().unwrap().len(),
            usize::from(expected == 200),
            "{octets}"
        );
    }
}

#[tokio::test]
async fn answer_says_what_became_of_it() {
    for (stored, expected) in [
        (Stored::Stored, 200),
        (Stored::AlreadySet, 409),
        (Stored::TooLong, 400),
        (Stored::Failed, 503),
    ] {
        let (desk, _kept) = desk(stored);
        let (status, ..) = ask(&with(&guest(None), desk), post(8)).await;
        assert_eq!(status, expected, "{stored:?}");
    }
    let nobody = with(&guest(None), StateDesk::default());
    assert_eq!(ask(&nobody, post(8)).await.0, 503, "nobody sits there");
}
