//! A libvirt that announces nothing any more, by its own fault: see `hearing.rs`. Everything in a process is one host
//! to libvirt's `test` driver, so each of these has a process of its own, in which nobody else listens.

use std::process::Command;
use std::time::Duration;

use virt::connect::Connect;

use super::host::{Guest, URI, Watched, watch_within};
use super::last::start_while_leaving;
use crate::libvirt::events;
use crate::libvirt::session::Limits;
use crate::source::Event;

const NEVER: Duration = Duration::from_hours(1);

/// Waits that make a test short; nothing is looked for without being asked.
const SHORT: Limits = Limits {
    call: NEVER,
    open: NEVER,
    grace: Duration::from_millis(200),
    check: NEVER,
    full: u32::MAX,
    poll: Duration::from_millis(100),
    retry: NEVER,
};

/// Runs the test of this name again in a process of its own. `true`: this is that process.
fn alone(name: &str) -> bool {
    const ALONE: &str = "METAD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("libvirt::tests::deaf::{name}"), "--exact"]);
    let output = command.env(ALONE, "1").output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && words.contains("1 passed"),
        "{words}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// A host whose only guest runs and whose queue of events is stuck.
fn deafened() -> Guest {
    events::start_loop().unwrap();
    let guest = Guest::define_alone("unheard");
    start_while_leaving(&Connect::open_read_only(Some(URI)).unwrap(), &guest);
    guest
}

/// The problem that a source shows as its own.
async fn problem(libvirt: &mut Watched) -> String {
    libvirt
        .until("a problem", |event| match event {
            Event::Failed { key, problem, .. } if key == "events" => Some(problem),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_change_that_was_not_announced_makes_it_connect_anew_and_hear_again() {
    if !alone("a_change_that_was_not_announced_makes_it_connect_anew_and_hear_again") {
        return;
    }
    let guest = deafened();
    let mut libvirt = watch_within(URI, SHORT);
    libvirt.connected().await;
    guest.domain.destroy().unwrap();
    // As when a stranger asks: this is how the change is found.
    libvirt.reread.notify_one();
    libvirt
        .subject("stopped", &guest.key, |subject| !subject.running)
        .await;
    libvirt.connected().await;
    guest.domain.create().unwrap();
    libvirt
        .subject("started, announced", &guest.key, |subject| subject.running)
        .await;
}

#[tokio::test]
async fn a_look_at_the_list_finds_what_was_not_announced() {
    if !alone("a_look_at_the_list_finds_what_was_not_announced") {
        return;
    }
    let guest = deafened();
    let check = Duration::from_millis(100);
    let mut libvirt = watch_within(URI, Limits { check, ..SHORT });
    libvirt.connected().await;
    guest.domain.destroy().unwrap();
    libvirt
        .subject("stopped", &guest.key, |subject| !subject.running)
        .await;
    libvirt.connected().await;
    let late = Guest::define_alone("defined-late");
    libvirt.subject("announced", &late.key, |_| true).await;
}

#[tokio::test]
async fn while_others_keep_it_deaf_it_is_polled_and_says_so() {
    if !alone("while_others_keep_it_deaf_it_is_polled_and_says_so") {
        return;
    }
    let guest = deafened();
    let other = Connect::open_read_only(Some(URI)).unwrap();
    let (bell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listener = events::subscribe(&other, &bell).unwrap();
    let limits = Limits {
        check: Duration::from_millis(100),
        retry: Duration::from_secs(2),
        ..SHORT
    };
    let mut libvirt = watch_within(URI, limits);
    libvirt.connected().await;
    guest.domain.destroy().unwrap();
    libvirt.connected().await;
    // What is found from here on shows that connecting anew did not help.
    guest.domain.create().unwrap();
    let shown = problem(&mut libvirt).await;
    assert!(shown.contains("restart libvirtd"), "{shown}");
    assert!(
        libvirt.synced().await.iter().any(|key| key == "events"),
        "the problem stays"
    );
    guest.domain.destroy().unwrap();
    libvirt
        .subject("stopped, by looking", &guest.key, |subject| {
            !subject.running
        })
        .await;
    assert!(heard.try_recv().is_err(), "the other one is deaf, too");
    drop(listener);
    // The next attempt finds nobody else, and empties the queue.
    let running = std::cell::Cell::new(false);
    let over = libvirt.until("an announcement", |event| {
        let toggled = match running.replace(!running.get()) {
            true => guest.domain.destroy(),
            false => guest.domain.create(),
        };
        toggled.unwrap();
        matches!(event, Event::Gone { key } if key == "events").then_some(())
    });
    over.await;
}
