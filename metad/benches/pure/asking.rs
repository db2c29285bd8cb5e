//! What does a request cost, from the octets that a guest sends to those that it is sent? All the rest is the kernel's and
//! the runtime's.

use std::hint::black_box;

use criterion::Criterion;

use crate::desk::{Nowhere, desk, request};

pub(crate) fn what_does_a_request_cost(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let (app, peer) = desk(directory.path());
    let mut group = criterion.benchmark_group("ask");
    for (name, path, status) in [
        ("EC2's instance-id", "/latest/meta-data/instance-id", "200"),
        ("EC2's list of names", "/latest/meta-data/", "200"),
        ("4 KiB of user-data", "/latest/user-data", "200"),
        (
            "a name that is not there",
            "/latest/meta-data/nothing",
            "404",
        ),
    ] {
        let request = request(path);
        let mut head = Vec::new();
        let mut ask = || {
            head.clear();
            let octets = black_box(request.as_bytes());
            let written = app.quick(&peer, &Nowhere, octets, &mut head);
            assert!(written.is_some(), "{path}");
            written
        };
        ask();
        group.bench_function(name, |bencher| bencher.iter(&mut ask));
        assert!(
            head.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
            "{path}"
        );
    }
    group.finish();
}
