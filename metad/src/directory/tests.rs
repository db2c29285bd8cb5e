//! On a real directory with a real watch; every test waits for what it wants to see.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test waits for one event of many"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::instance::Packed;
use watched::{DEADLINE, follow_records, make};

mod older;
mod watched;

#[tokio::test]
async fn records_come_change_and_go() {
    let mut watched = follow_records(|records| {
        make(records);
        fs::write(records.join("first.yaml"), "hostname: a\n").unwrap();
    })
    .await;
    let first = watched.subject("first").await;
    assert_eq!(
        (first.name.as_str(), first.nics, first.uuid),
        ("first", None, None)
    );
    assert_eq!(watched.synced().await, ["first"]);
    watched.connected().await;
    watched.write(
        "second.json",
        r#"{"hostname": "b", "nics": [{"mac": "52:54:00:00:00:01", "interface": "tap0"}]}"#,
    );
    let second = watched.subject("second").await;
    assert!(second.running && second.nics.is_some_and(|nics| nics.len() == 1));
    watched.write("first.yaml", "hostname: c\n");
    let changed = watched.subject("first").await;
    assert_eq!(changed.record.hostname.as_deref(), Some("c"));
    assert!(changed.reading > first.reading);
    fs::remove_file(watched.path("second.json")).unwrap();
    watched.gone("second").await;
    fs::rename(watched.path("first.yaml"), watched.path("third.yml")).unwrap();
    let (mut gone, mut third) = (false, None);
    watched
        .until("first to become third", |event| {
            match event {
                Event::Gone { key } => gone |= key == "first",
                Event::Put(subject) if subject.key == "third" => third = subject.record.hostname,
                _ => {}
            }
            (gone && third.as_deref() == Some("c")).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_file_counts_when_it_is_whole() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    let mut half = File::create(watched.path("slow.yaml")).unwrap();
    half.write_all(b"hostname: half\n").unwrap();
    half.sync_all().unwrap();
    watched.write("other.yaml", "hostname: other\n");
    assert_eq!(
        watched.hostname("other").await.as_deref(),
        Some("other"),
        "the other file counts meanwhile"
    );
    half.write_all(b"instance-type: whole\n").unwrap();
    drop(half);
    let slow = watched.subject("slow").await;
    assert_eq!(slow.record.instance_type.as_deref(), Some("whole"));

    let mut kept_open = File::create(watched.path("open.yaml")).unwrap();
    kept_open.write_all(b"hostname: open\n").unwrap();
    assert_eq!(
        watched.hostname("open").await.as_deref(),
        Some("open"),
        "nobody waits for ever"
    );

    watched.write(".new", "hostname: renamed\n");
    fs::rename(watched.path(".new"), watched.path("slow.yaml")).unwrap();
    assert_eq!(watched.hostname("slow").await.as_deref(), Some("renamed"));
}

#[tokio::test]
async fn a_file_that_is_replaced_by_way_of_a_copy_is_never_gone() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    watched.write("web.yaml", "hostname: a\n");
    watched.subject("web").await;
    fs::rename(watched.path("web.yaml"), watched.path("web.yaml~")).unwrap();
    watched.write("web.yaml", "hostname: b\n");
    let event = watched.next("replaced").await;
    assert!(
        matches!(&event, Event::Put(subject) if subject.record.hostname.as_deref() == Some("b")),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_bad_file_is_reported_with_its_place() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    for (case, name, content, expected) in [
        (
            "unknown key",
            "a",
            &b"hostname: a\nhostnam: b\n"[..],
            "a.yaml: line 2, column 1: unknown key `hostnam`, did you mean `hostname`?",
        ),
        (
            "not text",
            "b",
            b"hostname: \xff\n",
            "b.yaml is not UTF-8 text (octet 10)",
        ),
        ("empty", "c", b"", "c.yaml: it is empty"),
        (
            "too large",
            "d",
            &[b'#'; 4 * 1024 * 1024 + 1],
            "d.yaml: it is larger than 4194304 octets",
        ),
        (
            "name",
            " e",
            b"{}",
            "the file's name holds the character ' '; a name neither starts nor ends with white space",
        ),
    ] {
        watched.write(&format!("{name}.yaml"), content);
        let problem = watched.failure(name).await;
        assert!(problem.ends_with(expected), "{case}: {problem}");
    }
    watched.write("a.yaml", "hostname: a\n");
    assert_eq!(watched.hostname("a").await.as_deref(), Some("a"), "mended");
}

#[tokio::test]
async fn one_name_has_one_file() {
    let mut watched = follow_records(make).await;
    watched.write("web.yaml", "hostname: a\n");
    watched.subject("web").await;
    watched.write("web.json", "{}");
    let problem = watched.failure("web").await;
    let (json, yaml) = (watched.path("web.json"), watched.path("web.yaml"));
    let expected = format!(
        "{} and {} say the same name twice; keep one",
        json.display(),
        yaml.display()
    );
    assert_eq!(problem, expected);
    fs::remove_file(json).unwrap();
    assert_eq!(watched.hostname("web").await.as_deref(), Some("a"));
}

#[tokio::test]
async fn only_record_files_are_read() {
    let mut watched = follow_records(|records| {
        make(records);
        for name in [
            ".hidden.yaml",
            "web.yaml~",
            "#web.yaml#",
            ".#web.yaml",
            "4913",
            "web.yaml.swp",
            "README",
            "web.YAML.tmp",
            ".yaml",
        ] {
            fs::write(records.join(name), "hostname: wrong\n").unwrap();
        }
        fs::create_dir(records.join("directory.yaml")).unwrap();
        fs::write(records.join("web.yaml"), "hostname: a\n").unwrap();
    })
    .await;
    assert_eq!(watched.synced().await, ["web"]);
}

#[tokio::test]
async fn pipes_and_broken_links_are_refused_and_waited_for() {
    let mut watched = follow_records(|records| {
        make(records);
        symlink("../elsewhere/target.yaml", records.join("link.yaml")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            records.join("pipe.yaml"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
    })
    .await;
    let mut failures = vec![watched.failure("link").await, watched.failure("pipe").await];
    failures.sort();
    assert!(
        failures[0].contains("link.yaml: No such file or directory"),
        "{failures:?}"
    );
    assert!(
        failures[1].ends_with("pipe.yaml: it is no regular file"),
        "{failures:?}"
    );
    watched.connected().await;
    let elsewhere = watched.place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("target.yaml"), "hostname: linked\n").unwrap();
    assert_eq!(watched.hostname("link").await.as_deref(), Some("linked"));
    fs::write(elsewhere.join("target.yaml"), "hostname: again\n").unwrap();
    assert_eq!(watched.hostname("link").await.as_deref(), Some("again"));
}

#[tokio::test]
async fn a_directory_may_come_go_and_come_back() {
    let mut watched = follow_records(|_| {}).await;
    assert_eq!(watched.synced().await, Vec::<String>::new());
    let State::Away { why } = watched.state(|state| *state != State::Connected).await else {
        panic!("away")
    };
    assert!(
        why.ends_with("records: No such file or directory (os error 2)"),
        "{why}"
    );
    for round in ["first", "second", "third"] {
        make(&watched.path(""));
        watched.write("web.yaml", format!("hostname: {round}\n"));
        assert_eq!(watched.hostname("web").await.as_deref(), Some(round));
        if round == "second" {
            fs::rename(watched.path(""), watched.place.path().join("moved")).unwrap();
        } else {
            fs::remove_dir_all(watched.path("")).unwrap();
        }
        let (mut gone, mut away) = (false, false);
        watched
            .until("gone and away", |event| {
                gone |= matches!(event, Event::Gone { .. });
                away |= matches!(event, Event::State(State::Away { .. }));
                (gone && away).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn user_data_may_be_a_file_of_its_own() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    watched.write("web.yaml", "user-data-file: scripts/web.sh\n");
    let problem = watched.failure("web").await;
    assert!(
        problem.contains("scripts/web.sh: No such file or directory"),
        "{problem}"
    );
    make(&watched.path("scripts"));
    watched.write("scripts/web.sh", b"#!/bin/sh\xff\n");
    let web = watched.subject("web").await;
    assert_eq!(
        web.record.user_data.as_ref().map(Packed::bytes).as_deref(),
        Some(&b"#!/bin/sh\xff\n"[..]),
        "octet for octet"
    );
    watched.write("scripts/web.sh", "#!/bin/true\n");
    let web = watched.subject("web").await;
    assert_eq!(
        web.record.user_data.as_ref().map(Packed::bytes).as_deref(),
        Some(&b"#!/bin/true\n"[..])
    );
    watched.write("scripts/web.sh", vec![0; crate::record::USER_DATA_MAX + 1]);
    let problem = watched.failure("web").await;
    assert!(
        problem.ends_with("web.sh: it is larger than 1048576 octets"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_relative_user_data_file_stays_in_the_directory() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    let outside = watched.place.path().join("outside");
    fs::write(&outside, "outside\n").unwrap();
    symlink(&outside, watched.path("link")).unwrap();
    for (name, file) in [
        ("up", "../outside"),
        ("around", "../records/../outside"),
        ("link", "link"),
    ] {
        watched.write(&format!("{name}.yaml"), format!("user-data-file: {file}\n"));
        let problem = watched.failure(name).await;
        assert!(
            problem.contains("`user-data-file` leaves "),
            "{name}: {problem}"
        );
    }
    watched.write(
        "absolute.yaml",
        format!("user-data-file: {}\n", outside.display()),
    );
    let absolute = watched.subject("absolute").await;
    assert_eq!(
        absolute
            .record
            .user_data
            .as_ref()
            .map(Packed::bytes)
            .as_deref(),
        Some(&b"outside\n"[..])
    );
    fs::write(&outside, "changed\n").unwrap();
    let absolute = watched.subject("absolute").await;
    assert_eq!(
        absolute
            .record
            .user_data
            .as_ref()
            .map(Packed::bytes)
            .as_deref(),
        Some(&b"changed\n"[..])
    );
}

#[tokio::test]
async fn the_bell_makes_everything_be_told_again() {
    let mut watched = follow_records(|records| {
        make(records);
        fs::write(records.join("web.yaml"), "hostname: a\n").unwrap();
    })
    .await;
    let first = watched.subject("web").await;
    watched.connected().await;
    watched.reread.notify_one();
    assert!(watched.subject("web").await.reading > first.reading);
    assert_eq!(watched.synced().await, ["web"]);
    drop(watched.changes);
    tokio::time::timeout(DEADLINE, watched.task)
        .await
        .expect("ends when nobody listens")
        .unwrap();
}

#[tokio::test]
async fn a_storm_of_changes_ends_in_the_last_of_them() {
    let mut watched = follow_records(make).await;
    watched.connected().await;
    let directory = watched.path("");
    let storm = std::thread::spawn(move || {
        for round in 0..200 {
            for name in ["a", "b", "c"] {
                fs::write(
                    directory.join(format!("{name}.yaml")),
                    format!("hostname: h{round:03}\n"),
                )
                .unwrap();
            }
        }
    });
    for name in ["a", "b", "c"] {
        let found = watched.until(name, |event| match event {
            Event::Put(subject) if subject.record.hostname.as_deref() == Some("h199") => {
                Some(subject.key)
            }
            Event::Failed { problem, .. } => panic!("{problem}"),
            _ => None,
        });
        found.await;
    }
    storm.join().unwrap();
}
