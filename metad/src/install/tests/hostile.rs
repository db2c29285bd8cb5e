//! What an instance brings cannot leave its place: not a key's comment, not a tag, not a variable.

use proptest::prelude::*;

use super::*;

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn filters_keep_values_where_they_are() {
    for (case, filter, value, expected) in [
        ("shell", "shellquote", json!("a b"), Ok("'a b'")),
        ("a quote", "shellquote", json!("a'b"), Ok(r"'a'\''b'")),
        (
            "an expansion",
            "shellquote",
            json!("$(id)`id`\\"),
            Ok(r"'$(id)`id`\'"),
        ),
        ("a number", "shellquote", json!(7), Ok("'7'")),
        (
            "two lines in a shell",
            "shellquote",
            json!("a\nb"),
            Err("holds '\\n'"),
        ),
        ("a return", "line", json!("a\rb"), Err("holds '\\r'")),
        (
            "a line of Unicode's",
            "line",
            json!("a\u{2028}b"),
            Err("holds '\\u{2028}'"),
        ),
        (
            "a next line",
            "line",
            json!("a\u{85}b"),
            Err("holds '\\u{85}'"),
        ),
        ("preseed", "preseed", json!("a b"), Ok("a b")),
        (
            "a joined line",
            "preseed",
            json!("a\\"),
            Err("ends in a backslash"),
        ),
        (
            "a joined line with space",
            "preseed",
            json!("a\\ "),
            Err("ends in a backslash"),
        ),
        ("a backslash within", "preseed", json!("a\\b"), Ok("a\\b")),
        ("a word", "word", json!("/dev/vda"), Ok("/dev/vda")),
        ("two words", "word", json!("a b"), Err("holds ' '")),
        (
            "a quote in a word",
            "word",
            json!("a'b"),
            Err("holds '\\''"),
        ),
        ("a separator", "word", json!("a;b"), Err("holds ';'")),
        (
            "an option",
            "word",
            json!("-a"),
            Err("starts like an option"),
        ),
        ("nothing", "word", json!(""), Err("is empty")),
        (
            "a mapping",
            "line",
            json!({"a": 1}),
            Err("a text belongs here"),
        ),
        ("null", "line", json!(null), Err("a text belongs here")),
        ("YAML", "yaml", json!("a: b # c"), Ok("\"a: b # c\"")),
        (
            "YAML's list",
            "yaml",
            json!(["a", 1, true, null]),
            Ok("[\"a\",1,true,null]"),
        ),
        ("YAML of two lines", "yaml", json!("a\nb"), Ok("\"a\\nb\"")),
        (
            "YAML's own line ends",
            "yaml",
            json!("\u{85}\u{2028}\u{feff}"),
            Ok("\"\\u0085\\u2028\\ufeff\""),
        ),
    ] {
        let template = format!("{{{{ install.value | {filter} }}}}");
        let rendered = render(&template, &with(&json!({"value": value})));
        match (rendered, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{case}"),
            (Err(problem), Err(expected)) => {
                assert!(problem.contains(expected), "{case}: {problem}")
            }
            (rendered, _) => panic!("{case}: {rendered:?}"),
        }
    }
}

#[test]
fn no_problem_carries_a_value() {
    for filter in ["line", "preseed", "shellquote", "word"] {
        let template = format!("{{{{ install.value | {filter} }}}}");
        let problem = render(&template, &with(&json!({"value": "s3cret\n\\"}))).unwrap_err();
        assert!(!problem.contains("s3cret"), "{filter}: {problem}");
    }
}

/// Comments that try to begin a line, a command or a value of their own.
const COMMENTS: [&str; 12] = [
    "me@host",
    "it's me",
    "\"me\"",
    "'; reboot; '",
    "$(reboot)",
    "`reboot`",
    "# no comment",
    "\\",
    "a\\",
    "%post",
    ": - [x]",
    "{{ install }} {% raw %}",
];

#[test]
fn a_comment_of_a_key_stays_a_comment() {
    let templates = shipped::templates();
    for comment in COMMENTS {
        let text = format!("ssh-ed25519 AAAA {comment}");
        let mut instance = sample::instance();
        instance.public_keys = vec![key(&text)];
        let mut plain = sample::instance();
        plain.public_keys = vec![key("ssh-ed25519 AAAA")];
        let (rendered, usual) = (templates.render(&instance, 0), templates.render(&plain, 0));
        assert_eq!(rendered.problems, Vec::<String>::new(), "{comment}");
        for (name, octets) in &rendered.files {
            let lines = |octets: &Bytes| octets.iter().filter(|octet| **octet == b'\n').count();
            assert_eq!(
                lines(octets),
                lines(&usual.files[name]),
                "{name} of {comment}"
            );
        }
        let kickstart = shipped::text(&rendered, "kickstart.cfg");
        assert_eq!(printed(&kickstart), format!("{text}\n"), "{comment}");
        assert!(
            !shipped::text(&rendered, "preseed.cfg").contains("AAAA"),
            "{comment}"
        );
        assert_eq!(
            shipped::text(&rendered, "authorized_keys"),
            format!("{text}\n")
        );
        let answers: Value =
            serde_saphyr::from_str(&shipped::text(&rendered, "autoinstall/user-data")).unwrap();
        let keys = &answers["autoinstall"]["user-data"]["users"][0]["ssh_authorized_keys"];
        assert_eq!(*keys, json!([text]));
    }
}

/// What a shell makes of the line that writes the keys.
fn printed(kickstart: &str) -> String {
    let line = kickstart.lines().find(|line| line.starts_with("printf "));
    let (command, _) = line.unwrap().rsplit_once(" > ").unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn a_hostile_variable_is_refused_or_quoted() {
    let templates = shipped::templates();
    for name in [
        "locale", "keyboard", "timezone", "mirror", "proxy", "url", "disk", "user", "console",
    ] {
        let instance = with(&json!({name: "x\nd-i preseed/early_command string reboot"}));
        let rendered = templates.render(&instance, 0);
        for file in ["preseed.cfg", "kickstart.cfg"] {
            if let Some(octets) = rendered.files.get(file) {
                let text = String::from_utf8_lossy(octets);
                assert!(!text.contains("early_command"), "{name} in {file}: {text}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_key_is_one_line_or_none(comment in "\\PC{0,40}") {
        let mut instance = sample::instance();
        instance.public_keys = vec![key(&format!("ssh-rsa AAAA {comment}"))];
        let rendered = shipped::templates().render(&instance, 0);
        if let Some(octets) = rendered.files.get("kickstart.cfg") {
            let text = String::from_utf8(octets.to_vec()).unwrap();
            prop_assert_eq!(text.lines().filter(|line| line.contains("AAAA")).count(), 1);
            prop_assert_eq!(text.matches("%post").count(), 1 + comment.matches("%post").count());
        }
    }

    #[test]
    fn rendering_is_total(instance in sample::any_instance()) {
        for nic in 0..3 {
            let _ = shipped::templates().render(&instance, nic);
        }
    }
}
