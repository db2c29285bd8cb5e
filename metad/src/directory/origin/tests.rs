use super::*;

mod cheesy2;
mod vmw;

fn json(stem: &str, beside_data: bool) -> Named<'_> {
    Named {
        stem,
        format: Format::Json,
        beside_data,
    }
}

fn yaml(stem: &str) -> Named<'_> {
    Named {
        stem,
        format: Format::Yaml,
        beside_data: false,
    }
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn content_tells_whose_a_file_is() {
    const VMW: &str = "metadata: {ami_id: a, instance_id: i, region: r, availability_zone: z, hostname: h}\n\
        network: {address: 10.0.0.5, netmask: 255.255.255.0, gateway: 10.0.0.1, nameservers: [10.0.0.1]}\n";
    for (case, text, named, expected) in [
        (
            "keys in a list",
            r#"{"public-keys": []}"#,
            json("web.internal", false),
            Ok("web"),
        ),
        (
            "a name of EC2's that records have not",
            r#"{"local-hostname": "a"}"#,
            json("web.internal", false),
            Ok("web"),
        ),
        (
            "a name that nobody knows",
            r#"{"cluster": "a"}"#,
            json("web.internal", false),
            Ok("web"),
        ),
        (
            "user-data beside it",
            r#"{"hostname": "a"}"#,
            json("web.internal", true),
            Ok("web"),
        ),
        (
            "what means the same to both",
            r#"{"hostname": "a"}"#,
            json("web.internal", false),
            Ok("web.internal"),
        ),
        (
            "keys by name",
            r#"{"public-keys": {"me": "ssh-rsa A"}, "hostname": "a"}"#,
            json("web.internal", true),
            Ok("web.internal"),
        ),
        (
            "what only records have",
            r#"{"hostname": "a", "options": {}}"#,
            json("web.internal", false),
            Ok("web.internal"),
        ),
        (
            "another name",
            r#"{"hostname": "a"}"#,
            json("web", true),
            Ok("web"),
        ),
        ("both keys of the driver", VMW, yaml("web"), Ok("web")),
        (
            "the driver read no JSON",
            r#"{"metadata": {}, "network": {}}"#,
            json("web", false),
            Err("line 1, column 11: unknown key `metadata`, did you mean `meta-data`?"),
        ),
        (
            "one key of the driver",
            "metadata: {}\n",
            yaml("web"),
            Err("line 1, column 1: unknown key `metadata`, did you mean `meta-data`?"),
        ),
        (
            "a slip in a record",
            r#"{"hostnam": "a"}"#,
            json("web.internal", false),
            Err("line 1, column 10: unknown key `hostnam`, did you mean `hostname`?"),
        ),
        (
            "both at once",
            r#"{"public-keys": [], "options": {}}"#,
            json("web.internal", false),
            Err("line 1, column 16: `public-keys` takes a mapping of names to texts"),
        ),
        (
            "keys in a list elsewhere",
            r#"{"public-keys": []}"#,
            json("web", false),
            Err("line 1, column 16: `public-keys` takes a mapping of names to texts"),
        ),
        (
            "the driver's with one of ours",
            "hostname: a\nmetadata: {}\nnetwork: {}\n",
            yaml("web"),
            Err(
                "line 1, column 1: unknown key `hostname`; known are `metadata`, `network`, `userdata`",
            ),
        ),
        (
            "broken",
            r#"{"cluster": "#,
            json("web.internal", false),
            Err("line 1, column 10: unknown key `cluster`; known are `instance-id`"),
        ),
    ] {
        match (read(text, named).map(|reading| reading.machine), expected) {
            (Ok(machine), Ok(expected)) => assert_eq!(machine, expected, "{case}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().starts_with(expected), "{case}: {error}");
            }
            (read, _) => panic!("{case}: {read:?}"),
        }
    }
}

#[test]
fn user_data_beside_a_record_of_our_own_is_not_passed_over_in_silence() {
    let remark = "`web.internal.data` beside it is not read: name it with `user-data-file`";
    for (case, text, stem, expected) in [
        (
            "not named",
            r#"{"options": {}}"#,
            "web.internal",
            vec![remark],
        ),
        (
            "named",
            r#"{"user-data-file": "web.internal.data"}"#,
            "web.internal",
            vec![],
        ),
        (
            "a name of no guest of cheesy2's",
            r#"{"options": {}}"#,
            "web",
            vec![],
        ),
    ] {
        let reading = read(text, json(stem, true)).unwrap();
        assert_eq!(reading.remarks, expected, "{case}");
        assert!(!reading.takes_data, "{case}");
    }
}

proptest::proptest! {
    #[test]
    fn reading_is_total(text in "[\\[\\]{}:,\" a-z\n-]{0,60}", beside_data: bool) {
        for stem in ["web", "web.internal", ".internal"] {
            let _ = read(&text, json(stem, beside_data));
            let _ = read(&text, yaml(stem));
            let _ = read(&format!("metadata: {text}\nnetwork: {text}"), yaml(stem));
        }
    }
}
