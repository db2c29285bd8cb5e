use super::*;
use crate::instance::{Dialect, Endpoint, HttpTokens, Packed};
use crate::libvirt::domain_xml;
use crate::record::Details;

mod predecessors;

/// Reads what stands in a domain's `<metadata>`; it starts at line 1, column 14.
fn read_inner(inner: &str) -> Result<Record, String> {
    let document = format!(
        "<domain><metadata>{inner}</metadata><name>a</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid></domain>"
    );
    let domain = domain_xml::parse(&document).map_err(|error| error.to_string())?;
    domain.metadata.map_err(|error| {
        let text = error.to_string();
        let place = text.strip_prefix("the domain's metadata cannot be read: line 1, column ");
        let reason = place.and_then(|place| place.split_once(": "));
        reason.map_or(text.clone(), |(_, reason)| reason.to_owned())
    })
}

fn ours(inner: &str) -> Result<Record, String> {
    read_inner(&format!(
        "<m:instance xmlns:m='urn:metad:instance:1'>{inner}</m:instance>"
    ))
}

const FULL: &str = r#"
  <m:instance-id>i-12345678</m:instance-id>
  <m:instance-type>c3.large</m:instance-type>
  <m:hostname>web1</m:hostname>
  <m:image-id>ami-1</m:image-id>
  <m:public-hostname>www.example.org</m:public-hostname>
  <m:public-ipv4>198.51.100.7</m:public-ipv4>
  <m:iam-role>backup</m:iam-role>
  <m:files><m:file path="/etc/motd" encoding="base64">QUJD</m:file></m:files>
  <m:placement><m:availability-zone>rack-7</m:availability-zone><m:region>north</m:region></m:placement>
  <m:public-keys>
    <m:public-key name="admin"><m:key format="openssh-key">ssh-ed25519 AAAA me@host</m:key></m:public-key>
    <m:public-key name="backup"><m:key>ssh-rsa BBBB</m:key><m:key format="pem">PEM</m:key></m:public-key>
  </m:public-keys>
  <m:user-data>
    #cloud-config
  </m:user-data>
  <m:vendor-data encoding="base64">QUJD</m:vendor-data>
  <m:network-config>version: 2</m:network-config>
  <m:tags><m:tag key="role">web</m:tag><m:tag key="empty"/></m:tags>
  <m:options http-tokens="required" hop-limit="2" endpoint="disabled" dialects="ec2 gce"/>
  <m:meta-data><m:rack><m:row>7</m:row><m:unit>1</m:unit><m:unit>2</m:unit></m:rack></m:meta-data>
  <m:install>{"disk": "/dev/sda"}</m:install>
  <other:note xmlns:other="urn:other">not ours</other:note>
"#;

#[test]
fn every_field_is_read() {
    let key = |name: &str, formats: &[(&str, &str)]| PublicKey {
        name: name.to_owned(),
        formats: formats
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    };
    let details = Details {
        instance_type: Some("c3.large".to_owned()),
        image_id: Some("ami-1".to_owned()),
        placement: Placement {
            availability_zone: Some("rack-7".to_owned()),
            region: Some("north".to_owned()),
            ..Placement::default()
        },
        public_hostname: Some("www.example.org".to_owned()),
        public_ipv4: Some([198, 51, 100, 7].into()),
        role: Some("backup".to_owned()),
        public_keys: Some(vec![
            key("admin", &[(OPENSSH, "ssh-ed25519 AAAA me@host")]),
            key("backup", &[(OPENSSH, "ssh-rsa BBBB"), ("pem", "PEM")]),
        ]),
        vendor_data: Some("ABC".into()),
        network_config: Some("version: 2".into()),
        files: Some(vec![ContentFile {
            path: "/etc/motd".to_owned(),
            content: "ABC".into(),
        }]),
        tags: Some(
            [("role", "web"), ("empty", "")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        ),
        meta_data: serde_json::json!({"rack": {"row": "7", "unit": ["1", "2"]}})
            .as_object()
            .cloned(),
        install: serde_json::json!({"disk": "/dev/sda"}).as_object().cloned(),
    };
    let expected = Record {
        instance_id: Some("i-12345678".to_owned()),
        hostname: Some("web1".to_owned()),
        user_data: Some("#cloud-config\n".into()),
        options: Given {
            http_tokens: Some(HttpTokens::Required),
            hop_limit: Some(2),
            endpoint: Some(Endpoint::Disabled),
            dialects: Some([Dialect::Ec2, Dialect::Gce].into_iter().collect()),
            ..Given::default()
        },
        details: details.into(),
    };
    assert_eq!(ours(FULL), Ok(expected.clone()));
    let default_namespace = FULL.replace("m:", "");
    let inner = format!("<instance xmlns='urn:metad:instance:1'>{default_namespace}</instance>");
    assert_eq!(read_inner(&inner), Ok(expected), "as a default namespace");
}

#[test]
fn a_domain_that_says_nothing_has_an_empty_record() {
    for (case, inner) in [
        ("nothing", ""),
        (
            "somebody else's",
            "<a:instance xmlns:a='urn:a'><a:hostname>x</a:hostname></a:instance>",
        ),
        (
            "OpenStack's own",
            "<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:name>x</nova:name></nova:instance>",
        ),
        ("ours, empty", "<instance xmlns='urn:metad:instance:1'/>"),
    ] {
        assert_eq!(read_inner(inner), Ok(Record::default()), "{case}");
    }
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn user_data_forms_give_the_same_octets() {
    for (case, inner, expected) in [
        (
            "indented",
            "<m:user-data>\n   #!/bin/sh\n   a\n </m:user-data>",
            "#!/bin/sh\na\n",
        ),
        (
            "blank line inside",
            "<m:user-data>\n   #!/bin/sh\n\n   a\n </m:user-data>",
            "#!/bin/sh\n\na\n",
        ),
        (
            "closing tag at column 0",
            "<m:user-data>\n   #!/bin/sh\n   a\n</m:user-data>",
            "#!/bin/sh\na\n",
        ),
        (
            "behind the tag",
            "<m:user-data>#!/bin/sh\n  a</m:user-data>",
            "#!/bin/sh\n  a",
        ),
        (
            "CDATA behind the tag",
            "<m:user-data><![CDATA[#!/bin/sh\n a && b\n]]></m:user-data>",
            "#!/bin/sh\n a && b\n",
        ),
        (
            "CDATA on a line of its own",
            "<m:user-data>\n  <![CDATA[#!/bin/sh\n<a>\n]]>\n</m:user-data>",
            "#!/bin/sh\n<a>\n",
        ),
        (
            "indented within CDATA",
            "<m:user-data><![CDATA[\n   #!/bin/sh\n   a\n  ]]></m:user-data>",
            "#!/bin/sh\na\n",
        ),
        (
            "CDATA in pieces",
            "<m:user-data> <![CDATA[#a]]]]><![CDATA[>]]> </m:user-data>",
            "#a]]>",
        ),
        (
            "text and CDATA",
            "<m:user-data>#a <![CDATA[<b>]]> c</m:user-data>",
            "#a <b> c",
        ),
        (
            "entities",
            "<m:user-data>a &amp;&lt;&#x42;&#10;</m:user-data>",
            "a &<B\n",
        ),
        (
            "line ends of another system",
            "<m:user-data>\r\n  a\r\n  b\r\n</m:user-data>",
            "a\nb\n",
        ),
        (
            "comment inside",
            "<m:user-data>a<!-- not this -->b</m:user-data>",
            "ab",
        ),
        (
            "base64",
            "<m:user-data encoding='base64'>\n  IyEv\n  YmluCg==\n</m:user-data>",
            "#!/bin\n",
        ),
        ("empty", "<m:user-data/>", ""),
    ] {
        let octets = ours(inner).map(|record| record.user_data.unwrap());
        assert_eq!(
            octets.map(|it| it.bytes()).as_deref(),
            Ok(expected.as_bytes()),
            "{case}"
        );
    }
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn refusals_name_the_element_and_the_reason() {
    for (case, inner, expected) in [
        (
            "unknown",
            "<m:user-dat/>",
            "<user-dat> is not known here, did you mean <user-data>?",
        ),
        (
            "unlike any",
            "<m:frobnicate/>",
            "<frobnicate> is not known here",
        ),
        (
            "twice",
            "<m:hostname>a</m:hostname><m:hostname>b</m:hostname>",
            "<hostname> stands here twice",
        ),
        (
            "without prefix",
            "<hostname>a</hostname>",
            "<hostname> is in no namespace, put it into `urn:metad:instance:1` like <instance>",
        ),
        ("empty", "<m:hostname/>", "<hostname> is empty"),
        (
            "bad value",
            "<m:hostname>a b</m:hostname>",
            "<hostname> holds the character ' '; letters, digits, `-`, `_` and `.` make a host name",
        ),
        (
            "elements in text",
            "<m:hostname><m:a/></m:hostname>",
            "<hostname> holds <a> where only text is read",
        ),
        (
            "text in elements",
            "<m:tags>role=web</m:tags>",
            "<tags> holds text where only elements are read",
        ),
        (
            "unknown in placement",
            "<m:placement><m:zone>a</m:zone></m:placement>",
            "<zone> is not known here",
        ),
        (
            "key without name",
            "<m:public-keys><m:public-key><m:key>ssh-rsa a</m:key></m:public-key></m:public-keys>",
            "<public-key> lacks the attribute `name`",
        ),
        (
            "key without key",
            "<m:public-keys><m:public-key name='a'/></m:public-keys>",
            "<public-key> holds no <key>",
        ),
        (
            "key twice",
            "<m:public-keys><m:public-key name='a'><m:key>ssh-rsa a</m:key></m:public-key><m:public-key name='a'><m:key>ssh-rsa b</m:key></m:public-key></m:public-keys>",
            "<public-key> named `a` stands here twice",
        ),
        (
            "a key that is none",
            "<m:public-keys><m:public-key name='a'><m:key>nonsense</m:key></m:public-key></m:public-keys>",
            "<key> is no SSH key; one is a line like `ssh-ed25519 AAAA… me@host`",
        ),
        (
            "format twice",
            "<m:public-keys><m:public-key name='a'><m:key>ssh-rsa a</m:key><m:key>ssh-rsa b</m:key></m:public-key></m:public-keys>",
            "<key> of this format stands here twice",
        ),
        (
            "tag without key",
            "<m:tags><m:tag>a</m:tag></m:tags>",
            "<tag> lacks the attribute `key`",
        ),
        (
            "tag with slash",
            "<m:tags><m:tag key='a/b'/></m:tags>",
            "<tag> has an attribute `key` that holds the character '/'; letters, digits and `+-=.,_:@` make a tag's key",
        ),
        (
            "tag twice",
            "<m:tags><m:tag key='a'/><m:tag key='a'/></m:tags>",
            "<tag> with the key `a` stands here twice",
        ),
        (
            "unknown option",
            "<m:options http-token='required'/>",
            "<options> has the unknown attribute `http-token`, did you mean `http-tokens`?",
        ),
        (
            "bad option",
            "<m:options http-tokens='yes'/>",
            "<options> has an attribute `http-tokens` that is not `optional` or `required`",
        ),
        (
            "hop limit",
            "<m:options hop-limit='65'/>",
            "<options> has an attribute `hop-limit` that is not a number from 1 to 64",
        ),
        (
            "attribute",
            "<m:hostname lang='en'>a</m:hostname>",
            "<hostname> has the unknown attribute `lang`",
        ),
        (
            "encoding",
            "<m:user-data encoding='gzip'>a</m:user-data>",
            "<user-data> is encoded as `gzip`, which is not known, did you mean `gzip+base64`?",
        ),
        (
            "base64",
            "<m:user-data encoding='base64'>%</m:user-data>",
            "<user-data> is not base64: Invalid symbol 37, offset 0.",
        ),
        (
            "meta-data",
            "<m:meta-data>[1]</m:meta-data>",
            "<meta-data> holds JSON that is not an object",
        ),
        (
            "meta-data text",
            "<m:meta-data>a</m:meta-data>",
            "<meta-data> holds neither elements nor JSON: expected value at line 1 column 1",
        ),
        (
            "meta-data mixed",
            "<m:meta-data>a<m:b/></m:meta-data>",
            "<meta-data> holds text where only elements are read",
        ),
    ] {
        assert_eq!(ours(inner), Err(expected.to_owned()), "{case}");
    }
    let twice =
        "<a:instance xmlns:a='urn:metad:instance:1'/><b:instance xmlns:b='urn:metad:instance:1'/>";
    assert_eq!(
        read_inner(twice),
        Err("<instance> stands here twice".to_owned())
    );
    let other = "<instances xmlns='urn:metad:instance:1'/>";
    assert_eq!(
        read_inner(other),
        Err("<instances> is not known here, did you mean <instance>?".to_owned())
    );
    let version = "<instance xmlns='urn:metad:instance:2'/>";
    let expected = "<instance> is in the namespace `urn:metad:instance:2`, this metad reads `urn:metad:instance:1`";
    assert_eq!(read_inner(version), Err(expected.to_owned()));
    let large = format!(
        "<m:user-data>{}</m:user-data>",
        "x".repeat(crate::record::USER_DATA_MAX + 1)
    );
    assert_eq!(
        ours(&large),
        Err("<user-data> is 1048577 octets, the limit is 1048576".to_owned())
    );
}

#[test]
fn a_free_tree_is_elements_or_json() {
    for (case, inner, expected) in [
        (
            "json",
            r#"<m:meta-data>{"a": {"b": [1, true]}}</m:meta-data>"#,
            serde_json::json!({"a": {"b": [1, true]}}),
        ),
        (
            "json in CDATA",
            r#"<m:meta-data><![CDATA[{"a": "<"}]]></m:meta-data>"#,
            serde_json::json!({"a": "<"}),
        ),
        (
            "elements",
            "<m:meta-data><m:a> x </m:a><m:b/></m:meta-data>",
            serde_json::json!({"a": "x", "b": ""}),
        ),
        ("empty", "<m:meta-data/>", serde_json::json!({})),
    ] {
        let tree = ours(inner).map(|record| record.meta_data.clone().map(Value::Object));
        assert_eq!(tree, Ok(Some(expected)), "{case}");
    }
}
