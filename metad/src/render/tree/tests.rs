//! Directories and the tables they become.

use super::*;

fn read(tree: &Tree, version: Version, path: &str) -> Option<String> {
    let body = tree.get(version, path)?.body.bytes(None).unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn listing_shows_what_a_version_sees() {
    let mut tags = Directory::default();
    tags.text("role", "web");
    let mut root = Directory::default();
    root.text("b", "1");
    root.directory("tags", tags);
    root.hide_before("tags", Version::TAGS);
    root.directory("empty", Directory::default());
    let tree = Tree::from(root);
    for (version, path, expected) in [
        (Version::OLDEST, "", Some("b")),
        (Version::LATEST, "", Some("b\ntags/")),
        (Version::OLDEST, "tags", None),
        (Version::OLDEST, "tags/role", None),
        (Version::TAGS, "tags", Some("role")),
        (Version::TAGS, "tags/role", Some("web")),
        (Version::LATEST, "empty", None),
        (Version::LATEST, "b", Some("1")),
        (Version::LATEST, "b/", None),
    ] {
        let found = read(&tree, version, path);
        assert_eq!(found.as_deref(), expected, "{version:?} {path}");
    }
}

#[test]
fn numbers_are_listed_in_their_order() {
    let mut root = Directory::default();
    for name in ["10", "9", "2", "x"] {
        root.text(name, "");
    }
    assert_eq!(
        read(&Tree::from(root), Version::LATEST, "").as_deref(),
        Some("2\n9\n10\nx")
    );
}

#[test]
fn bodies_are_found_by_path() {
    let mut below = Directory::default();
    below.text("zone", "rack-7");
    below.leaf("ip", Content::Text, Body::CallerIpv4);
    let mut root = Directory::default();
    root.directory("placement", below);
    for (path, expected) in [
        ("placement/zone", Some("rack-7")),
        ("placement/ip", None),
        ("placement", None),
        ("placement/zone/x", None),
        ("nowhere", None),
    ] {
        assert_eq!(root.read(path), expected, "{path}");
    }
    assert_eq!(root.body("placement/ip"), Some(&Body::CallerIpv4));
}

#[test]
fn a_tag_has_sixteen_digits_that_say_its_number() {
    for number in [0, 1, 0xa, 0x0123_4567_89ab_cdef, u64::MAX] {
        let digits = ETag(number).digits();
        let text = str::from_utf8(&digits).unwrap();
        assert_eq!(text, format!("{number:016x}"));
    }
}
