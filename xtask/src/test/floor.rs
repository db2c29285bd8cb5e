//! The floors of the tests, from pure functions to real guests.

use crate::setup::Purpose;

/// A floor stands on the one before and needs more of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Floor {
    /// Pure code and the built object; no privilege
    Unit,
    /// The programs in the kernel, one frame at a time
    Kernel,
    /// The daemon between namespaces that play host and guests
    Net,
    /// Other people's clients in namespaces that play guests
    Clients,
    /// Real guests under libvirt
    Guest,
    /// The datapath on each of Debian's kernels, emulated; only when it is named, since it takes long
    Kernels,
}

impl Floor {
    /// Those that run where none is named.
    pub(crate) const ALL: [Self; 5] = [
        Self::Unit,
        Self::Kernel,
        Self::Net,
        Self::Clients,
        Self::Guest,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Kernel => "kernel",
            Self::Net => "net",
            Self::Clients => "clients",
            Self::Guest => "guest",
            Self::Kernels => "kernels",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Unit => "pure code and the built object, no privilege",
            Self::Kernel => "the programs in the kernel, one frame at a time",
            Self::Net => "the daemon between namespaces that play host and guests",
            Self::Clients => "other people's clients in namespaces that play guests",
            Self::Guest => "real guests under libvirt",
            Self::Kernels => "the datapath on each of Debian's kernels",
        }
    }

    /// The modules of the test binary that belong to it.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Unit => &["object", "frames", "cli"],
            Self::Kernel => &["kernel", "parity"],
            Self::Net => &["net"],
            Self::Clients => &["clients"],
            Self::Guest => &["guest"],
            Self::Kernels => &["kernels"],
        }
    }

    /// Whether a test of the binary, by its full name, belongs to this floor.
    pub(super) fn holds(self, test: &str) -> bool {
        let module = test.split("::").next().unwrap_or_default();
        self.modules().contains(&module)
    }

    /// How many tests may run at once: guests take memory and most of a core each.
    pub(super) fn threads(self) -> usize {
        match self {
            Self::Unit | Self::Kernel => 4,
            Self::Net => 2,
            // One after the other: they write one table.
            Self::Clients | Self::Guest | Self::Kernels => 1,
        }
    }

    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Unit => Purpose::Build,
            Self::Kernel | Self::Net => Purpose::Net,
            Self::Clients => Purpose::Clients,
            Self::Guest | Self::Kernels => Purpose::Test,
        }
    }
}
