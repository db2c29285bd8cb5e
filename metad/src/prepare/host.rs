//! The libvirt that is asked for a domain's or a network's XML, and told the prepared one. The only place in metad that
//! may change anything there, and only for `metad … prepare --apply`: the connection is read-only otherwise.
//!
//! What must never happen: that a domain is gone after a failure, or loses what libvirt shows to the privileged alone.

mod anew;

use uuid::Uuid;
use virt::connect::Connect;
use virt::enumutil::Enum;
use virt::error::ErrorNumber;

use super::{Prepared, Refusal};

/// A domain or network that libvirt knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// The persistent definition.
    pub document: String,
    pub running: bool,
}

/// Why libvirt was of no help.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(
        "cannot reach libvirt at {uri}: {why}\nhelp: is libvirtd (or virtqemud) running? Another one is named by `--connect URI`"
    )]
    Unreachable { uri: String, why: String },
    #[error(
        "libvirt at {uri} lets this user look only: {why}\nhelp: run it with sudo, or as a member of the group `libvirt`"
    )]
    Denied { uri: String, why: String },
    #[error("libvirt at {uri} knows no {kind} `{name}`\nhelp: {help}")]
    Unknown {
        uri: String,
        kind: &'static str,
        name: String,
        help: String,
    },
    #[error(
        "{kind} `{name}` has no persistent definition: it is gone when it ends\nhelp: prepare the XML that it is started from, with `--xml FILE`"
    )]
    Transient { kind: &'static str, name: String },
    #[error("libvirt does not describe {what}: {why}")]
    Silent { what: String, why: String },
    #[error(
        "libvirt does not take the new definition of {what}: {why}\nhelp: it is as it was before; `--print` shows what was refused"
    )]
    Refused { what: String, why: String },
    #[error(
        "libvirt has taken the new definition of {what}, but shows another: {why}\nhelp: compare `virsh dumpxml --inactive` with what `--print` shows"
    )]
    Otherwise { what: String, why: String },
    #[error("domain `{name}` cannot be defined anew: {why}\nhelp: {help}")]
    Bound {
        name: String,
        why: String,
        help: &'static str,
    },
    #[error("domain `{name}` could not be defined anew: {why}\nhelp: it is as it was before")]
    Restored { name: String, why: String },
    #[error(
        "domain `{name}` is undefined, and could be defined neither anew ({why}) nor as before ({again})\nhelp: its definition is in {file}: correct what libvirt says and run `virsh define {file}`"
    )]
    Lost {
        name: String,
        why: String,
        again: String,
        file: String,
    },
    #[error(
        "cannot keep a copy of the definition in {file}\nhelp: nothing was changed; make that place writable"
    )]
    NoCopy {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

/// A connection to one libvirt.
pub struct Host {
    uri: String,
    pub(super) connection: Connect,
    writable: bool,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Looks alone.
    pub fn look(uri: &str) -> Result<Self, HostError> {
        Self::open(uri, false)
    }

    /// May change, and sees what is for the privileged.
    pub fn change(uri: &str) -> Result<Self, HostError> {
        Self::open(uri, true)
    }

    fn open(uri: &str, writable: bool) -> Result<Self, HostError> {
        // The library's own printing of errors would come before ours.
        virt::error::clear_error_callback();
        let connection = match writable {
            true => Connect::open(Some(uri)),
            false => Connect::open_read_only(Some(uri)),
        };
        let connection = connection.map_err(|error| {
            let (uri, why) = (uri.to_owned(), error.message().to_owned());
            match error.code() {
                Enum::Known(
                    ErrorNumber::AuthFailed
                    | ErrorNumber::AuthUnavailable
                    | ErrorNumber::AuthCancelled,
                ) => HostError::Denied { uri, why },
                Enum::Known(_) | Enum::Unknown(_) if why.contains("Permission denied") => {
                    HostError::Denied { uri, why }
                }
                Enum::Known(_) | Enum::Unknown(_) => HostError::Unreachable { uri, why },
            }
        })?;
        Ok(Self {
            uri: uri.to_owned(),
            connection,
            writable,
        })
    }

    /// The URI of this libvirt.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Finds a domain by name or UUID.
    pub fn domain(&self, name: &str) -> Result<Found, HostError> {
        let domain = self.lookup(name)?;
        let silent = |error: virt::error::Error| silent("domain", name, &error);
        if !domain.is_persistent().map_err(silent)? {
            let name = name.to_owned();
            return Err(HostError::Transient {
                kind: "domain",
                name,
            });
        }
        Ok(Found {
            name: domain.name().map_err(silent)?,
            document: self.describe(&domain).map_err(silent)?,
            running: domain.is_active().map_err(silent)?,
        })
    }

    /// Defines a domain as prepared, which leaves one that runs as it runs, and makes sure that it is.
    pub fn define_domain(
        &self,
        found: &Found,
        prepared: &Prepared,
        again: impl Fn(&str) -> Result<Prepared, Refusal>,
    ) -> Result<(), HostError> {
        let what = format!("domain `{}`", found.name);
        match prepared.new_uuid {
            Some(uuid) => anew::define(self, found, prepared, uuid)?,
            None => {
                let defined = self.define(&prepared.text);
                defined.map_err(|error| HostError::Refused {
                    what: what.clone(),
                    why: error.message().to_owned(),
                })?;
            }
        }
        let now = self.domain(&found.name)?;
        settled(what, &again(&now.document)?)
    }

    /// Finds a network by name or UUID.
    pub fn network(&self, name: &str) -> Result<Found, HostError> {
        let found = match self.connection.lookup_network_by_name(name) {
            Err(error) if is(&error, ErrorNumber::NoNetwork) => match Uuid::parse_str(name) {
                Ok(uuid) => self.connection.lookup_network_by_uuid(uuid),
                Err(_) => Err(error),
            },
            found => found,
        };
        let network =
            found.map_err(|error| self.unknown(&error, ErrorNumber::NoNetwork, "network", name))?;
        let silent = |error: virt::error::Error| silent("network", name, &error);
        if !network.is_persistent().map_err(silent)? {
            let name = name.to_owned();
            return Err(HostError::Transient {
                kind: "network",
                name,
            });
        }
        let document = match network.xml_desc(virt_sys::VIR_NETWORK_XML_INACTIVE) {
            // Drivers that keep no other definition than the one that runs know no such flag.
            Err(error) if is(&error, ErrorNumber::InvalidArg) => network.xml_desc(0),
            described => described,
        };
        Ok(Found {
            name: network.name().map_err(silent)?,
            document: document.map_err(silent)?,
            running: network.is_active().map_err(silent)?,
        })
    }

    /// Defines a network as prepared, which leaves one that runs as it runs, and makes sure that it is.
    pub fn define_network(
        &self,
        found: &Found,
        prepared: &Prepared,
        again: impl Fn(&str) -> Result<Prepared, Refusal>,
    ) -> Result<(), HostError> {
        let what = format!("network `{}`", found.name);
        let defined = self.connection.define_network_xml(&prepared.text);
        defined.map_err(|error| HostError::Refused {
            what: what.clone(),
            why: error.message().to_owned(),
        })?;
        let now = self.network(&found.name)?;
        settled(what, &again(&now.document)?)
    }

    fn lookup(&self, name: &str) -> Result<virt::domain::Domain, HostError> {
        let found = match self.connection.lookup_domain_by_name(name) {
            Err(error) if is(&error, ErrorNumber::NoDomain) => match Uuid::parse_str(name) {
                Ok(uuid) => self.connection.lookup_domain_by_uuid(uuid),
                Err(_) => Err(error),
            },
            found => found,
        };
        found.map_err(|error| self.unknown(&error, ErrorNumber::NoDomain, "domain", name))
    }

    /// What would be defined is all that libvirt knows, its secrets too; what is only looked at needs none.
    fn describe(&self, domain: &virt::domain::Domain) -> Result<String, virt::error::Error> {
        let secrets = if self.writable {
            virt_sys::VIR_DOMAIN_XML_SECURE
        } else {
            0
        };
        domain.xml_desc(virt_sys::VIR_DOMAIN_XML_INACTIVE | secrets)
    }

    fn define(&self, document: &str) -> Result<virt::domain::Domain, virt::error::Error> {
        let flags = virt_sys::VIR_DOMAIN_DEFINE_VALIDATE;
        self.connection.define_domain_xml_flags(document, flags)
    }

    fn unknown(
        &self,
        error: &virt::error::Error,
        gone: ErrorNumber,
        kind: &'static str,
        name: &str,
    ) -> HostError {
        if !is(error, gone) {
            return silent(kind, name, error);
        }
        let names: Vec<String> = match kind {
            "domain" => self
                .connection
                .list_all_domains(0)
                .ok()
                .into_iter()
                .flatten()
                .filter_map(|domain| domain.name().ok())
                .collect(),
            _ => self
                .connection
                .list_all_networks(0)
                .ok()
                .into_iter()
                .flatten()
                .filter_map(|network| network.name().ok())
                .collect(),
        };
        if kind == "domain"
            && let Some(copy) = anew::left_behind(name, std::path::Path::new(anew::DIRECTORY))
        {
            let copy = copy.display();
            return HostError::Unknown {
                uri: self.uri.clone(),
                kind,
                name: name.to_owned(),
                help: format!(
                    "an earlier run was ended before it could define the domain again: `virsh define {copy}` has it as it was"
                ),
            };
        }
        let help = match crate::nearest::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("is `{near}` meant?"),
            None if kind == "network" => "`virsh net-list --all` lists them".to_owned(),
            None => "`virsh list --all` lists them; another libvirt is named by `--connect URI`"
                .to_owned(),
        };
        HostError::Unknown {
            uri: self.uri.clone(),
            kind,
            name: name.to_owned(),
            help,
        }
    }
}

/// Applied once more, nothing may be left to do.
fn settled(what: String, again: &Prepared) -> Result<(), HostError> {
    match again.changes.is_empty() {
        true => Ok(()),
        false => Err(HostError::Otherwise {
            what,
            why: again.changes.join("; "),
        }),
    }
}

fn silent(kind: &str, name: &str, error: &virt::error::Error) -> HostError {
    HostError::Silent {
        what: format!("{kind} `{name}`"),
        why: error.message().to_owned(),
    }
}

fn is(error: &virt::error::Error, number: ErrorNumber) -> bool {
    error.code() == Enum::Known(number)
}
