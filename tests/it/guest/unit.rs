//! The systemd unit, on a host with systemd as its first process: installed as the README says, confined as the unit says,
//! with guests made of namespaces on its bridge.
//!
//! One host serves all of these tests. Each finds the service running, and leaves it so.

mod confined;
mod host;
mod life;
mod load;

use anyhow::{Result, ensure};

use self::host::host;

#[test]
fn a_guest_is_told_everything_under_the_unit() -> Result<()> {
    let mut host = host()?;
    let own = host.get("g1", "http://169.254.169.254/latest/meta-data/hostname")?;
    assert_eq!(own, "g1.example.org");
    let other = host.get("g2", "http://169.254.169.254/latest/meta-data/hostname")?;
    assert_eq!(other, "g2.example.org");
    let ipv6 = host.get("g1", "http://[fd00:ec2::254]/latest/meta-data/hostname")?;
    assert_eq!(ipv6, "g1.example.org");

    let token = host.token("g1")?;
    let told = host.get_with("g1", &token, "user-data")?;
    assert_eq!(told, "#cloud-config\n{}\n");
    let refused = host.status_with("g2", &token, "user-data")?;
    assert_eq!(refused, "401", "another guest's token");

    host.vm.must("metad set g1 tags/instance/role web")?;
    let tag = host.get_with("g1", &token, "meta-data/tags/instance/role")?;
    assert_eq!(tag, "web");
    host.vm.must("metad unset g1 tags/instance/role")?;
    Ok(())
}

/// Templates are rendered by a child with limits, credentials come from a command: both are confined as the daemon is.
#[test]
fn what_the_daemon_starts_works_under_the_unit() -> Result<()> {
    let mut host = host()?;
    let kickstart = host.get("g1", "http://169.254.169.254/install/kickstart.cfg")?;
    ensure!(kickstart.contains("g1"), "no template of g1's: {kickstart}");
    let token = host.token("g1")?;
    let credentials = host.credentials(&token)?;
    ensure!(
        credentials.contains("\"AccessKeyId\""),
        "no credentials: {credentials}"
    );
    Ok(())
}

#[test]
fn libvirt_is_reached_under_the_unit() -> Result<()> {
    let mut host = host()?;
    let status = host.status()?;
    let sources = &status["sources"];
    assert_eq!(sources[0]["name"], "libvirt qemu:///system", "{sources}");
    assert!(sources[0]["away"].is_null(), "{sources}");
    assert_eq!(status["problems"].to_string(), "[]");
    Ok(())
}
