//! What the unit lets the daemon do: all that it needs, and little else.

use anyhow::{Context, Result, ensure};

use super::host::{PROBE, host};

const SECURITY: &str = include_str!("../../../../docs/security.md");
const UNIT: &str = include_str!("../../../../dist/metad.service");

/// With a filter that kills instead of refusing, nothing that is used may be missed.
#[test]
fn the_system_call_filter_refuses_nothing_that_is_used() -> Result<()> {
    let mut host = host()?;
    host.change("SystemCallErrorNumber=kill")?;
    let before = host.main_pid()?;
    host.exercise()?;
    assert_eq!(host.main_pid()?, before, "it was killed:\n{}", host.log()?);
    host.vm.must("systemctl restart metad")?;
    host.exercise()?;
    let log = host.log()?;
    ensure!(!log.contains("status=31/SYS"), "a child was killed:\n{log}");
    Ok(())
}

/// The twin: the filter that the test above trusts does kill.
#[test]
fn a_call_outside_the_filter_is_seen() -> Result<()> {
    let mut host = host()?;
    host.stop()?;
    host.lay("SystemCallErrorNumber=kill\nSystemCallFilter=~bpf\nRestart=no")?;
    let said = host.vm.run("systemctl start metad")?;
    ensure!(said.status != 0, "it starts without bpf(2)");
    let log = host.log()?;
    ensure!(log.contains("status=31/SYS"), "it was not killed:\n{log}");
    Ok(())
}

#[test]
fn every_capability_of_the_unit_is_needed() -> Result<()> {
    let mut host = host()?;
    let given = capabilities()?;
    ensure!(given.len() > 1, "the unit's capabilities: {given:?}");
    for capability in given {
        host.stop()?;
        host.lay(&format!("CapabilityBoundingSet=~{capability}\nRestart=no"))?;
        let said = host.vm.run("systemctl start metad")?;
        ensure!(said.status != 0, "it starts without {capability}");
    }
    Ok(())
}

/// Whoever takes over the daemon, or a command that it runs for credentials, reaches nothing beside.
#[test]
fn what_runs_in_the_unit_reaches_nothing_else() -> Result<()> {
    let mut host = host()?;
    let outside = host.vm.must(PROBE)?;
    let outside = reached(&outside)?;
    let tried = include_str!("probe.sh")
        .lines()
        .filter(|line| line.starts_with("try "))
        .count();
    assert_eq!(outside.len(), tried, "without the unit: {outside:?}");
    host.vm.must("rm -f /etc/probe /usr/probe /var/probe /run/probe; rmdir /sys/fs/cgroup/probe; umount /mnt; hostname host")?;
    let token = host.token("g1")?;
    let credentials = host.credentials(&token)?;
    let inside = reached(&credentials)?;
    ensure!(inside.is_empty(), "within the unit: {inside:?}");
    Ok(())
}

/// The numbers of docs/security.md are those of the tool itself.
#[test]
fn the_exposure_is_what_the_documents_say() -> Result<()> {
    let mut host = host()?;
    for unit in ["metad.service", "metad-host.service"] {
        let said = host
            .vm
            .must(&format!("systemd-analyze security --no-pager {unit}"))?;
        let line = said
            .lines()
            .find(|line| line.contains("Overall exposure level"))
            .with_context(|| format!("no level in:\n{said}"))?;
        let level = line
            .split_whitespace()
            .find(|word| word.parse::<f32>().is_ok())
            .with_context(|| format!("no number in: {line}"))?;
        let row = format!("| `{unit}` | {level} |");
        ensure!(
            SECURITY.contains(&row),
            "docs/security.md has no row `{row}`"
        );
    }
    Ok(())
}

/// The capabilities that the unit's text names.
fn capabilities() -> Result<Vec<&'static str>> {
    let line = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .context("the unit names no capabilities")?;
    Ok(line.split_whitespace().collect())
}

/// What the probe says that it reached.
fn reached(credentials: &str) -> Result<Vec<String>> {
    let (_, rest) = credentials
        .split_once("\"reached")
        .with_context(|| format!("no word of the probe in: {credentials}"))?;
    let (words, _) = rest.split_once('"').context("half a word")?;
    Ok(words
        .split('.')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect())
}
