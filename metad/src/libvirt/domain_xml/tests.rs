use proptest::prelude::*;

use super::*;
use crate::instance::Packed;

const LIVE: &str = r#"<domain type='qemu' id='7'>
  <name>web1</name>
  <uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
  <metadata>
    <metad:instance xmlns:metad="urn:metad:instance:1">
      <metad:hostname>web1.example.org</metad:hostname>
      <metad:user-data>
        #cloud-config
        runcmd: ["true"]
      </metad:user-data>
    </metad:instance>
  </metadata>
  <devices>
    <disk type='file' device='disk'>
      <source file='/img/web1.qcow2' index='2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <disk type='block' device='lun'><target dev='sdb'/></disk>
    <disk type='file' device='floppy'><target dev='fda'/></disk>
    <disk type='file'/>
    <disk type='file'><target dev='vdb'/><serial>ephemeral1</serial></disk>
    <disk type='file'><target dev='vdc'/><serial>swap</serial></disk>
    <disk type='file'><target dev='vdd'/><serial>ephemeral+1</serial></disk>
    <disk type='file' device='cdrom'><target dev='sdc'/><serial>swap</serial></disk>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/>
      <source network='default' portid='6ba7b810-9dad-11d1-80b4-00c04fd430c8' bridge='virbr0'/>
      <target dev='vnet3'/>
      <model type='virtio'/>
    </interface>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:02'/>
      <source bridge='br0'/>
      <target dev='vnet4'/>
      <mtu size='9000'/>
    </interface>
    <interface type='direct'>
      <mac address='52:54:00:00:00:03'/>
      <source dev='eth0' mode='bridge'/>
      <target dev='macvtap0'/>
    </interface>
    <interface type='ethernet'>
      <mac address='52:54:00:00:00:04'/>
      <target dev='mytap' managed='no'/>
    </interface>
    <interface type='user'>
      <mac address='52:54:00:00:00:05'/>
    </interface>
    <interface type='hostdev' managed='yes'>
      <mac address='52:54:00:00:00:06'/>
      <source><address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/></source>
    </interface>
  </devices>
</domain>"#;

#[test]
fn every_interface_and_disk_of_a_running_domain_is_read() {
    let domain = parse(LIVE).unwrap();
    assert_eq!(domain.name, "web1");
    assert_eq!(
        domain.uuid.to_string(),
        "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    );
    assert_eq!(domain.id, Some(7));
    let nics: Vec<_> = domain
        .nics
        .iter()
        .map(|nic| {
            (
                nic.mac.0[5],
                nic.interface.as_deref(),
                nic.bridge.as_deref(),
                nic.network.as_deref(),
                nic.mtu,
            )
        })
        .collect();
    let expected = [
        (1, Some("vnet3"), Some("virbr0"), Some("default"), None),
        (2, Some("vnet4"), Some("br0"), None, Some(9000)),
        (3, Some("macvtap0"), None, None, None),
        (4, Some("mytap"), None, None, None),
        (5, None, None, None, None),
        (6, None, None, None, None),
    ];
    assert_eq!(nics, expected);
    let disks: Vec<_> = domain
        .disks
        .iter()
        .map(|disk| (disk.target.as_str(), disk.kind))
        .collect();
    let expected = [
        ("vda", DiskKind::Disk),
        ("sda", DiskKind::Cdrom),
        ("sdb", DiskKind::Disk),
        ("fda", DiskKind::Floppy),
        ("vdb", DiskKind::Ephemeral(1)),
        ("vdc", DiskKind::Swap),
        ("vdd", DiskKind::Disk),
        ("sdc", DiskKind::Cdrom),
    ];
    assert_eq!(disks, expected);
    let record = domain.metadata.unwrap();
    assert_eq!(record.hostname.as_deref(), Some("web1.example.org"));
    assert_eq!(
        record.user_data.as_ref().map(Packed::bytes).as_deref(),
        Some(&b"#cloud-config\nruncmd: [\"true\"]\n"[..])
    );
}

#[test]
fn a_domain_that_is_off_has_no_host_ends() {
    let domain = parse(&LIVE.replace(" id='7'", "")).unwrap();
    assert_eq!(domain.id, None);
    assert_eq!(domain.nics.len(), 6);
    for nic in domain.nics {
        assert_eq!(nic.interface, None, "{}", nic.mac);
    }
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let with = |from: &str, to: &str| {
        parse(&LIVE.replacen(from, to, 1))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for (case, from, to, expected) in [
        ("as it is", "", "", Ok(())),
        (
            "MAC twice",
            "00:00:02",
            "00:00:01",
            Err(
                "line 32, column 5: <interface> has the MAC address 52:54:00:00:00:01 of an earlier one",
            ),
        ),
        (
            "no MAC",
            "<mac address='52:54:00:00:00:02'/>",
            "",
            Err("line 32, column 5: <interface> has no MAC address"),
        ),
        (
            "broken MAC",
            "52:54:00:00:00:02",
            "52:54",
            Err(
                "line 32, column 5: <interface> is broken: `52:54` is no MAC address (six octets in hexadecimal, such as 52:54:00:12:34:56)",
            ),
        ),
        (
            "broken MTU",
            "9000",
            "large",
            Err(
                "line 32, column 5: <interface> has an MTU that is no number: invalid digit found in string",
            ),
        ),
        (
            "no name",
            "<name>web1</name>",
            "",
            Err("line 1, column 1: <domain> holds no <name>"),
        ),
        (
            "no UUID",
            "4dea22b3-1d52",
            "4dea22b3",
            Err("line 3, column 3: <uuid> is no UUID: "),
        ),
        (
            "id",
            "id='7'",
            "id='x'",
            Err("line 1, column 1: <domain> has an `id` that is no number"),
        ),
        (
            "not closed",
            "</domain>",
            "",
            Err("line 55, column 1: <domain> is never closed"),
        ),
        (
            "wrong end",
            "</devices>",
            "</device>",
            Err("line 54, column 3: "),
        ),
        (
            "document type",
            "<domain",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><domain",
            Err("line 1, column 1: a document type is not read here"),
        ),
        (
            "entity",
            "web1",
            "&lol;",
            Err("line 2, column 9: an entity that XML does not define is not expanded"),
        ),
        (
            "prefix",
            "xmlns:metad=\"urn:metad:instance:1\"",
            "",
            Err("line 5, column 5: the prefix `metad` is bound to no namespace"),
        ),
        (
            "another root",
            "<domain type='qemu' id='7'>",
            "<domain/><domain>",
            Err("line 1, column 10: <domain> stands behind the end of the document"),
        ),
        (
            "text outside",
            "<domain",
            "x<domain",
            Err("line 1, column 1: there is text outside of the root element"),
        ),
    ] {
        match (with(from, to), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(expected)) => {
                let expected = format!("the domain's XML cannot be read: {expected}");
                assert!(error.starts_with(&expected), "{case}: {error}");
            }
            (read, _) => panic!("{case}: {read:?}"),
        }
    }
}

#[test]
fn a_domain_with_broken_metadata_keeps_its_nics() {
    let domain = parse(&LIVE.replace("metad:hostname", "metad:hostnam")).unwrap();
    assert_eq!(domain.nics.len(), 6);
    let error = domain.metadata.unwrap_err().to_string();
    let expected = "the domain's metadata cannot be read: line 6, column 7: <hostnam> is not known here, did you mean <hostname>?";
    assert_eq!(error, expected);
}

#[test]
fn a_document_is_only_as_deep_and_as_large_as_allowed() {
    let nested = |levels: usize| {
        let (open, close) = ("<a>".repeat(levels), "</a>".repeat(levels));
        LIVE.replace("<devices>", &format!("{open}{close}<devices>"))
    };
    assert!(parse(&nested(62)).is_ok());
    let error = parse(&nested(64)).unwrap_err().to_string();
    assert!(
        error.ends_with("elements are nested more than 64 levels deep"),
        "{error}"
    );
    let large = LIVE.replace(
        "<devices>",
        &format!("{}<devices>", " ".repeat(xml::SIZE_MAX)),
    );
    let error = parse(&large).unwrap_err().to_string();
    assert!(
        error.ends_with("the document is larger than 8388608 octets"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn text_like_xml_is_read_or_refused(text in "(<|>|/|a|metadata|domain|&|;|#|x|'|\"|=|!|\\[CDATA\\[|\\]\\]| |\n|é){0,40}") {
        let _ = parse(&text);
    }

    /// The document with one piece cut out and another put in still never panics, and a place is within it.
    #[test]
    fn a_mutated_document_is_read_or_refused(from in 0..LIVE.len(), length in 0..60_usize, put in "[<>/&;a-z'\" \n=:é]{0,8}") {
        let before: String = LIVE.chars().take(from).collect();
        let after: String = LIVE.chars().skip(from + length).collect();
        let mutated = before + &put + &after;
        let place = match parse(&mutated) {
            Ok(domain) => domain.metadata.err(),
            Err(error) => Some(error),
        };
        if let Some(DomainError::Xml(place) | DomainError::Metadata(place)) = place {
            prop_assert!(place.line <= mutated.split('\n').count());
            prop_assert!(!place.reason.is_empty());
        }
    }
}
