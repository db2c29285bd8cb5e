//! The benches that have a load of their own, short: nothing fails and nothing is mixed up, whoever answers and however
//! fast. How fast that is, nobody asks here.

use anyhow::{Result, ensure};
use metad_tests::bench::{Bench, Extent, contenders, requests};
use metad_tests::needs;

fn runs_right(bench: &Bench, rows: usize) -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    let outcome = (bench.run)(Extent::Short)?;
    ensure!(outcome.is_right(), "{:#}", outcome.json());
    ensure!(outcome.rows.len() == rows, "{:#}", outcome.json());
    Ok(())
}

#[test]
fn every_contender_answers_connections_with_one_request_rightly() -> Result<()> {
    runs_right(&requests::CONNECT, contenders::Kind::ALL.len())
}

#[test]
fn every_contender_answers_on_connections_that_stay_rightly() -> Result<()> {
    runs_right(&requests::KEEPALIVE, contenders::Kind::ALL.len())
}
