//! The daemon under test: started on the lab's host as an administrator would, and stopped, killed or asked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::namespace::complain;
use super::{Counters, Lab, Namespace, Supervisor, binary, until};

mod following;
mod settings;

use self::settings::{LOGGED, configuration_text};

pub use self::settings::Settings;

/// How long its log may take to be written.
const LOGS: Duration = Duration::from_secs(10);
/// Generous: an emulated machine makes a key for minutes, and a busy one still starts a daemon in less.
const STARTS: Duration = Duration::from_secs(400);
const STOPS: Duration = Duration::from_secs(180);
const SETTLES: Duration = Duration::from_secs(180);

/// A running daemon. Dropped, it is stopped, and what a stop may have left is taken down.
#[derive(Debug)]
pub struct Daemon {
    child: Option<Child>,
    /// The file of the host's namespace.
    host: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    logged: String,
    /// The run directory that it is told to leave.
    kept: Option<String>,
    /// More words of `metad serve`.
    words: Vec<String>,
    supervisor: Option<Supervisor>,
    /// A command that starts it.
    under: Vec<String>,
}

impl Daemon {
    pub(super) fn start(lab: &Lab, settings: &Settings<'_>) -> Result<Self> {
        let configuration = lab.directory().join("metad.toml");
        let state = lab.directory().join("state");
        let text = configuration_text(lab.name(), &state, &lab.records(), settings);
        fs::write(&configuration, text).context("cannot write the configuration")?;
        let log = lab.directory().join("metad.log");
        Self::start_logging(lab.host().path(), configuration, log, settings.log)
    }

    /// Starts it in the network namespace of this file, with this configuration, and waits until it is ready.
    pub(crate) fn start_at(host: PathBuf, configuration: PathBuf, log: PathBuf) -> Result<Self> {
        Self::start_logging(host, configuration, log, LOGGED)
    }

    fn start_logging(
        host: PathBuf,
        configuration: PathBuf,
        log: PathBuf,
        logged: &str,
    ) -> Result<Self> {
        let mut daemon = Self {
            child: None,
            host,
            configuration,
            log,
            logged: logged.to_owned(),
            kept: None,
            words: Vec::new(),
            supervisor: None,
            under: Vec::new(),
        };
        daemon.start_again()?;
        Ok(daemon)
    }

    /// Starts it after it was stopped or killed, and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready; the end of its log is in the error.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = Some(self.spawn(&[])?);
        let ready = until("a ready daemon", STARTS, || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Some(Err(status));
            }
            self.status().ok().map(|_| Ok(()))
        });
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(status)) => {
                self.child = None;
                bail!("metad ended ({status}):\n{}", self.log())
            }
            Err(error) => Err(error).with_context(|| format!("its log:\n{}", self.log())),
        }
    }

    /// Has it started from now on under a supervisor that keeps its descriptors, as systemd does.
    ///
    /// # Errors
    /// There can be no such supervisor.
    pub fn supervise(&mut self, place: &Path) -> Result<()> {
        self.supervisor = Some(Supervisor::new(&place.join("notify"))?);
        Ok(())
    }

    /// The supervisor, with what it was given until now.
    ///
    /// # Errors
    /// There is none, or it cannot read.
    pub fn supervisor(&mut self) -> Result<&mut Supervisor> {
        let supervisor = self.supervisor.as_mut().context("nobody supervises")?;
        supervisor.listen()?;
        Ok(supervisor)
    }

    /// Has it started with these words from now on.
    pub fn with_words(&mut self, words: &[&str]) {
        self.words = words.iter().map(|word| (*word).to_owned()).collect();
    }

    fn spawn(&self, more: &[&str]) -> Result<Child> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .context("cannot open the log")?;
        let mut words = self.under.clone();
        words.push(binary()?.to_string_lossy().into_owned());
        let program = words.remove(0);
        let mut command = match &self.supervisor {
            None => {
                let mut command = Namespace::enter(&self.host, &program);
                command.args(words);
                command
            }
            Some(supervisor) => supervisor.command(&self.host, &binary()?)?,
        };
        command.args(["serve", "--log", &self.logged, "--config"]);
        command.arg(&self.configuration).args(more);
        command.args(&self.words);
        if let Some(kept) = &self.kept {
            command.env("RUNTIME_DIRECTORY", kept);
        }
        command.stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot start metad")
    }

    /// Has it started from now on as by a service manager that keeps the run directory
    /// (`RuntimeDirectoryPreserve=restart`).
    pub fn keep_run_directory(&mut self, run_directory: &str) {
        self.kept = Some(run_directory.to_owned());
    }

    /// Has it started from now on by this command, which is handed the daemon's own (`setpriv --nnp`).
    pub fn start_under(&mut self, command: &[&str]) {
        self.under = command.iter().map(|word| (*word).to_owned()).collect();
    }

    /// What `metad status --json` says.
    ///
    /// # Errors
    /// It says no.
    pub fn status(&self) -> Result<Value> {
        let output = self.command(&["status", "--json"])?;
        if !output.status.success() {
            bail!("metad status: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("metad status printed no JSON")
    }

    /// Runs `metad WORDS` with this daemon's configuration, on its host.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn command(&self, words: &[&str]) -> Result<Output> {
        Namespace::enter(&self.host, &binary()?.to_string_lossy())
            .args(words)
            .arg("--config")
            .arg(&self.configuration)
            .output()
            .context("cannot start metad")
    }

    /// Waits until every NIC of these instances has a slot.
    ///
    /// # Errors
    /// They have not within ten seconds; the last status is in the error.
    pub fn seated(&self, names: &[&str]) -> Result<()> {
        self.status_until("a slot for every NIC", |status| {
            names
                .iter()
                .all(|name| slots(status, name).is_some_and(|it| it.iter().all(Option::is_some)))
        })
    }

    /// Waits for a status.
    ///
    /// # Errors
    /// It does not come within ten seconds; the last status is in the error.
    pub fn status_until(&self, what: &str, suits: impl Fn(&Value) -> bool) -> Result<()> {
        let mut last = Value::Null;
        until(what, SETTLES, || {
            last = self.status().ok()?;
            suits(&last).then_some(())
        })
        .with_context(|| format!("the last status was {last:#}\nthe log:\n{}", self.log()))
    }

    /// The counters: `arp-answered`, `delivered`, `returned`, `recalled`, and `dropped` by reason.
    ///
    /// # Errors
    /// There is no status.
    pub fn counters(&self) -> Result<Counters> {
        let status = self.status()?;
        Ok(Counters::of(&status))
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        // One that logs without end is read as far as it has come.
        let _all = until("the end of the log", LOGS, || {
            self.has_written().then_some(())
        });
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where it logs to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The file it was configured by.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Whether everything that it has logged is written: the thread that writes has gone to sleep. A line is on its way
    /// to it before the guest has its answer.
    fn has_written(&self) -> bool {
        let Some(pid) = self.pid() else {
            return true;
        };
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
        let mut stats = tasks.flatten().flatten().filter_map(|task| {
            // The name may hold anything but a parenthesis of ours: `12 (log) S …` (proc_pid_stat(5)).
            fs::read_to_string(task.path().join("stat")).ok()
        });
        stats.all(|stat| !stat.contains(" (log) R") && !stat.contains(" (log) D"))
    }

    /// The lines about requests.
    pub fn requests(&self) -> Vec<String> {
        let log = self.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("request") && line.contains("guest="));
        lines.map(str::to_owned).collect()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks it to stop as a service manager does, and waits for its end.
    ///
    /// # Errors
    /// It does not end; its log is in the error.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.end(Signal::TERM)
    }

    /// Kills it as the out-of-memory killer does.
    ///
    /// # Errors
    /// It does not end.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.end(Signal::KILL)
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It does not; its log is in the error.
    pub fn ends(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("metad does not run")?;
        let ended = until("the end of metad", STOPS, || child.try_wait().transpose());
        let status = ended.with_context(|| format!("its log:\n{}", self.log()))?;
        self.child = None;
        status.context("cannot wait for metad")
    }

    /// Lets it see nothing of what happens while `act` runs; then everything at once.
    ///
    /// # Errors
    /// It does not run, or `act` fails.
    pub fn busy_while(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        self.signal(Signal::STOP)?;
        let done = act();
        self.signal(Signal::CONT)?;
        done
    }

    /// Signals it, and waits for nothing.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, told: Signal) -> Result<()> {
        signal(self.pid().context("metad does not run")?, told)
    }

    fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut child = self.child.take().context("metad does not run")?;
        self::signal(child.id(), signal)?;
        let ended = until("the end of metad", STOPS, || match child.try_wait() {
            Ok(status) => status.map(Ok),
            Err(error) => Some(Err(error)),
        });
        match ended {
            Ok(status) => status.context("cannot wait for metad"),
            Err(error) => {
                // It is a child of this process, and nobody else may end it.
                let _killed = child.kill();
                let _reaped = child.wait();
                Err(error).with_context(|| format!("its log:\n{}", self.log()))
            }
        }
    }
}

/// Signals a process that this one has started and not waited for.
///
/// # Errors
/// The kernel refuses.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let known = known.context("a process id out of range")?;
    kill_process(known, signal).with_context(|| format!("cannot send {signal:?} to {pid}"))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            complain(&format!("the daemon's log:\n{}", self.log()));
        }
        if self.child.is_some()
            && let Err(error) = self.stop()
        {
            complain(&format!("{error:#}"));
        }
        // Namespace and pins are named; they would outlive this lab within the sandbox.
        let _nothing_left = self.command(&["down"]);
    }
}

/// The slots of an instance's NICs; `None`: there is no such instance, or it has no NIC.
pub(super) fn slots(status: &Value, name: &str) -> Option<Vec<Option<u64>>> {
    let instances = status["instances"].as_array()?;
    let instance = instances.iter().find(|instance| instance["name"] == name)?;
    let nics = instance["nics"].as_array()?;
    let slots: Vec<Option<u64>> = nics.iter().map(|nic| nic["slot"].as_u64()).collect();
    (!slots.is_empty()).then_some(slots)
}
