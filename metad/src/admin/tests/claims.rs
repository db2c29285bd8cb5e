//! Who may act under a name, and what a name leaves behind.

use super::*;

#[test]
fn a_second_daemon_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let first = Claim::take(&run_dir).unwrap();
    let error = Claim::take(&run_dir).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Taken { pid: Some(pid), .. } if pid == std::process::id()),
        "{text}"
    );
    assert!(text.contains("is running already (process "), "{text}");
    drop(first);
    Claim::take(&run_dir).unwrap();
}

#[test]
fn a_dead_socket_is_replaced_but_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _on = runtime.enter();
    let claim = Claim::take(dir.path()).unwrap();
    let socket = dir.path().join("admin.sock");

    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    claim.listen().unwrap();

    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "mine").unwrap();
    let error = claim.listen().unwrap_err().to_string();
    assert!(
        error.contains("something else than a socket is there"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
}

#[test]
fn a_run_directory_that_others_can_write_to_is_not_believed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    trust(&run_dir).unwrap();
    std::fs::create_dir(&run_dir).unwrap();
    for (mode, expected) in [
        (0o700, true),
        (0o500, true),
        (0o755, true),
        (0o720, false),
        (0o702, false),
        (0o777, false),
    ] {
        std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(trust(&run_dir).is_ok(), expected, "{mode:o}");
    }
    std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let link = dir.path().join("link");
    symlink(&run_dir, &link).unwrap();
    for (case, path) in [("a link", link), ("a file", dir.path().join("file"))] {
        if case == "a file" {
            std::fs::write(&path, "").unwrap();
        }
        let error = trust(&path).unwrap_err().to_string();
        assert!(error.contains("it is no directory"), "{case}: {error}");
    }
}

#[test]
fn a_loose_directory_is_made_private() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    std::fs::create_dir(&run_dir).unwrap();
    std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    Claim::take(&run_dir).unwrap();
    assert_eq!(
        std::fs::metadata(&run_dir).unwrap().permissions().mode() & 0o777,
        0o700
    );

    std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        matches!(Claim::take(&run_dir), Err(Error::Foreign { .. })),
        "not empty"
    );

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Claim::take(&file), Err(Error::Foreign { .. })));
}

#[test]
fn a_run_directory_goes_with_what_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    assert!(!Claim::was_taken(&run_dir));
    let claim = Claim::take(&run_dir).unwrap();
    std::fs::write(run_dir.join("token.key"), "secret").unwrap();
    assert!(Claim::was_taken(&run_dir));
    claim.remove().unwrap();
    assert!(!run_dir.exists());

    let claim = Claim::take(&run_dir).unwrap();
    std::fs::write(run_dir.join("notes"), "mine").unwrap();
    claim.remove().unwrap_err();
    assert_eq!(
        std::fs::read_to_string(run_dir.join("notes")).unwrap(),
        "mine"
    );
}

#[test]
fn only_a_clean_end_leaves_no_claim() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    drop(Claim::take(&run_dir).unwrap());
    assert!(Claim::was_taken(&run_dir), "as a crash leaves it");
    Claim::take(&run_dir).unwrap().remove().unwrap();
    assert!(!Claim::was_taken(&run_dir) && !Claim::is_kept(&run_dir));

    std::fs::create_dir(&run_dir).unwrap();
    std::fs::write(run_dir.join("token.key"), "secret").unwrap();
    assert!(
        !Claim::was_taken(&run_dir) && Claim::is_kept(&run_dir),
        "the token key alone"
    );
}
