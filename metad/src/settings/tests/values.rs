//! Which paths and values are taken, and what is said of the others.

use super::*;

/// The tree after setting one value on an empty one, or the refusal.
fn setting(path: &str, value: &Value, force: bool) -> Result<Value, String> {
    let wish = Wish::Set {
        instance: "web1".to_owned(),
        path: path.to_owned(),
        value: value.clone(),
        force,
    };
    match ask(&Shelf::new(), wish) {
        Ok(Decision::Write(plan)) => Ok(Value::Object(plan.kept.settings)),
        Ok(other) => Err(format!("{other:?}")),
        Err(refusal) => Err(refusal.to_string()),
    }
}

#[test]
fn paths_are_taken_or_refused_with_what_to_do() {
    for (path, value, expected) in [
        ("a", json!("b"), Ok(())),
        ("a/b/c", json!({"d": [1, 2]}), Ok(())),
        ("tags/instance/role", json!("web"), Ok(())),
        ("tags/instance/a=b", json!("web"), Ok(())),
        ("tags", json!({"instance": {"a": 1}}), Ok(())),
        ("hostname", json!(null), Ok(())),
        ("", json!("b"), Err("a name on it is empty")),
        ("a//b", json!("b"), Err("a name on it is empty")),
        ("a/../b", json!("b"), Err("guests cannot ask for by name")),
        ("a b", json!("x"), Err("`a b` cannot be asked for")),
        ("a=b", json!("x"), Err("`a=b` cannot be asked for")),
        ("a\nb", json!("x"), Err("control characters")),
        ("a", json!({"b/c": 1}), Err("`/` may not stand in a key")),
        (
            "a",
            json!({"b": {"c d": 1}}),
            Err("`c d` cannot be asked for"),
        ),
        ("a", json!([{"b?": 1}]), Err("`b?` cannot be asked for")),
        ("/a/b", json!("x"), Err("help: write `a/b`")),
        ("/latest/meta-data/a", json!("x"), Err("help: write `a`")),
        ("meta-data/a", json!("x"), Err("help: write `a`")),
        ("user-data", json!("x"), Err("not below `meta-data/`")),
        (
            "instance-id",
            json!("i-1"),
            Err("instance-id is not living data"),
        ),
        ("tags/x", json!("y"), Err("tags are at `tags/instance/KEY`")),
        ("tags", json!("y"), Err("tags are at `tags/instance/KEY`")),
        ("tags/instance", json!("y"), Err("tags are at")),
        (
            "tags/instance/_index",
            json!("y"),
            Err("guests cannot ask for by name"),
        ),
        ("tags/instance/7=x", json!("y"), Err("name of a public key")),
        ("tags/instance/a/b", json!("y"), Err("one text")),
        ("tags/instance/a", json!(["y"]), Err("one text")),
        (
            "tags/instance/a",
            json!("y".repeat(257)),
            Err("256 is the limit"),
        ),
        ("a", json!("y".repeat(65_537)), Err("65536 is the limit")),
    ] {
        match (setting(path, &value, false), expected) {
            (Ok(_), Ok(())) => {}
            (Err(text), Err(expected)) => {
                assert!(text.contains(expected), "{path:?} {value}: {text}");
            }
            (set, _) => panic!("{path:?}: {set:?}"),
        }
    }
}

#[test]
fn well_known_values_look_as_their_clients_expect() {
    let time = "2026-01-31T12:00:00Z";
    let (term, action) = ("spot/termination-time", "spot/instance-action");
    let (maint, rebal) = (
        "events/maintenance/scheduled",
        "events/recommendations/rebalance",
    );
    let state = "autoscaling/target-lifecycle-state";
    for (path, value, taken) in [
        (term, json!(time), true),
        (term, json!("2026-13-31T12:00:00Z"), false),
        (term, json!("2026-01-31 12:00"), false),
        (term, json!("soon"), false),
        (term, json!(7), false),
        (term, json!(null), true),
        (action, json!({"action": "stop", "time": time}), true),
        (
            action,
            json!(r#"{"action":"stop","time":"2026-01-31T12:00:00Z"}"#),
            true,
        ),
        (action, json!({"action": "explode", "time": time}), false),
        (action, json!({"action": "stop"}), false),
        (action, json!("stop"), false),
        (maint, json!([]), true),
        (maint, json!([{"Code": "system-reboot"}]), true),
        (maint, json!("[]"), true),
        (maint, json!(["x"]), false),
        (maint, json!({}), false),
        (rebal, json!({"noticeTime": time}), true),
        (rebal, json!({"noticetime": time}), false),
        (state, json!("InService"), true),
        (state, json!("Warmed:Stopped"), true),
        (state, json!("inservice"), false),
        ("spot", json!({"termination-time": time}), true),
        ("spot", json!({"termination-time": "soon"}), false),
        ("spot/instance-action/x", json!("y"), false),
    ] {
        let set = setting(path, &value, false);
        assert_eq!(set.is_ok(), taken, "{path} {value}: {set:?}");
        if let Err(text) = set
            && path != "spot/instance-action/x"
        {
            assert!(
                text.contains("as its clients expect it\nhelp: such as '"),
                "{text}"
            );
            assert!(
                setting(path, &value, true).is_ok(),
                "{path} {value} by force"
            );
        }
    }
}

#[test]
fn a_well_known_document_is_one_text_and_no_directory() {
    let value = json!({"action": "stop", "time": "2026-01-31T12:00:00Z"});
    let text = r#"{"action":"stop","time":"2026-01-31T12:00:00Z"}"#;
    let expected = json!({"spot": {"instance-action": text}});
    let below = json!({"instance-action": value});
    assert_eq!(
        setting("spot/instance-action", &value, false),
        Ok(expected.clone())
    );
    assert_eq!(setting("spot", &below, false), Ok(expected));
}

#[test]
fn nothing_is_set_below_a_value() {
    let shelf = Shelf::from([(WEB1, kept("web1", &json!({"a": {"b": "c"}}), None))]);
    let refused = ask(&shelf, set("web1", "a/b/d", json!("e"))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot set `a/b/d`: a value is set at `a/b`, and nothing can be below it\nhelp: unset `a/b` first"
    );
}

#[test]
fn what_is_not_set_cannot_be_taken_back() {
    for (case, instance, path, expected) in [
        (
            "near miss",
            "web1",
            "spot/aa",
            "nothing is set at `spot/aa` for `web1`\nhelp: did you mean `spot/a`?",
        ),
        (
            "far off",
            "web1",
            "zebra",
            "nothing is set at `zebra` for `web1`\nhelp: `metad settings web1` shows what is set, `metad unset web1 --all` takes back all of it",
        ),
        (
            "below a value",
            "web1",
            "spot/a/x/y/z",
            "nothing is set at `spot/a/x/y/z` for `web1`\nhelp: did you mean `spot/a`?",
        ),
        (
            "nobody",
            "wbe1",
            "a",
            "no instance is called `wbe1`\nhelp: did you mean `web1`?",
        ),
    ] {
        let refused = ask(&shelf(), unset(instance, Some(path))).unwrap_err();
        assert_eq!(refused.to_string(), expected, "{case}");
    }
}

#[test]
fn an_instance_has_only_so_many_settings() {
    let many = |count: usize| {
        let members = (0..count).map(|number| (format!("k{number}"), json!("v")));
        Value::Object(members.collect())
    };
    assert!(setting("a", &many(1024), false).is_ok());
    let refused = setting("a", &many(1025), false).unwrap_err();
    assert_eq!(
        refused,
        "`web1` would have 1025 settings, 1024 is the limit\nhelp: `metad unset web1 PATH` makes room"
    );
    let large = |count: usize| {
        let members = (0..count).map(|number| (format!("k{number}"), json!("v".repeat(60_000))));
        Value::Object(members.collect())
    };
    assert!(setting("a", &large(17), false).is_ok());
    let refused = setting("a", &large(18), false).unwrap_err();
    assert!(refused.contains("1048576 is the limit"), "{refused}");
}

#[test]
fn leaves_are_listed_with_their_paths() {
    let tree = json!({"a": {"b": 1, "c": {"d": [1]}}, "e": {}, "f": null});
    let found = leaves(tree.as_object().unwrap());
    let found: Vec<_> = found
        .iter()
        .map(|(path, value)| (path.as_str(), value.to_string()))
        .collect();
    let expected = [("a/b", "1"), ("a/c/d", "[1]"), ("e", "{}"), ("f", "null")];
    let expected = expected.map(|(path, value)| (path, value.to_owned()));
    assert_eq!(found, expected);
}
