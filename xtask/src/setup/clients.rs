//! Installs the clients that metad is tried with, each in the version that its list pins: Python's in a virtual
//! environment, Node's beside their lock file, Rust's from a workspace of its own. All of it below target/lab/clients;
//! nothing is installed twice.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use metad_tests::clients::Clients;

use super::step;
use crate::shell;

/// The list that something was installed from; there once it was installed whole.
const STAMP: &str = "installed-from";

/// Brings what is missing; returns how many things that were.
pub(super) fn bring() -> Result<usize> {
    let clients = Clients::open()?;
    Ok(python(&clients)? + node(&clients)? + rust(&clients)?)
}

fn python(clients: &Clients) -> Result<usize> {
    let list = Clients::sources().join("requirements.txt");
    let place = clients.python();
    once(&place, &list, "the Python clients (about 15 s)", || {
        shell::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&place),
        )?;
        let mut pip = Command::new(place.join("bin/pip"));
        pip.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--requirement",
        ]);
        shell::run(pip.arg(&list))
    })
}

fn node(clients: &Clients) -> Result<usize> {
    let list = Clients::sources().join("package-lock.json");
    let place = clients.node();
    once(&place, &list, "the Node clients (about 5 s)", || {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(Clients::sources().join(name), place.join(name))
                .with_context(|| format!("cannot copy {name}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]);
        shell::run(npm.current_dir(&place))
    })
}

fn rust(clients: &Clients) -> Result<usize> {
    let sources = Clients::sources().join("aws-config");
    let list = sources.join("Cargo.lock");
    let place = clients.rust();
    once(
        &place,
        &list,
        "the Rust client (about 60 s on two idle cores)",
        || {
            let mut cargo = shell::cargo();
            cargo
                .args(["build", "--quiet", "--locked", "--target-dir"])
                .arg(&place);
            shell::run(cargo.current_dir(&sources))
        },
    )
}

/// Installs what a list names, unless it was installed from this very list.
fn once(
    place: &Path,
    list: &Path,
    what: &str,
    install: impl FnOnce() -> Result<()>,
) -> Result<usize> {
    let wanted = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    let stamp = place.join(STAMP);
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(0);
    }
    step(&format!("installing {what}"), || {
        fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
        install()
    })?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(1)
}
