//! One rule: its name, the rule in a sentence, who relies on it, and what looks whether it holds.

use super::subject::Subject;

/// One of the layouts that live at the metadata address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Dialect {
    Ec2,
    #[value(name = "nocloud")]
    NoCloud,
    #[value(name = "openstack")]
    OpenStack,
}

impl Dialect {
    pub(super) const ALL: [Self; 3] = [Self::Ec2, Self::NoCloud, Self::OpenStack];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::NoCloud => "nocloud",
            Self::OpenStack => "openstack",
        }
    }
}

/// What it costs to break a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// The client that the row's source names does not work.
    Must,
    /// Documented or prudent; no client is known to break.
    Should,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

/// Why a rule did not hold, or could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Miss {
    Failed { expected: String, got: String },
    NotApplicable(String),
}

/// `Ok` where the rule holds.
pub(super) type Verdict = Result<(), Miss>;

/// The server, and the dialect whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe<'a> {
    pub(super) subject: &'a Subject,
    pub(super) dialect: Dialect,
}

/// A rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    /// Other names by which the rule is known: lines of the edge-case table, traps.
    pub(super) also: &'static [&'static str],
    pub(super) dialects: &'static [Dialect],
    /// Of the server as a whole: looked at in one dialect, whichever it has.
    pub(super) once: bool,
    pub(super) rule: &'static str,
    /// For a `must`: the client that breaks, and how. For a `should`: where it is written.
    pub(super) source: &'static str,
    pub(super) severity: Severity,
    pub(super) check: fn(&Probe<'_>) -> Verdict,
}

/// A rule of EC2 that a client breaks without.
pub(super) const fn must(
    id: &'static str,
    rule: &'static str,
    source: &'static str,
    check: fn(&Probe<'_>) -> Verdict,
) -> Row {
    Row {
        id,
        also: &[],
        dialects: &[Dialect::Ec2],
        once: false,
        rule,
        source,
        severity: Severity::Must,
        check,
    }
}

/// A rule of EC2 that no client is known to break without.
pub(super) const fn should(
    id: &'static str,
    rule: &'static str,
    source: &'static str,
    check: fn(&Probe<'_>) -> Verdict,
) -> Row {
    let mut row = must(id, rule, source, check);
    row.severity = Severity::Should;
    row
}

impl Row {
    /// The same rule by other names.
    pub(super) const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.also = names;
        self
    }

    /// The same rule of other dialects.
    pub(super) const fn of(mut self, dialects: &'static [Dialect]) -> Self {
        self.dialects = dialects;
        self
    }

    /// The same rule of whatever dialect the server has, looked at once.
    pub(super) const fn once(mut self) -> Self {
        self.dialects = &Dialect::ALL;
        self.once = true;
        self
    }

    /// The name in one dialect: with the dialect where there are several.
    pub(super) fn name(&self, dialect: Dialect) -> String {
        if self.once || self.dialects.len() == 1 {
            self.id.to_owned()
        } else {
            format!("{}/{}", self.id, dialect.name())
        }
    }

    /// Whether a name that somebody asked for means this row.
    pub(super) fn is_meant(&self, dialect: Dialect, name: &str) -> bool {
        self.id == name || self.name(dialect) == name || self.also.contains(&name)
    }
}
