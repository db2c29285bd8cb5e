//! What there is to know about this host; looked up, not judged.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::programs::ProgramType;
use rustix::fs::statfs;
use tokio::time::timeout;
use virt::connect::Connect;

use crate::admin::{Client, ClientError};
use crate::cli::report::Told;
use crate::config::{Config, Role, Source};
use crate::credentials;
use crate::directory::origin::{self, Named};
use crate::directory::record_file::Format;
use crate::install::{Engine, Files, Templates};
use crate::interfaces::{Interface, watch};
use crate::libvirt::domain_xml;

/// How long one source may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets of a record file that are read.
const RECORD_MAX: u64 = 4 * 1024 * 1024;

/// From linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// This host, as far as metad needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// `CapEff` of /proc/self/status; `None` where that cannot be read.
    pub(super) capabilities: Option<u64>,
    /// `uname -r`.
    pub(super) kernel: String,
    /// Whether tc programs can be loaded; an error is the kernel's.
    pub(super) programs: Option<Result<bool, String>>,
    /// The line of /sys/kernel/security/lockdown, where it exists.
    pub(super) lockdown: Option<String>,
    /// Whether a BPF file system is on /sys/fs/bpf.
    pub(super) bpffs: bool,
    pub(super) daemon: DaemonFacts,
    /// Whether /run/netns/NAME exists.
    pub(super) namespace: bool,
    pub(super) interfaces: Vec<Interface>,
    /// In the order of the configuration.
    pub(super) sources: Vec<SourceFacts>,
    /// What is wrong with templates of installers' answers.
    pub(super) templates: Vec<String>,
    /// The roles whose credentials are not as guests need them, and why.
    pub(super) roles: Vec<(String, String)>,
}

/// A daemon of this name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum DaemonFacts {
    /// Nobody listens on its socket.
    #[default]
    Absent,
    /// It answers.
    Serving,
    /// This user may not ask whether one serves.
    Denied {
        /// In words.
        why: String,
    },
    /// It is there, and did not answer as it should.
    Mute {
        /// In words, and what is known of its process.
        why: String,
        /// What to do, if anything is known.
        remedy: Option<String>,
    },
}

/// One source.
#[derive(Debug, Clone)]
pub(super) struct SourceFacts {
    /// How many subjects it has, or why it cannot be read.
    pub(super) subjects: Result<usize, String>,
    /// What is wrong with single subjects: name and problem.
    pub(super) problems: Vec<(String, String)>,
}

/// Looks everything up; takes as long as the slowest source, ten seconds at most for each.
pub(super) async fn gather(config: &Config, engine: Engine) -> Facts {
    let mut sources = Vec::new();
    for source in &config.sources {
        sources.push(match source {
            Source::Libvirt { uri } => libvirt(uri.clone()).await,
            Source::Directory { path } => directory(path),
        });
    }
    Facts {
        capabilities: fs::read_to_string("/proc/self/status")
            .ok()
            .as_deref()
            .and_then(effective_set),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        programs: Some(programs()),
        lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
            .ok()
            .map(|line| line.trim().to_owned()),
        bpffs: statfs("/sys/fs/bpf").is_ok_and(|found| is_bpffs(&found)),
        daemon: daemon(config).await,
        namespace: config.namespace().exists(),
        interfaces: interfaces().await,
        sources,
        templates: templates(config, engine).await,
        roles: roles(&config.roles).await,
    }
}

/// Compiles the templates as `metad serve` does.
async fn templates(config: &Config, engine: Engine) -> Vec<String> {
    let config = config.install.clone();
    let compiled = tokio::task::spawn_blocking(move || {
        let files = Files::read(&config.templates);
        let templates = Templates::compile_with(engine, &files, config);
        templates.problems().to_vec()
    });
    compiled
        .await
        .unwrap_or_else(|error| vec![error.to_string()])
}

async fn roles(roles: &[Role]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for role in roles {
        let problem = credentials::problem(role).await;
        problems.extend(problem.map(|problem| (role.name.clone(), problem)));
    }
    problems
}

async fn daemon(config: &Config) -> DaemonFacts {
    let client = Client::new(&config.admin_socket()).patient_for(PATIENCE);
    match client.status().await {
        Ok(_) => DaemonFacts::Serving,
        Err(error) => DaemonFacts::of(error),
    }
}

impl DaemonFacts {
    /// What is known of a daemon that cannot be asked.
    pub(super) fn of(error: ClientError) -> Self {
        if matches!(error, ClientError::NotRunning { .. }) {
            return Self::Absent;
        }
        let denied = matches!(error, ClientError::Denied { .. });
        let Told { what, more, advice } = Told::of(&error.into());
        let why = std::iter::once(what).chain(more);
        let why = why.collect::<Vec<_>>().join("; ");
        if denied {
            return Self::Denied { why };
        }
        let remedy = (!advice.is_empty()).then(|| advice.join("; "));
        Self::Mute { why, remedy }
    }
}

/// Reads the effective set of capabilities from the text of /proc/PID/status.
pub(super) fn effective_set(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[expect(
    clippy::cast_sign_loss,
    clippy::useless_conversion,
    reason = "the type of f_type differs between architectures"
)]
fn is_bpffs(found: &rustix::fs::StatFs) -> bool {
    u64::from(found.f_type as u64) == BPF_FS_MAGIC
}

/// Loads a program of two instructions and lets it go again.
fn programs() -> Result<bool, String> {
    aya::sys::is_program_supported(ProgramType::SchedClassifier).map_err(|error| {
        let chain = anyhow::Error::from(error);
        format!("{chain:#}")
    })
}

async fn interfaces() -> Vec<Interface> {
    watch::list().await.unwrap_or_default()
}

/// On a thread of its own, since the C library waits as long as it likes.
async fn libvirt(uri: String) -> SourceFacts {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = send.send(domains(&uri));
    });
    match timeout(PATIENCE, receive).await {
        Ok(Ok(Ok((subjects, problems)))) => SourceFacts {
            subjects: Ok(subjects),
            problems,
        },
        Ok(Ok(Err(why))) => SourceFacts {
            subjects: Err(why),
            problems: Vec::new(),
        },
        Ok(Err(_)) | Err(_) => SourceFacts {
            subjects: Err(format!("no answer within {} s", PATIENCE.as_secs())),
            problems: Vec::new(),
        },
    }
}

type Domains = (usize, Vec<(String, String)>);

fn domains(uri: &str) -> Result<Domains, String> {
    // libvirt would print every error by itself.
    virt::error::clear_error_callback();
    let said = |error: virt::error::Error| error.message().to_owned();
    let connection = Connect::open_read_only(Some(uri)).map_err(said)?;
    let domains = connection.list_all_domains(0).map_err(said)?;
    let mut problems = Vec::new();
    for domain in &domains {
        // A domain that vanishes meanwhile is no problem.
        let (Ok(name), Ok(xml)) = (domain.name(), domain.xml_desc(0)) else {
            continue;
        };
        let problem = match domain_xml::parse(&xml) {
            Ok(domain) => domain.metadata.err(),
            Err(error) => Some(error),
        };
        problems.extend(problem.map(|problem| (name, problem.to_string())));
    }
    Ok((domains.len(), problems))
}

fn directory(path: &Path) -> SourceFacts {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            return SourceFacts {
                subjects: Err(error.to_string()),
                problems: Vec::new(),
            };
        }
    };
    let records: Vec<(PathBuf, Format)> = entries
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            format_of(&path).map(|format| (path, format))
        })
        .collect();
    let problems = records.iter().filter_map(|(path, format)| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        record_problem(path, *format).map(|problem| (name, problem))
    });
    SourceFacts {
        problems: problems.collect(),
        subjects: Ok(records.len()),
    }
}

fn record_problem(path: &Path, format: Format) -> Option<String> {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(RECORD_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => {
            let data = path.with_extension("data");
            let named = Named {
                stem: path
                    .file_stem()
                    .and_then(|stem| stem.to_str())
                    .unwrap_or_default(),
                format,
                beside_data: data.is_file(),
            };
            origin::read(&text, named)
                .err()
                .map(|error| error.to_string())
        }
        Err(error) => Some(error.to_string()),
    }
}

fn format_of(path: &Path) -> Option<Format> {
    if path.file_name()?.as_encoded_bytes().starts_with(b".") {
        return None;
    }
    match path.extension()?.to_str()? {
        "yaml" | "yml" => Some(Format::Yaml),
        "json" => Some(Format::Json),
        _ => None,
    }
}
