//! A guest that asks too often: what it is refused, what only comes late, and what is counted and logged of it.

use std::time::Instant;

use super::routed::{Page, Rope, app, ask, request as plain};
use super::*;
use crate::config::{Limits, Rate};
use crate::limits::{Bounds, Limit};

/// A request on a connection that takes a hop limit.
fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = plain(method, path, headers);
    let line: Arc<dyn Line> = Arc::new(Rope::default());
    request.extensions_mut().insert(line);
    request
}

/// An app whose guest may ask `burst` times, and then once a second.
fn sparing(burst: u32) -> App {
    let requests = Rate {
        per_second: 1,
        burst,
    };
    let limits = Limits {
        requests,
        ..Limits::default()
    };
    App {
        bounds: Arc::new(Bounds::new(limits)),
        keep_alive: true,
        ..app(&Guest::new())
    }
}

fn meter(app: &App) -> Arc<crate::limits::Meter> {
    Arc::clone(&app.snapshot.load().seats[&5].meter)
}

#[tokio::test(start_paused = true)]
async fn data_is_refused_beyond_the_rate_and_the_connection_ends() {
    let app = sparing(5);
    let began = Instant::now();
    let mut refused = 0;
    for _ in 0..50 {
        let (status, headers, body) = ask(&app, request("GET", "/latest/user-data", &[])).await;
        match status {
            200 => assert_eq!(headers.get("connection"), None),
            503 => {
                refused += 1;
                assert_eq!(headers["retry-after"], "1");
                assert_eq!(headers["connection"], "close");
                assert_eq!(headers["content-length"], body.len().to_string());
            }
            other => panic!("{other}"),
        }
    }
    let most = 50 - 5;
    let least = most - began.elapsed().as_secs() - 1;
    assert!((least..=most).contains(&refused), "{refused}");
    assert_eq!(app.bounds.counts().of(Limit::Requests), refused);
    assert_eq!(meter(&app).counts().of(Limit::Requests), refused);
    assert_eq!(meter(&app).counts().of(Limit::RequestsDelayed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_clients_give_up_on_is_late_and_never_refused() {
    let app = sparing(1);
    for _ in 0..30 {
        ask(&app, request("GET", "/latest/user-data", &[])).await;
    }
    for (method, path) in [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/instance-id"),
        ("HEAD", "/2021-01-03/meta-data/instance-id"),
        ("GET", "/openstack"),
    ] {
        let before = meter(&app).counts().of(Limit::RequestsDelayed);
        for _ in 0..20 {
            let asked = tokio::time::Instant::now();
            let (status, headers, _) = ask(&app, request(method, path, &[(TTL, "60")])).await;
            assert_eq!(status, 200, "{method} {path}");
            assert!(!headers.contains_key("retry-after"), "{method} {path}");
            // By the clock of the test, on which nothing else takes time.
            assert!(asked.elapsed().as_millis() <= 901, "{method} {path}");
        }
        let late = meter(&app).counts().of(Limit::RequestsDelayed) - before;
        assert!(late > 0, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_when_its_late_answer_comes_is_told_so() {
    let app = sparing(1);
    let token = || request("PUT", "/latest/api/token", &[(TTL, "60")]);
    assert_eq!(ask(&app, token()).await.0, 200);
    let asked = {
        let app = app.clone();
        let token = token();
        tokio::spawn(async move { ask(&app, token).await.0 })
    };
    while app.bounds.counts().of(Limit::RequestsDelayed) == 0 {
        tokio::task::yield_now().await;
    }
    app.snapshot.store(Arc::default());
    assert_eq!(asked.await.unwrap(), 503);
}

#[tokio::test(start_paused = true)]
async fn one_guests_haste_is_not_anothers() {
    let app = sparing(1);
    let (hasty, other) = (seated(&app, 5), seated(&app, 6));
    let mut refused = 0;
    for _ in 0..20 {
        refused += u16::from(ask(&app, hasty("/latest/user-data")).await.0 == 503);
    }
    assert!(refused > 0);
    assert_eq!(ask(&app, other("/latest/user-data")).await.0, 200);
}

/// Requests of the guest in this slot, which has a meter of its own.
fn seated(app: &App, slot: u32) -> impl Fn(&str) -> Request {
    let before = app.snapshot.load_full();
    let mut snapshot = Snapshot {
        seats: before.seats.clone(),
        ..Snapshot::default()
    };
    let first = &before.seats[&5];
    let seat = crate::inventory::Seat {
        slot,
        instance: Arc::clone(&first.instance),
        interface: first.interface.clone(),
        answers: Arc::clone(&first.answers),
        notice: Arc::default(),
        meter: Arc::default(),
        ..**first
    };
    snapshot.seats.insert(slot, Arc::new(seat));
    app.snapshot.store(Arc::new(snapshot));
    move |path| {
        let mut request = request("GET", path, &[]);
        request.extensions_mut().insert(Peer {
            seat: Ok((slot, 1)),
            ..Peer::unknown(Unknown::NoSeat)
        });
        request
    }
}

#[tokio::test(start_paused = true)]
async fn switched_off_nothing_is_refused_or_late() {
    let mut app = sparing(1);
    let limits = Limits {
        enabled: false,
        ..app.bounds.limits
    };
    app.bounds = Arc::new(Bounds::new(limits));
    for _ in 0..50 {
        assert_eq!(
            ask(&app, request("GET", "/latest/user-data", &[])).await.0,
            200
        );
    }
    for limit in Limit::ALL {
        assert_eq!(app.bounds.counts().of(limit), 0, "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_have_one_line_a_second_that_counts_the_others() {
    let app = sparing(1);
    let page = Page::default();
    let _guard = page.open();
    let began = Instant::now();
    for _ in 0..40 {
        ask(&app, request("GET", "/latest/user-data", &[])).await;
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let log = page.text();
    let refused = log.lines().filter(|line| line.contains("status=503"));
    let told: Vec<&str> = refused.collect();
    assert!((1..=seconds + 1).contains(&told.len()), "{log}");
    assert!(
        told[0].contains("reason=\"the guest asks too often\""),
        "{log}"
    );
    assert!(told[0].contains("unlogged=0"), "{log}");
    let answered = log
        .lines()
        .filter(|line| line.contains("status=200"))
        .count();
    assert!(
        answered >= 1 && !log.contains("status=200 us=0 unlogged"),
        "{log}"
    );
}

#[tokio::test]
async fn each_refusal_is_counted_as_what_it_is() {
    let app = app(&Guest::new());
    let with = |method: &str, path: &str, headers: &[(&str, &str)], body: &'static [u8]| {
        let mut request = request(method, path, headers);
        *request.body_mut() = Body::from(body);
        request
    };
    const LONG: &[u8] = &[b'x'; 5000];
    let waits = "/latest/user-data?wait_for_change=true&timeout_sec=60";
    let full: Vec<_> = {
        let notice = Arc::clone(&app.snapshot.load().seats[&5].notice);
        let waiters = app.bounds.limits.waiters;
        (0..waiters).map_while(|_| notice.wait(waiters)).collect()
    };
    for (case, sent, status, limit) in [
        (
            "a body",
            with("PUT", "/latest/api/token", &[], LONG),
            413,
            Some(Limit::BodySize),
        ),
        (
            "a waiter",
            with("GET", waits, &[], b""),
            503,
            Some(Limit::Waiters),
        ),
        (
            "nothing",
            with("GET", "/latest/user-data", &[], b""),
            200,
            None,
        ),
        (
            "another refusal",
            with("GET", "/latest/nothing", &[], b""),
            404,
            None,
        ),
    ] {
        let before = Limit::ALL.map(|limit| app.bounds.counts().of(limit));
        assert_eq!(ask(&app, sent).await.0, status, "{case}");
        for (it, before) in Limit::ALL.into_iter().zip(before) {
            let met = app.bounds.counts().of(it) - before;
            assert_eq!(met, u64::from(Some(it) == limit), "{case}: {it:?}");
        }
    }
    drop(full);
}
