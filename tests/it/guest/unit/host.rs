//! The host with metad as a service, and its guests.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use metad_tests::hostvm::HostVm;
use metad_tests::image::{self, Cache, Reuse};
use metad_tests::lab;
use metad_tests::progress::Progress;
use serde_json::Value;

/// Programs and text, at the top of the repository.
const README: &str = include_str!("../../../../README.md");
/// An administrator's records and roles, once metad is installed.
const CONFIGURE: &str = "\
cp /root/records/* /etc/metad/instances.d/
printf '\\n[iam.web]\\ncredentials-command = [\"/usr/local/sbin/probe\"]\\n' >>/etc/metad/metad.toml
systemctl restart metad";
/// Guests, their records, and what else an administrator would write.
const PREPARE: &str = include_str!("prepare.sh");
/// What gives the credentials of the role `web`.
pub(super) const PROBE: &str = "/usr/local/sbin/probe";
const PROBE_TEXT: &str = include_str!("probe.sh");
const LOAD_TEXT: &str = include_str!("load.sh");
/// What a stopped metad must leave as it was.
const TRACES: &str = "\
ip -oneline link; ip -oneline address; ip route show table all; ip -6 route show table all; ip rule; ip -6 rule
ls -A /run/netns /sys/fs/bpf /proc/sys/net/ipv4/conf; ls -d /run/metad* 2>&1
grep -E 'metad|/run/netns' /proc/self/mountinfo | cut -d' ' -f 4,5 | sort";
/// A drop-in is for one test.
const DROP_INS: &str = "/run/systemd/system/metad.service.d";
/// The first start makes keys, without KVM and perhaps without optimisation.
pub(super) const STARTS: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(120);
const SEATED: &str = "[ \"$(metad status --json | grep -c '\"slot\": [0-9]')\" = 2 ]";

pub(super) struct ServiceHost {
    pub(super) vm: HostVm,
    /// What was there before metad.
    pub(super) before: String,
}

/// The one host, with the service running. It ends with the sandbox.
pub(super) fn host() -> Result<MutexGuard<'static, ServiceHost>> {
    static HOST: OnceLock<Result<Mutex<ServiceHost>, String>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        ServiceHost::start()
            .map(Mutex::new)
            .map_err(|error| format!("{error:#}"))
    });
    let mut host = match host {
        // What a test that failed has left is mended below.
        Ok(host) => host.lock().unwrap_or_else(PoisonError::into_inner),
        Err(error) => anyhow::bail!("there is no host: {error}"),
    };
    host.up()?;
    Ok(host)
}

impl ServiceHost {
    fn start() -> Result<Self> {
        // The sandbox has the last word over it, so nobody else may remove it before.
        let directory = tempfile::tempdir()
            .context("cannot make a directory")?
            .keep();
        let payload = directory.join("payload");
        bring(&payload)?;
        let image = image::host(
            &Cache::open()?,
            image::UNIT_HOST,
            Reuse::Yes,
            &Progress::new(),
        )?;
        let mut vm = HostVm::boot(&image, &payload, &directory)?;
        vm.must(PREPARE)?;
        // Its units, its name in /run and the mount of /run/netns come with the first `ip netns add`.
        // An address whose uniqueness is being tested is not yet what it will be.
        let tentative = "! ip -6 -oneline address | grep -q tentative";
        vm.wait(SOON, "addresses to be settled", tentative)?;
        let before = vm.must(TRACES)?;
        // As a person would: in the repository's directory, line by line, until one fails.
        let lines = commands("## Install", "sudo install -m 755 target/release/metad")?;
        for line in lines {
            vm.must(&format!("cd /root/metad && {line}"))?;
        }
        vm.must(CONFIGURE)?;
        Ok(Self { vm, before })
    }

    /// Has the service running and every guest seated.
    pub(super) fn up(&mut self) -> Result<()> {
        let start = format!(
            "if [ -e {DROP_INS} ]; then rm -r {DROP_INS}; systemctl daemon-reload; systemctl stop metad; fi\n\
             systemctl reset-failed; systemctl start metad"
        );
        if let Err(error) = self.vm.must(&start) {
            return Err(error.context(format!("its journal:\n{}", self.log()?)));
        }
        self.vm.wait(STARTS, "guests to be seated", SEATED)?;
        Ok(())
    }

    /// Lays lines over the service's section of the unit, for its next start, until [`Self::up`].
    pub(super) fn lay(&mut self, lines: &str) -> Result<()> {
        self.vm.must(&format!(
            "mkdir -p {DROP_INS}; printf '%s\\n' '[Service]' '{lines}' >{DROP_INS}/test.conf; systemctl daemon-reload; systemctl reset-failed"
        ))?;
        Ok(())
    }

    /// Starts the service anew with lines laid over the unit.
    pub(super) fn change(&mut self, lines: &str) -> Result<()> {
        self.lay(lines)?;
        self.vm.must("systemctl restart metad")?;
        Ok(())
    }

    /// Stops the service, and waits until all of it is gone.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.vm.must("systemctl stop metad")?;
        self.vm.wait(
            SOON,
            "the end of metad",
            "! systemctl show metad metad-host --property ActiveState --value | grep -qE 'activating|^active' && [ ! -e /run/metad ]",
        )?;
        Ok(())
    }

    /// The daemon's process.
    pub(super) fn main_pid(&mut self) -> Result<String> {
        let pid = self
            .vm
            .must("systemctl show metad --property MainPID --value")?;
        Ok(pid.trim().to_owned())
    }

    /// Waits until the service runs as another process than `before`.
    pub(super) fn another_pid(&mut self, before: &str) -> Result<()> {
        self.vm.wait(
            STARTS,
            "another process",
            &format!(
                "systemctl --quiet is-active metad && pid=$(systemctl show metad --property MainPID --value) && [ \"$pid\" != {before} ] && [ \"$pid\" != 0 ]"
            ),
        )?;
        Ok(())
    }

    /// Waits until every guest under load has been answered once more.
    pub(super) fn answered_more(&mut self) -> Result<()> {
        let count = self
            .vm
            .must("cat /run/load/g1 /run/load/g2 2>/dev/null | grep -c '^0 ' || true")?;
        let before: usize = count.trim().parse().context("no count")?;
        self.vm.wait(
            STARTS,
            "more answers",
            &format!("[ $(cat /run/load/* | grep -c '^0 ') -ge {} ]", before + 4),
        )?;
        Ok(())
    }

    /// Has the daemon do all that it does: answer, render, run a command, keep what is set.
    pub(super) fn exercise(&mut self) -> Result<()> {
        self.vm.wait(STARTS, "guests to be seated", SEATED)?;
        let token = self.token("g1")?;
        self.credentials(&token)?;
        self.get_with("g1", &token, "dynamic/instance-identity/rsa2048")?;
        self.get("g1", "http://[fd00:ec2::254]/latest/meta-data/hostname")?;
        self.get("g2", "http://169.254.169.254/install/kickstart.cfg")?;
        self.vm.must(
            "metad set g1 tags/instance/role web; metad settings; metad unset g1 tags/instance/role; metad status; metad query --as g1 /latest/user-data",
        )?;
        Ok(())
    }

    /// The credentials of g1's role, once the command has printed them.
    pub(super) fn credentials(&mut self, token: &str) -> Result<String> {
        let path = "meta-data/iam/security-credentials/web";
        self.vm.wait(
            STARTS,
            "a role's credentials",
            &with("g1", token, path, "-f"),
        )
    }

    /// The service's journal since its unit was last started by a person.
    pub(super) fn log(&mut self) -> Result<String> {
        self.vm
            .must("journalctl --unit metad --unit metad-host --no-pager --output cat --lines 60")
    }

    /// What could be left of metad on this host.
    pub(super) fn traces(&mut self) -> Result<String> {
        self.vm.must(TRACES)
    }

    /// What a guest is answered with 200.
    pub(super) fn get(&mut self, guest: &str, url: &str) -> Result<String> {
        self.vm
            .must(&format!("ip netns exec {guest} curl -gsSf -m 60 '{url}'"))
    }

    pub(super) fn token(&mut self, guest: &str) -> Result<String> {
        let token = self.vm.must(&format!(
            "ip netns exec {guest} curl -sSf -m 60 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token"
        ))?;
        ensure!(!token.is_empty(), "an empty token");
        Ok(token)
    }

    /// What a guest is answered below `latest/` with 200, with a token.
    pub(super) fn get_with(&mut self, guest: &str, token: &str, path: &str) -> Result<String> {
        self.vm.must(&with(guest, token, path, "-f"))
    }

    /// The status of the answer to a guest with a token.
    pub(super) fn status_with(&mut self, guest: &str, token: &str, path: &str) -> Result<String> {
        self.vm
            .must(&with(guest, token, path, "-o /dev/null -w '%{http_code}'"))
    }

    /// What `metad status --json` says.
    pub(super) fn status(&mut self) -> Result<Value> {
        let text = self.vm.must("metad status --json")?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }
}

fn with(guest: &str, token: &str, path: &str, how: &str) -> String {
    format!(
        "ip netns exec {guest} curl -sS -m 60 {how} -H 'X-aws-ec2-metadata-token: {token}' http://169.254.169.254/latest/{path}"
    )
}

/// The commands of a section of the README, from the one that begins with `from` to the end of its block.
pub(super) fn commands(section: &str, from: &str) -> Result<Vec<String>> {
    let (_, text) = README
        .split_once(&format!("\n{section}\n"))
        .with_context(|| format!("the README has no section {section}"))?;
    let lines: Vec<String> = text
        .lines()
        .skip_while(|line| !line.trim().starts_with(from))
        .take_while(|line| line.starts_with("    "))
        .map(|line| line.trim().to_owned())
        .collect();
    ensure!(!lines.is_empty(), "the README has no `{from}` in {section}");
    Ok(lines)
}

/// The repository as somebody has it who has built metad: the program, without what only a debugger reads, and `dist`.
fn bring(payload: &Path) -> Result<()> {
    fs::create_dir_all(payload)?;
    let built = lab::binary()?;
    image::run(
        "strip",
        [
            "-o".as_ref(),
            payload.join("metad").as_os_str(),
            built.as_os_str(),
        ],
    )?;
    fs::write(payload.join("probe"), PROBE_TEXT)?;
    fs::write(payload.join("load"), LOAD_TEXT)?;
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("dist");
    image::run("cp", ["-r".as_ref(), dist.as_os_str(), payload.as_os_str()])?;
    Ok(())
}
