//! What a newcomer sees first works.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use metad_tests::lab::{binary, task};
use metad_tests::needs;

#[test]
fn the_quick_demo_shows_each_guest_its_own() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let output = Command::new(task()?)
        .args(["demo", "--quick", "--stage", "host"])
        .env("METAD_BIN", binary()?)
        .output()
        .context("cannot start the demo")?;
    let (told, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(output.status.success(), "{told}\n{errors}");
    for part in [
        "What each guest was told:",
        "web1.example.org",
        "db1.example.org",
        "GET  /latest/user-data → 200",
        "PUT  /latest/api/token → 200",
    ] {
        ensure!(told.contains(part), "{part} is not in {told}\n{errors}");
    }
    Ok(())
}
