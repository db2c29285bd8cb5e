//! What an administrator can learn of dropped frames, and that a flood of them does not become a flood of words.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Result, ensure};
use metad_common::names::LOG_INTERVAL_NS;
use metad_tests::frames::{Ends, METADATA, udp};
use metad_tests::lab::{Settings, until};
use metad_tests::needs;

use super::{SOON, guest, host_with_bridge};

#[test]
fn drops_are_explained_only_if_asked_for_and_at_a_bounded_rate() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for (case, datapath) in [("by default", ""), ("asked for", "log-drops = true")] {
        let lab = host_with_bridge()?;
        let attacker = guest(&lab, "attacker", 6)?;
        let settings = Settings {
            datapath,
            ..Settings::default()
        };
        let daemon = lab.serve(&settings)?;
        daemon.seated(&["attacker"])?;
        let wire = attacker.wire()?;
        let started = Instant::now();
        let ends = Ends {
            from_mac: attacker.mac(),
            to_mac: lab.mac_of("br0")?,
            from: Ipv4Addr::new(10, 77, 0, 6),
            to: METADATA,
            from_port: 41_000,
            to_port: 80,
        };
        for _ in 0..500 {
            wire.send(&udp(&ends, b"x"))?;
        }
        until("every drop", SOON, || {
            (daemon.counters().ok()?.dropped("not-tcp") == 500).then_some(())
        })?;
        let line = "dropped on interface";
        if datapath.is_empty() {
            ensure!(!daemon.log().contains(line), "{case}: {}", daemon.log());
            continue;
        }
        until("an explanation", SOON, || {
            daemon.log().contains(line).then_some(())
        })?;
        let intervals = started.elapsed().as_nanos() / u128::from(LOG_INTERVAL_NS);
        // One line for each interval and CPU.
        let most = (intervals + 1) * 64;
        let lines = daemon.log().matches(line).count();
        needs::note(&format!("{case}: 500 drops, {lines} lines"));
        ensure!(
            u128::try_from(lines)? <= most && lines < 500,
            "{lines} lines of at most {most}"
        );
        ensure!(daemon.log().contains("not-tcp"), "{}", daemon.log());
    }
    Ok(())
}
