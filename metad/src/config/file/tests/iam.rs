//! `[iam.NAME]`.

use super::*;
use crate::config::{Origin, Role};

#[test]
fn roles_have_a_file_or_a_command() {
    let text = r#"
        [iam.backup]
        credentials-file = "backup.json"
        [iam."web@site"]
        credentials-command = ["/usr/bin/aws-login", "web role"]
    "#;
    let expected = [
        Role {
            name: "backup".to_owned(),
            origin: Origin::File(PathBuf::from("/etc/metad/backup.json")),
        },
        Role {
            name: "web@site".to_owned(),
            origin: Origin::Command(vec!["/usr/bin/aws-login".to_owned(), "web role".to_owned()]),
        },
    ];
    let mut roles = parse(text).unwrap().roles;
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(roles, expected);
}

#[test]
fn bad_roles_name_their_place() {
    assert_told(&[
        (
            "no table",
            "iam = 1",
            "line 1, column 7: [iam] must be a table, not a number",
        ),
        (
            "nothing",
            "[iam.web]",
            "line 1, column 1: a role needs `credentials-file` or `credentials-command`",
        ),
        (
            "both",
            "[iam.web]\ncredentials-file = \"/a\"\ncredentials-command = [\"/b\"]",
            "line 3, column 23: `credentials-file` and `credentials-command` exclude each other",
        ),
        (
            "unknown key",
            "[iam.web]\ncredential-file = \"/a\"",
            "line 2, column 1: unknown key `credential-file` in [iam.NAME]\nhelp: did you mean `credentials-file`?",
        ),
        (
            "name that a listing cannot hold",
            "[iam.\"a=b\"]\ncredentials-file = \"/a\"",
            "line 1, column 6: `a=b` cannot be a role's name\nhelp: 1 to 64 letters, digits and `_+,.@-`",
        ),
        (
            "a command line",
            "[iam.web]\ncredentials-command = \"/b c\"",
            "line 2, column 23: `credentials-command` must be a list such as \
             [\"/usr/local/bin/credentials\", \"web\"], not a text",
        ),
        (
            "a program to be searched for",
            "[iam.web]\ncredentials-command = [\"aws\"]",
            "line 2, column 23: `credentials-command` must begin with the program's whole path",
        ),
        (
            "no program",
            "[iam.web]\ncredentials-command = []",
            "line 2, column 23: `credentials-command` must begin with the program's whole path",
        ),
        (
            "a number among the words",
            "[iam.web]\ncredentials-command = [\"/b\", 1]",
            "line 2, column 23: `credentials-command` must hold texts",
        ),
    ]);
}
