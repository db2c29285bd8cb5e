//! A start that fails, at each of its steps, leaves nothing behind: neither what it had made until then, nor what others
//! had called like it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{Daemon, Lab, Settings, Snapshot};
use metad_tests::needs;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::lifecycle::no_programs;
use super::{gets_its_own, guest, host_with_bridge};

/// What is broken on the host.
enum Breakage {
    /// The daemon may not do this (capabilities(7)).
    Forbidden(&'static str),
    /// The run directory is there and cannot be written to.
    ReadOnlyRunDirectory,
    /// Somebody has put this into the run directory, with this mode.
    InRunDirectory(&'static str, &'static str, u32),
    /// The state directory's disk has no room.
    FullStateDirectory,
    /// A file is where the state directory should be.
    StateIsFile,
}

/// The step that fails, in the order of a start; how; and what the daemon says.
const STEPS: [(&str, Breakage, &str); 9] = [
    (
        "claim",
        Breakage::ReadOnlyRunDirectory,
        "Read-only file system",
    ),
    (
        "namespace",
        Breakage::Forbidden("sys_admin"),
        "cannot prepare /run/netns",
    ),
    (
        "veth",
        Breakage::Forbidden("net_admin"),
        "Operation not permitted",
    ),
    (
        "listener",
        Breakage::Forbidden("net_bind_service"),
        "cannot listen on 169.254.169.254:80",
    ),
    (
        "token key",
        Breakage::InRunDirectory("token.key", "short", 0o600),
        "token.key",
    ),
    (
        "token key of others",
        Breakage::InRunDirectory("token.key", "", 0o644),
        "token.key",
    ),
    ("identity", Breakage::FullStateDirectory, "No space left"),
    ("identity's place", Breakage::StateIsFile, "state"),
    (
        "admin socket",
        Breakage::InRunDirectory("admin.sock", "", 0o600),
        "something else than a socket",
    ),
];

/// A breakage that is there until it is dropped.
struct Broken {
    mounted: Option<PathBuf>,
    made: Vec<PathBuf>,
}

impl Broken {
    fn make(breakage: &Breakage, lab: &Lab, daemon: &mut Daemon) -> Result<Self> {
        let run = Path::new("/run").join(lab.name());
        let state = lab.directory().join("state");
        let mut broken = Self {
            mounted: None,
            made: Vec::new(),
        };
        match breakage {
            Breakage::Forbidden(capability) => {
                let set = format!("-{capability}");
                daemon.start_under(&["setpriv", "--bounding-set", &set, "--inh-caps", &set]);
            }
            Breakage::ReadOnlyRunDirectory => {
                fs::create_dir(&run)?;
                broken.made.push(run.clone());
                broken.mount(&run, MountFlags::RDONLY, c"mode=0700")?;
            }
            Breakage::InRunDirectory(name, text, mode) => {
                use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
                fs::DirBuilder::new().mode(0o700).create(&run)?;
                let file = run.join(name);
                fs::write(&file, text)?;
                fs::set_permissions(&file, fs::Permissions::from_mode(*mode))?;
                broken.made.extend([file, run]);
            }
            Breakage::FullStateDirectory => {
                broken.mount(&state, MountFlags::empty(), c"size=4k,mode=0700")?;
                let full = fs::write(state.join("filler"), [0; 8192]);
                ensure!(full.is_err(), "there is room");
            }
            Breakage::StateIsFile => {
                fs::rename(&state, lab.directory().join("state.kept"))?;
                fs::write(&state, "")?;
            }
        }
        Ok(broken)
    }

    fn mount(&mut self, place: &Path, flags: MountFlags, options: &std::ffi::CStr) -> Result<()> {
        mount("tmpfs", place, "tmpfs", flags, Some(options))
            .with_context(|| format!("cannot mount on {}", place.display()))?;
        self.mounted = Some(place.to_owned());
        Ok(())
    }

    fn mend(self, lab: &Lab, daemon: &mut Daemon) -> Result<()> {
        daemon.start_under(&[]);
        if let Some(place) = &self.mounted {
            unmount(place, UnmountFlags::DETACH)?;
        }
        for path in &self.made {
            // The daemon may have taken it for its own.
            let _gone = match path.is_dir() {
                true => fs::remove_dir(path),
                false => fs::remove_file(path),
            };
        }
        let kept = lab.directory().join("state.kept");
        if kept.exists() {
            let state = lab.directory().join("state");
            fs::remove_file(&state)?;
            fs::rename(kept, state)?;
        }
        Ok(())
    }
}

#[test]
fn a_start_that_fails_at_any_step_leaves_nothing() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for attach in ["auto", "clsact"] {
        let lab = host_with_bridge()?;
        let alice = guest(&lab, "alice", 5)?;
        let before = Snapshot::settled(&lab)?;
        let mut daemon = lab.serve(&Settings {
            attach,
            ..Settings::default()
        })?;
        daemon.seated(&["alice"])?;
        daemon.stop()?;
        for (step, breakage, words) in &STEPS {
            let case = format!("{attach}, {step}");
            let broken = Broken::make(breakage, &lab, &mut daemon).context(case.clone())?;
            let before_that = daemon.log().len();
            let outcome = daemon.start_again();
            let told = daemon
                .log()
                .get(before_that..)
                .unwrap_or_default()
                .to_owned();
            broken.mend(&lab, &mut daemon).context(case.clone())?;
            ensure!(outcome.is_err(), "{case}: it started");
            ensure!(told.contains(words), "{case}: {told}");
            before.restored(&lab).context(case.clone())?;
            no_programs(&lab, &["br0", alice.interface()]).context(case)?;
        }
        daemon.start_again()?;
        daemon.seated(&["alice"])?;
        gets_its_own(&alice)?;
        needs::note(&format!(
            "{attach}: {} steps failed, nothing left",
            STEPS.len()
        ));
    }
    Ok(())
}
