//! What the pure parts of metad cost, each with the question it answers. A time is worth something beside another one of the
//! same machine and hour alone; the benches of whole requests are `cargo xtask bench`.

#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros make items without documentation, and a bench that cannot begin has nothing to say"
)]

#[path = "pure/asking.rs"]
mod asking;
#[path = "pure/desk.rs"]
mod desk;
#[path = "pure/rendering.rs"]
mod rendering;
#[path = "pure/tokens.rs"]
mod tokens;
#[path = "pure/verdicts.rs"]
mod verdicts;
#[path = "pure/world.rs"]
mod world;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    pure,
    verdicts::what_does_a_frame_cost,
    rendering::what_does_a_change_of_an_instance_cost,
    tokens::what_does_a_token_cost,
    asking::what_does_a_request_cost
);
criterion_main!(pure);
