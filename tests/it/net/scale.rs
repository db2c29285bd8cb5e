//! The benches of many guests and of bystanders, run short: everything is right, whatever the pace. Numbers are theirs
//! (`cargo xtask bench`).

use anyhow::{Result, ensure};
use metad_tests::bench::{Bench, Extent, bystander, ready, scale, storm};
use metad_tests::needs;

fn is_right(bench: Bench) -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let outcome = (bench.run)(Extent::Short)?;
    ensure!(outcome.is_right(), "{:#}", outcome.json());
    ensure!(!outcome.rows.is_empty(), "nothing was measured");
    Ok(())
}

#[test]
fn hundreds_of_instances_are_told_apart() -> Result<()> {
    is_right(scale::BENCH)
}

#[test]
fn guests_that_boot_at_once_are_all_told_their_own() -> Result<()> {
    is_right(storm::BENCH)
}

#[test]
fn foreign_frames_all_pass() -> Result<()> {
    is_right(bystander::BENCH)
}

#[test]
fn new_guests_are_told_their_own() -> Result<()> {
    is_right(ready::BENCH)
}
