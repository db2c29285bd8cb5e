//! cloud-init's own `ds-identify`, as two Debian releases ship it, over the SMBIOS tables of domains that `metad domain
//! prepare` has prepared. It decides before anything else of cloud-init runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use metad::prepare::{self, Datasource, Wish};
use metad_tests::image::{self, Cache, Debian, Reuse};
use metad_tests::needs;
use metad_tests::progress::Progress;

const PLAIN: &str = "0de4d5e6-3d4e-4f60-8182-93a4b5c6d7e8";
const EC2: &str = "ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8";

/// What the script reads of a machine, as QEMU makes it of a domain's XML.
struct Tables {
    uuid: String,
    serial: String,
    product: String,
}

impl Tables {
    fn of(document: &str) -> Result<Self> {
        let between = |start: &str, end: &str| -> Option<String> {
            let (_, rest) = document.split_once(start)?;
            let (text, _) = rest.split_once(end)?;
            Some(text.to_owned())
        };
        let shown = document.contains("<smbios mode='sysinfo'/>");
        let entry = |name: &str| {
            let entry = between(&format!("<entry name='{name}'>"), "</entry>");
            entry.filter(|_| shown)
        };
        Ok(Self {
            uuid: between("<uuid>", "</uuid>").context("a domain without UUID")?,
            serial: entry("serial").unwrap_or_default(),
            product: entry("product")
                .unwrap_or_else(|| "Standard PC (Q35 + ICH9, 2009)".to_owned()),
        })
    }
}

/// A release's script and the list of data sources that its image looks through.
struct Script {
    directory: tempfile::TempDir,
    debian: Debian,
}

impl Script {
    /// Fails where the image holds none.
    fn of(debian: Debian) -> Result<Self> {
        let image = image::debian(&Cache::open()?, debian, Reuse::Yes, &Progress::new())?;
        let directory = tempfile::tempdir()?;
        for (path, name) in [
            ("/usr/lib/cloud-init/ds-identify", "ds-identify"),
            ("/etc/cloud/cloud.cfg", "cloud.cfg"),
        ] {
            image::copy_out(&image.disk, path, &directory.path().join(name))?;
        }
        let tools = directory.path().join("bin");
        fs::create_dir(&tools)?;
        // The machine that the script is to look at has no disk with a label, and is no container.
        for (name, text) in [
            ("blkid", "#!/bin/sh\n"),
            ("systemd-detect-virt", "#!/bin/sh\necho kvm\n"),
        ] {
            use std::os::unix::fs::PermissionsExt;
            let tool = tools.join(name);
            fs::write(&tool, text)?;
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { directory, debian })
    }

    /// The line by which the script tells cloud-init where to look; `None`: not to run at all.
    fn decides(&self, tables: &Tables) -> Result<Option<String>> {
        let root = tempfile::tempdir()?;
        let write = |path: &str, text: &str| -> Result<()> {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
            Ok(fs::write(file, text)?)
        };
        for (name, value) in [
            ("sys_vendor", "QEMU"),
            ("product_name", &tables.product),
            ("product_uuid", &tables.uuid),
            ("product_serial", &tables.serial),
            ("chassis_asset_tag", ""),
            ("board_name", ""),
        ] {
            write(&format!("sys/class/dmi/id/{name}"), &format!("{value}\n"))?;
        }
        write("proc/cmdline", "root=/dev/vda quiet\n")?;
        write("proc/uptime", "1.00 1.00\n")?;
        write("proc/1/environ", "")?;
        write("run/systemd/there", "")?;
        let list = fs::read_to_string(self.directory.path().join("cloud.cfg"))?;
        write("etc/cloud/cloud.cfg", &list)?;
        let path = std::env::var("PATH")?;
        let output = Command::new("sh")
            .arg(self.directory.path().join("ds-identify"))
            .arg("--force")
            .env_clear()
            .env(
                "PATH",
                format!("{}:{path}", self.directory.path().join("bin").display()),
            )
            .env("PATH_ROOT", root.path())
            .env("SYSTEMD_VIRTUALIZATION", "vm:kvm")
            .output()
            .context("cannot start `sh`")?;
        let log = fs::read_to_string(root.path().join("run/cloud-init/ds-identify.log"));
        let log = log.with_context(|| format!("the script left no log: {output:?}"))?;
        if output.status.code() == Some(1) {
            ensure!(
                log.contains("No ds found"),
                "{}: {log}",
                self.debian.suite()
            );
            return Ok(None);
        }
        ensure!(
            output.status.success(),
            "{}: {output:?}: {log}",
            self.debian.suite()
        );
        let decided = fs::read_to_string(root.path().join("run/cloud-init/cloud.cfg"))?;
        let line = decided
            .lines()
            .find_map(|line| line.strip_prefix("datasource_list: "));
        Ok(Some(line.with_context(|| decided.clone())?.to_owned()))
    }
}

fn domain(uuid: &str) -> String {
    format!(
        "<domain type='kvm'>\n  <name>web1</name>\n  <uuid>{uuid}</uuid>\n  <os>\n    <type arch='x86_64'>hvm</type>\n  </os>\n</domain>\n"
    )
}

#[test]
fn ds_identify_of_debian_12_and_13_finds_what_each_domain_was_prepared_for() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for debian in [Debian::Bookworm, Debian::Trixie] {
        let script = Script::of(debian)?;
        for (datasource, uuid, expected) in [
            (Datasource::Ec2, PLAIN, "[ Ec2, None ]"),
            (Datasource::Ec2, EC2, "[ Ec2, None ]"),
            (Datasource::Nocloud, PLAIN, "[ NoCloud, None ]"),
            (Datasource::Nocloud, EC2, "[ NoCloud, None ]"),
            (Datasource::Openstack, PLAIN, "[ OpenStack, None ]"),
        ] {
            let wish = Wish {
                datasource,
                seed_url: None,
                new_uuid: true,
                replace: false,
            };
            let prepared = prepare::domain(&domain(uuid), &wish)?;
            let decided = script.decides(&Tables::of(&prepared.text)?)?;
            ensure!(
                decided.as_deref() == Some(expected),
                "{} from {uuid} for {datasource:?}: {decided:?}",
                debian.suite()
            );
        }
        let before = script.decides(&Tables::of(&domain(PLAIN))?)?;
        ensure!(
            before.is_none(),
            "{} without preparation: {before:?}",
            debian.suite()
        );
    }
    Ok(())
}

#[test]
fn trap_18_a_serial_that_is_not_the_uuid_hides_ec2_from_22_4_2() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let tables = |serial: &str| Tables {
        uuid: EC2.to_owned(),
        serial: serial.to_owned(),
        product: "Standard PC".to_owned(),
    };
    let old = Script::of(Debian::Bookworm)?;
    let new = Script::of(Debian::Trixie)?;
    for (serial, in_old, in_new) in [("", false, true), (PLAIN, false, true), (EC2, true, true)] {
        let found = (
            old.decides(&tables(serial))?.is_some(),
            new.decides(&tables(serial))?.is_some(),
        );
        ensure!(found == (in_old, in_new), "serial `{serial}`: {found:?}");
    }
    Ok(())
}
