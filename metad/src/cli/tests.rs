//! Help texts and errors against files beside this one. `METAD_UPDATE_SNAPSHOTS=1 cargo test -p metad` rewrites them.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::*;
use crate::datapath::buckets;
use crate::limits::Limit;
use crate::netns::queues::Queue;

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/snapshots")
}

/// Compares `text` with the file `name`, or writes it where the environment asks for that.
#[track_caller]
pub(super) fn assert_snapshot(name: &str, text: &str) {
    let path = snapshots().join(format!("{name}.txt"));
    if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(snapshots()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "{} does not hold this text; METAD_UPDATE_SNAPSHOTS=1 rewrites it\n--- it holds\n{expected}--- now\n{text}",
        path.display()
    );
}

const COMMANDS: [&str; 13] = [
    "serve", "check", "status", "query", "identity", "set", "unset", "settings", "password", "up",
    "down", "domain", "network",
];

#[test]
fn help_is_as_written_down() {
    let mut cli = Cli::command().term_width(100);
    assert_snapshot("help", &cli.render_long_help().to_string());
    cli.build();
    for name in COMMANDS {
        let command = cli.find_subcommand_mut(name).unwrap();
        assert_snapshot(&format!("help-{name}"), &command.render_help().to_string());
        if let Some(prepare) = command.find_subcommand_mut("prepare") {
            let help = prepare.render_help().to_string();
            assert_snapshot(&format!("help-{name}-prepare"), &help);
        }
    }
}

#[test]
fn every_command_has_a_snapshot() {
    let mut named: Vec<String> = Cli::command()
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| command.get_name().to_owned())
        .collect();
    named.sort();
    let mut known = COMMANDS.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(named, known);
}

#[test]
fn every_exit_code_is_in_the_help() {
    let help = Cli::command().render_long_help().to_string();
    for (code, meaning) in exit::ALL {
        assert!(
            help.contains(&format!("{code:>2}  {meaning}\n")),
            "{code}: {meaning}"
        );
    }
}

#[test]
fn commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_words_are_refused() {
    for words in [
        "metad",
        "metad fly",
        "metad query /latest/",
        "metad query --as web1",
        "metad query --as web1 / --method PUT",
        "metad query --as web1 / --nic 52:54",
        "metad query --as web1 / -H nothing",
        "metad serve --name Capital",
        "metad serve --name fifteenletters0",
        "metad serve --log metad=loud",
        "metad serve --log infoo",
        "metad serve --log-format xml",
        "metad serve --wait 5",
        "metad serve --take-over --wait 0",
        "metad serve --take-over --wait 151",
        "metad status --yaml",
        "metad set web1 a",
        "metad unset web1",
        "metad unset web1 a --all",
        "metad password",
        "metad domain",
        "metad domain prepare --datasource ec2",
        "metad domain prepare web1",
        "metad domain prepare web1 --datasource azure",
        "metad domain prepare web1 --datasource ec2 --xml -",
        "metad domain prepare --datasource ec2 --xml - --apply",
        "metad domain prepare web1 --datasource ec2 --print --apply",
        "metad network prepare",
        "metad network prepare default --xml -",
        "metad identity",
        "metad identity key",
        "metad identity jwks --der",
    ] {
        let error = Cli::try_parse_from(words.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(exit::USAGE), "{words}");
    }
}

#[test]
fn right_words_are_taken() {
    for words in [
        "metad serve",
        "metad serve --config /x --name lab --log debug --log-format json",
        "metad serve --take-over --wait 150",
        "metad check --json --config /x",
        "metad status --json --name lab",
        "metad query --as web1 / --method head --nic 52:54:00:00:00:01 -H A:b -H C:d -i",
        "metad identity cert --der --name lab",
        "metad identity jwks --config /x",
        "metad identity openid-configuration --jwks-uri https://x",
        "metad down --name lab --purge",
        "metad set web1 a -",
        "metad set web1 a -1 --json --force",
        "metad unset web1 --all",
        "metad unset web1 a/b",
        "metad settings",
        "metad settings web1 --json",
        "metad password web1 --clear",
        "metad down --name lab",
        "metad domain prepare web1 --datasource ec2 --apply --new-uuid --connect test:///default",
        "metad domain prepare --datasource nocloud --seed-url http://h/ --xml - --print --replace",
        "metad network prepare default --apply --config /x",
        "metad network prepare --xml - --print",
    ] {
        if let Err(error) = Cli::try_parse_from(words.split(' ')) {
            panic!("{words}: {error}");
        }
    }
}

#[test]
fn a_name_alone_needs_no_file() {
    let place = |config: Option<&str>| Place {
        config: config.map(PathBuf::from),
        name: Some(Name::new("lab").unwrap()),
    };
    assert_eq!(
        place(None).names().unwrap().admin_socket(),
        Path::new("/run/lab/admin.sock")
    );
    assert!(place(Some("/nonexistent/metad.toml")).names().is_err());
}

#[test]
fn errors_are_as_written_down() {
    use crate::admin::{Client, Error, QueryError};
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metad.toml");
    let wrong = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file)).unwrap_err()
    };
    let socket = dir.path().join("admin.sock");
    let errors: [(&str, anyhow::Error); 6] = [
        (
            "missing configuration",
            Config::load(Some(&dir.path().join("none.toml")))
                .unwrap_err()
                .into(),
        ),
        (
            "unknown key",
            wrong("[datapath]\nidentiy = \"port\"\n").into(),
        ),
        ("bad value", wrong("[datapath]\nidentity = \"ip\"\n").into()),
        (
            "no daemon",
            block_on(Client::new(&socket).status())
                .unwrap()
                .unwrap_err()
                .into(),
        ),
        (
            "unknown instance",
            crate::admin::ClientError::Query(QueryError::unknown_instance("wbe1", ["web1", "db1"]))
                .into(),
        ),
        (
            "second daemon",
            Error::Taken {
                run_dir: "/run/metad".into(),
                pid: Some(4711),
            }
            .into(),
        ),
    ];
    let mut text = String::new();
    for (case, error) in &errors {
        let told = report::text(error).replace(dir.path().to_str().unwrap(), "DIR");
        text.push_str(&format!(
            "# {case}: exit code {}\n{told}\n",
            report::code(error)
        ));
    }
    assert_snapshot("errors", &text);
}

fn project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// Compares the part of a document between two marks with `text`, or rewrites it where the environment asks for that.
#[track_caller]
fn assert_documented(file: &str, mark: &str, text: &str) {
    let document = std::fs::read_to_string(project(file)).unwrap();
    let (begin, end) = (
        format!("<!-- {mark}: begin -->\n"),
        format!("<!-- {mark}: end -->"),
    );
    let (before, rest) = document.split_once(&begin).unwrap();
    let (found, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("METAD_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(project(file), format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            found, text,
            "{file} is out of date; METAD_UPDATE_SNAPSHOTS=1 rewrites it"
        );
    }
}

#[test]
fn every_reason_is_documented() {
    let mut table = "| reason | why a frame was dropped |\n|---|---|\n".to_owned();
    for reason in metad_common::reason::Reason::ALL {
        table.push_str(&format!(
            "| `{}` | {} |\n",
            reason.name(),
            reason.sentence()
        ));
    }
    assert_documented("docs/operations.md", "REASONS", &table);
}

#[test]
fn every_limit_is_documented() {
    let mut table = "| limit | what happened |\n|---|---|\n".to_owned();
    table.push_str(&format!(
        "| `{}` | {} |\n",
        buckets::CONNECTIONS,
        buckets::SENTENCE
    ));
    for limit in Limit::ALL {
        table.push_str(&format!("| `{}` | {} |\n", limit.name(), limit.sentence()));
    }
    for queue in Queue::ALL {
        table.push_str(&format!("| `{}` | {} |\n", queue.name(), queue.sentence()));
    }
    assert_documented("docs/operations.md", "LIMITS", &table);
}

#[test]
fn every_number_of_the_limits_is_documented() {
    let mut table = "| key | from | to |\n|---|---|---|\n".to_owned();
    for (key, range) in crate::config::LIMIT_NUMBERS {
        let (least, most) = range.into_inner();
        table.push_str(&format!("| `{key}` | {least} | {most} |\n"));
    }
    assert_documented("docs/operations.md", "LIMIT NUMBERS", &table);
}

#[test]
fn every_exit_code_is_documented() {
    let mut table = "| code | meaning |\n|---|---|\n".to_owned();
    for (code, meaning) in exit::ALL {
        table.push_str(&format!("| {code} | {meaning} |\n"));
    }
    assert_documented("README.md", "EXIT CODES", &table);
}

#[test]
fn every_command_is_documented() {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    for name in COMMANDS {
        assert!(readme.contains(&format!("| `metad {name}")), "{name}");
    }
}

#[test]
fn the_shipped_configuration_is_the_defaults() {
    let shipped = Config::load(Some(&project("dist/metad.toml"))).unwrap();
    assert_eq!(shipped, Config::default());
}

#[test]
fn the_shipped_record_is_understood() {
    let text = std::fs::read_to_string(project("dist/instance.yaml")).unwrap();
    let format = crate::directory::record_file::Format::Yaml;
    let file = crate::directory::record_file::parse(&text, format).unwrap();
    assert_eq!(file.record.hostname.as_deref(), Some("web1.example.org"));
    assert_eq!(file.nics, None);
}

#[test]
fn the_shipped_domain_is_understood() {
    let document = std::fs::read_to_string(project("dist/domain.xml")).unwrap();
    let domain = crate::libvirt::domain_xml::parse(&document).unwrap();
    let record = domain.metadata.unwrap();
    assert_eq!(record.hostname.as_deref(), Some("web1.example.org"));
    assert!(
        record
            .user_data
            .unwrap()
            .bytes()
            .starts_with(b"#cloud-config\npackages:\n  - nginx\n\nruncmd:")
    );
}
