//! The service's life: it starts, restarts, is killed, and stops.

use anyhow::{Result, ensure};

use super::host::{commands, host};

#[test]
fn it_says_when_it_is_ready_and_what_has_its_name_is_there() -> Result<()> {
    let mut host = host()?;
    let shown = host
        .vm
        .must("systemctl show metad --property Type,ActiveState,SubState,NRestarts")?;
    for expected in [
        "Type=notify\n",
        "ActiveState=active\n",
        "SubState=running\n",
    ] {
        ensure!(shown.contains(expected), "no {expected}in:\n{shown}");
    }
    // As an administrator looks into it, outside of the unit.
    let inside = host.vm.must("ip netns exec metad ip -brief address")?;
    ensure!(inside.contains("169.254.169.254/32"), "{inside}");
    ensure!(inside.contains("fd00:ec2::254/128"), "{inside}");
    ensure!(!inside.contains("fe80::"), "a link-local address: {inside}");
    Ok(())
}

#[test]
fn tokens_and_settings_outlive_a_restart_and_a_kill() -> Result<()> {
    let mut host = host()?;
    let token = host.token("g1")?;
    host.vm.must("metad set g1 tags/instance/role db")?;
    for end in [
        "systemctl restart metad",
        "kill -KILL $(systemctl show metad --property MainPID --value)",
    ] {
        let before = host.main_pid()?;
        host.vm.must(end)?;
        host.another_pid(&before)?;
        host.up()?;
        let tag = host.get_with("g1", &token, "meta-data/tags/instance/role")?;
        assert_eq!(tag, "db", "after `{end}`");
        let refused = host.status_with("g2", &token, "meta-data/")?;
        assert_eq!(refused, "401", "another guest's token, after `{end}`");
    }
    host.vm.must("metad unset g1 tags/instance/role")?;
    Ok(())
}

#[test]
fn a_stop_leaves_no_trace() -> Result<()> {
    let mut host = host()?;
    host.stop()?;
    let after = host.traces()?;
    assert_eq!(after, host.before);
    host.up()?;
    ensure!(host.traces()? != host.before, "a running metad has traces");
    Ok(())
}

/// As the README says it.
#[test]
fn whoever_leaves_finds_the_host_as_it_was() -> Result<()> {
    let mut host = host()?;
    for line in commands("## Install", "sudo systemctl disable --now metad")? {
        host.vm.must(&line)?;
    }
    let after = host.traces()?;
    assert_eq!(after, host.before);
    let enabled = host.vm.run("systemctl is-enabled metad")?;
    assert_eq!(enabled.text.trim(), "disabled");
    Ok(())
}
