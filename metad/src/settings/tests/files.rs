//! What is on the disk, and what becomes of it when something goes wrong.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

fn state() -> (TempDir, Files, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let files = Files::new(&state);
    let file = state.join("instances/ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8.json");
    (directory, files, file)
}

fn one() -> Kept {
    kept(
        "web1",
        &json!({"tags": {"instance": {"role": "web"}}}),
        Some("secret"),
    )
}

/// Keeps it instead of what is kept there now.
fn keep(files: &Files, kept: &Kept) {
    let before = files.read(WEB1).unwrap();
    files.write(WEB1, before.as_ref(), kept).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_kept_comes_back_and_is_for_its_owner_alone() {
    let (_directory, files, file) = state();
    assert_eq!(files.load().kept, Shelf::new(), "nothing there yet");
    keep(&files, &one());
    let loaded = files.load();
    assert_eq!(loaded.kept, Shelf::from([(WEB1, one())]));
    assert_eq!(loaded.problems, []);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(mode(file.parent().unwrap().parent().unwrap()), 0o700);
    let other = kept("web1", &json!({"a": 1}), None);
    keep(&files, &other);
    assert_eq!(files.load().kept, Shelf::from([(WEB1, other)]));
    keep(&files, &Kept::default());
    assert!(!file.exists(), "nothing to keep, no file");
    keep(&files, &Kept::default());
}

#[test]
fn the_form_of_a_file_stays_as_it_is_documented() {
    let (_directory, files, file) = state();
    keep(&files, &one());
    let expected = json!({
        "version": 1,
        "uuid": "ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8",
        "name": "web1",
        "settings": {"tags": {"instance": {"role": "web"}}},
        "password": "c2VjcmV0",
    });
    let text = fs::read(&file).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
}

#[test]
fn a_write_that_fails_half_way_leaves_what_was_there() {
    let (_directory, mut files, file) = state();
    keep(&files, &one());
    files.fill = |file, octets| {
        file.write_all(&octets[..octets.len() / 2])?;
        Err(io::ErrorKind::StorageFull.into())
    };
    let error = files
        .write(WEB1, Some(&one()), &kept("web1", &json!({"a": "b"}), None))
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot write "), "{text}");
    assert!(
        text.contains("help: what was kept before is still kept"),
        "{text}"
    );
    assert_eq!(files.load().kept, Shelf::from([(WEB1, one())]));
    let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "no draft is left");
}

#[test]
fn a_draft_of_one_who_was_killed_is_swept_away() {
    let (_directory, files, file) = state();
    keep(&files, &one());
    fs::write(file.with_extension("new"), "{\"versi").unwrap();
    let loaded = files.load();
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.kept, Shelf::from([(WEB1, one())]));
    assert!(!file.with_extension("new").exists());
    fs::write(file.with_extension("new"), "{\"versi").unwrap();
    keep(&files, &one());
}

/// What may happen to a file.
type Spoil = fn(&Path);

#[test]
fn a_file_that_cannot_be_used_is_told_and_never_written_over() {
    let spoil = |change: Spoil| {
        let (directory, files, file) = state();
        keep(&files, &one());
        change(&file);
        let loaded = files.load();
        let refused = files.write(WEB1, Some(&one()), &kept("web1", &json!({"a": "b"}), None));
        let emptied = files.write(WEB1, Some(&one()), &Kept::default());
        drop(directory);
        (loaded, refused.is_err() && emptied.is_err())
    };
    let cases: [(&str, Spoil); 6] = [
        ("it is not what metad writes", |file| {
            fs::write(file, "{\"version\": 1,").unwrap();
        }),
        ("unknown field", |file| {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replace("\"name\"", "\"nmae\"")).unwrap();
        }),
        ("it has the form 2, not 1", |file| {
            let text = fs::read_to_string(file).unwrap();
            fs::write(file, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        }),
        ("it belongs to the instance 11111111", |file| {
            let text = fs::read_to_string(file).unwrap();
            let uuid = "ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8";
            fs::write(file, text.replace(uuid, &GONE.to_string())).unwrap();
        }),
        ("its mode is 644, not 600", |file| {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }),
        ("it is not a regular file", |file| {
            fs::rename(file, file.with_extension("moved")).unwrap();
            symlink(file.with_extension("moved"), file).unwrap();
        }),
    ];
    for (expected, change) in cases {
        let (loaded, untouched) = spoil(change);
        assert!(loaded.kept.is_empty(), "{expected}");
        let problems = format!("{:?}", loaded.problems);
        assert!(problems.contains(expected), "{expected}: {problems}");
        assert!(untouched, "{expected}: written over");
    }
}

#[test]
fn what_is_called_otherwise_is_told_and_left_alone() {
    let (_directory, files, file) = state();
    keep(&files, &one());
    let note = file.with_file_name("note.txt");
    fs::write(&note, "mine").unwrap();
    let loaded = files.load();
    assert_eq!(loaded.kept.len(), 1);
    assert_eq!(loaded.problems.len(), 1);
    assert!(
        loaded.problems[0]
            .1
            .contains("not called after an instance")
    );
    assert!(note.exists());
}

#[test]
fn a_directory_that_others_write_to_is_not_used() {
    let (_directory, files, file) = state();
    let state = file.parent().unwrap().parent().unwrap();
    fs::create_dir(state).unwrap();
    fs::set_permissions(state, Permissions::from_mode(0o777)).unwrap();
    let error = files.write(WEB1, Some(&one()), &one()).unwrap_err();
    let line = error.line();
    assert!(line.ends_with(": others may write it"), "{line}");
    fs::set_permissions(state, Permissions::from_mode(0o755)).unwrap();
    keep(&files, &one());
}

#[test]
fn purging_leaves_nothing() {
    let (directory, files, _) = state();
    keep(&files, &one());
    Secret::open(&directory.path().join("state")).unwrap();
    let state = directory.path().join("state");
    fs::write(state.join("note.txt"), "mine").unwrap();
    assert!(files.purge().is_err(), "what others put there stays");
    fs::remove_file(state.join("note.txt")).unwrap();
    assert!(files.purge().unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(!files.purge().unwrap(), "nothing there");
}

#[test]
fn a_file_that_was_repaired_meanwhile_is_not_lost() {
    let (_directory, files, _) = state();
    keep(&files, &one());
    let error = files
        .write(WEB1, None, &kept("web1", &json!({"a": "b"}), None))
        .unwrap_err();
    assert!(error.to_string().contains("restart the daemon"), "{error}");
    assert_eq!(files.load().kept, Shelf::from([(WEB1, one())]));
}
