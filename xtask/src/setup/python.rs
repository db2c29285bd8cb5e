//! Python programs that tests ask for a second opinion, in an environment of their own beside the guests' images.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use metad_tests::image::Cache;

use crate::shell;

/// What is asked, and where a program of it shows that it is there. Pinned, so that an opinion changes when we do.
const PACKAGES: [(&str, &str); 1] = [("pykickstart==3.78", "ksvalidator")];

/// Lists the packages that are not there.
pub(super) fn missing() -> Result<Vec<&'static str>> {
    let bin = place()?.join("bin");
    let missing = PACKAGES
        .iter()
        .filter(|(_, program)| !bin.join(program).is_file());
    Ok(missing.map(|(package, _)| *package).collect())
}

/// Installs packages; makes the environment where there is none.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let place = place()?;
    let python = place.join("bin/python3");
    if !python.is_file() {
        shell::run(Command::new("python3").args(["-m", "venv"]).arg(&place))
            .context("cannot make an environment for Python (Debian: python3-venv)")?;
    }
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.arg("--disable-pip-version-check").args(packages);
    shell::run(&mut pip).context("cannot install Python programs for the tests")
}

fn place() -> Result<PathBuf> {
    Ok(Cache::open()?.directory().join("python"))
}
