//! The bench inside a guest, run short: both servers are asked, and both answer. Numbers are the bench's
//! (`cargo xtask bench vm`).

use anyhow::{Result, ensure};
use metad_tests::bench::{Extent, vm};
use metad_tests::needs;

use super::host;

#[test]
fn a_clock_inside_a_guest_times_metad_and_nginx() -> Result<()> {
    if !needs::sandbox() || !needs::program("nginx") {
        return Ok(());
    }
    let host = host()?;
    let outcome = vm::measure(&host, Extent::Short)?;
    ensure!(outcome.rows.len() == 2, "{:#}", outcome.json());
    ensure!(outcome.is_right(), "{:#}", outcome.json());
    Ok(())
}
