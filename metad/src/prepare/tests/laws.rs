//! What holds whatever the XML looks like.

use proptest::prelude::*;

use super::*;
use crate::libvirt::xml::{Element, parse};
use crate::prepare::domain;

/// Domains whose parts come and go, on lines or not, with remarks between them.
fn domains() -> impl Strategy<Value = String> {
    let gap = || {
        prop_oneof![
            Just(""),
            Just("\n  "),
            Just("\r\n\t"),
            Just(" <!-- <os/> -->\n"),
            Just("<!-- x --> ")
        ]
    };
    let entry = prop_oneof![
        Just(String::new()),
        Just("<entry name='serial'/>".to_owned()),
        Just("<entry name='serial'>S&amp;1</entry>".to_owned()),
        Just(format!(
            "<entry name=\"serial\"><![CDATA[{PLAIN}]]></entry>"
        )),
        Just("<entry name='product'>OpenStack Nova</entry>".to_owned()),
        Just(format!("<entry name='uuid'>{PLAIN}</entry>")),
        Just("<entry name='family'>f</entry>".to_owned()),
    ];
    let system =
        (gap(), entry, gap()).prop_map(|(a, entry, b)| format!("<system>{a}{entry}{b}</system>"));
    let sysinfo = prop_oneof![
        Just(String::new()),
        Just("<sysinfo type='fwcfg'><entry name='serial'>x</entry></sysinfo>".to_owned()),
        Just("<sysinfo type='smbios' />".to_owned()),
        (gap(), system, gap())
            .prop_map(|(a, system, b)| format!("<sysinfo type='smbios'>{a}{system}{b}</sysinfo>")),
    ];
    let os = prop_oneof![
        Just("<os/>"),
        Just("<os></os>"),
        Just("<os>\n    <type>hvm</type>\n  </os>"),
        Just("<os><smbios mode='emulate' /></os>"),
        Just("<os><smbios mode='host'/>\n</os>"),
    ];
    let uuid = prop_oneof![Just(PLAIN), Just(EC2)];
    (uuid, gap(), sysinfo, gap(), os, gap()).prop_map(|(uuid, a, sysinfo, b, os, c)| {
        let sysinfo = sysinfo.replace(PLAIN, uuid);
        format!("<domain>{a}<uuid>{uuid}</uuid>{a}<name>ü</name>{b}{sysinfo}{c}{os}{b}<devices><disk/></devices>{c}</domain>")
    })
}

/// What may be changed is left out; the rest must be equal.
fn rest(element: &Element, path: &str, all: &mut Vec<String>) {
    let path = format!("{path}/{}", element.name);
    let entry = element.attribute("name").unwrap_or_default();
    let changeable = ["/domain/uuid", "/domain/os/smbios"].contains(&path.as_str())
        || path.ends_with("/system/entry") && ["serial", "uuid", "product"].contains(&entry);
    let smbios = path == "/domain/sysinfo" && element.attribute("type") == Some("smbios");
    if !changeable && !smbios && !path.ends_with("/sysinfo/system") {
        all.push(format!("{path} {entry} {}", element.text().trim()));
    }
    if !changeable {
        for child in &element.children {
            rest(child, &path, all);
        }
    }
}

fn rest_of(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    rest(&parse(text).unwrap(), "", &mut all);
    all
}

proptest! {
    #[test]
    fn once_is_enough_and_nothing_else_changes(text in domains(), which in 0..3_usize) {
        let wish = Wish { new_uuid: true, replace: true, ..wish(Datasource::ALL[which]) };
        let prepared = domain(&text, &wish).unwrap();
        let again = domain(&prepared.text, &wish).unwrap();
        prop_assert!(again.changes.is_empty(), "{:?}", again.changes);
        prop_assert_eq!(&again.text, &prepared.text);
        prop_assert_eq!(rest_of(&text), rest_of(&prepared.text));
        // Remarks are no elements, but somebody wrote them.
        prop_assert_eq!(text.matches("<!--").count(), prepared.text.matches("<!--").count());
        prop_assert_eq!(prepared.changes.is_empty(), text == prepared.text);
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC*") {
        let _ = domain(&text, &wish(Datasource::Nocloud));
        let _ = crate::prepare::network(&text);
    }
}
