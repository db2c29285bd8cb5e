//! A libvirt that takes connections and says nothing: its daemon is stopped, or waits for a dead disk.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::host::{DEADLINE, Watched, watch_within};
use crate::libvirt::session::Limits;
use crate::source::{Event, State};

/// A socket that takes every connection, and hands them to the test.
fn silent_daemon(place: &tempfile::TempDir) -> (String, Receiver<UnixStream>) {
    let socket = place.path().join("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (sender, taken) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    (uri, taken)
}

fn limits() -> Limits {
    Limits {
        open: Duration::from_millis(300),
        ..Limits::default()
    }
}

async fn away(libvirt: &mut Watched) -> String {
    libvirt
        .until("away", |event| match event {
            Event::State(State::Away { why }) => Some(why),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_connection_that_is_never_answered_is_given_up_and_said() {
    let place = tempfile::tempdir().unwrap();
    let (uri, taken) = silent_daemon(&place);
    let mut libvirt = watch_within(&uri, limits());
    let why = away(&mut libvirt).await;
    assert!(
        why.contains("takes connections and does not answer: given up after 0.3 s"),
        "{why}"
    );
    // One after the other, and then no more: what hangs does not pile up.
    let mut held: Vec<UnixStream> = (0..4)
        .map(|_| taken.recv_timeout(DEADLINE).unwrap())
        .collect();
    assert!(
        taken.recv_timeout(Duration::from_secs(3)).is_err(),
        "a fifth connection while four hang"
    );
    // The daemon dies: every connection ends, and it is tried anew.
    held.clear();
    taken.recv_timeout(DEADLINE).unwrap();
    let started = Instant::now();
    libvirt.session.stop();
    assert!(
        started.elapsed() < DEADLINE / 2,
        "a stop waited for a libvirt that hangs"
    );
}
