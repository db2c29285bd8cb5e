//! What the administrator configured: a TOML file comes in, a checked [`Config`] goes out. What is not understood is
//! refused with its place in the file; nothing is guessed and nothing is ignored.

mod file;
mod iam;
mod install;
mod issuer;
mod limits;
mod pattern;
mod section;
mod site;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

pub use file::Fault;
pub use iam::{Origin, Role};
pub use limits::{Limits, NUMBERS as LIMIT_NUMBERS, Rate};
pub use pattern::Pattern;
pub use source::Source;

use crate::install::Install;
use crate::record::Defaults;
use source::default_sources;

/// Where the configuration is looked for unless the command line names another file.
pub const DEFAULT_PATH: &str = "/etc/metad/metad.toml";

/// Where instance records are looked for unless the configuration says otherwise.
pub const DEFAULT_RECORDS: &str = "/etc/metad/instances.d";

/// The longest name: the veth's ends are called NAME0 and NAME1, and Linux takes 15 octets.
pub const NAME_MAX: usize = 14;

/// The admin socket's name in the run directory.
pub const SOCKET: &str = "admin.sock";

/// The token key's name in the run directory.
pub const TOKEN_KEY: &str = "token.key";

/// The name, in the run directory, of what a daemon's maps look like.
pub const LAYOUT: &str = "layout";

/// The name, in the run directory, of which NIC has which slot.
pub const LEDGER: &str = "slots.json";

/// One metad, with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub name: Name,
    /// Whether guests may use a connection for several requests.
    pub keep_alive: bool,
    /// What is kept over restarts of the host: keys and settings. `None`: /var/lib/NAME.
    pub state_directory: Option<PathBuf>,
    pub datapath: Datapath,
    /// What one guest may use of what all share.
    pub limits: Limits,
    /// What holds for instances that say nothing themselves.
    pub defaults: Defaults,
    pub install: Install,
    /// Who vouches for instances in tokens; `None`: [`Config::issuer`] has a default.
    pub issuer: Option<String>,
    /// The IAM roles whose credentials guests may read.
    pub roles: Vec<Role>,
    /// In the order of the file; the later one wins.
    pub sources: Vec<Source>,
}

/// Where guests are met and what makes them known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datapath {
    /// Bridges, whose ports are followed, or single taps.
    pub interfaces: Vec<Pattern>,
    pub identity: Identity,
    pub attach: Attach,
    /// Whether the kernel programs report each drop, at a bounded rate.
    pub log_drops: bool,
    /// Whether taps get the flood guard.
    pub flood_guard: bool,
}

/// What the kernel programs know a guest by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The tap that a frame came from, and its source MAC.
    Port,
    /// The bridge that a frame came through, and its source MAC.
    Mac,
}

/// How the kernel programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// tcx where the kernel has it (6.6), clsact elsewhere.
    Auto,
    Tcx,
    Clsact,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read configuration {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot use configuration {}", path.display())]
    Wrong {
        path: PathBuf,
        #[source]
        source: Fault,
    },
    #[error(
        "interface pattern `{pattern}` takes in the link of a metad called `{name}` ({name}0, {name}1)\nhelp: narrow the pattern, or choose another name"
    )]
    OwnLink { pattern: Pattern, name: Name },
}

/// The name that everything of one metad on this host is called by; checked by [`Name::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name `{name}` {problem}")]
pub struct BadName {
    name: String,
    problem: &'static str,
}

impl Name {
    /// Takes 1 to [`NAME_MAX`] of `a-z`, `0-9` and `-`, not starting with `-`.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let problem = if name.is_empty() {
            Some("is empty")
        } else if name.len() > NAME_MAX {
            Some(
                "is longer than 14 characters (interfaces are called NAME0 and NAME1, and Linux allows 15)",
            )
        } else if name.starts_with('-') {
            Some("starts with `-`")
        } else if !name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            Some("has other characters than a-z, 0-9 and `-`")
        } else {
            None
        };
        match problem {
            None => Ok(Self(name.to_owned())),
            Some(problem) => Err(BadName {
                name: name.to_owned(),
                problem,
            }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Self("metad".to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        Self::new(name)
    }
}

impl Default for Datapath {
    fn default() -> Self {
        Self {
            interfaces: vec![Pattern::libvirt_bridges()],
            identity: Identity::Port,
            attach: Attach::Auto,
            log_drops: false,
            flood_guard: false,
        }
    }
}

impl Default for Config {
    /// What holds without a file: the system's libvirt on its own bridges, and the usual directory of records.
    fn default() -> Self {
        Self {
            name: Name::default(),
            keep_alive: false,
            state_directory: None,
            datapath: Datapath::default(),
            limits: Limits::default(),
            defaults: Defaults::default(),
            install: Install::default(),
            issuer: None,
            roles: Vec::new(),
            sources: default_sources(),
        }
    }
}

impl Config {
    /// Reads `path`. `None` means [`DEFAULT_PATH`], and the defaults where that file does not exist.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(source) => {
                return Err(Error::Unreadable {
                    path: file.to_owned(),
                    source,
                });
            }
        };
        let base = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Self::parse(&text, base.parent().unwrap_or(Path::new("/"))).map_err(|source| Error::Wrong {
            path: file.to_owned(),
            source,
        })
    }

    /// Reads the text of a configuration; relative paths in it are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Fault> {
        file::read(text, base)
    }

    /// The same configuration for a metad of another name, as `--name` asks for it.
    pub fn named(self, name: Name) -> Result<Self, Error> {
        let config = Self { name, ..self };
        match config.own_link() {
            None => Ok(config),
            Some(pattern) => Err(Error::OwnLink {
                pattern: pattern.clone(),
                name: config.name.clone(),
            }),
        }
    }

    /// The pattern that would attach the programs to the very link that they deliver into.
    fn own_link(&self) -> Option<&Pattern> {
        let ours = [self.veth_host(), self.veth_inner()];
        let mut patterns = self.datapath.interfaces.iter();
        patterns.find(|pattern| ours.iter().any(|link| pattern.matches(link)))
    }

    /// The network namespace, under the name that `ip netns` shows.
    pub fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name.as_str())
    }

    /// The directory of sockets and keys; readable by root alone.
    pub fn run_dir(&self) -> PathBuf {
        Path::new("/run").join(self.name.as_str())
    }

    /// Where `metad status` and `metad query` reach the daemon.
    pub fn admin_socket(&self) -> PathBuf {
        self.run_dir().join(SOCKET)
    }

    /// The key that session tokens are sealed with; outlives a restart of the daemon, not of the host.
    pub fn token_key(&self) -> PathBuf {
        self.run_dir().join(TOKEN_KEY)
    }

    /// Which NIC has which slot; outlives a restart of the daemon, not of the host.
    pub fn ledger(&self) -> PathBuf {
        self.run_dir().join(LEDGER)
    }

    /// The directory of what is kept over restarts of the host; readable by root alone.
    pub fn state_dir(&self) -> PathBuf {
        match &self.state_directory {
            Some(directory) => directory.clone(),
            None => Path::new("/var/lib").join(self.name.as_str()),
        }
    }

    /// The directory of pinned maps and links in the BPF file system.
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf").join(self.name.as_str())
    }

    /// The end of the veth in the host's namespace.
    pub fn veth_host(&self) -> String {
        format!("{}0", self.name)
    }

    /// The end of the veth in metad's own namespace.
    pub fn veth_inner(&self) -> String {
        format!("{}1", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_interfaces() {
        for (name, good) in [
            ("metad", true),
            ("m", true),
            ("metad-2", true),
            ("abcdefghijklmn", true),
            ("abcdefghijklmno", false),
            ("", false),
            ("-metad", false),
            ("Metad", false),
            ("me_tad", false),
            ("me/tad", false),
            ("..", false),
            ("métad", false),
        ] {
            let read = Name::new(name);
            assert_eq!(read.is_ok(), good, "{name}: {read:?}");
            if let Ok(name) = read {
                assert!(format!("{name}0").len() <= 15, "{name}");
            }
        }
    }

    #[test]
    fn everything_is_called_after_the_name() {
        let config = Config {
            name: Name::new("lab").unwrap(),
            ..Config::default()
        };
        assert_eq!(config.namespace(), Path::new("/run/netns/lab"));
        assert_eq!(config.run_dir(), Path::new("/run/lab"));
        assert_eq!(config.admin_socket(), Path::new("/run/lab/admin.sock"));
        assert_eq!(config.token_key(), Path::new("/run/lab/token.key"));
        assert_eq!(config.state_dir(), Path::new("/var/lib/lab"));
        assert_eq!(config.pins(), Path::new("/sys/fs/bpf/lab"));
        assert_eq!(config.veth_host(), "lab0");
        assert_eq!(config.veth_inner(), "lab1");
    }

    #[test]
    fn another_name_must_not_be_matched_either() {
        let name = |name| Name::new(name).unwrap();
        assert_eq!(
            Config::default().named(name("lab")).unwrap().name,
            name("lab")
        );
        let error = Config::default().named(name("virbr")).unwrap_err();
        assert!(matches!(error, Error::OwnLink { .. }), "{error}");
    }

    #[test]
    fn a_named_file_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.toml");
        let error = Config::load(Some(&missing)).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot read configuration "),
            "{error}"
        );
        assert!(error.to_string().ends_with("missing.toml"), "{error}");
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("metad.toml");
        std::fs::write(
            &file,
            "[[source]]\nkind = \"directory\"\npath = \"records\"\n",
        )
        .unwrap();
        let config = Config::load(Some(&file)).unwrap();
        assert_eq!(
            config.sources,
            [Source::Directory {
                path: dir.path().join("records")
            }]
        );
    }
}
