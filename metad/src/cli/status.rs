//! `metad status`: what the daemon does now.

use std::io::{self, Write};

use metad_common::reason::Reason;

use super::table::Table;
use super::{block_on, report::Unwritten, report::printable};
use crate::admin::{AttachedBy, Client, Counters, InstanceStatus, Role, Status};
use crate::config::Config;
use crate::datapath::buckets;
use crate::exit;
use crate::limits::Limit;
use crate::netns::queues::Queue;

/// Asks and prints.
pub(super) fn run(config: &Config, json: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    let status = block_on(Client::new(&config.admin_socket()).status())??;
    if json {
        serde_json::to_writer_pretty(&mut *out, &status)
            .map_err(|error| Unwritten(error.into()))?;
        writeln!(out).map_err(Unwritten)?;
    } else {
        print(&status, out).map_err(Unwritten)?;
    }
    Ok(exit::SUCCESS)
}

fn print(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "metad `{}` serves {}.",
        printable(&status.name),
        amounts(status)
    )?;
    section(
        out,
        &interfaces(status),
        "No interface matches the configured patterns.",
    )?;
    section(out, &instances(&status.instances), "No instance is known.")?;
    section(out, &sources(status), "No source is configured.")?;
    if !status.problems.is_empty() {
        let mut problems = Table::new(["SUBJECT", "PROBLEM"]);
        for problem in &status.problems {
            problems.row([&problem.subject, &problem.problem]);
        }
        section(out, &problems, "")?;
    }
    section(out, &counters(&status.counters), "")?;
    let limits = limits(status);
    if limits.is_empty() {
        return Ok(());
    }
    section(out, &limits, "")
}

fn section<const N: usize>(
    out: &mut dyn Write,
    table: &Table<N>,
    otherwise: &str,
) -> io::Result<()> {
    writeln!(out)?;
    if table.is_empty() {
        writeln!(out, "{otherwise}")
    } else {
        table.write(out)
    }
}

fn amounts(status: &Status) -> String {
    let seats = status
        .instances
        .iter()
        .flat_map(|instance| &instance.nics)
        .filter(|nic| nic.slot.is_some())
        .count();
    let count =
        |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    format!(
        "{} with {} on {}",
        count(
            status
                .instances
                .iter()
                .filter(|instance| instance.running)
                .count(),
            "running instance"
        ),
        count(seats, "answered NIC"),
        count(
            status
                .interfaces
                .iter()
                .filter(|interface| interface.attached.is_some())
                .count(),
            "interface"
        ),
    )
}

fn interfaces(status: &Status) -> Table<6> {
    let mut table = Table::new(["INTERFACE", "INDEX", "ROLE", "ATTACHED", "GUARD", "PROBLEM"]);
    for interface in &status.interfaces {
        let role = match interface.role {
            Role::Bridge => "bridge",
            Role::Port => "port",
            Role::Single => "single",
        };
        let attached = match interface.attached {
            Some(AttachedBy::Tcx) => "tcx",
            Some(AttachedBy::Clsact) => "clsact",
            None => "no",
        };
        let guard = if interface.guarded { "yes" } else { "-" };
        let problem = interface.problem.as_deref().unwrap_or("");
        table.row([
            &interface.name,
            &interface.ifindex.to_string(),
            role,
            attached,
            guard,
            problem,
        ]);
    }
    table
}

fn instances(instances: &[InstanceStatus]) -> Table<6> {
    let mut table = Table::new(["INSTANCE", "STATE", "ID", "NIC", "INTERFACE", "SLOT"]);
    for instance in instances {
        let state = if instance.running { "running" } else { "off" };
        let mut first = [instance.name.as_str(), state, instance.instance_id.as_str()];
        for nic in &instance.nics {
            let [name, state, id] = std::mem::take(&mut first);
            let interface = nic.interface.as_deref().unwrap_or("-");
            let slot = nic.slot.map_or("-".to_owned(), |slot| slot.to_string());
            table.row([name, state, id, &nic.mac, interface, &slot]);
        }
        if instance.nics.is_empty() {
            let [name, state, id] = first;
            table.row([name, state, id, "none", "-", "-"]);
        }
    }
    table
}

fn sources(status: &Status) -> Table<3> {
    let mut table = Table::new(["SOURCE", "SUBJECTS", "STATE"]);
    for source in &status.sources {
        let state = source
            .away
            .as_ref()
            .map_or("connected".to_owned(), |why| format!("away: {why}"));
        table.row([&source.name, &source.subjects.to_string(), &state]);
    }
    table
}

/// Tallies always, reasons where they ever applied.
fn counters(counters: &Counters) -> Table<3> {
    let mut table = Table::new(["FRAMES", "COUNT", ""]);
    table.row(["arp-answered", &counters.arp_answered.to_string(), ""]);
    let neighbours = counters.neighbour_answered.to_string();
    table.row(["neighbour-answered", &neighbours, ""]);
    table.row(["delivered", &counters.delivered.to_string(), ""]);
    table.row(["returned", &counters.returned.to_string(), ""]);
    table.row(["recalled", &counters.recalled.to_string(), ""]);
    for (name, count) in counters.dropped.iter().filter(|(_, count)| **count > 0) {
        let reason = Reason::ALL.iter().find(|reason| reason.name() == name);
        let sentence = reason.map_or("", |reason| reason.sentence());
        table.row([&format!("dropped: {name}"), &count.to_string(), sentence]);
    }
    table
}

/// The limits that were met, and by whom most often.
fn limits(status: &Status) -> Table<4> {
    const NAMED: usize = 3;
    let mut table = Table::new(["LIMIT", "MET", "BY", ""]);
    for (name, count) in &status.limits {
        let met_by = |it: &InstanceStatus| Some((*it.limits.get(name)?, it.name.clone()));
        let mut guests: Vec<_> = status.instances.iter().filter_map(met_by).collect();
        guests.sort_unstable_by(|one, other| other.cmp(one));
        let mut by: Vec<String> = guests
            .iter()
            .take(NAMED)
            .map(|(count, name)| format!("{name} ({count})"))
            .collect();
        if guests.len() > NAMED {
            by.push("…".to_owned());
        }
        let limit = Limit::ALL.iter().find(|limit| limit.name() == name);
        let queue = Queue::ALL.iter().find(|queue| queue.name() == name);
        let sentence = match name.as_str() {
            buckets::CONNECTIONS => Some(buckets::SENTENCE),
            _ => limit.map(|limit| limit.sentence()),
        };
        let sentence = sentence
            .or(queue.map(|queue| queue.sentence()))
            .unwrap_or("");
        table.row([name, &count.to_string(), &by.join(", "), sentence]);
    }
    table
}

#[cfg(test)]
mod tests;
