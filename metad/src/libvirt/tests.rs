//! Against libvirt's `test` driver, which needs neither a daemon nor privilege. All connections of a process to
//! `test:///default` see one host, so every test has a domain of its own.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for one event of many"
)]

use virt::connect::Connect;

use crate::record::Record;
use crate::source::{Event, State};

use host::{DEADLINE, Guest, URI, Watched, watch_libvirt};

mod deaf;
mod host;
mod hung;
mod last;

#[tokio::test]
async fn a_domain_is_followed_from_definition_to_removal() {
    let mut libvirt = watch_libvirt(URI);
    libvirt.connected().await;
    let guest = Guest::define("followed");
    let defined = libvirt.subject("defined", &guest.key, |_| true).await;
    assert_eq!(
        (defined.name.as_str(), defined.running, defined.epoch),
        ("followed", false, 0)
    );
    let nic = defined.nics.as_ref().and_then(|nics| nics.first()).unwrap();
    assert_eq!(
        (nic.interface.as_deref(), nic.network.as_deref()),
        (None, Some("default"))
    );
    assert_eq!(nic.bridge.as_deref(), Some("virbr0"));
    let subnets: Vec<_> = nic.subnets.iter().map(ToString::to_string).collect();
    assert_eq!(subnets, ["192.168.122.0/24"]);
    assert_eq!(defined.disks.len(), 1);

    guest.domain.create().unwrap();
    let started = libvirt
        .subject("started", &guest.key, |subject| subject.running)
        .await;
    assert_ne!(started.epoch, 0);
    assert!(started.reading > defined.reading);
    let nic = started.nics.as_ref().and_then(|nics| nics.first()).unwrap();
    assert!(nic.interface.is_some());

    guest.domain.destroy().unwrap();
    libvirt
        .subject("stopped", &guest.key, |subject| !subject.running)
        .await;
    guest.domain.undefine().unwrap();
    libvirt.gone(&guest.key).await;
}

#[tokio::test]
async fn metadata_counts_as_soon_as_it_is_set() {
    let guest = Guest::define("described");
    guest.domain.create().unwrap();
    let mut libvirt = watch_libvirt(URI);
    let key = guest.key.as_str();
    libvirt
        .subject("first reading", key, |subject| {
            subject.record == Record::default()
        })
        .await;
    libvirt.connected().await;

    guest.say(Some("<instance><hostname>one</hostname></instance>"), true);
    let one = libvirt
        .subject("first name", key, |subject| {
            subject.record.hostname.is_some()
        })
        .await;
    assert_eq!(
        (one.record.hostname.as_deref(), one.problem),
        (Some("one"), None)
    );

    guest.say(Some("<instance><hostnam>two</hostnam></instance>"), true);
    let bad = libvirt
        .subject("a problem", key, |subject| subject.problem.is_some())
        .await;
    assert_eq!(
        bad.record.hostname.as_deref(),
        Some("one"),
        "the last good record stands in"
    );
    assert!(bad.nics.is_some_and(|nics| nics.len() == 1));
    let problem = bad.problem.unwrap_or_default();
    assert!(
        problem.contains("<hostnam> is not known here, did you mean <hostname>?"),
        "{problem}"
    );
    assert!(problem.contains("line "), "{problem}");

    guest.say(
        Some("<instance><hostname>three</hostname></instance>"),
        true,
    );
    let three = libvirt
        .subject("mended", key, |subject| subject.problem.is_none())
        .await;
    assert_eq!(three.record.hostname.as_deref(), Some("three"));
    guest.say(None, true);
    libvirt
        .subject("nothing said", key, |subject| {
            subject.record == Record::default()
        })
        .await;
}

#[tokio::test]
async fn persistent_metadata_counts_at_the_next_start() {
    let guest = Guest::define("edited");
    guest.domain.create().unwrap();
    let mut libvirt = watch_libvirt(URI);
    libvirt.connected().await;
    guest.say(
        Some("<instance><hostname>next</hostname></instance>"),
        false,
    );
    let key = guest.key.as_str();
    let running = libvirt.subject("the edit", key, |_| true).await;
    assert_eq!((running.running, running.record.hostname), (true, None));
    guest.domain.destroy().unwrap();
    guest.domain.create().unwrap();
    let next = libvirt
        .subject("the next run", key, |subject| {
            subject.running && subject.epoch != running.epoch
        })
        .await;
    assert_eq!(next.record.hostname.as_deref(), Some("next"));
}

#[tokio::test]
async fn a_domain_whose_metadata_was_never_good_is_not_put() {
    let guest = Guest::define("never-good");
    guest.say(
        Some("<instance><options http-tokens='maybe'/></instance>"),
        false,
    );
    let mut libvirt = watch_libvirt(URI);
    let problem = libvirt
        .until("failed", |event| match event {
            Event::Failed { key, name, problem } if key == guest.key => Some((name, problem)),
            Event::Put(subject) if subject.key == guest.key => panic!("put {subject:?}"),
            _ => None,
        })
        .await;
    assert_eq!(problem.0, "never-good");
    assert!(
        problem
            .1
            .contains("<options> has an attribute `http-tokens`"),
        "{}",
        problem.1
    );
    let synced = libvirt.synced().await;
    assert!(synced.contains(&guest.key), "a failure is no absence");
}

#[tokio::test]
async fn the_bell_makes_everything_be_read_again() {
    let guest = Guest::define("rung");
    let mut libvirt = watch_libvirt(URI);
    let first = libvirt.subject("first reading", &guest.key, |_| true).await;
    libvirt.connected().await;
    libvirt.reread.notify_one();
    let again = libvirt
        .subject("second reading", &guest.key, |_| true)
        .await;
    assert!(again.reading > first.reading);
    assert!(libvirt.synced().await.contains(&guest.key));
    libvirt.reread.notify_waiters();
    libvirt
        .subject("third reading", &guest.key, |subject| {
            subject.reading > again.reading
        })
        .await;
}

#[tokio::test]
async fn a_network_that_changes_is_read_again() {
    let guest = Guest::define("networked");
    let mut libvirt = watch_libvirt(URI);
    libvirt.connected().await;
    let connection = Connect::open(Some(URI)).unwrap();
    let network = connection
        .create_network_xml("<network><name>fresh</name><bridge name='virbr77'/></network>")
        .unwrap();
    libvirt
        .subject("network started", &guest.key, |_| true)
        .await;
    network.destroy().unwrap();
}

#[tokio::test]
async fn two_sessions_in_one_process_each_see_everything() {
    let guest = Guest::define("shared");
    let (mut one, mut other) = (watch_libvirt(URI), watch_libvirt(URI));
    one.connected().await;
    other.connected().await;
    guest.domain.create().unwrap();
    one.subject("started, by one", &guest.key, |subject| subject.running)
        .await;
    other
        .subject("started, by the other", &guest.key, |subject| {
            subject.running
        })
        .await;
    one.session.stop();
    guest.domain.destroy().unwrap();
    other
        .subject("stopped, by the other", &guest.key, |subject| {
            !subject.running
        })
        .await;
}

#[tokio::test]
async fn a_session_that_is_stopped_or_dropped_sends_nothing_more() {
    let mut stopped = watch_libvirt(URI);
    stopped.connected().await;
    stopped.session.stop();
    while stopped.changes.recv().await.is_some() {}

    let Watched {
        session,
        mut changes,
        ..
    } = watch_libvirt(URI);
    drop(session);
    let end = async { while changes.recv().await.is_some() {} };
    tokio::time::timeout(DEADLINE, end)
        .await
        .expect("a dropped session ends");

    let full = watch_libvirt("test:///nowhere/node.xml");
    full.session.stop();
}

#[tokio::test]
async fn a_libvirt_that_cannot_be_reached_is_away_and_says_why() {
    for (uri, expected) in [
        (
            "test:///nowhere/node.xml",
            "cannot connect to libvirt at test:///nowhere/node.xml: ",
        ),
        (
            "no uri at all",
            "cannot connect to libvirt at no uri at all: ",
        ),
        (
            "qemu+unix:///system?socket=/nowhere/sock",
            "cannot connect to libvirt at qemu+unix:///system?socket=/nowhere/sock: ",
        ),
        (
            "te\0st:///default",
            "cannot connect to libvirt at te\0st:///default: ",
        ),
    ] {
        let mut libvirt = watch_libvirt(uri);
        let why = libvirt
            .until("away", |event| match event {
                Event::State(State::Away { why }) => Some(why),
                _ => None,
            })
            .await;
        assert!(
            why.starts_with(expected) && why.len() > expected.len(),
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_libvirt_that_comes_back_is_read_from_the_start() {
    let place = tempfile::tempdir().unwrap();
    let node = place.path().join("node.xml");
    let mut libvirt = watch_libvirt(&format!("test://{}", node.display()));
    libvirt
        .until("away", |event| {
            matches!(event, Event::State(State::Away { .. })).then_some(())
        })
        .await;
    let domain =
        "<domain type='test'><name>late</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
        <memory>8192</memory><os><type>hvm</type></os></domain>";
    let whole = place.path().join("node.xml.new");
    std::fs::write(&whole, format!("<node>{domain}</node>")).unwrap();
    std::fs::rename(&whole, &node).unwrap();
    libvirt
        .subject(
            "late domain",
            "4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
            |_| true,
        )
        .await;
    assert_eq!(libvirt.synced().await.len(), 1);
    libvirt.connected().await;
}
