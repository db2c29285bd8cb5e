//! A daemon that ends and `metad down` remove the same things at the same time.

use std::sync::Barrier;
use std::thread;

use anyhow::Result;
use metad::netns::{self, Namespace};
use metad_tests::needs;

#[test]
fn two_that_remove_one_namespace_at_once_both_succeed() -> Result<()> {
    if !needs::sandbox() {
        return Ok(());
    }
    for round in 0..50 {
        let namespace = Namespace::create("together")?;
        let start = Barrier::new(2);
        let remove = || {
            start.wait();
            netns::remove("together")
        };
        let (one, other) = thread::scope(|threads| {
            let other = threads.spawn(remove);
            (remove(), other.join())
        });
        let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(one? | other?, "round {round}: nobody removed it");
        drop(namespace);
    }
    Ok(())
}
