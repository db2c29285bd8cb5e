//! The benches of many guests and of bystanders, run short: everything is right, whatever the pace. Numbers are theirs
//! (`cargo xtask bench`).

use anyhow::{Result, ensure};
use metad_tests::bench::{Bench, Extent, scale};
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
