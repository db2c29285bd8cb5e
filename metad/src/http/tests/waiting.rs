//! Requests that wait, with the clock in the test's hand.

mod world;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::*;
use world::{World, told};

const TIME: &str = "/latest/meta-data/spot/termination-time";
const HOST: &str = "/latest/meta-data/hostname";

#[test]
fn queries_say_to_wait_or_not_or_nonsense() {
    let wait = |last: Option<&str>, seconds| Ok(Some((last.map(str::to_owned), seconds)));
    for (query, expected) in [
        (None, Ok(None)),
        (Some(""), Ok(None)),
        (Some("recursive=true&alt=json"), Ok(None)),
        (Some("last_etag=1&timeout_sec=soon"), Ok(None)),
        (Some("wait_for_change=false&timeout_sec=1"), Ok(None)),
        (Some("wait_for_change=False"), Ok(None)),
        (Some("wait_for_change=true"), wait(None, 300)),
        (Some("wait_for_change=True&recursive=True"), wait(None, 300)),
        (
            Some("alt=json&timeout_sec=60&last_etag=NONE&wait_for_change=true"),
            wait(Some("NONE"), 60),
        ),
        (
            Some("wait_for_change=true&last_etag=%22ab%22"),
            wait(Some("ab"), 300),
        ),
        (Some("wait_for_change=true&last_etag="), wait(Some(""), 300)),
        (Some("wait_for_change=true&timeout_sec=0"), wait(None, 0)),
        (
            Some("wait_for_change=true&timeout_sec=86400"),
            wait(None, 300),
        ),
        (
            Some("wait_for_change=true&timeout_sec=99999999999999999999999"),
            wait(None, 300),
        ),
        (Some("wait_for_change"), Err(())),
        (Some("wait_for_change="), Err(())),
        (Some("wait_for_change=yes"), Err(())),
        (Some("wait_for_change=true&wait_for_change=true"), Err(())),
        (Some("wait_for_change=true&timeout_sec="), Err(())),
        (Some("wait_for_change=true&timeout_sec=-1"), Err(())),
        (Some("wait_for_change=true&timeout_sec=1.5"), Err(())),
        (Some("wait_for_change=true&timeout_sec=%2B1"), Err(())),
        (
            Some("wait_for_change=true&timeout_sec=1&timeout_sec=2"),
            Err(()),
        ),
        (Some("wait_for_change=true&last_etag=%ff"), Err(())),
        (Some("wait_for_change=false&timeout_sec=x"), Err(())),
    ] {
        let read = wait::wanted(&Method::GET, query);
        let read = read.map(|wait| wait.map(|wait| wait.parts()));
        assert_eq!(read.ok(), expected.ok(), "{query:?}");
        let put = wait::wanted(&Method::PUT, query);
        assert!(matches!(put, Ok(None)), "{query:?}: nobody waits with PUT");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_when_it_changes_and_not_before() {
    let world = World::new(1);
    let before = world.get(HOST).await;
    let etag = before.etag.clone().unwrap();
    let waiting = world.ask(
        0,
        &format!("{HOST}?wait_for_change=true&last_etag={etag}&timeout_sec=60"),
    );
    world.until_waiting(0, 1).await;
    // Something else of the same instance.
    world.set(0, &json!({"a": "b"}));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!waiting.is_finished(), "woken, and the answer is the same");
    world.set(0, &json!({"hostname": "renamed"}));
    let after = waiting.await.unwrap();
    assert_eq!((after.status, after.body.as_str()), (200, "renamed"));
    assert_ne!(after.etag, before.etag);
    assert_eq!(world.notices[0].waiting(), 0, "its place is given back");
    assert_eq!(world.get(HOST).await, after);
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_already_is_told_at_once() {
    let world = World::new(1);
    let start = Instant::now();
    for last in ["0", "NONE", "", "0000000000000000", "fedcba9876543210"] {
        let path = format!("{HOST}?wait_for_change=true&last_etag={last}");
        assert_eq!(world.get(&path).await.status, 200, "{last:?}");
    }
    let path = format!("{HOST}?wait_for_change=true&timeout_sec=0");
    assert_eq!(world.get(&path).await.status, 200, "no time to wait");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_there_can_be_waited_for() {
    let world = World::new(1);
    let missing = world.get(TIME).await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.etag.as_deref(), Some("0000000000000000"));
    for query in ["", "&last_etag=0000000000000000"] {
        world.set(0, &json!({}));
        let waiting = world.ask(0, &format!("{TIME}?wait_for_change=true{query}"));
        world.until_waiting(0, 1).await;
        world.set(
            0,
            &json!({"spot": {"termination-time": "2026-01-31T12:00:00Z"}}),
        );
        let found = waiting.await.unwrap();
        assert_eq!(
            (found.status, found.body.as_str()),
            (200, "2026-01-31T12:00:00Z")
        );
        let etag = found.etag.unwrap();
        let waiting = world.ask(0, &format!("{TIME}?wait_for_change=true&last_etag={etag}"));
        world.until_waiting(0, 1).await;
        world.set(0, &json!({}));
        assert_eq!(waiting.await.unwrap(), missing, "and for it to go");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_tells_what_is() {
    for (seconds, expected) in [(1, 1), (299, 299), (3600, 300)] {
        let world = World::new(1);
        let start = Instant::now();
        let path = format!("{HOST}?wait_for_change=true&timeout_sec={seconds}");
        let told = world.get(&path).await;
        assert_eq!(told, world.get(HOST).await);
        assert_eq!(start.elapsed().as_secs(), expected, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_the_service_ends_every_wait_at_once() {
    let world = World::new(2);
    let waiting: Vec<_> = (0..2)
        .map(|slot| world.ask(slot, &format!("{HOST}?wait_for_change=true")))
        .collect();
    world.until_waiting(0, 1).await;
    world.until_waiting(1, 1).await;
    let start = Instant::now();
    world.stop.send_replace(true);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_waiting_gets_what_a_new_request_would() {
    for (case, generation) in [("gone", None), ("another NIC has the slot", Some(2))] {
        let world = World::new(1);
        let waiting = world.ask(0, &format!("{HOST}?wait_for_change=true"));
        world.until_waiting(0, 1).await;
        match generation {
            Some(generation) => world.change(0, generation, Some(&|_| {})),
            None => world.change(0, 1, None),
        }
        let told = waiting.await.unwrap();
        assert_eq!(told.status, 503, "{case}");
        assert_eq!(told, world.get(HOST).await, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_are_kept_before_the_wait_and_after_it() {
    let world = World::new(1);
    let (required, disabled) = (
        |it: &mut Instance| it.options.http_tokens = HttpTokens::Required,
        |it: &mut Instance| it.options.endpoint = Endpoint::Disabled,
    );
    let path = format!("{HOST}?wait_for_change=true");
    let waiting = world.ask(0, &path);
    world.until_waiting(0, 1).await;
    world.change(0, 1, Some(&required));
    assert_eq!(
        waiting.await.unwrap().status,
        401,
        "a token is needed by now"
    );
    assert_eq!(
        world.get(&path).await.status,
        401,
        "nobody waits without one"
    );
    assert_eq!(
        world
            .get(&format!("{HOST}?wait_for_change=maybe"))
            .await
            .status,
        400
    );
    world.change(0, 1, Some(&disabled));
    assert_eq!(
        world.get(&path).await.status,
        403,
        "nobody waits for nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_may_wait_and_others_are_not_kept_from_asking() {
    let world = World::new(2);
    let path = format!("{HOST}?wait_for_change=true&timeout_sec=100");
    let waiters = world.app.bounds.limits.waiters;
    let waiting: Vec<_> = (0..waiters).map(|_| world.ask(0, &path)).collect();
    world.until_waiting(0, waiters).await;
    assert_eq!(world.get(&path).await.status, 503, "one too many");
    assert_eq!(world.get(HOST).await.status, 200, "who does not wait");
    let other = world.ask(1, &path);
    world.until_waiting(1, 1).await;
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    assert_eq!(other.await.unwrap().status, 200);
    assert_eq!(world.notices[0].waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_dialect_and_head_can_wait() {
    for (method, path, expected) in [
        ("HEAD", HOST, ""),
        ("GET", "/nocloud/meta-data", "renamed"),
        ("GET", "/latest/meta-data/", "a-new-name"),
    ] {
        let world = World::new(1);
        let waiting = world.send(World::request(
            0,
            method,
            &format!("{path}?wait_for_change=true"),
        ));
        world.until_waiting(0, 1).await;
        world.set(
            0,
            &json!({"hostname": "renamed", "local-hostname": "renamed", "a-new-name": "1"}),
        );
        let told = waiting.await.unwrap();
        assert_eq!(told.status, 200, "{method} {path}");
        assert!(
            told.body.contains(expected),
            "{method} {path}: {}",
            told.body
        );
        assert_eq!(told.body.is_empty(), method == "HEAD", "{method} {path}");
    }
}

/// A connection whose guest hangs up when told to.
#[derive(Default)]
struct Rope {
    hung_up: Notify,
    waits: AtomicBool,
}

impl Line for Rope {
    fn set_hop_limit(&self, _hops: u8) -> io::Result<()> {
        Ok(())
    }

    fn hung_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.hung_up.notified())
    }

    fn waits(&self, waiting: bool) {
        self.waits.store(waiting, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_leaves_its_place_to_others() {
    let world = World::new(1);
    let rope = Arc::new(Rope::default());
    let mut request = World::request(0, "GET", &format!("{HOST}?wait_for_change=true"));
    request
        .extensions_mut()
        .insert::<Arc<dyn Line>>(Arc::<Rope>::clone(&rope));
    let waiting = world.send(request);
    world.until_waiting(0, 1).await;
    assert!(rope.waits.load(Ordering::Relaxed));
    let start = Instant::now();
    rope.hung_up.notify_one();
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(world.notices[0].waiting(), 0);
    assert!(!rope.waits.load(Ordering::Relaxed));
}

/// Counts how often a future is woken and polled.
struct Counted<F> {
    inner: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_mut().poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_wait_are_woken_once_each_and_by_their_own_instance_alone() {
    const GUESTS: u32 = 100;
    const EACH: usize = 10;
    let world = World::new(GUESTS);
    let polls = Arc::new(AtomicUsize::new(0));
    let mut waiting = Vec::new();
    for slot in 0..GUESTS {
        for _ in 0..EACH {
            let request = World::request(slot, "GET", &format!("{TIME}?wait_for_change=true"));
            let router = router(world.app.clone(), world.stop.subscribe());
            waiting.push(tokio::spawn(Counted {
                inner: Box::pin(told(router, request)),
                polls: Arc::clone(&polls),
            }));
        }
    }
    for slot in 0..GUESTS {
        world.until_waiting(slot, EACH).await;
    }
    let settled = polls.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(100)).await;
    let set = json!({"spot": {"termination-time": "2026-01-31T12:00:00Z"}});
    world.set(0, &set);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(
        polls.load(Ordering::Relaxed) - settled,
        EACH,
        "one instance changed"
    );
    for slot in 1..GUESTS {
        world.set(slot, &set);
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status, 200);
    }
    let woken = polls.load(Ordering::Relaxed) - settled;
    assert_eq!(woken, GUESTS as usize * EACH, "every instance changed");
}
