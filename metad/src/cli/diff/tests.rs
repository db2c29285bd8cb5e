//! What `metad domain prepare` and `metad network prepare` say, against a file beside the help texts.

use clap::Parser;

use crate::cli::{Cli, Command, domain, network, report, tests::assert_snapshot};

/// What a command prints, its errors included; paths that differ from run to run are called DIR.
fn said(words: &[&str], dir: &std::path::Path) -> String {
    let cli = Cli::try_parse_from(words.iter().copied()).unwrap();
    let mut out = Vec::new();
    let result = if let Command::Domain(domain::Domain::Prepare(prepare)) = &cli.command {
        prepare.run(&mut out)
    } else if let Command::Network(network::Network::Prepare(prepare)) = &cli.command {
        prepare.run(&mut out)
    } else {
        panic!("{:?} prepares nothing", cli.command)
    };
    let (code, errors) = match &result {
        Ok(code) => (*code, String::new()),
        Err(error) => (report::code(error), report::text(error)),
    };
    let words = words.join(" ");
    let text = format!(
        "$ {words}\n{}{errors}# exit code {code}\n\n",
        String::from_utf8(out).unwrap()
    );
    text.replace(dir.to_str().unwrap(), "DIR")
}

const DOMAIN: &str = "<domain type='kvm'>
  <name>web1</name>
  <uuid>0de4d5e6-3d4e-4f60-8182-93a4b5c6d7e8</uuid>
  <memory unit='GiB'>1</memory>
  <sysinfo type='smbios'>
    <system>
      <entry name='serial'>S1</entry>
    </system>
  </sysinfo>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <boot dev='hd'/>
  </os>
</domain>
";

const NETWORK: &str = "<network>
  <name>isolated</name>
  <bridge name='virbr1'/>
  <ip address='10.9.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.9.0.2' end='10.9.0.254'/>
    </dhcp>
  </ip>
</network>
";

#[test]
fn preparing_is_as_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let domain = write("web1.xml", DOMAIN);
    let network = write("isolated.xml", NETWORK);
    let bridged = write(
        "lan.xml",
        "<network><name>lan</name><forward mode='bridge'/></network>",
    );
    let test = "test:///default";
    let mut text = String::new();
    for words in [
        "domain prepare web1 --datasource ec2 --connect test:///default",
        "domain prepare test --datasource nocloud --connect test:///default",
        "domain prepare test --datasource ec2 --connect test:///default",
        "domain prepare test --datasource ec2 --new-uuid --connect test:///default",
        "domain prepare test --datasource ec2 --new-uuid --connect test:///default --apply",
        &format!("domain prepare --datasource nocloud --xml {domain}"),
        &format!("domain prepare --datasource nocloud --replace --xml {domain} --print"),
        &format!("domain prepare --datasource openstack --xml {domain}"),
        &format!("domain prepare --datasource openstack --seed-url http://h/ --xml {domain}"),
        &format!(
            "domain prepare --datasource ec2 --xml {}/none.xml",
            directory.path().display()
        ),
        "network prepare default --connect test:///default",
        "network prepare lonely --connect test:///default",
        &format!("network prepare --xml {network}"),
        &format!("network prepare --xml {bridged}"),
    ] {
        let words: Vec<&str> = std::iter::once("metad").chain(words.split(' ')).collect();
        text.push_str(&said(&words, directory.path()));
    }
    assert!(text.contains(test));
    assert_snapshot("prepare", &text);
}

#[test]
fn what_is_printed_can_be_prepared_to_the_last_octet() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nat.xml");
    let nat = "<network>\r\n<name>n</name><forward/><ip address='10.9.0.1'><dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>";
    std::fs::write(&file, nat).unwrap();
    let text = said(
        &[
            "metad",
            "network",
            "prepare",
            "--print",
            "--xml",
            file.to_str().unwrap(),
        ],
        directory.path(),
    );
    assert!(text.contains(nat), "a network that needs nothing: {text}");
}

/// The command that these words suggest.
fn suggested(words: &[&str]) -> String {
    let cli = Cli::try_parse_from(words.iter().copied()).unwrap();
    if let Command::Network(network::Network::Prepare(prepare)) = &cli.command {
        let command = ["network", "prepare", "my net"];
        return prepare.ways.again(&command, "qemu:///system");
    }
    let Command::Domain(domain::Domain::Prepare(prepare)) = &cli.command else {
        panic!("{:?} prepares nothing", cli.command)
    };
    let uri = prepare.ways.connect.as_deref();
    prepare.command(uri.unwrap_or("qemu:///system"))
}

#[test]
fn the_command_that_is_suggested_repeats_what_was_given() {
    for (words, expected) in [
        (
            &["domain", "prepare", "web1", "--datasource", "ec2"][..],
            "sudo metad domain prepare web1 --datasource ec2 --apply",
        ),
        (
            &[
                "domain",
                "prepare",
                "my web's",
                "--datasource",
                "nocloud",
                "--config",
                "my lab.toml",
                "--name",
                "lab",
                "--connect",
                "test:///default",
                "--seed-url",
                "http://h/%s/",
                "--replace",
                "--new-uuid",
            ],
            r"sudo metad domain prepare 'my web'\''s' --datasource nocloud --new-uuid --replace --seed-url http://h/%s/ --config 'my lab.toml' --name lab --connect test:///default --apply",
        ),
        (
            &[
                "domain",
                "prepare",
                "web1",
                "--datasource",
                "ec2",
                "--connect",
                "qemu+ssh://a@b/system?x=$y",
            ],
            "sudo metad domain prepare web1 --datasource ec2 --connect 'qemu+ssh://a@b/system?x=$y' --apply",
        ),
        (
            &[
                "domain",
                "prepare",
                "web1",
                "--datasource",
                "ec2",
                "--connect",
                "qemu:///session",
            ],
            "metad domain prepare web1 --datasource ec2 --connect qemu:///session --apply",
        ),
        (
            &[
                "network", "prepare", "my net", "--config", "lab.toml", "--name", "lab",
            ],
            "sudo metad network prepare 'my net' --config lab.toml --name lab --apply",
        ),
    ] {
        let words = [&["metad"], words].concat();
        assert_eq!(suggested(&words), expected);
    }
}

#[test]
fn a_file_is_looked_at_with_its_own_options() {
    let directory = tempfile::tempdir().unwrap();
    let options = "<metadata><instance xmlns='urn:metad:instance:1'><options http-tokens='required'/></instance></metadata>";
    let file = directory.path().join("web1.xml");
    std::fs::write(
        &file,
        DOMAIN.replace("<memory", &format!("{options}<memory")),
    )
    .unwrap();
    let configuration = directory.path().join("metad.toml");
    let state = directory.path().join("state");
    let text = format!(
        "name = \"no-metad\"\nstate-directory = \"{}\"\n",
        state.display()
    );
    std::fs::write(&configuration, text).unwrap();
    let told = |datasource: &str| {
        said(
            &[
                "metad",
                "domain",
                "prepare",
                "--datasource",
                datasource,
                "--replace",
                "--xml",
                file.to_str().unwrap(),
                "--config",
                configuration.to_str().unwrap(),
            ],
            directory.path(),
        )
    };
    let text = told("nocloud");
    assert!(
        text.contains("note: the guest will find nothing at http://169.254.169.254/nocloud/"),
        "{text}"
    );
    let text = told("openstack");
    assert!(
        text.contains("note: metad will answer OpenStack's paths with 404"),
        "{text}"
    );

    crate::settings::Secret::open(&state).unwrap();
    let text = told("nocloud");
    assert!(!text.contains("will find nothing"), "{text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("+") && line.contains("ds=nocloud"))
        .unwrap();
    let (_, url) = line
        .split_once("s=http://169.254.169.254/nocloud/")
        .unwrap();
    let (seed, _) = url.split_once('/').unwrap();
    assert_eq!(seed.len(), 32, "{line}");
}
