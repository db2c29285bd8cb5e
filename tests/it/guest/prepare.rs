//! `metad domain prepare` and `metad network prepare` against a real libvirtd: what they define, it takes, and QEMU is
//! told of it.

use std::fs;

use anyhow::{Context, Result, ensure};
use metad_tests::image::run;
use metad_tests::lab::binary;
use metad_tests::needs;
use metad_tests::virt::{Libvirt, URI};

use super::host;

const PLAIN: &str = "0de4d5e6-3d4e-4f60-8182-93a4b5c6d7e8";
const EC2: &str = "ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8";

/// What `metad` says to these words.
fn metad(words: &[&str]) -> Result<String> {
    let binary = binary()?;
    let words = words.iter().chain(&["--connect", URI]);
    run(binary.to_str().context("an odd path")?, words)
}

fn define(libvirt: &Libvirt, kind: &str, text: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text)?;
    libvirt.virsh([kind, &file.path().to_string_lossy()])?;
    Ok(())
}

#[test]
fn libvirt_takes_a_prepared_domain_and_tells_qemu() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let libvirt = &host.libvirt;
    for (datasource, words, inside) in [
        ("ec2", "--new-uuid", format!("serial={EC2}")),
        (
            "nocloud",
            "--replace",
            "serial=ds=nocloud;dsmode=net;s=http://169.254.169.254/nocloud/".to_owned(),
        ),
        (
            "openstack",
            "--replace",
            "product=OpenStack Nova".to_owned(),
        ),
    ] {
        let text = format!(
            "<domain type='qemu'><name>prepared</name><uuid>{PLAIN}</uuid><memory unit='MiB'>128</memory>\
             <sysinfo type='smbios'><bios><entry name='vendor'>Acme</entry></bios></sysinfo>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os>\
             <devices><graphics type='vnc' passwd='hidden'/></devices></domain>"
        );
        define(libvirt, "define", &text)?;
        let command = [
            "domain",
            "prepare",
            "prepared",
            "--datasource",
            datasource,
            words,
        ];
        let before = libvirt.virsh(["dumpxml", "prepared", "--security-info"])?;
        let said = metad(&command)?;
        ensure!(
            said.contains("\n+") && said.contains("Nothing was changed."),
            "{said}"
        );
        ensure!(
            !said.contains("hidden"),
            "who looks is shown the password: {said}"
        );
        let now = libvirt.virsh(["dumpxml", "prepared", "--security-info"])?;
        ensure!(
            now == before,
            "{datasource}: a dry run changed something: {now}"
        );

        let applying: Vec<&str> = command.iter().copied().chain(["--apply"]).collect();
        let said = metad(&applying)?;
        ensure!(said.contains("Done: "), "{said}");
        let now = libvirt.virsh(["dumpxml", "prepared", "--security-info"])?;
        ensure!(
            now.contains("passwd='hidden'"),
            "{datasource}: the password is gone: {now}"
        );
        let argv = libvirt.virsh(["domxml-to-native", "qemu-argv", "--domain", "prepared"])?;
        ensure!(
            argv.contains(&inside) && argv.contains("vendor=Acme"),
            "{datasource}: {argv}"
        );
        let said = metad(&applying)?;
        ensure!(
            said.contains("Nothing to do: "),
            "{datasource}, once more: {said}"
        );
        libvirt.virsh(["undefine", "prepared"])?;
    }
    Ok(())
}

#[test]
fn libvirt_takes_a_prepared_network() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let host = host()?;
    let libvirt = &host.libvirt;
    define(
        libvirt,
        "net-define",
        "<network><name>lonely</name><bridge name='virbr7'/><ip address='10.9.0.1' netmask='255.255.255.0'>\
         <dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>",
    )?;
    libvirt.virsh(["net-start", "lonely"])?;
    let said = metad(&["network", "prepare", "lonely", "--apply"])?;
    ensure!(
        said.contains("Done: ") && said.contains("the network runs"),
        "{said}"
    );
    let live = libvirt.virsh(["net-dumpxml", "lonely"])?;
    ensure!(
        !live.contains("dhcp-option"),
        "the running network was changed: {live}"
    );
    let said = metad(&["network", "prepare", "lonely", "--apply"])?;
    ensure!(said.contains("Nothing to do: "), "{said}");
    libvirt.virsh(["net-destroy", "lonely"])?;
    libvirt.virsh(["net-start", "lonely"])?;
    let configuration = fs::read_to_string("/var/lib/libvirt/dnsmasq/lonely.conf")?;
    ensure!(
        configuration.contains("dhcp-option=121,169.254.169.254/32,0.0.0.0"),
        "{configuration}"
    );
    let said = metad(&["network", "prepare", "default"])?;
    ensure!(
        said.contains("Nothing to do: guests on network `default` have a default route"),
        "{said}"
    );
    libvirt.virsh(["net-destroy", "lonely"])?;
    libvirt.virsh(["net-undefine", "lonely"])?;
    Ok(())
}
