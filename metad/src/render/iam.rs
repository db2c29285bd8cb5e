//! The credentials of an instance's IAM role.
//!
//! There is nothing at all without a role that has valid credentials: clients take an empty listing for a role to come
//! and ask for ever.

use super::names::{identifier, is_segment};
use super::tree::Directory;
use crate::instance::{Credentials, Instance};

/// Builds `iam/`.
pub(super) fn directory(instance: &Instance) -> Directory {
    let mut tree = Directory::default();
    let (Some(role), Some(credentials)) = (&instance.role, &instance.credentials) else {
        return tree;
    };
    if !is_segment(role) {
        return tree;
    }
    tree.text("info", info(instance, role, credentials));
    let mut roles = Directory::default();
    roles.text(role, leaf(credentials));
    tree.directory("security-credentials", roles);
    tree
}

fn info(instance: &Instance, role: &str, credentials: &Credentials) -> String {
    let site = &instance.site;
    let profile = identifier("", &[b"profile", role.as_bytes()]).to_uppercase();
    object(&[
        ("Code", "Success"),
        ("LastUpdated", &credentials.updated),
        (
            "InstanceProfileArn",
            &format!(
                "arn:{}:iam::{}:instance-profile/{role}",
                site.partition, site.account_id
            ),
        ),
        ("InstanceProfileId", &format!("AIPA{profile}")),
    ])
}

fn leaf(credentials: &Credentials) -> String {
    object(&[
        ("Code", "Success"),
        ("LastUpdated", &credentials.updated),
        ("Type", "AWS-HMAC"),
        ("AccessKeyId", &credentials.access_key_id),
        ("SecretAccessKey", credentials.secret_access_key.reveal()),
        ("Token", credentials.token.reveal()),
        ("Expiration", &credentials.expiration),
    ])
}

/// An object in EC2's own spacing.
fn object(members: &[(&str, &str)]) -> String {
    let lines: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("  \"{name}\" : {}", serde_json::Value::from(*value)))
        .collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}
