//! A machine with another kernel and this machine's files, emulated: what was built here runs there as it is.
//!
//! In comes a kernel and a command, out come QEMU's command line and the script that runs the command there. The machine
//! has no network card and no disk, what it writes lies in its memory, and it is off when the command has ended.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::image::{ROOT_TAG, SuiteKernel};
use crate::needs;

/// MiB; what the machine writes included.
const MEMORY: &str = "1536";
/// Seconds, after which a machine that hangs is switched off. Generous: without KVM a busy machine takes its time.
const PATIENCE: &str = "2400";

/// Kernel arguments that save seconds without KVM and change nothing that a datapath could notice.
const ARGUMENTS: &str =
    "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests random.trust_cpu=on";

/// The file there that tests report to.
const REPORT: &str = "/tmp/metad-report";

/// What a line that the machine says is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// The command's own words.
    Said(&'a str),
    /// A line of the file that tests report to.
    Report(&'a str),
    /// The command has ended with this status; it is the last line.
    Ended(i32),
}

impl<'a> Line<'a> {
    /// Reads a line without its end.
    pub fn read(line: &'a str) -> Self {
        if let Some(line) = line.strip_prefix(REPORTS) {
            return Self::Report(line);
        }
        let ended = line.strip_prefix(ENDS).and_then(|code| code.parse().ok());
        ended.map_or(Self::Said(line), Self::Ended)
    }
}

const REPORTS: &str = "machine: report: ";
const ENDS: &str = "machine: the end: ";

/// QEMU's command line: the machine's words come from its standard output, the kernel's go to the file `console`.
pub fn qemu(kernel: &SuiteKernel, payload: &Path, console: &Path) -> Command {
    let mut qemu = Command::new("timeout");
    // In the foreground: an interrupt reaches both.
    qemu.args(["--foreground", PATIENCE, "qemu-system-x86_64"]);
    qemu.args(["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max"]);
    qemu.args(["-smp", "2", "-m", MEMORY]);
    qemu.args(["-nodefaults", "-no-reboot", "-display", "none"]);
    qemu.arg("-kernel").arg(&kernel.vmlinuz);
    qemu.arg("-initrd").arg(&kernel.initrd);
    qemu.arg("-append")
        .arg(format!("{ARGUMENTS} payload={}", payload.display()));
    qemu.arg("-fsdev")
        .arg("local,id=root,path=/,security_model=none,readonly=on,multidevs=remap");
    qemu.arg("-device")
        .arg(format!("virtio-9p-pci,fsdev=root,mount_tag={ROOT_TAG}"));
    qemu.arg("-serial")
        .arg(format!("file:{}", console.display()));
    qemu.args(["-serial", "stdio"]);
    qemu
}

/// The script that is process 1 there: runs the command (program, arguments, environment, directory), and ends with what
/// tests reported and its exit status.
pub fn payload(kernel: &SuiteKernel, command: &Command) -> String {
    let mut script = format!(
        "#!/bin/sh\n\
         exec < /dev/null > /dev/ttyS1 2>&1\n\
         export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sys /sys\n\
         mount -t tmpfs run /run\n\
         mkdir -p /dev/pts /dev/shm /lib/modules\n\
         mount -t devpts devpts /dev/pts\n\
         mount -t tmpfs shm /dev/shm\n\
         stty raw -F /dev/ttyS1\n\
         ln -sfn {} /lib/modules/{}\n\
         modprobe tun\n\
         ip link set lo up\n\
         export {}={REPORT}\n\
         rm -f {REPORT}\n",
        quoted(kernel.modules.as_os_str()),
        quoted(kernel.release.as_ref()),
        needs::REPORT,
    );
    // Writing to a String cannot fail.
    for (name, value) in command.get_envs() {
        let Some(value) = value else { continue };
        let _ = writeln!(
            script,
            "export {}={}",
            name.to_string_lossy(),
            quoted(value)
        );
    }
    if let Some(directory) = command.get_current_dir() {
        let _ = writeln!(script, "cd {}", quoted(directory.as_os_str()));
    }
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quoted)
        .collect();
    let _ = write!(
        script,
        "{}\ncode=$?\n\
         [ ! -e {REPORT} ] || sed 's/^/{REPORTS}/' {REPORT}\n\
         echo \"{ENDS}$code\"\n\
         sync\n\
         exec busybox poweroff -f\n",
        words.join(" ")
    );
    script
}

/// A word of the shell that means itself.
fn quoted(word: &std::ffi::OsStr) -> String {
    let text = String::from_utf8_lossy(word.as_bytes());
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::image::Suite;

    fn kernel() -> SuiteKernel {
        SuiteKernel {
            suite: Suite::Bookworm,
            vmlinuz: PathBuf::from("/k/vmlinuz"),
            initrd: PathBuf::from("/k/initrd"),
            modules: PathBuf::from("/k/lib/modules/6.1.0-1-amd64"),
            release: "6.1.0-1-amd64".to_owned(),
        }
    }

    #[test]
    fn lines_are_told_apart() {
        for (line, expected) in [
            ("test net::a ... ok", Line::Said("test net::a ... ok")),
            (
                "machine: report: ran\tnet::a\t",
                Line::Report("ran\tnet::a\t"),
            ),
            ("machine: the end: 101", Line::Ended(101)),
            (
                "machine: the end: soon",
                Line::Said("machine: the end: soon"),
            ),
            ("", Line::Said("")),
        ] {
            assert_eq!(Line::read(line), expected, "{line}");
        }
    }

    #[test]
    fn the_machine_has_no_network_card_and_changes_no_file() {
        let qemu = qemu(&kernel(), Path::new("/p"), Path::new("/c"));
        let words: Vec<String> = qemu
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let line = words.join(" ");
        for word in ["-nodefaults", "readonly=on", "payload=/p", "file:/c"] {
            assert!(line.contains(word), "{word} in {line}");
        }
        for word in ["-net", "-nic", "-drive", "virtfs"] {
            assert!(
                !words.iter().any(|given| given.starts_with(word)),
                "{word} in {line}"
            );
        }
    }

    #[test]
    fn words_of_the_command_reach_it_as_they_are() {
        let mut command = Command::new("/bin/echo");
        command
            .args(["it's", "$HOME"])
            .env("A", "b c")
            .current_dir("/x y");
        let script = payload(&kernel(), &command);
        for line in [
            "'/bin/echo' 'it'\\''s' '$HOME'\n",
            "export A='b c'\n",
            "cd '/x y'\n",
            "ln -sfn '/k/lib/modules/6.1.0-1-amd64' /lib/modules/'6.1.0-1-amd64'\n",
        ] {
            assert!(script.contains(line), "{line:?} in {script}");
        }
    }
}
