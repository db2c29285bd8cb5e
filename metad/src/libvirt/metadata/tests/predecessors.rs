use super::*;

/// LM-28 to LM-33, and the same in the namespace of LM-41.
#[test]
fn predecessors_elements_are_read_where_a_libvirt_keeps_them() {
    const BARE: &str = r#"
      <instance-id>i-abcdef</instance-id>
      <instance-type>c3.large</instance-type>
      <placement><availability-zone>us-east-1d</availability-zone></placement>
      <public-keys>
        <public-key name="first"><key format="openssh-key">ssh-rsa AAAA</key></public-key>
        <public-key><key>ssh-rsa BBBB</key></public-key>
      </public-keys>
      <userdata>
        #cloud-config

        a: b
      </userdata>
      <additional>{"owner": "me"}</additional>
      <note lang="en">somebody else's</note>
      <x:hostname xmlns:x="urn:x">foreign</x:hostname>"#;
    let nova = BARE.replace("</", "</nova:").replace('<', "<nova:");
    let nova = nova
        .replace("<nova:/nova:", "</nova:")
        .replace("nova:x:", "x:");
    let nova = format!("<nova:instance xmlns:nova='{NOVA_NAMESPACE}'>{nova}</nova:instance>");
    for (case, inner) in [("bare", BARE), ("nova", &nova)] {
        let record = read_inner(inner).unwrap();
        assert_eq!(record.instance_id.as_deref(), Some("i-abcdef"), "{case}");
        assert_eq!(record.instance_type.as_deref(), Some("c3.large"), "{case}");
        assert_eq!(
            record.placement.availability_zone.as_deref(),
            Some("us-east-1d"),
            "{case}"
        );
        assert_eq!(
            record.user_data.as_ref().map(Packed::bytes).as_deref(),
            Some(&b"#cloud-config\n\na: b\n"[..]),
            "{case}"
        );
        assert_eq!(
            record.meta_data.clone().map(Value::Object),
            Some(serde_json::json!({"owner": "me"})),
            "{case}"
        );
        assert_eq!(record.hostname, None, "{case}");
        let names: Vec<_> = record
            .public_keys
            .iter()
            .flatten()
            .map(|key| key.name.as_str())
            .collect();
        assert_eq!(names, ["first", "1"], "{case}");
    }
}

#[test]
fn predecessors_elements_are_read_leniently_but_not_wrongly() {
    for (case, inner, expected) in [
        (
            "empty elements say nothing",
            "<instance-id/><instance-type> </instance-type><additional/>",
            Ok(Record::default()),
        ),
        (
            "unknown encoding",
            "<userdata encoding='rot13'>a</userdata>",
            Err("<userdata> is encoded as `rot13`, which is not known"),
        ),
        (
            "additional that is no JSON",
            "<additional>a</additional>",
            Err("<additional> holds neither elements nor JSON: expected value at line 1 column 1"),
        ),
        (
            "bad instance id",
            "<instance-id>a/b</instance-id>",
            Err("<instance-id> holds the character '/'; neither spaces nor `/` may stand here"),
        ),
        (
            "ours counts alone",
            "<instance-id>i-1</instance-id><instance xmlns='urn:metad:instance:1'/>",
            Ok(Record::default()),
        ),
    ] {
        assert_eq!(read_inner(inner), expected.map_err(str::to_owned), "{case}");
    }
}
