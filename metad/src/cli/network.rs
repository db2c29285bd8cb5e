//! `metad network prepare`: the change to a libvirt network that gives its guests a route to the metadata address.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::diff::{self, Shown, Ways, shell_word};
use super::report::{Unwritten, printable};
use crate::exit;
use crate::prepare::host::{Found, Host};
use crate::prepare::{self, Prepared, Refusal};

#[derive(Debug, Subcommand)]
pub(super) enum Network {
    /// Show, or make, the change that gives a network's guests a route to the metadata address
    #[command(after_help = "Examples:
  metad network prepare isolated              what would be changed, and what it means
  sudo metad network prepare isolated --apply
  metad network prepare --xml net.xml --print | virsh net-define /dev/stdin

Has libvirt's DHCP server hand out option 121 with an on-link route to 169.254.169.254. A network
that gives its guests a default route (NAT, routed) needs nothing and is left alone: guests that read
option 121 would no longer read the default route.

Without --apply, nothing is changed. With it, the persistent definition is. It counts from the
network's next start, which is never done here.")]
    Prepare(Prepare),
}

#[derive(Debug, Args)]
pub(super) struct Prepare {
    /// Network, by name or UUID
    #[arg(
        value_name = "NET",
        required_unless_present = "xml",
        conflicts_with = "xml"
    )]
    network: Option<String>,
    #[command(flatten)]
    pub(super) ways: Ways,
}

impl Prepare {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        if let Some(file) = &self.ways.xml {
            let document = diff::read(file)?;
            let what = match file.to_str() {
                Some("-") | None => "the network".to_owned(),
                Some(file) => file.to_owned(),
            };
            let last = "Nothing was changed; `--print` prints the whole, for `virsh net-define`.";
            let prepared = prepared(&document, &what)?;
            return self.show(&what, &document, &prepared, None, last, out);
        }
        self.on_host(self.network.as_deref().unwrap_or_default(), out)
    }

    fn on_host(&self, name: &str, out: &mut dyn Write) -> anyhow::Result<u8> {
        let uri = self.ways.uri()?;
        let host = match self.ways.apply {
            true => Host::change(&uri)?,
            false => Host::look(&uri)?,
        };
        let found = host.network(name)?;
        let what = format!("network `{}`", found.name);
        let network = prepared(&found.document, &what)?;
        let command = self.ways.again(&["network", "prepare", name], &uri);
        let mut last = format!("Nothing was changed. To make it so: `{command}`");
        if let prepare::Network::Prepared(prepared) = &network
            && self.ways.apply
            && !prepared.changes.is_empty()
        {
            host.define_network(&found, prepared, again)?;
            last = format!("Done: {what} is defined so at {uri}.");
        }
        self.show(&what, &found.document, &network, Some(&found), &last, out)
    }

    fn show(
        &self,
        what: &str,
        before: &str,
        network: &prepare::Network,
        found: Option<&Found>,
        last: &str,
        out: &mut dyn Write,
    ) -> anyhow::Result<u8> {
        let prepared = match network {
            prepare::Network::Prepared(prepared) => prepared,
            prepare::Network::Routed { why } if self.ways.print => {
                let _ = why;
                out.write_all(before.as_bytes()).map_err(Unwritten)?;
                return Ok(exit::SUCCESS);
            }
            prepare::Network::Routed { why } => {
                let text = format!(
                    "Nothing to do: guests on {what} have a default route, which leads to 169.254.169.254 as well: {why}."
                );
                writeln!(out, "{}", printable(&text)).map_err(Unwritten)?;
                return Ok(exit::SUCCESS);
            }
        };
        let mut notes = Vec::new();
        if let (Some(found), false) = (found, prepared.changes.is_empty()) {
            notes.push(("when", when(found)));
            notes.push((
                "guest",
                "it takes the route with its next DHCP lease".to_owned(),
            ));
        }
        let shown = Shown {
            what,
            before,
            prepared,
            notes,
        };
        if self.ways.print {
            return shown.print(out);
        }
        match prepared.changes.is_empty() {
            true => shown.diff(
                &format!("Nothing to do: {what} hands out a route to 169.254.169.254 already."),
                out,
            )?,
            false => shown.diff(last, out)?,
        }
        Ok(exit::SUCCESS)
    }
}

fn prepared(document: &str, what: &str) -> anyhow::Result<prepare::Network> {
    prepare::network(document).with_context(|| format!("cannot prepare {what}"))
}

/// Whether a network that was defined is as it was meant to be.
fn again(document: &str) -> Result<Prepared, Refusal> {
    match prepare::network(document)? {
        prepare::Network::Prepared(prepared) => Ok(prepared),
        prepare::Network::Routed { why } => Err(Refusal::Unclean(why)),
    }
}

fn when(found: &Found) -> String {
    let name = shell_word(&found.name);
    if found.running {
        format!(
            "the network runs, and goes on as it is; it counts once it is started again: `virsh net-destroy {name}`, `virsh net-start {name}`. Guests that run on it lose it then until they are started again"
        )
    } else {
        format!("the network is off; it counts from its next start: `virsh net-start {name}`")
    }
}
