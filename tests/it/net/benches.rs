//! The benches that have a load of their own, short: nothing fails and nothing is mixed up, whoever answers and however
//! fast. How fast that is, nobody asks here.

use anyhow::{Result, ensure};
use metad_tests::bench::{Bench, Extent, contenders, latency, requests, token, user_data};
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

#[test]
fn every_contender_answers_at_a_pace_rightly() -> Result<()> {
    // Five contenders, alone and at half of the peak.
    runs_right(&latency::BENCH, 10)
}

#[test]
fn every_token_that_is_asked_for_opens_what_it_is_for() -> Result<()> {
    runs_right(&token::BENCH, 3)
}

#[test]
fn every_contender_hands_out_large_user_data_whole() -> Result<()> {
    // Five contenders, two sizes.
    runs_right(&user_data::BENCH, 10)
}
