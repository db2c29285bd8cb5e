//! Other people's clients, as they are, in a guest: each reads what it is for, with tokens and where they are required.
//!
//! docs/clients.md has the table of what was asked and answered; a test fails where the table says something else, and
//! `METAD_UPDATE_SNAPSHOTS=1 cargo xtask test clients` rewrites it.

mod stage;
mod table;

use anyhow::Result;
use metad_tests::clients::Clients;
use metad_tests::needs;

use self::stage::Stage;

#[test]
fn botocore_reads_region_and_credentials() -> Result<()> {
    python(
        "botocore",
        "with_botocore.py",
        &[
            ("region", "cellar-1"),
            ("provider", "iam-role"),
            ("credentials", "AKIDEXAMPLE"),
        ],
    )
}

#[test]
fn boto3_reads_credentials_and_knows_its_region() -> Result<()> {
    python(
        "boto3",
        "with_boto3.py",
        &[
            ("credentials", "AKIDEXAMPLE"),
            ("defaults for cellar-1", "in region"),
            ("defaults for attic-1", "across regions"),
        ],
    )
}

#[test]
fn awscli_finds_the_credentials_of_the_role() -> Result<()> {
    python(
        "awscli",
        "with_awscli.py",
        &[
            (
                "configure list: access_key",
                "****************MPLE iam-role",
            ),
            (
                "configure list: secret_key",
                "****************cret iam-role",
            ),
        ],
    )
}

#[test]
fn ec2_metadata_reads_all_that_it_knows() -> Result<()> {
    python(
        "ec2-metadata",
        "with_ec2_metadata.py",
        &[
            ("account_id", "000000000000"),
            ("ami_id", "ami-0123456789abcdef0"),
            ("ami_launch_index", "0"),
            ("availability_zone", "cellar-1a"),
            ("instance_action", "none"),
            ("instance_id", stage::INSTANCE),
            (
                "instance_profile_arn",
                "arn:aws:iam::000000000000:instance-profile/app",
            ),
            ("instance_type", "c3.large"),
            ("kernel_id", "None"),
            ("mac", "52:54:00:12:34:56"),
            ("private_hostname", "web1.example.org"),
            ("private_ipv4", "10.77.0.5"),
            ("public_hostname", "None"),
            ("public_ipv4", "None"),
            ("region", "cellar-1"),
            ("security_groups", "['default']"),
            ("spot_instance_action", "None"),
            ("tags", "{'role': 'web'}"),
            ("user_data", "b'#cloud-config\\n{}\\n'"),
            ("network_interfaces", "52:54:00:12:34:56 0 ['10.77.0.5']"),
        ],
    )
}

#[test]
fn the_sdk_for_javascript_reads_paths() -> Result<()> {
    if !needs::sandbox() || !needs::program("node") {
        return Ok(());
    }
    let node = Clients::open()?.node();
    let manifest = node.join("node_modules/@aws-sdk/ec2-metadata-service/package.json");
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(manifest)?)?;
    let version = manifest["version"].as_str().unwrap_or_default();
    let stage = Stage::new()?;
    let asked = stage.both(|guest| {
        let mut command = guest.command("node");
        command.arg(Clients::sources().join("with_aws_sdk.mjs"));
        command.arg(&node);
        command
    })?;
    asked.shows(
        "@aws-sdk/ec2-metadata-service",
        version,
        &[
            ("instance-id", stage::INSTANCE),
            ("placement/availability-zone", "cellar-1a"),
            (
                "public-keys/0/openssh-key",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host",
            ),
            ("tags/instance/role", "web"),
            ("no-such-thing", "404"),
        ],
    )
}

#[test]
fn the_sdk_for_rust_reads_paths_region_and_credentials() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let program = Clients::open()?.rust().join("debug/aws-config-client");
    let stage = Stage::new()?;
    let asked = stage.both(|guest| guest.command(&program.to_string_lossy()))?;
    asked.shows(
        "aws-config",
        &stage::locked("aws-config")?,
        &[
            ("instance-id", stage::INSTANCE),
            ("placement/availability-zone", "cellar-1a"),
            (
                "public-keys/0/openssh-key",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host",
            ),
            ("region", "cellar-1"),
            ("credentials", "AKIDEXAMPLE"),
        ],
    )
}

#[test]
fn ec2metadata_reads_all_that_it_knows() -> Result<()> {
    if !needs::sandbox() || !needs::program("ec2metadata") {
        return Ok(());
    }
    let stage = Stage::new()?;
    let asked = stage.both(|guest| guest.command("ec2metadata"))?;
    asked.shows(
        "ec2metadata",
        &stage::packaged("cloud-guest-utils")?,
        &[
            ("ami-id", "ami-0123456789abcdef0"),
            ("ami-launch-index", "0"),
            ("ami-manifest-path", "(unknown)"),
            ("ancestor-ami-ids", "unavailable"),
            ("availability-zone", "cellar-1a"),
            ("block-device-mapping", "unavailable"),
            ("instance-action", "none"),
            ("instance-id", stage::INSTANCE),
            ("instance-type", "c3.large"),
            ("local-hostname", "web1.example.org"),
            ("local-ipv4", "10.77.0.5"),
            ("kernel-id", "unavailable"),
            ("mac", "52:54:00:12:34:56"),
            ("profile", "default-hvm"),
            ("product-codes", "unavailable"),
            ("public-hostname", "unavailable"),
            ("public-ipv4", "unavailable"),
            (
                "public-keys",
                "['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host']",
            ),
            ("ramdisk-id", "unavailable"),
            ("reservation-id", "r-723a9752de33a53dc"),
            ("security-groups", "default"),
            ("user-data", "b'#cloud-config\\n{}\\n'"),
            ("availability-zone-id", "unavailable"),
            ("region", "unavailable"),
            ("host-id", "unavailable"),
            ("group-name", "unavailable"),
            ("partition-number", "unavailable"),
        ],
    )
}

#[test]
fn facter_reads_the_whole_tree() -> Result<()> {
    if !needs::sandbox() || !needs::program("facter") {
        return Ok(());
    }
    let stage = Stage::new()?;
    let asked = stage.both(|guest| {
        let mut command = guest.command("ruby");
        command.arg(Clients::sources().join("with_facter.rb"));
        command
    })?;
    asked.shows(
        "facter",
        &stage::packaged("facter")?,
        &[
            ("instance-id", stage::INSTANCE),
            ("instance-type", "c3.large"),
            ("local-hostname", "web1.example.org"),
            ("mac", "52:54:00:12:34:56"),
            (
                "placement",
                "{\"availability-zone\":\"cellar-1a\",\"region\":\"cellar-1\"}",
            ),
            (
                "public-keys",
                "{\"0\":{\"openssh-key\":\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host\"}}",
            ),
            ("iam", "arn:aws:iam::000000000000:instance-profile/app"),
            ("userdata", "\"#cloud-config\\n{}\""),
        ],
    )
}

/// Runs a script of the virtual environment.
fn python(client: &str, script: &str, expected: &[(&str, &str)]) -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let python = Clients::open()?.python().join("bin/python");
    let stage = Stage::new()?;
    let asked = stage.both(|guest| {
        let mut command = guest.command(&python.to_string_lossy());
        command.arg("-B").arg(Clients::sources().join(script));
        command
    })?;
    asked.shows(client, &stage::pinned(client)?, expected)
}
