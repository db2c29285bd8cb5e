//! Large answers arrive whole, whether the NIC computes checksums and segments or the guest does.

use anyhow::{Context, Result, ensure};
use metad_tests::lab::Settings;
use metad_tests::needs;
use serde_json::json;

use super::{guest, host_with_bridge};

/// The largest user-data there is.
const LARGEST: usize = 1024 * 1024;

/// Text that differs at every place, so that a lost, doubled or swapped segment shows.
pub(super) fn text() -> String {
    let lines =
        (0_u32..).map(|number| format!("{:08x} {number:07}\n", number.wrapping_mul(2_654_435_761)));
    let mut text = String::with_capacity(LARGEST + 17);
    for line in lines {
        if text.len() >= LARGEST {
            break;
        }
        text.push_str(&line);
    }
    text.truncate(LARGEST);
    text
}

#[test]
fn a_mebibyte_of_user_data_arrives_whole_with_and_without_offloads() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let sent = text();
    let mut record = alice.record();
    record["user-data"] = json!(sent);
    lab.record("alice", &record)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    for (guests, taps) in [(true, true), (false, true), (true, false), (false, false)] {
        alice.space().offload("eth0", guests)?;
        lab.host().offload(alice.interface(), taps)?;
        let case = format!("offloads of the guest {guests}, of the tap {taps}");
        for _ in 0..3 {
            let reply = alice.get("/latest/user-data").context(case.clone())?;
            ensure!(reply.status == 200, "{case}: {}", reply.status);
            ensure!(
                reply.body == sent.as_bytes(),
                "{case}: {} octets, not the same",
                reply.body.len()
            );
        }
    }
    Ok(())
}
