//! What does a session token cost, made and checked? Clients of EC2 make one for each few requests.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use metad::token::{BootTime, Tokens, Ttl};

use crate::world;

pub(crate) fn what_does_a_token_cost(criterion: &mut Criterion) {
    let seat = world::seat();
    let tokens = Tokens::with_key(&[7; 32]);
    let ttl = Ttl::new(21_600).expect("EC2's longest life");
    let now = BootTime(Duration::from_secs(1_000));
    let instance = &seat.instance;
    let token = tokens.grant(instance, ttl, now).expect("random numbers");
    let mut forged = token.clone().into_bytes();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let mut group = criterion.benchmark_group("token");
    group.bench_function("one is sealed", |bencher| {
        bencher.iter(|| tokens.grant(black_box(instance), ttl, now));
    });
    group.bench_function("a valid one is opened", |bencher| {
        bencher.iter(|| tokens.check(instance, black_box(token.as_bytes()), now));
    });
    group.bench_function("a forged one is refused", |bencher| {
        bencher.iter(|| tokens.check(instance, black_box(&forged), now));
    });
    group.finish();
}
