//! What holds on every kernel: booted one after the other by `cargo xtask test kernels`, on emulated machines with this
//! machine's files. What needs a kernel with 802.1Q, which not every machine has, is here too.

mod life;
mod vlan;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::util::KernelVersion;
use metad_tests::lab::{Lab, Namespace, Settings, binary};
use metad_tests::needs;
use serde_json::Value;

use super::net::lifecycle::{End, compare};
use super::net::{gets_its_own, guest, host_with_bridge};

/// A verb of `metad` has long come to its end then, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether this kernel has tcx.
fn has_tcx() -> Result<bool> {
    Ok(KernelVersion::current()? >= KernelVersion::new(6, 6, 0))
}

#[test]
fn guests_get_their_own_and_down_leaves_the_host_as_it_was() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    compare("auto", "", End::Down)?;
    // Where there is tcx, the older way must work all the same.
    if has_tcx()? {
        compare("clsact", "", End::KillAndDown)?;
    }
    Ok(())
}

#[test]
fn programs_are_attached_as_this_kernel_can() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let expected = if has_tcx()? { "tcx" } else { "clsact" };
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)?;
    let status = daemon.status()?;
    let interfaces = status["interfaces"].as_array().context("no interfaces")?;
    ensure!(interfaces.len() >= 2, "{status}");
    for interface in interfaces {
        ensure!(interface["attached"] == expected, "{interface}");
    }
    needs::note(&format!("attached by {expected}"));
    Ok(())
}

/// A configuration that insists on tcx.
fn insists_on_tcx(lab: &Lab) -> Result<String> {
    let file = lab.directory().join("tcx.toml");
    let text = format!(
        "name = {:?}\nstate-directory = {:?}\n[datapath]\nattach = \"tcx\"\n[[source]]\nkind = \"directory\"\npath = {:?}\n",
        lab.name(),
        lab.directory().join("state"),
        lab.records(),
    );
    fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}

/// Runs `metad WORDS` and returns its status and all it said.
fn said(space: &Namespace, words: &[&str]) -> Result<(bool, String, String)> {
    let output = space
        .command("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(binary()?)
        .args(words)
        .output()?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Ok((
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

#[test]
fn check_says_what_this_kernel_can_and_serve_refuses_what_it_cannot() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let file = insists_on_tcx(&lab)?;
    let (_, findings, complaint) = said(lab.host(), &["check", "--json", "--config", &file])?;
    let findings: Value = serde_json::from_str(&findings).context(complaint)?;
    let verdict = |what: &str| {
        let of = |finding: &&Value| finding["what"] == what;
        let found = findings["findings"]
            .as_array()
            .and_then(|all| all.iter().find(of));
        found
            .map(|finding| finding["verdict"].clone())
            .unwrap_or_default()
    };
    ensure!(
        verdict("kernel") == "ok" && verdict("bpf") == "ok",
        "{findings}"
    );
    if has_tcx()? {
        ensure!(verdict("attaching") == "ok", "{findings}");
        return Ok(());
    }
    ensure!(verdict("attaching") == "missing", "{findings}");
    let (served, _, complaint) = said(lab.host(), &["serve", "--config", &file])?;
    ensure!(!served, "it serves without tcx");
    for part in ["tcx", "6.6", "help: ", "attach = \"auto\""] {
        ensure!(complaint.contains(part), "{part} is not in: {complaint}");
    }
    Ok(())
}
