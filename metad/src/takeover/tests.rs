//! Elder and heir over a real socket; what the elder's household was told is written down.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::wire::Wire;
use super::*;

/// Writes down what it is told.
#[derive(Debug, Clone)]
struct Told {
    words: mpsc::UnboundedSender<&'static str>,
    objects: Arc<Mutex<Option<String>>>,
    /// Whether it is ending by itself.
    ends: Arc<AtomicBool>,
}

impl Household for Told {
    fn objection(&self) -> Option<String> {
        self.objects.lock().unwrap().clone()
    }

    fn stand_aside(&self) -> BoxFuture<'_, bool> {
        let ends = self.ends.load(Ordering::Acquire);
        let _ = self.words.send(if ends { "ends" } else { "aside" });
        Box::pin(std::future::ready(!ends))
    }

    fn resume(&self) -> BoxFuture<'_, ()> {
        let _ = self.words.send("resume");
        Box::pin(std::future::ready(()))
    }

    fn retire(&self) {
        let _ = self.words.send("retire");
    }
}

struct Scene {
    path: PathBuf,
    words: mpsc::UnboundedReceiver<&'static str>,
    objects: Arc<Mutex<Option<String>>>,
    ends: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

impl Scene {
    /// An elder that waits.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("successor.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (sender, words) = mpsc::unbounded_channel();
        let objects = Arc::<Mutex<Option<String>>>::default();
        let ends = Arc::<AtomicBool>::default();
        let told = Told {
            words: sender,
            objects: Arc::clone(&objects),
            ends: Arc::clone(&ends),
        };
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let bequest = Bequest {
            lock: null(),
            admin: null(),
            successor: null(),
            guests: vec![("metad-ipv4".to_owned(), null())],
        };
        tokio::spawn(Elder::new(bequest, told).wait(listener));
        Self {
            path,
            words,
            objects,
            ends,
            _directory: directory,
        }
    }

    /// What the household was told until now is exactly this.
    async fn was_told(&mut self, expected: &[&'static str]) {
        for word in expected {
            assert_eq!(self.words.recv().await, Some(*word));
        }
        assert!(self.words.try_recv().is_err(), "and nothing else");
    }
}

#[tokio::test]
async fn an_heir_that_serves_lets_the_elder_end() {
    let mut scene = Scene::new();
    let mut inheritance = inherit(&scene.path).await.unwrap();
    let names: Vec<&str> = inheritance
        .guests
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["metad-ipv4"]);
    scene.was_told(&[]).await;
    inheritance.conversation.ready().await.unwrap();
    scene.was_told(&["aside"]).await;
    let outcome = inheritance.conversation.serving().await.unwrap();
    assert_eq!(outcome, Outcome::Handed);
    scene.was_told(&["retire"]).await;
    // Who comes now is not the elder's any more. Its socket goes as soon as it has noticed.
    let nobody = loop {
        match inherit(&scene.path).await {
            Err(TakeOverError::Refused(_) | TakeOverError::Gone(_)) => {}
            other => break other,
        }
    };
    assert!(
        matches!(nobody, Err(TakeOverError::NobodyThere(_))),
        "{nobody:?}"
    );
}

#[tokio::test]
async fn whenever_an_heir_dies_the_elder_serves_on_and_can_be_taken_over_again() {
    let mut scene = Scene::new();
    for (moment, expected) in [
        ("before it said who it was", [].as_slice()),
        ("while it came up", &[]),
        ("when the elder had stood aside", &["aside", "resume"]),
    ] {
        if moment.starts_with("before") {
            drop(UnixStream::connect(&scene.path).await.unwrap());
        } else {
            let mut inheritance = again(&scene.path).await;
            if !expected.is_empty() {
                inheritance.conversation.ready().await.unwrap();
            }
        }
        scene.was_told(expected).await;
        // One that comes right after it may find its place taken still.
        drop(again(&scene.path).await);
    }
    let mut inheritance = again(&scene.path).await;
    inheritance.conversation.ready().await.unwrap();
    inheritance.conversation.serving().await.unwrap();
    scene.was_told(&["aside", "retire"]).await;
}

/// Inherits as soon as the one before is forgotten.
async fn again(path: &std::path::Path) -> Inheritance {
    loop {
        match inherit(path).await {
            Ok(inheritance) => return inheritance,
            Err(TakeOverError::Refused(why)) => assert!(why.contains("another one"), "{why}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_elder_that_is_ending_stands_aside_for_nobody() {
    let mut scene = Scene::new();
    let mut inheritance = inherit(&scene.path).await.unwrap();
    scene.ends.store(true, Ordering::Release);
    let refused = inheritance.conversation.ready().await.unwrap_err();
    assert!(matches!(refused, TakeOverError::Gone(_)), "{refused:?}");
    scene.was_told(&["ends"]).await;
}

#[tokio::test]
async fn of_two_heirs_the_second_is_refused() {
    let mut scene = Scene::new();
    let mut first = inherit(&scene.path).await.unwrap();
    let second = inherit(&scene.path).await.unwrap_err();
    assert_eq!(
        second.to_string(),
        "the running metad refuses to be taken over: another one is taking it over at this moment"
    );
    first.conversation.ready().await.unwrap();
    first.conversation.serving().await.unwrap();
    scene.was_told(&["aside", "retire"]).await;
}

#[tokio::test]
async fn what_cannot_be_handed_over_is_refused_before_anything_happens() {
    let mut scene = Scene::new();
    *scene.objects.lock().unwrap() = Some("it does not want to".to_owned());
    let refused = inherit(&scene.path).await.unwrap_err();
    assert!(
        refused.to_string().contains("it does not want to"),
        "{refused}"
    );
    *scene.objects.lock().unwrap() = None;

    for (case, hello, expected) in [
        (
            "another protocol",
            r#"{"say":"hello","protocol":99,"version":"9.9.9","pid":1}"#,
            Some("metad 9.9.9 hands over in another way"),
        ),
        ("out of turn", r#"{"say":"ready"}"#, None),
        ("no heir's word", r#"{"say":"boo"}"#, None),
    ] {
        let mut stream = UnixStream::connect(&scene.path).await.unwrap();
        stream
            .write_all(format!("{hello}\n").as_bytes())
            .await
            .unwrap();
        let mut wire = Wire::new(stream);
        let heard = wire.hear::<FromElder>(AT_ONCE).await;
        match (expected, heard) {
            (Some(expected), Ok((FromElder::Refused { why }, descriptors))) => {
                assert!(why.contains(expected), "{case}: {why}");
                assert!(descriptors.is_empty(), "{case}");
            }
            (None, Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{case}");
            }
            (_, other) => panic!("{case}: {other:?}"),
        }
        drop(again(&scene.path).await);
    }
    scene.was_told(&[]).await;
}

#[tokio::test]
async fn an_heir_that_finds_nobody_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let error = inherit(&directory.path().join("successor.sock"))
        .await
        .unwrap_err();
    assert!(matches!(error, TakeOverError::NobodyThere(_)), "{error:?}");
}

#[tokio::test]
async fn an_heir_whose_elder_dies_after_standing_aside_serves_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("successor.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let elder = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = Wire::new(stream);
        let (hello, _) = wire.hear::<FromHeir>(AT_ONCE).await.unwrap();
        assert!(matches!(hello, FromHeir::Hello { .. }));
        let null = File::open("/dev/null").unwrap();
        let offer = FromElder::Offer {
            version: "0".to_owned(),
            pid: 1,
            sockets: vec![],
        };
        let fd = null.as_fd();
        wire.say(&offer, &[fd, fd, fd]).await.unwrap();
        let (ready, _) = wire.hear::<FromHeir>(AT_ONCE).await.unwrap();
        assert_eq!(ready, FromHeir::Ready);
        wire.say(&FromElder::Aside, &[]).await.unwrap();
    });
    let mut inheritance = inherit(&path).await.unwrap();
    inheritance.conversation.ready().await.unwrap();
    elder.await.unwrap();
    assert_eq!(
        inheritance.conversation.serving().await.unwrap(),
        Outcome::Alone
    );
}

#[tokio::test]
async fn an_heir_may_act_until_the_elder_says_another_word() {
    let aside = r#"{"say":"aside"}"#;
    let resumed = r#"{"say":"resumed"}"#;
    for (case, at_once, later, expected) in [
        ("it waits", format!("{aside}\n"), Some(""), true),
        ("it is gone", format!("{aside}\n"), None, true),
        ("it has gone on", format!("{aside}\n"), Some(resumed), false),
        (
            "it had gone on before anybody looked",
            format!("{aside}\n{resumed}\n"),
            Some(""),
            false,
        ),
    ] {
        let (mut elder, heir) = UnixStream::pair().unwrap();
        let mut wire = Wire::new(heir);
        elder.write_all(at_once.as_bytes()).await.unwrap();
        let (heard, _) = wire.hear::<FromElder>(AT_ONCE).await.unwrap();
        assert_eq!(heard, FromElder::Aside, "{case}");
        let lease = wire.lease().unwrap();
        match later {
            Some(word) => elder.write_all(word.as_bytes()).await.unwrap(),
            None => drop(elder),
        }
        assert_eq!(lease.holds(), expected, "{case}");
    }
}

/// One that was stopped in the middle of a step ends it when it wakes up: what it did then is undone.
#[tokio::test(start_paused = true)]
async fn an_elder_that_went_on_puts_things_right_once_a_late_heir_is_gone() {
    let mut scene = Scene::new();
    let mut inheritance = inherit(&scene.path).await.unwrap();
    inheritance.conversation.ready().await.unwrap();
    scene.was_told(&["aside", "resume"]).await;
    let refused = inherit(&scene.path).await.unwrap_err();
    assert!(refused.to_string().contains("another one"), "{refused}");
    drop(inheritance);
    scene.was_told(&["resume"]).await;
}
