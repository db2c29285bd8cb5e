//! On a real directory; every test waits for what it wants to see.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use super::*;

#[test]
fn only_templates_within_the_directory_are_read() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("install.d");
    fs::create_dir_all(directory.join("autoinstall/deeper")).unwrap();
    fs::write(place.path().join("secret"), "secret").unwrap();
    for name in [
        "a.cfg",
        "autoinstall/user-data",
        ".hidden",
        "a.cfg~",
        "b.swp",
        "autoinstall/deeper/x",
        "sp ace",
    ] {
        fs::write(directory.join(name), name).unwrap();
    }
    symlink("a.cfg", directory.join("link")).unwrap();
    symlink("../secret", directory.join("out")).unwrap();
    symlink("nowhere", directory.join("broken")).unwrap();
    fs::write(directory.join("large"), vec![b'#'; 256 * 1024 + 1]).unwrap();
    fs::write(directory.join("octets"), b"ab\xff").unwrap();
    let files = Files::read(&directory);
    let names: Vec<&str> = files.texts.keys().map(String::as_str).collect();
    assert_eq!(names, ["a.cfg", "autoinstall/user-data", "link"]);
    let reasons: Vec<&str> = files
        .problems
        .iter()
        .filter_map(|it| it.rsplit("/install.d/").next())
        .collect();
    assert_eq!(
        reasons,
        [
            "broken: No such file or directory (os error 2)",
            "large: it is larger than 262144 octets",
            "octets: it is not UTF-8 text (octet 2)",
            "out: the link leaves the directory",
        ]
    );
    assert_eq!(Files::read(&place.path().join("nothing")), Files::default());
}

#[tokio::test]
async fn a_changed_template_counts() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("install.d");
    let config = Install {
        templates: directory.clone(),
        ..Install::default()
    };
    let (mut templates, task) = watch::start(config, Engine::Here).await;
    assert!(
        said(&templates.borrow_and_update(), "a").is_none(),
        "nothing yet"
    );
    fs::create_dir_all(directory.join("sub")).unwrap();
    for (name, text) in [
        ("a", "first"),
        ("a", "second"),
        ("sub/b", "third"),
        ("sub/b", "fourth"),
    ] {
        fs::write(directory.join(name), text).unwrap();
        let found = templates.wait_for(|templates| said(templates, name).as_deref() == Some(text));
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        assert!(found.is_ok(), "{name} {text}");
    }
    fs::remove_file(directory.join("a")).unwrap();
    let gone = templates.wait_for(|templates| said(templates, "a").is_none());
    assert!(
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .is_ok(),
        "gone"
    );
    drop(templates);
    let ended = tokio::time::timeout(Duration::from_secs(20), task).await;
    assert!(ended.is_ok(), "ends when nobody listens");
}

fn said(templates: &Arc<Templates>, name: &str) -> Option<String> {
    let mut rendered = templates.render(&sample::instance(), 0);
    let octets = rendered.files.remove(name)?;
    Some(String::from_utf8(octets.to_vec()).unwrap())
}
