use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const LENGTHS: RangeInclusive<u64> = 4..=6;

#[test]
fn file_is_made_once_and_only_its_owner_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.key");
    assert!(matches!(read(&path, &LENGTHS), Ok(None)));
    create(&path, b"first").unwrap();
    create(&path, b"later").unwrap();
    let octets = read(&path, &LENGTHS).unwrap();
    assert_eq!(octets.as_deref(), Some(&b"first"[..]));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a.key"], "no draft is left");
}

#[test]
fn file_that_others_may_have_touched_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let length = |length| Fault::Length {
        length,
        expected: LENGTHS,
    };
    for (case, mode, octets, expected) in [
        ("group reads", 0o640, 5, Some(Fault::Mode { mode: 0o640 })),
        ("world writes", 0o602, 5, Some(Fault::Mode { mode: 0o602 })),
        ("set-uid", 0o4600, 5, Some(Fault::Mode { mode: 0o4600 })),
        ("cut short", 0o600, 3, Some(length(3))),
        ("too long", 0o600, 7, Some(length(7))),
        ("empty", 0o600, 0, Some(length(0))),
        ("shortest", 0o600, 4, None),
        ("longest", 0o600, 6, None),
    ] {
        let path = directory.path().join(case);
        fs::write(&path, vec![1; octets]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let found = match read(&path, &LENGTHS) {
            Ok(found) => {
                assert_eq!(found, Some(vec![1; octets]), "{case}");
                None
            }
            Err(Refusal::Unsafe(fault)) => Some(fault),
            Err(Refusal::Unreadable(error)) => panic!("{case}: {error}"),
        };
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn neither_link_nor_directory_nor_stranger_is_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real");
    create(&real, b"octets").unwrap();
    let link = directory.path().join("link");
    symlink(&real, &link).unwrap();
    for (case, path) in [("link", link.as_path()), ("directory", directory.path())] {
        let refused = matches!(read(path, &LENGTHS), Err(Refusal::Unsafe(Fault::NotAFile)));
        assert!(refused, "{case}");
    }
    let stranger = Fault::Owner {
        owner: 1000,
        expected: 0,
    };
    assert_eq!(fault(0o100_600, 1000, 0, 5, &LENGTHS), Some(stranger));
    assert_eq!(fault(0o100_600, 0, 0, 5, &LENGTHS), None);
}

#[test]
fn directory_is_its_owners_alone_to_write() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    directory(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    for (case, mode, good) in [
        ("as made", 0o700, true),
        ("others look", 0o755, true),
        ("group writes", 0o770, false),
        ("world writes", 0o1777, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(directory(&path).is_ok(), good, "{case}");
    }
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(directory(&file).is_err(), "a file");
    assert!(
        directory(&parent.path().join("no/where")).is_err(),
        "no parent"
    );
}
