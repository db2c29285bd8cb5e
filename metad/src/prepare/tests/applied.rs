//! libvirt's own test driver, which lives in this process, is told for real.

use super::*;
use crate::prepare::host::{Host, HostError};
use crate::prepare::{Network, domain, network};

/// A libvirt of its own, for this connection alone.
fn host(domains: &str) -> (tempfile::TempDir, Host) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.xml");
    let node = format!(
        "<node><cpu><mhz>6000</mhz><model>i986</model><active>2</active><nodes>1</nodes><sockets>2</sockets><cores>1</cores><threads>1</threads></cpu>{domains}</node>"
    );
    std::fs::write(&file, node).unwrap();
    let uri = format!("test://{}", file.display());
    let host = Host::change(&uri).unwrap();
    (directory, host)
}

fn off(uuid: &str, more: &str) -> String {
    format!(
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>web1</name><uuid>{uuid}</uuid><memory>8388608</memory><os><type>hvm</type></os><devices><graphics type='vnc' port='5901' passwd='hidden'/></devices>{more}<test:runstate>5</test:runstate></domain>"
    )
}

#[test]
fn the_test_driver_takes_each_preparation() {
    for (datasource, uuid, inside) in [
        (
            Datasource::Ec2,
            EC2,
            format!("<entry name='serial'>{EC2}</entry>"),
        ),
        (
            Datasource::Nocloud,
            PLAIN,
            format!("<entry name='serial'>{SEED}</entry>"),
        ),
        (
            Datasource::Openstack,
            PLAIN,
            "<entry name='product'>OpenStack Nova</entry>".to_owned(),
        ),
    ] {
        let (_directory, host) = host(&off(uuid, ""));
        let wish = wish(datasource);
        let found = host.domain("web1").unwrap();
        let prepared = domain(&found.document, &wish).unwrap();
        host.define_domain(&found, &prepared, |document| domain(document, &wish))
            .unwrap();
        let now = host.domain(uuid).unwrap();
        assert!(
            now.document.contains(&inside),
            "{datasource:?}: {}",
            now.document
        );
        assert!(
            now.document.contains("passwd='hidden'"),
            "{datasource:?}: the password is gone"
        );
        assert!(!now.running, "{datasource:?}");
    }
}

#[test]
fn who_only_looks_sees_no_password() {
    let look = Host::look("test:///default").unwrap();
    let found = look.domain("test").unwrap();
    assert!(found.running);
    let prepared = domain(
        &found.document,
        &Wish {
            new_uuid: true,
            ..wish(Datasource::Ec2)
        },
    )
    .unwrap();
    let refused = look.define_domain(&found, &prepared, |document| {
        domain(document, &wish(Datasource::Ec2))
    });
    assert!(refused.is_err(), "a read-only connection changed something");
}

#[test]
fn a_domain_is_defined_anew_under_another_uuid() {
    let (_directory, host) = host(&off(PLAIN, ""));
    host.connection
        .lookup_domain_by_name("web1")
        .unwrap()
        .set_autostart(true)
        .unwrap();
    let wish = Wish {
        new_uuid: true,
        ..wish(Datasource::Ec2)
    };
    let found = host.domain("web1").unwrap();
    let prepared = domain(&found.document, &wish).unwrap();
    host.define_domain(&found, &prepared, |document| domain(document, &wish))
        .unwrap();
    let now = host.domain("web1").unwrap();
    assert!(
        now.document.contains(&format!("<uuid>{EC2}</uuid>")),
        "{}",
        now.document
    );
    assert!(now.document.contains("passwd='hidden'"), "{}", now.document);
    assert!(host.domain(PLAIN).is_err(), "the old one is still there");
    assert!(
        host.connection
            .lookup_domain_by_name("web1")
            .unwrap()
            .autostart()
            .unwrap()
    );
}

#[test]
fn a_domain_that_cannot_be_defined_anew_is_as_it_was() {
    let wish = Wish {
        new_uuid: true,
        ..wish(Datasource::Ec2)
    };
    let (_directory, host) = host(&off(PLAIN, "").replace("web1", "restored"));
    let found = host.domain("restored").unwrap();
    let mut prepared = domain(&found.document, &wish).unwrap();
    // What libvirt refuses, whatever the reason.
    prepared.text = prepared.text.replace("<os>", "<os><nonsense/>");
    let error = host
        .define_domain(&found, &prepared, |document| domain(document, &wish))
        .unwrap_err();
    assert!(matches!(error, HostError::Restored { .. }), "{error}");
    assert_eq!(host.domain("restored").unwrap().document, found.document);
    // No other test keeps a copy of a domain of this name.
    let ours = format!("metad-restored-{}-", std::process::id());
    let mut left = std::fs::read_dir("/var/tmp").unwrap().flatten();
    assert!(
        !left.any(|entry| entry.file_name().to_string_lossy().starts_with(&ours)),
        "a copy was left"
    );
}

#[test]
fn a_running_domain_is_not_defined_anew() {
    let wish = Wish {
        new_uuid: true,
        ..wish(Datasource::Ec2)
    };
    let (_directory, host) = host(&off(PLAIN, ""));
    host.connection
        .lookup_domain_by_name("web1")
        .unwrap()
        .create()
        .unwrap();
    let found = host.domain("web1").unwrap();
    let prepared = domain(&found.document, &wish).unwrap();
    let error = host
        .define_domain(&found, &prepared, |document| domain(document, &wish))
        .unwrap_err();
    assert!(
        matches!(error, HostError::Bound { .. }),
        "a running one: {error}"
    );
    assert!(host.domain(PLAIN).unwrap().running);
}

#[test]
fn what_hangs_on_the_definition_keeps_it() {
    let wish = Wish {
        new_uuid: true,
        ..wish(Datasource::Ec2)
    };
    let (_directory, host) = host(&off(PLAIN, ""));
    let machine = host.connection.lookup_domain_by_name("web1").unwrap();
    machine
        .create_snapshot_xml("<domainsnapshot><name>s</name></domainsnapshot>", 0)
        .unwrap();
    let found = host.domain("web1").unwrap();
    let prepared = domain(&found.document, &wish).unwrap();
    let error = host
        .define_domain(&found, &prepared, |document| domain(document, &wish))
        .unwrap_err();
    assert!(error.to_string().contains("snapshots (1)"), "{error}");
    assert_eq!(host.domain(PLAIN).unwrap().document, found.document);
}

#[test]
fn a_network_is_defined_with_its_route() {
    let node = "<network><name>lonely</name><bridge name='virbr9'/><ip address='10.9.0.1' netmask='255.255.255.0'><dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>";
    let (_directory, host) = host(node);
    let found = host.network("lonely").unwrap();
    let Network::Prepared(prepared) = network(&found.document).unwrap() else {
        panic!("it has no default route");
    };
    assert_eq!(prepared.changes.len(), 1);
    // The test driver reads no options of dnsmasq's and says so; libvirtd's does, which the guest floor shows.
    let error = host.define_network(&found, &prepared, |document| match network(document)? {
        Network::Prepared(prepared) => Ok(prepared),
        Network::Routed { .. } => unreachable!(),
    });
    assert!(
        matches!(error, Err(HostError::Otherwise { .. })),
        "{error:?}"
    );
}

#[test]
fn who_is_not_there_is_named_with_who_may_be_meant() {
    let (_directory, host) = host(&off(PLAIN, ""));
    let error = host.domain("wbe1").unwrap_err();
    assert!(
        error.to_string().ends_with("help: is `web1` meant?"),
        "{error}"
    );
    let error = host.network("nothing").unwrap_err();
    assert!(error.to_string().contains("virsh net-list"), "{error}");
    let error = Host::look("test:///nonexistent/node.xml").unwrap_err();
    assert!(matches!(error, HostError::Unreachable { .. }), "{error}");
}
