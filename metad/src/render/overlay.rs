//! The free tree that an owner may lay over `meta-data`.
//!
//! In: JSON that someone wrote. Out: directories and leaves. Objects join what is there, everything else replaces it,
//! null hides it. What cannot be asked for is not listed.

use serde_json::{Map, Value};

use super::names;
use super::tree::Directory;

/// No client asks for more; beyond it a value is left out.
const DEPTH_MAX: usize = 16;

/// Lays `tree` over `directory`.
pub(super) fn lay(directory: &mut Directory, tree: &Map<String, Value>) {
    lay_to(directory, tree, DEPTH_MAX);
}

fn lay_to(directory: &mut Directory, tree: &Map<String, Value>, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    for (name, value) in tree {
        if names::is_segment(name) {
            put(directory, name, value, depth);
        }
    }
}

fn put(directory: &mut Directory, name: &str, value: &Value, depth: usize) {
    match value {
        Value::Null => directory.remove(name),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            directory.text(name, scalar(value).unwrap_or_default());
        }
        Value::Object(below) => {
            if let Some(there) = directory.below_mut(name) {
                lay_to(there, below, depth);
            } else {
                let mut new = Directory::default();
                lay_to(&mut new, below, depth);
                directory.directory(name, new);
            }
        }
        Value::Array(items) => match items.iter().map(scalar).collect() {
            Some::<Vec<String>>(lines) => directory.text(name, lines.join("\n")),
            None => directory.directory(name, numbered(items, depth)),
        },
    }
}

/// A directory of indices. Keys stand in it as EC2 lists them (`0=name`); anything else as directories and leaves,
/// since clients read `0=name` as a promise that `0/openssh-key` is there.
fn numbered(items: &[Value], depth: usize) -> Directory {
    let are_keys = items.iter().all(|item| openssh_key(item).is_some());
    let mut directory = Directory::default();
    for (index, item) in items.iter().enumerate() {
        match item.as_object().filter(|_| are_keys) {
            Some(below) => {
                let mut formats = Directory::default();
                lay_to(&mut formats, below, depth);
                let name = below.get("name").and_then(scalar).unwrap_or_default();
                directory.public_key(index, names::key_name(&name, index), formats);
            }
            None => put_item(&mut directory, index, item, depth),
        }
    }
    directory
}

fn put_item(directory: &mut Directory, index: usize, item: &Value, depth: usize) {
    if let Some(depth) = depth.checked_sub(1) {
        put(directory, &index.to_string(), item, depth);
    }
}

fn openssh_key(item: &Value) -> Option<String> {
    item.get("openssh-key").and_then(scalar)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Tree, Version};
    use serde_json::json;

    fn laid(over: &Value) -> Tree {
        let mut placement = Directory::default();
        placement.text("availability-zone", "rack-7");
        let mut base = Directory::default();
        base.directory("placement", placement);
        base.text("profile", "default-hvm");
        lay(&mut base, over.as_object().unwrap());
        Tree::from(base)
    }

    fn read(over: &Value, path: &str) -> Option<String> {
        let tree = laid(over);
        let body = tree.get(Version::LATEST, path)?.body.bytes(None).unwrap();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn values_become_text_and_objects_become_directories() {
        let zone = "placement/availability-zone";
        let base = Some("placement/\nprofile");
        for (case, over, path, expected) in [
            ("string", json!({"a": "b"}), "a", Some("b")),
            ("number", json!({"a": 1.5}), "a", Some("1.5")),
            ("boolean", json!({"a": true}), "a", Some("true")),
            ("empty string", json!({"a": ""}), "a", Some("")),
            ("null", json!({"a": null}), "a", None),
            ("null hides", json!({"profile": null}), "profile", None),
            ("null hides all", json!({"placement": null}), zone, None),
            ("replaced", json!({"profile": "x"}), "profile", Some("x")),
            (
                "joined",
                json!({"placement": {"g": "x"}}),
                zone,
                Some("rack-7"),
            ),
            (
                "over a leaf",
                json!({"profile": {"x": 1}}),
                "profile/x",
                Some("1"),
            ),
            (
                "over a directory",
                json!({"placement": 1}),
                "placement",
                Some("1"),
            ),
            ("nothing below", json!({"placement": 1}), zone, None),
            ("deep", json!({"a": {"b": {"c": 1}}}), "a/b/c", Some("1")),
            ("empty object", json!({"a": {}}), "a", None),
            ("nothing to list", json!({"a": {}}), "", base),
            (
                "bad names",
                json!({"a/b": 1, "..": 1, "": 1, "x=y": 1}),
                "",
                base,
            ),
        ] {
            assert_eq!(read(&over, path).as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn arrays_become_lines_or_numbers() {
        let key = json!({"k": [{"openssh-key": "ssh-rsa A"}]});
        let keys = json!({"k": [{"openssh-key": "A"}, {"openssh-key": "B", "name": "me"}]});
        let mixed = json!({"k": [{"x": 1}, null, "y"]});
        let half = json!({"k": [{"openssh-key": "A"}, {"x": 1}]});
        for (case, over, path, expected) in [
            (
                "scalars",
                &json!({"k": ["b", 2, false]}),
                "k",
                Some("b\n2\nfalse"),
            ),
            ("none", &json!({"k": []}), "k", Some("")),
            ("keys", &keys, "k", Some("0=0\n1=me")),
            ("a key", &key, "k/0/openssh-key", Some("ssh-rsa A")),
            ("its formats", &key, "k/0", Some("openssh-key")),
            ("out of range", &key, "k/1", None),
            ("no keys", &mixed, "k", Some("0/\n2")),
            ("an object", &mixed, "k/0/x", Some("1")),
            ("a null among them", &mixed, "k/1", None),
            ("a scalar among them", &mixed, "k/2", Some("y")),
            ("not all are keys", &half, "k", Some("0/\n1/")),
        ] {
            assert_eq!(read(over, path).as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let mut value = json!("bottom");
        for _ in 0..100 {
            value = json!({ "d": value });
        }
        let tree = laid(&value);
        let path = |depth| vec!["d"; depth].join("/");
        assert!(
            tree.get(Version::LATEST, &path(1)).is_none(),
            "nothing to show"
        );
        let mut value = json!("bottom");
        for _ in 0..DEPTH_MAX {
            value = json!({ "d": value });
        }
        let tree = laid(&value);
        assert!(tree.get(Version::LATEST, &path(DEPTH_MAX)).is_some());
    }
}
