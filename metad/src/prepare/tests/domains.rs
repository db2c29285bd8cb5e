//! Domains of many shapes, and the same with what was missing.

use super::*;
use crate::prepare::domain;

/// A case: what it is, the wish, the text before, the text after.
type Row = (&'static str, Wish, String, String);

fn replacing(datasource: Datasource) -> Wish {
    Wish {
        replace: true,
        ..wish(datasource)
    }
}

fn anew(datasource: Datasource) -> Wish {
    Wish {
        new_uuid: true,
        ..wish(datasource)
    }
}

#[track_caller]
fn check(rows: Vec<Row>) {
    for (case, wish, before, after) in rows {
        let prepared = domain(&before, &wish).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(prepared.text, after, "{case}");
        assert_eq!(
            prepared.changes.is_empty(),
            before == after,
            "{case}: {:?}",
            prepared.changes
        );
    }
}

/// As libvirt writes it.
fn lines(uuid: &str, middle: &str, os: &str) -> String {
    format!(
        "<domain type='kvm'>\n  <name>web1</name>\n  <uuid>{uuid}</uuid>\n{middle}  <os>\n    <type arch='x86_64'>hvm</type>\n{os}  </os>\n  <devices/>\n</domain>\n"
    )
}

const MODE: &str = "    <smbios mode='sysinfo'/>\n";

fn sysinfo(entries: &str) -> String {
    format!("  <sysinfo type='smbios'>\n    <system>\n{entries}    </system>\n  </sysinfo>\n")
}

fn entry(name: &str, value: &str) -> String {
    format!("      <entry name='{name}'>{value}</entry>\n")
}

#[test]
fn a_domain_without_sysinfo_gets_one_above_its_os() {
    check(vec![
        (
            "ec2",
            wish(Datasource::Ec2),
            lines(EC2, "", ""),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "nocloud",
            wish(Datasource::Nocloud),
            lines(PLAIN, "", ""),
            lines(PLAIN, &sysinfo(&entry("serial", SEED)), MODE),
        ),
        (
            "openstack",
            wish(Datasource::Openstack),
            lines(PLAIN, "", ""),
            lines(PLAIN, &sysinfo(&entry("product", "OpenStack Nova")), MODE),
        ),
        (
            "another seed, with what XML escapes",
            Wish {
                seed_url: Some("https://h/a?b&c=%s".to_owned()),
                ..wish(Datasource::Nocloud)
            },
            lines(PLAIN, "", ""),
            lines(
                PLAIN,
                &sysinfo(&entry(
                    "serial",
                    "ds=nocloud;dsmode=net;s=https://h/a?b&amp;c=%s",
                )),
                MODE,
            ),
        ),
    ]);
}

#[test]
fn what_is_there_is_kept_and_completed() {
    let bios = "    <bios>\n      <entry name='vendor'>LENOVO</entry>\n    </bios>\n";
    let serial = format!("    <system>\n{}    </system>\n", entry("serial", EC2));
    let around = |inner: &str| format!("  <sysinfo type='smbios'>\n{inner}  </sysinfo>\n");
    let fwcfg = "  <sysinfo type='fwcfg'>\n    <entry name='opt/com.example/serial'>x</entry>\n  </sysinfo>\n";
    let kept = entry("manufacturer", "Acme &amp; Sons") + &entry("uuid", EC2);
    check(vec![
        (
            "another block",
            wish(Datasource::Ec2),
            lines(EC2, &around(bios), ""),
            lines(EC2, &around(&(bios.to_owned() + &serial)), MODE),
        ),
        (
            "other entries",
            wish(Datasource::Ec2),
            lines(EC2, &sysinfo(&kept), MODE),
            lines(EC2, &sysinfo(&(kept.clone() + &entry("serial", EC2))), MODE),
        ),
        (
            "an empty sysinfo",
            wish(Datasource::Ec2),
            lines(EC2, "  <sysinfo type='smbios'/>\n", ""),
            lines(EC2, &around(&serial), MODE),
        ),
        (
            "an empty system",
            wish(Datasource::Ec2),
            lines(EC2, &around("    <system/>\n"), ""),
            lines(EC2, &around(&serial), MODE),
        ),
        (
            "an empty entry",
            wish(Datasource::Ec2),
            lines(EC2, &sysinfo("      <entry name='serial'/>\n"), MODE),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "an entry of nothing",
            wish(Datasource::Ec2),
            lines(EC2, &sysinfo("      <entry name='serial'></entry>\n"), MODE),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "firmware configuration beside it",
            wish(Datasource::Ec2),
            lines(EC2, fwcfg, ""),
            lines(
                EC2,
                &(fwcfg.to_owned() + &sysinfo(&entry("serial", EC2))),
                MODE,
            ),
        ),
        (
            "the mode of QEMU's own",
            wish(Datasource::Ec2),
            lines(
                EC2,
                &sysinfo(&entry("serial", EC2)),
                "    <smbios mode='emulate'/>\n",
            ),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "a UUID in capitals",
            wish(Datasource::Ec2),
            lines(&EC2.to_uppercase(), "", MODE),
            lines(&EC2.to_uppercase(), &sysinfo(&entry("serial", EC2)), MODE),
        ),
    ]);
}

#[test]
fn what_is_prepared_stays_as_it_is() {
    let ready =
        |uuid: &str, name: &str, value: &str| lines(uuid, &sysinfo(&entry(name, value)), MODE);
    let rows = [
        ("ec2", Datasource::Ec2, ready(EC2, "serial", EC2)),
        (
            "ec2 in capitals",
            Datasource::Ec2,
            ready(EC2, "serial", &EC2.to_uppercase()),
        ),
        (
            "ec2 with white space",
            Datasource::Ec2,
            ready(EC2, "serial", &format!(" {EC2}\n")),
        ),
        ("nocloud", Datasource::Nocloud, ready(PLAIN, "serial", SEED)),
        (
            "openstack with a serial",
            Datasource::Openstack,
            lines(
                PLAIN,
                &sysinfo(&(entry("serial", "S1") + &entry("product", "OpenStack Nova"))),
                MODE,
            ),
        ),
        (
            "as CDATA",
            Datasource::Nocloud,
            ready(PLAIN, "serial", &format!("<![CDATA[{SEED}]]>")),
        ),
    ];
    check(
        rows.into_iter()
            .map(|(case, datasource, text)| (case, wish(datasource), text.clone(), text))
            .collect(),
    );
}

#[test]
fn earlier_spellings_of_the_same_seed_are_brought_up_to_date() {
    let with = |serial: &str| lines(PLAIN, &sysinfo(&entry("serial", serial)), MODE);
    for old in [
        "ds=nocloud;s=http://169.254.169.254/nocloud/",
        "ds=nocloud-net;s=http://169.254.169.254/nocloud/",
        "ds=nocloud-net;seedfrom=http://169.254.169.254/nocloud/;",
        "ds=nocloud;s=http://169.254.169.254/nocloud/a-secret/",
    ] {
        check(vec![(
            "seed",
            wish(Datasource::Nocloud),
            with(old),
            with(SEED),
        )]);
    }
}

#[test]
fn comments_other_namespaces_and_line_ends_are_left_alone() {
    let decoys = "  <!-- <sysinfo type='smbios'><system><entry name='serial'>x</entry></system></sysinfo> -->\n  <metadata>\n    <a:sysinfo xmlns:a='urn:a' type='smbios'><a:system/></a:sysinfo>\n  </metadata>\n";
    let with = |text: &str| lines(EC2, &format!("{decoys}{text}"), "");
    let ready = lines(
        EC2,
        &format!("{decoys}{}", sysinfo(&entry("serial", EC2))),
        MODE,
    );
    let remark = "    <boot dev='hd'/> <!-- never the network -->\n";
    check(vec![
        ("decoys", wish(Datasource::Ec2), with(""), ready.clone()),
        ("carriage returns", wish(Datasource::Ec2), with("").replace('\n', "\r\n"), ready.replace('\n', "\r\n")),
        ("tabs", wish(Datasource::Ec2), "<domain>\n\t<uuid>ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8</uuid>\n\t<os>\n\t\t<type>hvm</type>\n\t</os>\n</domain>".to_owned(),
            "<domain>\n\t<uuid>ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8</uuid>\n\t<sysinfo type='smbios'>\n\t  <system>\n\t    <entry name='serial'>ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8</entry>\n\t  </system>\n\t</sysinfo>\n\t<os>\n\t\t<type>hvm</type>\n\t\t<smbios mode='sysinfo'/>\n\t</os>\n</domain>".to_owned()),
        ("a remark behind the last element", wish(Datasource::Ec2), lines(EC2, &sysinfo(&entry("serial", EC2)), remark), lines(EC2, &sysinfo(&entry("serial", EC2)), &format!("{remark}{MODE}"))),
        ("one line", wish(Datasource::Openstack), format!("<domain><uuid>{PLAIN}</uuid><os><type>hvm</type></os></domain>"),
            format!("<domain><uuid>{PLAIN}</uuid><sysinfo type='smbios'><system><entry name='product'>OpenStack Nova</entry></system></sysinfo><os><type>hvm</type><smbios mode='sysinfo'/></os></domain>")),
        ("one line, folded elements", wish(Datasource::Openstack), format!("<domain><uuid>{PLAIN}</uuid><sysinfo type=\"smbios\" /><os /></domain>"),
            format!("<domain><uuid>{PLAIN}</uuid><sysinfo type=\"smbios\"><system><entry name='product'>OpenStack Nova</entry></system></sysinfo><os><smbios mode='sysinfo'/></os></domain>")),
        ("a declaration and a byte order mark", wish(Datasource::Openstack), format!("\u{feff}<?xml version='1.0'?>\n<domain><uuid>{PLAIN}</uuid><os/></domain>"),
            format!("\u{feff}<?xml version='1.0'?>\n<domain><uuid>{PLAIN}</uuid><sysinfo type='smbios'><system><entry name='product'>OpenStack Nova</entry></system></sysinfo><os><smbios mode='sysinfo'/></os></domain>")),
    ]);
}

#[test]
fn what_says_something_else_goes_when_asked_for() {
    let host = "    <smbios mode='host'/>\n";
    let chassis = "  <sysinfo type='smbios'>\n    <system>\n      <entry name='product'>OpenStack Nova</entry>\n    </system>\n    <chassis>\n      <entry name='asset'>HUAWEICLOUD</entry>\n      <entry name='sku'>1</entry>\n    </chassis>\n  </sysinfo>\n";
    let emptied = format!(
        "  <sysinfo type='smbios'>\n    <system>\n{}    </system>\n    <chassis>\n      <entry name='sku'>1</entry>\n    </chassis>\n  </sysinfo>\n",
        entry("serial", SEED)
    );
    check(vec![
        (
            "a serial number",
            replacing(Datasource::Ec2),
            lines(EC2, &sysinfo(&entry("serial", "S1")), MODE),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "the host's tables",
            replacing(Datasource::Ec2),
            lines(EC2, "", host),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "another cloud's names",
            replacing(Datasource::Nocloud),
            lines(PLAIN, chassis, MODE),
            lines(PLAIN, &emptied, MODE),
        ),
        (
            "a seed, for OpenStack",
            replacing(Datasource::Openstack),
            lines(PLAIN, &sysinfo(&entry("serial", SEED)), MODE),
            lines(PLAIN, &sysinfo(&entry("product", "OpenStack Nova")), MODE),
        ),
    ]);
}

#[test]
fn another_uuid_is_as_much_the_old_one_as_can_be() {
    let old = entry("uuid", PLAIN) + &entry("serial", PLAIN);
    let new = entry("uuid", EC2) + &entry("serial", EC2);
    let swapped = "45e12aec-dcd1-b213-94ed-012345abcdef";
    let odd = "45e12a0c-dcd1-b213-94ed-012345abcdef".replacen("45", "05", 1);
    check(vec![
        (
            "for EC2",
            anew(Datasource::Ec2),
            lines(PLAIN, "", MODE),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
        (
            "for EC2, said three times",
            anew(Datasource::Ec2),
            lines(PLAIN, &sysinfo(&old), MODE),
            lines(EC2, &sysinfo(&new), MODE),
        ),
        (
            "for NoCloud",
            anew(Datasource::Nocloud),
            lines(EC2, "", MODE),
            lines(
                "0c24d5e6-3d4e-4f60-8182-93a4b5c6d7e8"
                    .replace("e6-", "06-")
                    .as_str(),
                &sysinfo(&entry("serial", SEED)),
                MODE,
            ),
        ),
        (
            "for NoCloud, in the other byte order",
            anew(Datasource::Nocloud),
            lines(swapped, "", MODE),
            lines(&odd, &sysinfo(&entry("serial", SEED)), MODE),
        ),
        (
            "where none is needed",
            anew(Datasource::Ec2),
            lines(EC2, "", MODE),
            lines(EC2, &sysinfo(&entry("serial", EC2)), MODE),
        ),
    ]);
}
