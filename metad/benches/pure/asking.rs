//! What does the decision about a request cost, from the path as it was written to the answer? All the rest of a request
//! is the kernel's, the runtime's and HTTP's.

use std::hint::black_box;

use criterion::Criterion;
use http::{HeaderMap, Method};
use metad::http::answer_as;
use metad::signer::Signer;

use crate::world;

pub(crate) fn what_does_the_decision_about_a_request_cost(criterion: &mut Criterion) {
    let seat = world::seat();
    let directory = tempfile::tempdir().expect("a directory");
    let signer = Signer::open(directory.path(), "bench", "urn:metad:bench").expect("a signer");
    let headers = HeaderMap::new();
    let mut group = criterion.benchmark_group("ask");
    for (name, path, status) in [
        ("EC2's instance-id", "/latest/meta-data/instance-id", 200),
        ("EC2's list of names", "/latest/meta-data/", 200),
        ("4 KiB of user-data", "/latest/user-data", 200),
        ("a name that is not there", "/latest/meta-data/nothing", 404),
    ] {
        let ask = || {
            let (instance, answers) = (&seat.instance, &seat.answers);
            let path = black_box(path);
            answer_as(
                &signer,
                instance,
                answers,
                None,
                &Method::GET,
                path,
                &headers,
            )
        };
        assert_eq!(ask().0.as_u16(), status, "{path}");
        group.bench_function(name, |bencher| bencher.iter(ask));
    }
    group.finish();
}
