//! Ignition's first boot in a Debian guest: the stages that its initial RAM disk would run, run by a service of the guest
//! where the kernel's command line asks for them, as it does on the systems that Ignition is made for.

/// The kernel argument that asks for it, and names the cloud.
pub const FIRST_BOOT: &str = "ignition.firstboot ignition.platform.id=";

/// The line that a first boot ends with on the console begins so.
pub const END: &str = "ignition: ";
/// How that line goes on if all went well.
pub const APPLIED: &str = "applied";

pub(super) const PACKAGE: &str = "ignition";
pub(super) const SERVICE: &str = "first-boot.service";

/// `(path in the guest, content)`; the first one is a program.
pub(super) const FILES: [(&str, &str); 5] = [
    (PROGRAM, RUN),
    (RELABEL, "#!/bin/sh\nexec cat > /dev/null\n"),
    ("etc/selinux/config", "SELINUX=disabled\nSELINUXTYPE=none\n"),
    ("etc/selinux/none/contexts/files/file_contexts", ""),
    ("etc/systemd/system/first-boot.service", UNIT),
];

pub(super) const PROGRAMS: [&str; 2] = [PROGRAM, RELABEL];

const PROGRAM: &str = "usr/local/sbin/first-boot";
/// Ignition is made for systems with SELinux, and insists on labelling the files that it wrote.
const RELABEL: &str = "usr/local/sbin/setfiles";

const UNIT: &str = "\
[Unit]
Description=Ignition's first boot
ConditionKernelCommandLine=ignition.firstboot
Wants=network-online.target
After=network-online.target
Before=ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
ExecStart=/usr/local/sbin/first-boot

[Install]
WantedBy=multi-user.target
";

/// Fetches the configuration, makes users and files of it, and names the guest, whose host keys nobody else makes.
const RUN: &str = "\
#!/bin/sh
set -eu
trap 'echo ignition: ${outcome-failed}' EXIT
export IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT=false
platform=$(sed 's/.*ignition.platform.id=\\([a-z]*\\).*/\\1/' /proc/cmdline)
for stage in fetch-offline fetch files; do
    /usr/lib/dracut/modules.d/30ignition/ignition --root=/ --platform=\"$platform\" --stage=$stage \\
        --config-cache=/run/ignition.json --log-to-stdout
done
hostname -F /etc/hostname
ssh-keygen -A
outcome=applied
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_says_the_end_that_tests_wait_for() {
        assert!(RUN.contains(&format!("echo {END}")));
        assert!(RUN.contains(&format!("outcome={APPLIED}\n")));
        assert!(UNIT.contains(&format!("ExecStart=/{PROGRAM}\n")));
        assert!(FILES.iter().any(|(path, _)| path.ends_with(SERVICE)));
    }
}
