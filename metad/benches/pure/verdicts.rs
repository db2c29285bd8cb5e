//! What does a frame cost, judged on the host by the code that the kernel runs? Most frames are none of ours, so those
//! must cost next to nothing.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::Criterion;
use metad_common::verdict::classify;
use metad_tests::frames::{Ends, METADATA, syn, udp};

pub(crate) fn what_does_a_frame_cost(criterion: &mut Criterion) {
    let to = |to| Ends {
        from_mac: [0x52, 0x54, 0, 0, 0, 1],
        to_mac: [0x52, 0x54, 0, 0, 0, 2],
        from: Ipv4Addr::new(10, 1, 0, 5),
        to,
        from_port: 40_000,
        to_port: 80,
    };
    let (metadata, foreign) = (to(METADATA), to(Ipv4Addr::new(10, 1, 0, 1)));
    let mut group = criterion.benchmark_group("verdict");
    for (name, frame) in [
        ("a connection's first segment is delivered", syn(&metadata)),
        (
            "a datagram to the metadata address is dropped",
            udp(&metadata, b"x"),
        ),
        ("a segment to somebody else passes", syn(&foreign)),
        ("an IPv6 frame to somebody else passes", ipv6()),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| classify(black_box(frame.as_slice())));
        });
    }
    group.finish();
}

/// An Ethernet header and a UDP datagram from and to documentation addresses.
fn ipv6() -> Vec<u8> {
    let mut frame = vec![0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
    for last in [1, 2] {
        frame.extend([
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last,
        ]);
    }
    frame.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    frame
}
