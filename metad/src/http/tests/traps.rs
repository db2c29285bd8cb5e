//! What broke others, each with a test.

use serde_json::{Value, json};

use super::*;
use crate::instance::{Credentials, Dialect, Secret};

fn with_role(credentials: Option<Credentials>) -> Guest {
    Guest::with(|instance| {
        instance.role = Some("web".into());
        instance.credentials = credentials.map(Arc::new);
    })
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "ASIA1".into(),
        secret_access_key: Secret::new("s3cret/+"),
        token: Secret::new("IQo="),
        updated: "2030-01-01T00:00:00Z".into(),
        expiration: "2030-01-01T06:00:00Z".into(),
    }
}

/// Trap 1, for what comes and goes; `listed` has it for every instance.
#[test]
fn listed_but_404_leaf() {
    for (case, guest) in [
        ("bare", Guest::new()),
        ("role", with_role(Some(credentials()))),
        ("role without credentials", with_role(None)),
        (
            "spot",
            Guest::with(|instance| {
                let settings = json!({"spot": {"instance-action": "{}"}});
                instance.settings = settings.as_object().unwrap().clone();
            }),
        ),
    ] {
        let mut open = vec!["/latest/meta-data/".to_owned()];
        let mut leaves = 0;
        while let Some(path) = open.pop() {
            let reply = guest.get(&path);
            assert_eq!(reply.status, 200, "{case}: {path}");
            leaves += usize::from(!path.ends_with('/'));
            if path.ends_with('/') {
                let names = text(&reply).lines();
                let paths = names.map(|name| match name.split_once('=') {
                    Some((index, _)) => format!("{path}{index}/openssh-key"),
                    None => format!("{path}{name}"),
                });
                open.extend(paths);
            }
        }
        assert!(leaves > 40, "{case}: {leaves}");
    }
}

/// Trap 2.
#[test]
fn empty_200_on_security_credentials() {
    let base = "/latest/meta-data/iam";
    let guest = with_role(None);
    for path in [
        "",
        "/",
        "/info",
        "/security-credentials/",
        "/security-credentials/web",
    ] {
        assert_eq!(guest.get(&format!("{base}{path}")).status, 404, "{path}");
    }
    assert!(!text(&guest.get("/latest/meta-data/")).contains("iam"));
    let guest = with_role(Some(credentials()));
    assert_eq!(text(&guest.get(base)), "info\nsecurity-credentials/");
    for path in ["/security-credentials", "/security-credentials/"] {
        assert_eq!(text(&guest.get(&format!("{base}{path}"))), "web", "{path}");
    }
    let leaf = guest.get(&format!("{base}/security-credentials/web"));
    assert_eq!(
        text(&leaf),
        "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2030-01-01T00:00:00Z\",\n  \"Type\" : \"AWS-HMAC\",\n  \
         \"AccessKeyId\" : \"ASIA1\",\n  \"SecretAccessKey\" : \"s3cret/+\",\n  \"Token\" : \"IQo=\",\n  \
         \"Expiration\" : \"2030-01-01T06:00:00Z\"\n}"
    );
    let info = guest.get(&format!("{base}/info"));
    let info: Value = serde_json::from_slice(&info.body).unwrap();
    assert_eq!(info["Code"], "Success");
    let arn = "arn:aws:iam::000000000000:instance-profile/web";
    assert_eq!(info["InstanceProfileArn"], arn);
    let id = info["InstanceProfileId"].as_str().unwrap();
    assert!(id.starts_with("AIPA") && id.len() == 21, "{id}");
    assert_eq!(
        guest.get(&format!("{base}/security-credentials/db")).status,
        404
    );
}

/// Trap 9.
#[test]
fn public_keys_as_index_and_slash() {
    let guest = Guest::new();
    for path in [
        "/latest/meta-data/public-keys",
        "/latest/meta-data/public-keys/",
    ] {
        assert_eq!(text(&guest.get(path)), "0=admin\n1=admin-2", "{path}");
    }
    for path in [
        "/latest/meta-data/public-keys/0",
        "/latest/meta-data/public-keys/0/",
    ] {
        assert_eq!(text(&guest.get(path)), "openssh-key", "{path}");
    }
    assert_eq!(
        guest.get("/latest/meta-data/public-keys/0=admin").status,
        404
    );
}

/// Trap 10.
#[test]
fn meta_data_of_ec2_and_of_nocloud_clash() {
    let of = |dialects: &[Dialect]| {
        let dialects = dialects.iter().copied().collect();
        Guest::with(|instance| instance.options.dialects = dialects)
    };
    let both = of(&[Dialect::Ec2, Dialect::NoCloud]);
    for path in ["/latest/meta-data", "/latest/meta-data/"] {
        let reply = both.get(path);
        assert!(text(&reply).starts_with("ami-id\n"), "{path}");
        assert_eq!(
            header(&reply, "content-type").as_deref(),
            Some("text/plain")
        );
    }
    let nocloud = of(&[Dialect::NoCloud]);
    for name in ["meta-data", "user-data", "vendor-data", "network-config"] {
        let alias = nocloud.get(&format!("/latest/{name}"));
        assert_eq!(alias.status, 200, "{name}");
        assert_eq!(alias, nocloud.get(&format!("/nocloud/{name}")), "{name}");
    }
    for path in [
        "/latest",
        "/latest/meta-data/instance-id",
        "/2009-04-04/meta-data",
        "/",
    ] {
        assert_eq!(nocloud.get(path).status, 403, "{path}");
    }
    assert_eq!(nocloud.ask("PUT", "/latest/user-data", &[]).status, 403);
    // cloud-init reads EC2's tree after OpenStack's, and must find nothing in it.
    let openstack = of(&[Dialect::OpenStack, Dialect::NoCloud]);
    let reply = openstack.get("/latest/meta-data/");
    assert_eq!((reply.status.as_u16(), text(&reply)), (200, ""));
    assert_eq!(openstack.get("/latest/user-data").status, 403);
}
