//! Restarts and crashes while guests ask.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::host::{ServiceHost, host};

/// How often it is restarted and killed; each start takes seconds without KVM.
const TIMES: usize = 5;
const GUESTS: [&str; 2] = ["g1", "g2"];
/// curl(1): the connection ended before the first octet of an answer, or with a reset after the request was sent.
const CUT_OFF: [i32; 2] = [52, 56];

#[test]
fn no_request_fails_while_it_restarts() -> Result<()> {
    let mut host = host()?;
    let outcomes = under_load(&mut host, "systemctl restart metad")?;
    let failed: Vec<_> = outcomes
        .iter()
        .filter(|(status, _)| **status != 0)
        .collect();
    ensure!(
        failed.is_empty(),
        "requests failed, as (curl's status, how many): {failed:?}"
    );
    Ok(())
}

/// A process that is killed takes along what it has accepted; every client asks again. Nobody is refused, and nobody
/// waits in vain.
#[test]
fn a_kill_costs_no_more_than_the_requests_it_falls_into() -> Result<()> {
    let mut host = host()?;
    let kill = "kill -KILL $(systemctl show metad --property MainPID --value)";
    let outcomes = under_load(&mut host, kill)?;
    let mut cut_off = 0;
    for (status, count) in &outcomes {
        if CUT_OFF.contains(status) {
            cut_off += count;
        } else {
            ensure!(*status == 0, "curl ended with {status}: {outcomes:?}");
        }
    }
    ensure!(
        cut_off <= TIMES * GUESTS.len(),
        "more were cut off than can have been on their way: {outcomes:?}"
    );
    Ok(())
}

/// Does `disturb` again and again while guests ask, and returns how often curl ended with which status. Every answer is the
/// right one.
fn under_load(host: &mut ServiceHost, disturb: &str) -> Result<BTreeMap<i32, usize>> {
    host.vm.must("rm -rf /run/load; mkdir /run/load")?;
    for guest in GUESTS {
        host.vm.must(&format!(
            "systemd-run --quiet --collect --unit load-{guest} /usr/local/sbin/load {guest}"
        ))?;
    }
    for _ in 0..TIMES {
        let before = host.main_pid()?;
        host.answered_more()?;
        host.vm.must(disturb)?;
        host.another_pid(&before)?;
    }
    host.answered_more()?;
    host.vm.must("touch /run/load/end")?;
    let mut outcomes = BTreeMap::new();
    for guest in GUESTS {
        host.vm.wait(
            super::host::STARTS,
            "the load's end",
            &format!("! systemctl --quiet is-active load-{guest}"),
        )?;
        let asked = host.vm.must(&format!("cat /run/load/{guest}"))?;
        for line in asked.lines() {
            let (status, answer) = line.split_once(' ').context("half a line")?;
            let status = status
                .parse()
                .with_context(|| format!("no status: {line}"))?;
            ensure!(
                status != 0 || answer == format!("{guest}.example.org"),
                "{guest} was answered `{answer}`"
            );
            *outcomes.entry(status).or_default() += 1;
        }
    }
    Ok(outcomes)
}
