//! How the metadata service behaves towards one guest: what was said of it, and what follows.
//!
//! What an instance does not say, the site's defaults say; what they do not say, follows from the rest.

use std::fmt;

/// The behaviour towards one guest, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub http_tokens: HttpTokens,
    /// IP hops that a token reply may travel, 1 to 64 (EC2's `http-put-response-hop-limit`).
    pub hop_limit: u8,
    pub endpoint: Endpoint,
    /// Which of the layouts are answered at all.
    pub dialects: Dialects,
    /// Whether the IPv6 metadata addresses answer (EC2's `http-protocol-ipv6`).
    pub ipv6: Switch,
    pub nocloud: Prefix,
    /// Whether the guest may leave a password for its owner (OpenStack's `password`).
    pub password: Switch,
}

/// What somebody says of the behaviour; every field may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    pub http_tokens: Option<HttpTokens>,
    pub hop_limit: Option<u8>,
    pub endpoint: Option<Endpoint>,
    pub dialects: Option<Dialects>,
    pub ipv6: Option<Switch>,
    pub nocloud: Option<Prefix>,
    pub password: Option<Switch>,
}

/// Whether a GET needs a session token (EC2's `http-tokens`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpTokens {
    Optional,
    Required,
}

/// Whether the EC2 dialect answers at all (EC2's `http-endpoint`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Enabled,
    Disabled,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    Enabled,
    Disabled,
}

/// Where NoCloud's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Below `/nocloud/`, for every process in the guest.
    Open,
    /// Only below `/nocloud/SECRET/`, which the guest's root reads in its SMBIOS tables.
    Secret,
}

/// A layout that some images are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    Ec2,
    NoCloud,
    OpenStack,
    Install,
    Gce,
    DigitalOcean,
    Hetzner,
    Vultr,
}

impl Dialect {
    pub const ALL: [Self; 8] = [
        Self::Ec2,
        Self::NoCloud,
        Self::OpenStack,
        Self::Install,
        Self::Gce,
        Self::DigitalOcean,
        Self::Hetzner,
        Self::Vultr,
    ];

    /// The names, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 8] = [
        "ec2",
        "nocloud",
        "openstack",
        "install",
        "gce",
        "digitalocean",
        "hetzner",
        "vultr",
    ];

    /// What an administrator calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::NoCloud => "nocloud",
            Self::OpenStack => "openstack",
            Self::Install => "install",
            Self::Gce => "gce",
            Self::DigitalOcean => "digitalocean",
            Self::Hetzner => "hetzner",
            Self::Vultr => "vultr",
        }
    }

    /// Returns the dialect that is called exactly `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of dialects.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialects(u16);

impl Dialects {
    pub fn has(self, dialect: Dialect) -> bool {
        self.0 & dialect.bit() != 0
    }

    /// In the order of [`Dialect::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Dialect> {
        Dialect::ALL
            .into_iter()
            .filter(move |dialect| self.has(*dialect))
    }
}

impl FromIterator<Dialect> for Dialects {
    fn from_iter<I: IntoIterator<Item = Dialect>>(dialects: I) -> Self {
        let bits = dialects
            .into_iter()
            .fold(0, |bits, dialect| bits | dialect.bit());
        Self(bits)
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Given {
    /// Lays `self` over `base`, field by field.
    #[must_use]
    pub fn over(self, base: Self) -> Self {
        Self {
            http_tokens: self.http_tokens.or(base.http_tokens),
            hop_limit: self.hop_limit.or(base.hop_limit),
            endpoint: self.endpoint.or(base.endpoint),
            dialects: self.dialects.or(base.dialects),
            ipv6: self.ipv6.or(base.ipv6),
            nocloud: self.nocloud.or(base.nocloud),
            password: self.password.or(base.password),
        }
    }

    /// Decides what nobody said. Tokens are optional, since cloud-init outside AWS and cloudbase-init never send one;
    /// one hop, as on EC2. Whoever requires tokens wants to keep processes without one from the data: NoCloud, which
    /// knows no tokens, is then behind its secret prefix, and OpenStack, which has nothing like it, must be asked for.
    pub fn decide(self) -> Options {
        let http_tokens = self.http_tokens.unwrap_or(HttpTokens::Optional);
        let (nocloud, usual): (_, &[_]) = match http_tokens {
            HttpTokens::Optional => (
                Prefix::Open,
                &[Dialect::Ec2, Dialect::NoCloud, Dialect::OpenStack],
            ),
            HttpTokens::Required => (Prefix::Secret, &[Dialect::Ec2, Dialect::NoCloud]),
        };
        Options {
            http_tokens,
            hop_limit: self.hop_limit.unwrap_or(1),
            endpoint: self.endpoint.unwrap_or(Endpoint::Enabled),
            dialects: self
                .dialects
                .unwrap_or_else(|| usual.iter().copied().collect()),
            ipv6: self.ipv6.unwrap_or(Switch::Enabled),
            nocloud: self.nocloud.unwrap_or(nocloud),
            password: self.password.unwrap_or(Switch::Disabled),
        }
    }
}

impl Default for Options {
    /// What holds where nobody said anything.
    fn default() -> Self {
        Given::default().decide()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_dialects() {
        let names: Vec<&str> = Dialect::ALL.into_iter().map(Dialect::name).collect();
        assert_eq!(names, Dialect::NAMES);
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::named(dialect.name()), Some(dialect));
        }
        assert_eq!(Dialect::named("EC2"), None);
    }

    #[test]
    fn requiring_tokens_closes_the_ways_around_them() {
        use Dialect::{Ec2, NoCloud, OpenStack};
        let required = Given {
            http_tokens: Some(HttpTokens::Required),
            ..Given::default()
        };
        let asked = Given {
            dialects: Some([OpenStack].into_iter().collect()),
            nocloud: Some(Prefix::Open),
            ..Given::default()
        };
        for (case, given, dialects, nocloud) in [
            (
                "nothing said",
                Given::default(),
                vec![Ec2, NoCloud, OpenStack],
                Prefix::Open,
            ),
            (
                "tokens required",
                required,
                vec![Ec2, NoCloud],
                Prefix::Secret,
            ),
            (
                "asked for",
                asked.over(required),
                vec![OpenStack],
                Prefix::Open,
            ),
        ] {
            let options = given.decide();
            let found: Vec<Dialect> = options.dialects.iter().collect();
            assert_eq!((found, options.nocloud), (dialects, nocloud), "{case}");
        }
    }
}
