//! Who may take over: root, and nobody else, whoever opened the socket up.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use metad_tests::lab::{Settings, binary};
use metad_tests::needs;

use crate::net::{gets_its_own, guest, host_with_bridge};

const NOBODY: &str = "65534";

#[test]
fn the_successors_socket_answers_root_alone() -> Result<()> {
    if !needs::sandbox() || !needs::program("setpriv") {
        return Ok(());
    }
    let lab = host_with_bridge()?;
    let alice = guest(&lab, "alice", 5)?;
    let mut daemon = lab.serve(&Settings::default())?;
    daemon.seated(&["alice"])?;
    let directory = PathBuf::from("/run").join(lab.name());
    let socket = directory.join("successor.sock");
    for (path, expected) in [(&directory, 0o700), (&socket, 0o600)] {
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o7777;
        assert_eq!(mode, expected, "{}", path.display());
    }
    // The daemon's program may be where nobody else may look.
    let program = PathBuf::from("/run").join(format!("{}-program", lab.name()));
    std::fs::copy(binary()?, &program)?;
    let mut seen = Vec::new();
    for (of_directory, of_socket) in [(0o700, 0o600), (0o755, 0o666)] {
        set_permissions(&directory, Permissions::from_mode(of_directory))?;
        set_permissions(&socket, Permissions::from_mode(of_socket))?;
        let mut command = lab.host().command("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.arg("--no-new-privs").arg(&program);
        let output = command
            .args(["serve", "--take-over", "--name", lab.name()])
            .output()?;
        ensure!(!output.status.success(), "{output:?}");
        seen.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    std::fs::remove_file(&program)?;
    set_permissions(&directory, Permissions::from_mode(0o700))?;
    set_permissions(&socket, Permissions::from_mode(0o600))?;
    for (told, expected) in seen.iter().zip([
        "the running metad is not to be reached",
        "the running metad refuses to be taken over: root alone may",
    ]) {
        ensure!(told.contains(expected), "{expected}: {told}");
    }
    ensure!(!daemon.has_ended()?, "somebody took over");
    gets_its_own(&alice)?;
    // Root may.
    daemon.take_over()?;
    daemon.seated(&["alice"])?;
    gets_its_own(&alice)
}
