//! The guest that the clients run in, and what they print there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use metad_tests::clients::Clients;
use metad_tests::lab::{Daemon, Guest, Lab, Namespace, Plug, Settings, until};
use metad_tests::needs;
use serde_json::{Value, json};

use super::table;

/// What the guest is called by its host.
pub(super) const INSTANCE: &str = "i-0123456789abcdef0";

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const ADDRESS: &str = "10.77.0.5/24";
const CREDENTIALS: &str = r#"{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret", "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z"}"#;

/// A host, the guest, and the daemon between them.
pub(super) struct Stage {
    daemon: Daemon,
    guest: Guest,
    record: Value,
    lab: Lab,
}

/// What a client printed, the same in both ways of asking.
pub(super) struct Asked {
    lines: Vec<(String, String)>,
    with_tokens: bool,
}

impl Stage {
    pub(super) fn new() -> Result<Self> {
        let lab = Lab::new()?;
        lab.bridge("br0", &["10.77.0.1/24"])?;
        let mut guest = lab.guest("web1", Plug::Bridge("br0"), Some(ADDRESS))?;
        guest.set_mac(MAC)?;
        guest.ip("route add default via 10.77.0.1")?;
        let mut record = guest.record();
        let nic = record["nics"][0].take();
        record = json!({
            "instance-id": INSTANCE,
            "image-id": "ami-0123456789abcdef0",
            "instance-type": "c3.large",
            "hostname": "web1.example.org",
            "placement": { "region": "cellar-1", "availability-zone": "cellar-1a" },
            "public-keys": { "me": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host" },
            "tags": { "role": "web" },
            "user-data": "#cloud-config\n{}\n",
            "iam-role": "app",
            "uuid": "0123456789ab4def8123456789abcdef",
            "nics": [nic],
        });
        record["nics"][0]["addresses"] = json!([ADDRESS]);
        let credentials = lab.directory().join("credentials.json");
        fs::write(&credentials, CREDENTIALS)?;
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600))?;
        lab.record("web1", &record)?;
        let role = format!("[iam.app]\ncredentials-file = {credentials:?}");
        let daemon = lab.serve(&Settings {
            more: &role,
            ..Settings::default()
        })?;
        daemon.seated(&["web1"])?;
        Ok(Self {
            daemon,
            guest,
            record,
            lab,
        })
    }

    /// Runs a client where tokens are optional, and where they are required; it must print the same.
    pub(super) fn both(&self, client: impl Fn(&Namespace) -> Command) -> Result<Asked> {
        let mut printed = Vec::new();
        for (tokens, status) in [("optional", 200), ("required", 401)] {
            let mut record = self.record.clone();
            record["options"] = json!({ "http-tokens": tokens });
            self.lab.record("web1", &record)?;
            until("the new record", super::super::net::SOON, || {
                let reply = self.guest.get("/latest/meta-data/instance-id").ok()?;
                (reply.status == status).then_some(())
            })?;
            let lines = self
                .run(client(self.guest.space()))
                .with_context(|| format!("where tokens are {tokens}"))?;
            printed.push(lines);
        }
        let [optional, required] = <[_; 2]>::try_from(printed).unwrap_or_default();
        assert_eq!(optional, required, "where tokens are optional and required");
        let with_tokens = self
            .daemon
            .requests()
            .iter()
            .any(|it| it.contains("method=PUT"));
        Ok(Asked {
            lines: optional,
            with_tokens,
        })
    }

    /// Lines of a name and a value, apart by a tab or by `: `.
    fn run(&self, mut client: Command) -> Result<Vec<(String, String)>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Nothing that its user has set up, and nothing but the metadata service to find credentials with.
        client.env_clear().env("PATH", path);
        client.env("HOME", self.lab.directory());
        client.env("LANG", "C.UTF-8");
        let output = client.output().context("cannot start the client")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "the client failed ({}):\n{said}{}\nthe daemon's requests:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.daemon.requests().join("\n")
        );
        let lines = said.lines().filter_map(|line| {
            let (name, value) = line.split_once('\t').or_else(|| line.split_once(": "))?;
            Some((name.to_owned(), value.replace('\t', " ")))
        });
        Ok(lines.collect())
    }
}

impl Asked {
    /// The client printed exactly this, and the table in docs/clients.md says so.
    pub(super) fn shows(
        &self,
        client: &str,
        version: &str,
        expected: &[(&str, &str)],
    ) -> Result<()> {
        let printed: Vec<(&str, &str)> = self
            .lines
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(printed, expected, "{client} {version}");
        assert!(self.with_tokens, "{client} {version} asked for a token");
        needs::note(&format!("{client} {version}: {} answers", expected.len()));
        table::compare(client, version, expected)
    }
}

/// The version of a Python client, from the list that it was installed from.
pub(super) fn pinned(client: &str) -> Result<String> {
    let list = fs::read_to_string(Clients::sources().join("requirements.txt"))?;
    let version = list.lines().find_map(|line| {
        let (name, version) = line.split_once("==")?;
        (name == client).then(|| version.to_owned())
    });
    version.with_context(|| format!("{client} is not pinned"))
}

/// The version of a Rust client, from its lock file.
pub(super) fn locked(client: &str) -> Result<String> {
    let list = fs::read_to_string(Clients::sources().join("aws-config/Cargo.lock"))?;
    let name = format!("name = \"{client}\"\nversion = \"");
    let version = list.split_once(&name).and_then(|it| it.1.split('"').next());
    Ok(version
        .with_context(|| format!("{client} is not locked"))?
        .to_owned())
}

/// The version of a client that Debian brings, without Debian's own part.
pub(super) fn packaged(package: &str) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output()
        .context("cannot ask for a package's version")?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        !version.is_empty(),
        "{package} is not installed as a package"
    );
    Ok(version.split('-').next().unwrap_or_default().to_owned())
}
