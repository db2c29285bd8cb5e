//! Whether metad will answer what a domain is prepared to ask. Its XML, the site's defaults and what a running metad
//! says come in; the URL of NoCloud's files and notes go out. Pure.
//!
//! What must never happen: that a guest is sent to where nobody answers, without a word.

use uuid::Uuid;

use super::{Datasource, SEED_URL, smbios};
use crate::instance::{Dialect, Endpoint, Given, HttpTokens, Options, Prefix};
use crate::libvirt::domain_xml::Place;
use crate::libvirt::metadata;
use crate::libvirt::xml;

/// What is to be prepared, and what is known beside its XML.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    pub document: &'a str,
    pub datasource: Datasource,
    /// NoCloud's URL, where somebody has chosen it.
    pub seed_url: Option<&'a str>,
    pub new_uuid: bool,
    /// Whether the XML is a file's, whose domain need not be defined yet.
    pub is_file: bool,
    /// What the configuration says of every instance.
    pub site: Given,
    pub daemon: &'a Daemon,
}

/// What a running metad says of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// It does not run, or was not to be asked.
    Silent,
    /// It runs, and no source of its names the domain.
    Unaware,
    /// It answers the domain.
    Knows { nocloud_url: Option<String> },
}

/// What will be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Where NoCloud's files answer, where that is known and nobody has chosen a URL.
    pub seed_url: Option<String>,
    pub notes: Vec<String>,
}

/// A domain's name and UUID, for the daemon to be asked for. `None` where its XML does not say both.
pub fn identity(document: &str) -> Option<(String, Uuid)> {
    let root = xml::parse(document).ok()?;
    let name = root.child_text("name")?.text().trim().to_owned();
    let uuid = Uuid::parse_str(root.child_text("uuid")?.text().trim()).ok()?;
    Some((name, uuid))
}

/// Looks ahead. `secret` is the segment of a UUID's secret prefix, where this user may read what it is made from.
pub fn outlook(plan: &Plan<'_>, secret: impl Fn(Uuid) -> Option<String>) -> Outlook {
    let mut outlook = Outlook::default();
    if plan.daemon == &Daemon::Unaware && !plan.is_file {
        outlook.notes.push("metad runs, but knows no such domain, and answers none that it does not know: `metad status` lists its sources, and what is wrong with them".to_owned());
    }
    let given = match said(plan.document) {
        Ok(given) => given.over(plan.site),
        Err(fault) => {
            outlook.notes.push(format!("metad cannot read the domain's metadata, so it is not known what will be answered: {fault}"));
            plan.site
        }
    };
    let options = given.decide();
    let refused = match plan.datasource {
        Datasource::Ec2 => ec2(&options),
        Datasource::Openstack => openstack(&given, &options),
        Datasource::Nocloud => return nocloud(plan, &options, secret, outlook),
    };
    outlook.notes.extend(refused);
    outlook
}

/// What the domain's own metadata says of the behaviour towards it.
fn said(document: &str) -> Result<Given, Place> {
    // Whoever prepares a text that cannot be read says so.
    let Ok(root) = xml::parse(document) else {
        return Ok(Given::default());
    };
    let Some(element) = root.child("metadata") else {
        return Ok(Given::default());
    };
    match metadata::read(element) {
        Ok(record) => Ok(record.options),
        Err(fault) => Err(xml::XmlError::at(document, fault.offset, fault.reason).into()),
    }
}

fn ec2(options: &Options) -> Option<String> {
    if options.endpoint == Endpoint::Disabled {
        return Some("metad will answer EC2's paths with 403, since the domain's endpoint is disabled: `endpoint='enabled'` in its `<options>` opens it".to_owned());
    }
    (!options.dialects.has(Dialect::Ec2)).then(|| left_out(Dialect::Ec2, options, 403))
}

fn openstack(given: &Given, options: &Options) -> Option<String> {
    if options.dialects.has(Dialect::OpenStack) {
        return None;
    }
    if given.dialects.is_none() && options.http_tokens == HttpTokens::Required {
        return Some(format!(
            "metad will answer OpenStack's paths with 404, since tokens are required and OpenStack has none: `dialects='{}'` in the domain's `<options>` answers it without",
            with(Dialect::OpenStack, options)
        ));
    }
    Some(left_out(Dialect::OpenStack, options, 404))
}

fn nocloud(
    plan: &Plan<'_>,
    options: &Options,
    secret: impl Fn(Uuid) -> Option<String>,
    mut outlook: Outlook,
) -> Outlook {
    let told = match plan.daemon {
        Daemon::Knows { nocloud_url } => Some(nocloud_url.as_deref()),
        Daemon::Silent | Daemon::Unaware => None,
    };
    // What a file says holds once it is defined, whatever holds now.
    let absent = match told {
        Some(url) if !plan.is_file => url.is_none(),
        Some(_) | None => !options.dialects.has(Dialect::NoCloud),
    };
    if absent {
        outlook.notes.push(match options.dialects.has(Dialect::NoCloud) {
            true => "metad gives this instance no NoCloud files: a record's `dialects` leave nocloud out, or the host has no secret to make their prefix from, which `metad status` says".to_owned(),
            false => left_out(Dialect::NoCloud, options, 404),
        });
        return outlook;
    }
    if plan.seed_url.is_some() {
        return outlook;
    }
    let url = told.flatten();
    // The secret one answers where the plain one does, too, so it is right whichever of the two holds by then.
    let is_secret = options.nocloud == Prefix::Secret || url.is_some_and(|url| url != SEED_URL);
    if !is_secret {
        if plan.daemon == &Daemon::Silent && !plan.is_file {
            outlook.notes.push("metad does not run, or this user may not ask it: if this instance's files are below a secret prefix, `metad status --json` says where, for `--seed-url`".to_owned());
        }
        return outlook;
    }
    let (now, then) = uuids(plan);
    // A prefix belongs to a UUID.
    let url = url.filter(|url| now == then && *url != SEED_URL);
    let made = || {
        then.and_then(&secret)
            .map(|seed| format!("{SEED_URL}{seed}/"))
    };
    outlook.seed_url = url.map(str::to_owned).or_else(made);
    if outlook.seed_url.is_none() {
        outlook.notes.push(format!("the guest will find nothing at {SEED_URL}, since this instance's files are below a secret prefix: once metad runs and knows the domain, `sudo metad status --json` says where, as `nocloud-url`; prepare it again then, as root, or with that as `--seed-url`"));
    }
    outlook
}

/// The UUID that the domain has, and the one that it will have.
fn uuids(plan: &Plan<'_>) -> (Option<Uuid>, Option<Uuid>) {
    let now = identity(plan.document).map(|(_, uuid)| uuid);
    let then = now.map(|uuid| match plan.new_uuid && smbios::looks_like_ec2(uuid) {
        true => smbios::suited(uuid, plan.datasource),
        false => uuid,
    });
    (now, then)
}

fn left_out(dialect: Dialect, options: &Options, status: u16) -> String {
    let name = dialect.name();
    format!(
        "metad will answer the paths of {name} with {status}, since the domain's `dialects` leave it out: `dialects='{}'` in its `<options>` has it answered",
        with(dialect, options)
    )
}

/// The dialects that are answered, and one more.
fn with(dialect: Dialect, options: &Options) -> String {
    let names = options.dialects.iter().chain([dialect]).map(Dialect::name);
    names.collect::<Vec<_>>().join(" ")
}
