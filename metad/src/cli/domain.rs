//! `metad domain prepare`: the change to a libvirt domain that has its guest's cloud-init look here.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::block_on;
use super::diff::{self, Shown, Ways};
use crate::admin::{Client, InstanceStatus};
use crate::config::Config;
use crate::exit;
use crate::instance::Given;
use crate::prepare::host::{Found, Host};
use crate::prepare::outlook::{Daemon, Plan, identity, outlook};
use crate::prepare::{self, Datasource, Prepared, Wish};
use crate::settings::Secret;

#[derive(Debug, Subcommand)]
pub(super) enum Domain {
    /// Show, or make, the change that has a domain's cloud-init look here
    #[command(after_help = "Examples:
  metad domain prepare web1 --datasource nocloud              what would be changed, and what it means
  sudo metad domain prepare web1 --datasource nocloud --apply
  sudo metad domain prepare web1 --datasource ec2 --new-uuid --apply
  metad domain prepare --xml new.xml --datasource ec2 --print | virsh define /dev/stdin

Data sources:
  ec2        session tokens, and what most software speaks. Wants a UUID that starts with ec2,
             and the same text as SMBIOS serial number.
  nocloud    works with any other UUID. The SMBIOS serial number names the URL.
  openstack  works with any other UUID. The SMBIOS product name is `OpenStack Nova`.

Without --apply, nothing is changed. With it, the persistent definition is, and a domain that runs
goes on as it is until it is shut down and started. SMBIOS values that are there already stay
unless --replace is given. Nothing else of the definition is touched.")]
    Prepare(Prepare),
}

#[derive(Debug, Args)]
pub(super) struct Prepare {
    /// Domain, by name or UUID
    #[arg(
        value_name = "DOMAIN",
        required_unless_present = "xml",
        conflicts_with = "xml"
    )]
    domain: Option<String>,
    /// What cloud-init is to take the guest's machine for
    #[arg(long, value_name = "SOURCE")]
    datasource: Datasource,
    /// Give the domain another UUID where it needs one: it is undefined and defined anew, and to
    /// cloud-init it is another instance. Only while it is off and has no snapshot or saved state
    #[arg(long)]
    new_uuid: bool,
    /// Let SMBIOS values that say something else go
    #[arg(long)]
    replace: bool,
    /// NoCloud's URL [default: what a running metad says, else http://169.254.169.254/nocloud/]
    #[arg(long, value_name = "URL")]
    seed_url: Option<String>,
    #[command(flatten)]
    pub(super) ways: Ways,
}

impl Prepare {
    pub(super) fn run(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        if let Some(file) = &self.ways.xml {
            let document = diff::read(file)?;
            let what = match file.to_str() {
                Some("-") | None => "the domain".to_owned(),
                Some(file) => file.to_owned(),
            };
            let mut wish = self.wish();
            let notes = self.look_ahead(&document, true, &mut wish);
            let mut prepared = self.prepared(&document, &what, &wish)?;
            prepared.warnings.extend(notes);
            let shown = Shown {
                what: &what,
                before: &document,
                prepared: &prepared,
                notes: self.notes(None, &prepared),
            };
            if self.ways.print {
                return shown.print(out);
            }
            let last = match prepared.changes.is_empty() {
                true => format!(
                    "Nothing to do: it is prepared for {} already.",
                    self.datasource.word()
                ),
                false => "Nothing was changed; `--print` prints the whole, for `virsh define`."
                    .to_owned(),
            };
            shown.diff(&last, out)?;
            return Ok(exit::SUCCESS);
        }
        self.on_host(self.domain.as_deref().unwrap_or_default(), out)
    }

    fn on_host(&self, name: &str, out: &mut dyn Write) -> anyhow::Result<u8> {
        let uri = self.ways.uri()?;
        let host = match self.ways.apply || self.ways.print {
            true => Host::change(&uri)?,
            false => Host::look(&uri)?,
        };
        let found = host.domain(name)?;
        let what = format!("domain `{}`", found.name);
        let mut wish = self.wish();
        let notes = self.look_ahead(&found.document, false, &mut wish);
        let mut prepared = self.prepared(&found.document, &what, &wish)?;
        prepared.warnings.extend(notes);
        let shown = Shown {
            what: &what,
            before: &found.document,
            prepared: &prepared,
            notes: self.notes(Some(&found), &prepared),
        };
        if self.ways.print {
            return shown.print(out);
        }
        if prepared.changes.is_empty() {
            shown.diff(
                &format!(
                    "Nothing to do: {what} is prepared for {} already.",
                    self.datasource.word()
                ),
                out,
            )?;
        } else if self.ways.apply {
            host.define_domain(&found, &prepared, |document| {
                prepare::domain(document, &wish)
            })?;
            shown.diff(&format!("Done: {what} is defined so at {uri}."), out)?;
        } else {
            let last = format!(
                "Nothing was changed. To make it so: `{}`",
                self.command(&uri)
            );
            shown.diff(&last, out)?;
        }
        Ok(exit::SUCCESS)
    }

    fn wish(&self) -> Wish {
        Wish {
            datasource: self.datasource,
            seed_url: self.seed_url.clone(),
            new_uuid: self.new_uuid,
            replace: self.replace,
        }
    }

    /// Says what metad will answer, and completes the wish with where.
    fn look_ahead(&self, document: &str, is_file: bool, wish: &mut Wish) -> Vec<String> {
        let mut notes = Vec::new();
        let (site, daemon, secret) = match self.ways.place.config() {
            Ok(config) => (
                config.defaults.options,
                ask(&config, document),
                Secret::look(&config.state_dir()),
            ),
            Err(error) => {
                let error = error.to_string();
                let problem = error.lines().next().unwrap_or_default();
                notes.push(format!("it is not known what metad will answer: {problem}"));
                (Given::default(), Daemon::Silent, None)
            }
        };
        let plan = Plan {
            document,
            datasource: self.datasource,
            seed_url: self.seed_url.as_deref(),
            new_uuid: self.new_uuid,
            is_file,
            site,
            daemon: &daemon,
        };
        let seed = |uuid| Some(secret.as_ref()?.seed(uuid)?.to_string());
        let outlook = outlook(&plan, seed);
        wish.seed_url = wish.seed_url.take().or(outlook.seed_url);
        notes.extend(outlook.notes);
        notes
    }

    fn prepared(&self, document: &str, what: &str, wish: &Wish) -> anyhow::Result<Prepared> {
        prepare::domain(document, wish)
            .with_context(|| format!("cannot prepare {what} for {}", self.datasource.word()))
    }

    /// What was given, with `--apply`.
    pub(super) fn command(&self, uri: &str) -> String {
        let mut words = vec!["domain", "prepare"];
        words.extend(self.domain.as_deref());
        words.extend(["--datasource", self.datasource.word()]);
        for (given, word) in [(self.new_uuid, "--new-uuid"), (self.replace, "--replace")] {
            if given {
                words.push(word);
            }
        }
        if let Some(url) = &self.seed_url {
            words.extend(["--seed-url", url]);
        }
        self.ways.again(&words, uri)
    }

    fn notes(&self, found: Option<&Found>, prepared: &Prepared) -> Vec<(&'static str, String)> {
        let mut notes = Vec::new();
        if let Some(uuid) = prepared.new_uuid {
            notes.push(("uuid", format!("the domain is undefined and defined anew as {uuid}; to metad and cloud-init that is another instance, configured from the start")));
        }
        if let (Some(found), false) = (found, prepared.changes.is_empty()) {
            notes.push(("when", when(found, prepared).to_owned()));
        }
        notes.push(("guest", guest(self.datasource).to_owned()));
        notes.push(("guest", "it needs a route to 169.254.169.254: a default route does; for a network without one, `metad network prepare NET`".to_owned()));
        notes
    }
}

/// What a running metad says of this domain.
fn ask(config: &Config, document: &str) -> Daemon {
    let Some((name, uuid)) = identity(document) else {
        return Daemon::Silent;
    };
    let Ok(Ok(status)) = block_on(Client::new(&config.admin_socket()).status()) else {
        return Daemon::Silent;
    };
    let uuid = uuid.to_string();
    let mut known = status.instances.into_iter();
    match known.find(|known| known.name == name && known.uuid == uuid) {
        Some(InstanceStatus { nocloud_url, .. }) => Daemon::Knows { nocloud_url },
        None => Daemon::Unaware,
    }
}

fn when(found: &Found, prepared: &Prepared) -> &'static str {
    if found.running && prepared.new_uuid.is_some() {
        "the domain runs, and `--apply` does nothing to it until it is shut down"
    } else if found.running {
        "the domain runs, and goes on as it is; it counts once it is shut down and started (a reboot inside the guest is not enough)"
    } else {
        "the domain is off; it counts from its next start"
    }
}

/// What an image must bring along.
fn guest(datasource: Datasource) -> &'static str {
    match datasource {
        Datasource::Ec2 => {
            "any cloud-init whose `datasource_list` holds Ec2, as it does unless the image says otherwise"
        }
        Datasource::Nocloud => {
            "cloud-init whose `datasource_list` holds NoCloud, in an image that brings its network up by DHCP; releases 23.2 to 23.4 misread the serial number"
        }
        Datasource::Openstack => {
            "cloud-init whose `datasource_list` holds OpenStack; it uses no session tokens"
        }
    }
}
