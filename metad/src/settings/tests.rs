//! Wishes against what is kept, and files against everything that can be wrong with a disk.

mod files;
mod values;

use serde_json::{Value, json};

use super::*;

const WEB1: Uuid = Uuid::from_u128(0xec2a_1b2c_3d4e_5f60_7182_93a4_b5c6_d7e8);
const GONE: Uuid = Uuid::from_u128(0x1111_1111_2222_3333_4444_5555_5555_5555);

fn kept(name: &str, settings: &Value, password: Option<&'static str>) -> Kept {
    Kept {
        name: name.to_owned(),
        settings: settings.as_object().cloned().unwrap(),
        password: password.map(|text| Bytes::from_static(text.as_bytes())),
    }
}

/// `web1` and `db1` are there, `old` is gone.
fn ask(shelf: &Shelf, wish: Wish) -> Result<Decision, Refusal> {
    let names = BTreeMap::from([("web1", WEB1), ("db1", Uuid::from_u128(2))]);
    let world = World {
        kept: shelf,
        names: &names,
    };
    decide(wish, world)
}

fn shelf() -> Shelf {
    Shelf::from([
        (
            WEB1,
            kept("web1", &json!({"spot": {"a": "1", "b": "2"}}), None),
        ),
        (GONE, kept("old", &json!({"a": "b"}), Some("secret"))),
    ])
}

fn set(instance: &str, path: &str, value: Value) -> Wish {
    Wish::Set {
        instance: instance.to_owned(),
        path: path.to_owned(),
        value,
        force: false,
    }
}

fn unset(instance: &str, path: Option<&str>) -> Wish {
    Wish::Unset {
        instance: instance.to_owned(),
        path: path.map(str::to_owned),
    }
}

#[test]
fn a_wish_changes_what_is_kept_of_its_instance() {
    for (case, wish, expected) in [
        (
            "beside others",
            set("web1", "spot/c", json!("3")),
            kept(
                "web1",
                &json!({"spot": {"a": "1", "b": "2", "c": "3"}}),
                None,
            ),
        ),
        (
            "over a value",
            set("web1", "spot/a", json!("3")),
            kept("web1", &json!({"spot": {"a": "3", "b": "2"}}), None),
        ),
        (
            "over a directory",
            set("web1", "spot", json!({"z": 1})),
            kept("web1", &json!({"spot": {"z": 1}}), None),
        ),
        (
            "taken back",
            unset("web1", Some("spot/a")),
            kept("web1", &json!({"spot": {"b": "2"}}), None),
        ),
        (
            "a whole directory",
            unset("web1", Some("spot/")),
            kept("web1", &json!({}), None),
        ),
        (
            "everything",
            unset("web1", None),
            kept("web1", &json!({}), None),
        ),
    ] {
        let expected = Plan {
            instance: WEB1,
            kept: expected,
        };
        assert_eq!(ask(&shelf(), wish), Ok(Decision::Write(expected)), "{case}");
    }
}

#[test]
fn what_is_gone_is_shown_and_taken_back_whole_by_name_or_uuid() {
    let everything = Plan {
        instance: GONE,
        kept: kept("old", &json!({}), None),
    };
    for name in ["old", "11111111-2222-3333-4444-555555555555"] {
        let decision = ask(&shelf(), unset(name, None));
        let expected = Plan {
            instance: GONE,
            kept: everything.kept.clone(),
        };
        assert_eq!(decision, Ok(Decision::Write(expected)), "{name}");
        let refused = ask(&shelf(), set(name, "a", json!("b")));
        assert!(
            matches!(refused, Err(Refusal::UnknownInstance { .. })),
            "{name}: nothing is set for who is gone"
        );
    }
    let Ok(Decision::Answer(Outcome::Kept(shown))) = ask(&shelf(), Wish::Show { instance: None })
    else {
        panic!("nothing is shown");
    };
    let shown: Vec<_> = shown
        .iter()
        .map(|it| (it.name.as_str(), it.orphan, it.password))
        .collect();
    assert_eq!(shown, [("old", true, true), ("web1", false, false)]);
}

#[test]
fn another_uuid_of_the_same_name_inherits_nothing() {
    let shelf = Shelf::from([(GONE, kept("web1", &json!({"a": "b"}), Some("x")))]);
    let instance = "web1".to_owned();
    let shown = ask(
        &shelf,
        Wish::Show {
            instance: Some(instance.clone()),
        },
    );
    let Ok(Decision::Answer(Outcome::Kept(shown))) = shown else {
        panic!("{shown:?}");
    };
    assert_eq!(shown[0].uuid, WEB1);
    assert!(shown[0].settings.is_empty() && !shown[0].password);
    assert_eq!(
        ask(&shelf, Wish::Password { instance }),
        Ok(Decision::Answer(Outcome::Password(None)))
    );
}

#[test]
fn a_password_is_left_once_until_its_owner_clears_it() {
    let names = BTreeMap::from([("web1", WEB1)]);
    let leave = |shelf: &Shelf, text: &'static str| {
        let world = World {
            kept: shelf,
            names: &names,
        };
        leave_password(WEB1, Bytes::from_static(text.as_bytes()), world)
    };
    let settings = json!({"spot": {"a": "1", "b": "2"}});
    let first = leave(&shelf(), "one").unwrap();
    assert_eq!(first.kept, kept("web1", &settings, Some("one")));
    let shelf = Shelf::from([(WEB1, first.kept)]);
    assert_eq!(leave(&shelf, "two"), None);
    let instance = || "web1".to_owned();
    assert_eq!(
        ask(
            &shelf,
            Wish::Password {
                instance: instance()
            }
        ),
        Ok(Decision::Answer(Outcome::Password(Some("b25l".to_owned()))))
    );
    let cleared = ask(
        &shelf,
        Wish::ClearPassword {
            instance: instance(),
        },
    );
    let Ok(Decision::Write(Plan { kept: left, .. })) = cleared else {
        panic!("{cleared:?}");
    };
    assert_eq!(left, kept("web1", &settings, None));
    let all = ask(&shelf, unset("web1", None));
    let Ok(Decision::Write(Plan { kept: left, .. })) = all else {
        panic!("{all:?}");
    };
    assert_eq!(
        left,
        kept("web1", &json!({}), Some("one")),
        "a password is no setting"
    );
}

#[tokio::test]
async fn a_desk_without_a_writer_refuses_at_once() {
    let desk = StateDesk::default();
    let wish = Wish::Show { instance: None };
    assert_eq!(desk.ask(wish).await, Err(Refusal::Ending));
    let stored = desk.store_password(WEB1, Bytes::from_static(b"x")).await;
    assert_eq!(stored, Stored::Failed);
}

#[tokio::test]
async fn a_password_that_is_too_long_never_reaches_the_writer() {
    let (desk, mut errands) = StateDesk::open();
    let long = Bytes::from(vec![b'x'; PASSWORD_MAX + 1]);
    assert_eq!(desk.store_password(WEB1, long).await, Stored::TooLong);
    let fits = Bytes::from(vec![b'x'; PASSWORD_MAX]);
    let writer = async {
        if let Some(Errand::Password(WEB1, password, answer)) = errands.recv().await {
            assert_eq!(password.len(), PASSWORD_MAX);
            answer.send(Stored::Stored).unwrap();
        }
    };
    let (stored, ()) = tokio::join!(desk.store_password(WEB1, fits), writer);
    assert_eq!(stored, Stored::Stored);
}
