//! What does a change of an instance cost? Its answers are made then and not when a guest asks; a guest's first question is
//! part of it, since what nobody asks for may never be made.

use std::hint::black_box;

use criterion::Criterion;
use metad::instance::Dialect;
use metad::render::{Version, answers};

use crate::world;

pub(crate) fn what_does_a_change_of_an_instance_cost(criterion: &mut Criterion) {
    let seat = world::seat();
    let version = Version::named("latest").expect("a version that is always there");
    let mut group = criterion.benchmark_group("render");
    for (name, dialect, path) in [
        (
            "the answers of one NIC, until EC2's instance-id",
            Dialect::Ec2,
            "meta-data/instance-id",
        ),
        (
            "the answers of one NIC, until NoCloud's meta-data",
            Dialect::NoCloud,
            "meta-data",
        ),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answers = answers(black_box(&seat.instance), 0);
                let found = answers.get(dialect, version, path).is_some();
                assert!(found, "{path} is missing");
                answers
            });
        });
    }
    group.finish();
}
