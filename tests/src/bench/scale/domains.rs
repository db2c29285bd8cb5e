//! The time to take in the domains of a libvirt: its own test driver, which answers within the process.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::{Cell, Kind, Outcome, Row, Target};
use crate::lab::{Daemon, Lab};

/// Starts a daemon beside a libvirt of one domain and beside one of many, and adds what it took to `outcome`.
pub(super) fn measure(many: usize, wanted: Duration, outcome: &mut Outcome) -> Result<()> {
    let [one, all] = [1, many].map(taken_in);
    let (one, all) = (one?, all?);
    for (count, took) in [(1, one), (many, all)] {
        let mut cells = vec![Cell::Nothing; outcome.columns.len()];
        if let Some(first) = cells.first_mut() {
            *first = Cell::Time(took);
        }
        outcome.rows.push(Row {
            name: format!("{count} libvirt domains"),
            cells,
        });
    }
    outcome.targets.push(Target {
        what: format!("from the start of metad until {many} libvirt domains are known"),
        wanted: format!("≤ {} s", wanted.as_secs()),
        measured: Cell::Time(all),
        met: all <= wanted,
        kind: Kind::Fast,
    });
    Ok(())
}

/// From the start of the daemon until it knows them all.
fn taken_in(count: usize) -> Result<Duration> {
    let lab = Lab::new()?;
    let node = lab.directory().join("node.xml");
    fs::write(&node, node_xml(count)).context("cannot write the test driver's node")?;
    let configuration = lab.directory().join("metad.toml");
    let state = lab.directory().join("state");
    let text = format!(
        "name = {:?}\nstate-directory = {state:?}\n[datapath]\ninterfaces = [\"br+\"]\n\
         [[source]]\nkind = \"libvirt\"\nuri = \"test://{}\"\n",
        lab.name(),
        node.display()
    );
    fs::write(&configuration, text).context("cannot write the configuration")?;
    let log = lab.directory().join("metad.log");
    // The first start of all makes a key, too.
    let mut daemon = Daemon::start_at(lab.host().path(), configuration, log)?;
    daemon.stop()?;
    let started = Instant::now();
    daemon.start_again()?;
    daemon.status_until("every domain", |status| {
        status["instances"]
            .as_array()
            .is_some_and(|all| all.len() == count)
    })?;
    Ok(started.elapsed())
}

/// Domains as virt-install makes them, as far as the test driver knows their devices, with metadata of their own.
fn node_xml(count: usize) -> String {
    let mut text = String::from(
        "<node>\n<cpu><mhz>2000</mhz><model>x86_64</model><active>4</active><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads></cpu><memory>8388608</memory>\n",
    );
    for number in 0..count {
        let [.., a, b] = u32::try_from(number).unwrap_or_default().to_be_bytes();
        let user_data: String = (0..64)
            .map(|line| format!("- [ echo, 'line {line} of guest {number}' ]\n"))
            .collect();
        let _written = write!(
            text,
            "<domain type='test'><name>guest-{number}</name>\
             <uuid>4dea22b3-1d52-d8f3-2516-{number:012x}</uuid>\
             <metadata><metad:instance xmlns:metad='urn:metad:instance:1'>\
             <metad:instance-type>c3.large</metad:instance-type>\
             <metad:user-data>#cloud-config\nruncmd:\n{user_data}</metad:user-data>\
             </metad:instance></metadata>\
             <memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type><boot dev='hd'/></os><devices>\
             <disk type='file' device='disk'><source file='/nowhere/{number}.qcow2'/><target dev='vda' bus='virtio'/></disk>\
             <interface type='bridge'><mac address='52:54:02:00:{a:02x}:{b:02x}'/><source bridge='br0'/>\
             <model type='virtio'/></interface></devices></domain>\n"
        );
    }
    text.push_str("</node>\n");
    text
}
