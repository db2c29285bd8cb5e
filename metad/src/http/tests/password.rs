//! A password through the router, into a store and out again.

use super::routed::{app, ask, request};
use super::*;
use crate::instance::Switch;
use crate::settings::{Errand, StateDesk, Stored};

const PATH: &str = "/openstack/latest/password";

/// A guest whose passwords meet with `outcome`, or with nobody.
fn with(left: Option<&[u8]>, outcome: Option<Stored>) -> App {
    let left = left.map(Bytes::copy_from_slice);
    let guest = Guest::with(|instance| {
        instance.options.password = Switch::Enabled;
        instance.password = left;
    });
    let state = match outcome {
        None => StateDesk::default(),
        Some(outcome) => {
            let (state, mut errands) = StateDesk::open();
            tokio::spawn(async move {
                while let Some(Errand::Password(_, _, answer)) = errands.recv().await {
                    answer.send(outcome).unwrap();
                }
            });
            state
        }
    };
    App {
        state,
        ..app(&guest)
    }
}

fn post(octets: usize) -> Request {
    let mut request = request("POST", PATH, &[]);
    *request.body_mut() = Body::from(vec![b'p'; octets]);
    request
}

#[tokio::test]
async fn password_that_was_left_is_shown_in_every_version_that_knows_it() {
    let none = with(None, None);
    let (status, headers, body) = ask(&none, request("GET", PATH, &[])).await;
    assert_eq!((status, body.len()), (200, 0), "none yet");
    assert_eq!(headers["content-length"], "0");
    let left = with(Some(&[b'p'; 1020]), None);
    for version in ["latest", "2013-04-04"] {
        let path = format!("/openstack/{version}/password");
        let (status, headers, body) = ask(&left, request("GET", &path, &[])).await;
        assert_eq!((status, &body[..]), (200, &[b'p'; 1020][..]), "{version}");
        assert_eq!(headers["content-length"], "1020");
        assert_eq!(headers["content-type"], "text/plain");
    }
    let (status, headers, body) = ask(&left, request("HEAD", PATH, &[])).await;
    assert_eq!((status, body.len()), (200, 0));
    assert_eq!(headers["content-length"], "1020");
}

#[tokio::test]
async fn password_is_stored_once_and_only_if_it_fits() {
    let stored = Some(Stored::Stored);
    for (case, left, outcome, octets, expected) in [
        ("the first", None, stored, 1020, 200),
        ("one octet", None, stored, 1, 200),
        ("empty", None, stored, 0, 400),
        ("too long", None, stored, 1021, 400),
        ("far too long", None, stored, 4097, 413),
        ("another one", Some(&b"p"[..]), stored, 1, 409),
        ("whatever comes then", Some(&b"p"[..]), stored, 2000, 409),
        (
            "another request was quicker",
            None,
            Some(Stored::AlreadySet),
            1,
            409,
        ),
        ("the store fails", None, Some(Stored::Failed), 8, 503),
        ("there is no store", None, None, 8, 503),
    ] {
        let (status, headers, _) = ask(&with(left, outcome), post(octets)).await;
        assert_eq!(status, expected, "{case}");
        let again = (expected == 503).then_some("1");
        let retry = headers
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(retry, again, "{case}");
    }
}
