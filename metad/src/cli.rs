//! The command line: words in, text and an exit code out. What a command does is in the module of its name; this one
//! says which words there are, and prints the one error that a command may end with.

pub mod check;
mod diff;
mod domain;
pub mod down;
mod identity;
mod log;
mod network;
mod query;
mod report;
pub mod run;
mod serve;
mod settings;
mod status;
mod table;
mod up;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Name};
use crate::exit;
use crate::install::child;

/// The metadata service of a KVM host: a guest asks 169.254.169.254 and is told what is its own.
#[derive(Debug, Parser)]
#[command(name = "metad", version, after_help = overview(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer guests until told to stop
    #[command(after_help = "Examples:
  metad serve                                  as /etc/metad/metad.toml says, or with the defaults
  metad serve --config lab.toml --log debug    another configuration, more to read
  metad serve --log warn,metad::libvirt=debug  one room in detail
  metad serve --take-over                      in place of the one that runs: no request is lost")]
    Serve(serve::Serve),
    /// Show what this host lacks to run metad, and the remedy for each
    #[command(after_help = "Examples:
  sudo metad check
  sudo metad check --json | jq -r '.findings[] | select(.verdict == \"missing\") | .remedy'

Changes nothing. Exits with 4 where something is missing that metad cannot do without.")]
    Check(Check),
    /// Show what the running daemon does: interfaces, instances, sources, counters
    #[command(after_help = "Examples:
  sudo metad status
  sudo metad status --name lab
  sudo metad status --json | jq '.counters.dropped'")]
    Status(Status),
    /// Show what a guest would be told, octet for octet
    #[command(after_help = "Examples:
  sudo metad query --as web1 /latest/meta-data/
  sudo metad query --as web1 /latest/user-data > user-data
  sudo metad query --as web1 -i --method HEAD /nocloud/meta-data
  sudo metad query --as web1 --nic 52:54:00:12:34:56 /latest/meta-data/local-ipv4

The request counts as one with a valid session token, whatever `-H` says, so that
`http-tokens=required` does not stand in the way. The body goes to standard output. A status other
than 200 goes to standard error and into the exit code: 8 for 404, 9 for any other refusal, 10 for
5xx.")]
    Query(Query),
    /// Show what others need to check who an instance is: certificate, key set, OpenID Connect
    #[command(
        subcommand_required = true,
        arg_required_else_help = true,
        after_help = "Examples:
  sudo metad identity cert > certificate          for `openssl smime -verify -certfile certificate`
  sudo metad identity jwks > jwks.json            for whoever checks tokens
  sudo metad identity openid-configuration        to publish at ISSUER/.well-known/

All of it is public. Asks the running daemon; without one, reads the state directory."
    )]
    Identity(Identity),
    /// Have a running guest told something, from its next request on
    #[command(after_help = "Examples:
  sudo metad set web1 spot/termination-time 2026-01-31T12:00:00Z
  sudo metad set web1 spot/instance-action '{\"action\": \"stop\", \"time\": \"2026-01-31T12:00:00Z\"}'
  sudo metad set web1 events/recommendations/rebalance '{\"noticeTime\": \"2026-01-31T12:00:00Z\"}'
  sudo metad set web1 autoscaling/target-lifecycle-state Terminated
  sudo metad set web1 tags/instance/role web
  sudo metad set web1 placement --json '{\"region\": \"cellar\", \"group-name\": null}'
  generate-events | sudo metad set web1 events/maintenance/scheduled -

Lies over what the domain's XML and records say, and is kept over restarts of the daemon and of the
host until `metad unset` takes it back. It belongs to the instance's UUID, not to its name. Values
of EC2's well-known paths must look as their clients expect them, unless --force is given.")]
    Set(settings::Set),
    /// Take back what was set
    #[command(after_help = "Examples:
  sudo metad unset web1 spot                   everything below spot/
  sudo metad unset web1 tags/instance/role
  sudo metad unset web1 --all
  sudo metad unset 6b7d8f06-1234-4abc-8def-0123456789ab --all    of an instance that is gone")]
    Unset(settings::Unset),
    /// Show what is set, also for instances that are gone
    #[command(after_help = "Examples:
  sudo metad settings
  sudo metad settings web1
  sudo metad settings --json | jq -r '.[] | select(.orphan) | .uuid'")]
    Settings(settings::Settings),
    /// Show the password that a guest has left for its owner
    #[command(after_help = "Examples:
  sudo metad password win1 | base64 -d | openssl pkeyutl -decrypt -inkey key.pem
  sudo metad password win1 --clear

A guest leaves it at OpenStack's `password` path, once, usually encrypted with its owner's SSH key.
It is printed as it is.")]
    Password(settings::Password),
    /// Make the network namespace, for a `metad serve` that is confined
    #[command(after_help = "Examples:
  sudo metad up
  sudo metad up --name lab

`metad serve` makes it by itself, unless a service manager gives it a view of the file system of its
own: then nobody else would see it under /run/netns. dist/metad-host.service runs this before, and
`metad down` afterwards. One that is there already is no error, if it is metad's.")]
    Up(Up),
    /// Stop the daemon and remove every trace of it from the host
    #[command(after_help = "Examples:
  sudo metad down
  sudo metad down --name lab
  sudo metad down --purge

Removes the programs, their maps and links, the veth, the network namespace and the run directory,
whoever left them. The state directory, /var/lib/NAME, stays, unless --purge is given: with it go
settings, passwords and keys that guests may know. Nothing there is no error. A daemon that is
stopped or says nothing is ended by signals, and killed if it does not end within 30 s. Guests keep
running; until a metad serves again, nobody answers them.")]
    Down(Down),
    /// Prepare a libvirt domain, so that its guest's cloud-init looks here
    #[command(subcommand)]
    Domain(domain::Domain),
    /// Prepare a libvirt network, so that its guests find the way here
    #[command(subcommand)]
    Network(network::Network),
    /// Render installers' templates for the daemon that starts this
    #[command(hide = true, name = child::COMMAND)]
    RenderInstall,
}

/// Which metad is meant.
#[derive(Debug, Args)]
struct Place {
    /// Configuration file [default: /etc/metad/metad.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the metad, instead of the configuration's `name`
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Query {
    #[command(flatten)]
    place: Place,
    /// Instance to ask as: a domain's name, or a record's
    #[arg(long = "as", value_name = "INSTANCE")]
    instance: String,
    /// Path to ask for, such as /latest/meta-data/
    #[arg(value_name = "PATH")]
    path: String,
    /// Method to ask with
    #[arg(long, value_name = "METHOD", default_value = "GET", ignore_case = true)]
    method: query::Verb,
    /// NIC to ask from, by its MAC [default: the first that is running]
    #[arg(long, value_name = "MAC")]
    nic: Option<crate::instance::Mac>,
    /// Header to send, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<query::Header>,
    /// Print the status line and the headers before the body
    #[arg(short, long)]
    include: bool,
}

#[derive(Debug, Args)]
struct Identity {
    #[command(subcommand)]
    shown: Shown,
}

#[derive(Debug, Subcommand)]
enum Shown {
    /// The certificate, in PEM
    Cert {
        #[command(flatten)]
        place: Place,
        /// Print it in DER
        #[arg(long)]
        der: bool,
    },
    /// The key set (JWKS, RFC 7517)
    Jwks {
        #[command(flatten)]
        place: Place,
    },
    /// The discovery document of OpenID Connect, for the issuer that is configured
    OpenidConfiguration {
        #[command(flatten)]
        place: Place,
        /// Where the key set is published [default: ISSUER/.well-known/jwks.json]
        #[arg(long, value_name = "URL")]
        jwks_uri: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Down {
    #[command(flatten)]
    place: Place,
    /// Remove what is kept over restarts too: settings, passwords, keys
    #[arg(long)]
    purge: bool,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where even the usage cannot be printed, the code still tells.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                exit::USAGE
            } else {
                exit::SUCCESS
            });
        }
    };
    match cli.command.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) if report::is_closed_pipe(&error) => ExitCode::from(exit::SUCCESS),
        Err(error) => {
            // Nobody is left to be told where standard error is closed.
            let _ = io::stderr().write_all(report::text(&error).as_bytes());
            ExitCode::from(report::code(&error))
        }
    }
}

impl Command {
    fn run(self) -> anyhow::Result<u8> {
        let mut out = io::stdout();
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Check(check) => check::run(&check.place.config()?, check.json, &mut out),
            Self::Status(status) => status::run(&status.place.names()?, status.json, &mut out),
            Self::Query(query) => {
                let place = query.place.names()?;
                query::run(&place, &query.asked(), query.include, &mut out)
            }
            Self::Identity(identity) => identity.shown.run(&mut out),
            Self::Set(set) => set.run(),
            Self::Unset(unset) => unset.run(),
            Self::Settings(settings) => settings.run(&mut out),
            Self::Password(password) => password.run(&mut out),
            Self::Up(up) => up::run(&up.place.names()?, &mut out),
            Self::Down(down) => down::run(&down.place.names()?, down.purge, &mut out),
            Self::Domain(domain::Domain::Prepare(prepare)) => prepare.run(&mut out),
            Self::Network(network::Network::Prepare(prepare)) => prepare.run(&mut out),
            Self::RenderInstall => child::main(&mut io::stdin(), &mut out),
        }
    }
}

impl Shown {
    fn run(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        match self {
            Self::Cert { place, der } => identity::certificate(&place.names()?, *der, out),
            Self::Jwks { place } => identity::jwks(&place.names()?, out),
            Self::OpenidConfiguration { place, jwks_uri } => {
                identity::openid_configuration(&place.config()?, jwks_uri.as_deref(), out)
            }
        }
    }
}

impl Place {
    /// The whole configuration.
    fn config(&self) -> anyhow::Result<Config> {
        let config = Config::load(self.config.as_deref())?;
        Ok(match &self.name {
            Some(name) => config.named(name.clone())?,
            None => config,
        })
    }

    /// For commands that need nothing but the names: with `--name` alone, a broken file does not stand in the way.
    fn names(&self) -> anyhow::Result<Config> {
        match &self.name {
            Some(name) if self.config.is_none() => Ok(Config {
                name: name.clone(),
                ..Config::default()
            }),
            Some(_) | None => self.config(),
        }
    }
}

impl Query {
    fn asked(&self) -> crate::admin::Query {
        crate::admin::Query {
            instance: self.instance.clone(),
            path: self.path.clone(),
            method: self.method.into(),
            headers: self.headers.iter().map(|header| header.0.clone()).collect(),
            nic: self.nic.map(|mac| mac.to_string()),
        }
    }
}

/// A runtime for one question to the daemon.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(anyhow::Context::context(runtime, "cannot start a runtime")?.block_on(work))
}

fn overview() -> String {
    let mut text = String::from(
        "Examples:
  sudo metad check                                     is this host ready?
  sudo systemctl enable --now metad                    serve, now and after each boot
  sudo metad status                                    who is answered, what was dropped
  sudo metad query --as web1 /latest/meta-data/        what is web1 told?
  metad domain prepare web1 --datasource ec2           what has web1's cloud-init look here?

Exit codes:\n",
    );
    for (code, meaning) in exit::ALL {
        text.push_str(&format!("  {code:>2}  {meaning}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
