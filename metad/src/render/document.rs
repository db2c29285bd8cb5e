//! The instance identity document, in the very spacing that EC2 has.
//!
//! Its octets depend on the instance and the asking NIC's address alone: detached signatures refer to them.

use bytes::Bytes;

use super::Body;
use super::tree::Directory;

/// Renders the document of an instance of `account` from what `meta_data` says, so that the two never contradict each
/// other.
pub(super) fn body(account: &str, meta_data: &Directory) -> Body {
    let text = |path| meta_data.read(path).map_or_else(null, quoted);
    let before = [
        ("accountId", quoted(account)),
        ("architecture", quoted(architecture())),
        ("availabilityZone", text("placement/availability-zone")),
        ("billingProducts", null()),
        ("devpayProductCodes", null()),
        ("imageId", text("ami-id")),
        ("instanceId", text("instance-id")),
        ("instanceType", text("instance-type")),
        ("kernelId", text("kernel-id")),
        ("marketplaceProductCodes", null()),
        ("pendingTime", null()),
    ];
    let after = [
        ("ramdiskId", text("ramdisk-id")),
        ("region", text("placement/region")),
        ("version", quoted("2017-09-30")),
    ];
    let before = format!("{{\n{},\n  \"privateIp\" : ", lines(&before));
    let after = format!(",\n{}\n}}", lines(&after));
    match meta_data.body("local-ipv4") {
        Some(Body::Bytes(_)) => {
            let address = text("local-ipv4");
            Body::Bytes(Bytes::from(format!("{before}{address}{after}")))
        }
        Some(Body::CallerIpv4 | Body::AroundCallerIpv4 { .. }) => Body::AroundCallerIpv4 {
            before: format!("{before}\"").into(),
            after: format!("\"{after}").into(),
            without: format!("{before}null{after}").into(),
        },
        Some(Body::AroundSeed { .. } | Body::Listing { .. } | Body::Proof(_)) | None => {
            Body::Bytes(Bytes::from(format!("{before}null{after}")))
        }
    }
}

fn lines(members: &[(&str, String)]) -> String {
    let lines: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("  \"{name}\" : {value}"))
        .collect();
    lines.join(",\n")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn null() -> String {
    "null".to_owned()
}

/// A guest under KVM has its host's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}
