//! What is not touched, and why.

use super::*;
use crate::prepare::{Refusal, domain};

fn text(uuid: &str, before: &str, os: &str, after: &str) -> String {
    format!(
        "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n<uuid>{uuid}</uuid>\n{before}<os>{os}</os>{after}</domain>"
    )
}

fn system(entries: &str) -> String {
    format!("<sysinfo type='smbios'><system>{entries}</system></sysinfo>")
}

/// `wanted` starts the error's text.
#[track_caller]
fn refused(case: &str, wish: &Wish, document: &str, wanted: &str) {
    let error = domain(document, wish).expect_err(case).to_string();
    assert!(error.contains(wanted), "{case}: {error}");
    assert!(
        error.contains("\nhelp: "),
        "{case} does not say what now: {error}"
    );
}

/// What, wished for, under which UUID, entries of the `system` block, content of <os>, the error.
type Foreign = (
    &'static str,
    Datasource,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const FOREIGN: [Foreign; 9] = [
    (
        "a serial number",
        Datasource::Nocloud,
        PLAIN,
        "<entry name='serial'>S1</entry>",
        "",
        "its SMBIOS serial number is `S1` already",
    ),
    (
        "another seed",
        Datasource::Nocloud,
        PLAIN,
        "<entry name='serial'>ds=nocloud;s=http://h/</entry>",
        "",
        "its SMBIOS serial number is `ds=nocloud;s=http://h/` already",
    ),
    (
        "the same seed with a host name",
        Datasource::Nocloud,
        PLAIN,
        "<entry name='serial'>ds=nocloud;h=x;s=http://169.254.169.254/nocloud/</entry>",
        "",
        "already",
    ),
    (
        "a seed, for EC2",
        Datasource::Ec2,
        EC2,
        "<entry name='serial'>ds=nocloud;s=http://h/</entry>",
        "",
        "already",
    ),
    (
        "a seed, for OpenStack",
        Datasource::Openstack,
        PLAIN,
        "<entry name='serial'>ds=nocloud;s=http://h/</entry>",
        "",
        "takes it for NoCloud",
    ),
    (
        "a product name",
        Datasource::Openstack,
        PLAIN,
        "<entry name='product'>X</entry>",
        "",
        "its SMBIOS product name is `X` already",
    ),
    (
        "OpenStack's name, for EC2",
        Datasource::Ec2,
        EC2,
        "<entry name='product'>OpenStack Nova</entry>",
        "",
        "takes it for OpenStack",
    ),
    (
        "another cloud's maker",
        Datasource::Ec2,
        EC2,
        "<entry name='manufacturer'>Hetzner</entry>",
        "",
        "takes it for Hetzner",
    ),
    (
        "the host's tables",
        Datasource::Ec2,
        EC2,
        "",
        "<smbios mode='host'/>",
        "SMBIOS values of the host",
    ),
];

#[test]
fn what_somebody_else_put_there_is_not_overwritten() {
    for (case, datasource, uuid, sysinfo, os, wanted) in FOREIGN {
        refused(
            case,
            &wish(datasource),
            &text(uuid, &system(sysinfo), os, ""),
            wanted,
        );
    }
}

#[test]
fn a_uuid_that_does_not_suit_is_not_changed_unasked() {
    for (case, datasource, uuid, wanted) in [
        ("plain, for EC2", Datasource::Ec2, PLAIN, EC2),
        (
            "EC2's, for NoCloud",
            Datasource::Nocloud,
            EC2,
            "0c24d506-3d4e-4f60-8182-93a4b5c6d7e8",
        ),
        (
            "EC2's, for OpenStack",
            Datasource::Openstack,
            EC2,
            "0c24d506-3d4e-4f60-8182-93a4b5c6d7e8",
        ),
        (
            "EC2's in the other byte order",
            Datasource::Nocloud,
            "45e12aec-dcd1-b213-94ed-012345abcdef",
            "--new-uuid",
        ),
        (
            "EC2's in the other byte order, which old releases do not know",
            Datasource::Ec2,
            "45e12aec-dcd1-b213-94ed-012345abcdef",
            "--new-uuid",
        ),
    ] {
        refused(case, &wish(datasource), &text(uuid, "", "", ""), wanted);
    }
    let tpm =
        "<devices><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>";
    let anew = Wish {
        new_uuid: true,
        ..wish(Datasource::Ec2)
    };
    refused(
        "an emulated TPM",
        &anew,
        &text(PLAIN, "", "", tpm),
        "<tpm> is emulated",
    );
    assert!(
        domain(&text(EC2, "", "", tpm), &anew).is_ok(),
        "a TPM under a UUID that stays"
    );
    assert!(
        domain(
            &text(PLAIN, "", "", &tpm.replace("emulator", "passthrough")),
            &anew
        )
        .is_ok(),
        "the host's TPM"
    );
}

fn by_qemu(value: &str) -> String {
    format!(
        "<qemu:commandline><qemu:arg value='-smbios'/><qemu:arg value='{value}'/></qemu:commandline>"
    )
}

/// A case, its document, the error.
type Odd = (&'static str, String, &'static str);

fn other_machines() -> Vec<Odd> {
    vec![
        (
            "no domain",
            "<network/>".to_owned(),
            "<network> is no <domain>",
        ),
        (
            "another namespace",
            "<domain xmlns='urn:x'/>".to_owned(),
            "is no <domain>",
        ),
        (
            "no UUID",
            "<domain><os/></domain>".to_owned(),
            "holds no <uuid>",
        ),
        (
            "a broken UUID",
            "<domain><uuid>ec2</uuid><os/></domain>".to_owned(),
            "line 1, column 9: <uuid> is no UUID",
        ),
        (
            "no os",
            format!("<domain><uuid>{EC2}</uuid></domain>"),
            "holds no <os>",
        ),
        (
            "a container",
            text(EC2, "", "<type>exe</type>", ""),
            "only full virtualisation",
        ),
        (
            "a mainframe",
            text(EC2, "", "<type arch='s390x'>hvm</type>", ""),
            "architecture s390x",
        ),
    ]
}

fn odd_tables() -> Vec<Odd> {
    vec![
        (
            "two tables",
            text(EC2, &system("").repeat(2), "", ""),
            "is the second one",
        ),
        (
            "two serial numbers",
            text(
                EC2,
                &system(&format!(
                    "<entry name='serial'>{EC2}</entry><entry name='serial'>x</entry>"
                )),
                "",
                "",
            ),
            "is the second one called `serial`",
        ),
        (
            "a sysinfo of no type",
            text(EC2, "<sysinfo/>", "", ""),
            "has no `type`",
        ),
        (
            "a UUID of its own",
            text(
                EC2,
                &system(&format!("<entry name='uuid'>{PLAIN}</entry>")),
                "",
                "",
            ),
            "is not the domain's",
        ),
        (
            "a table by QEMU's command line",
            text(EC2, "", "", &by_qemu("type=1,serial=x")),
            "<arg> gives QEMU an SMBIOS table",
        ),
    ]
}

#[test]
fn what_cannot_be_understood_is_not_touched() {
    for (case, document, wanted) in other_machines().into_iter().chain(odd_tables()) {
        refused(case, &wish(Datasource::Ec2), &document, wanted);
    }
    let other = text(EC2, "", "", &by_qemu("type=11,value=x"));
    assert!(
        domain(&other, &wish(Datasource::Ec2)).is_ok(),
        "another table by QEMU's command line"
    );
    let cut = domain("<domain>", &wish(Datasource::Ec2)).unwrap_err();
    assert!(matches!(cut, Refusal::Xml(_)), "{cut}");
    let entity = domain(
        "<!DOCTYPE x [<!ENTITY y 'z'>]><domain/>",
        &wish(Datasource::Ec2),
    );
    assert!(matches!(entity, Err(Refusal::Xml(_))), "{entity:?}");
}

#[test]
fn a_seed_url_must_survive_cloud_inits_reading() {
    let at = |datasource, url: &str| {
        let wish = Wish {
            seed_url: Some(url.to_owned()),
            ..wish(datasource)
        };
        domain(&text(PLAIN, "", "", ""), &wish)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for (url, good) in [
        ("http://169.254.169.254/nocloud/", true),
        ("https://h/x/", true),
        ("http://h/x?f=%s", true),
        ("http://h/x", false),
        ("http://h/a;b/", false),
        ("http://h/a b/", false),
        ("http:///x/", false),
        ("ftp://h/x/", false),
        ("/x/", false),
        ("http://h/ü/", false),
    ] {
        assert_eq!(at(Datasource::Nocloud, url).is_ok(), good, "{url}");
    }
    assert!(
        at(Datasource::Openstack, "http://h/").is_err(),
        "for another data source"
    );
}

#[test]
fn a_kernel_command_line_that_counts_more_is_told_of() {
    let with = |line: &str| {
        let os = format!("<type arch='x86_64'>hvm</type><cmdline>{line}</cmdline>");
        domain(&text(EC2, "", &os, ""), &wish(Datasource::Ec2))
            .unwrap()
            .warnings
            .len()
    };
    assert_eq!(with("quiet ds=nocloud;s=/x/"), 1);
    assert_eq!(with("quiet odds=1"), 0);
}
