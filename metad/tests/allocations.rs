//! How often memory is asked for to answer a request: counted, so that nobody adds to it unawares.

#![allow(
    clippy::expect_used,
    dead_code,
    reason = "a test says what it expects, and has no use for all that the benches have"
)]

#[path = "../benches/pure/desk.rs"]
mod desk;
#[path = "../benches/pure/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use desk::{Nowhere, desk, request};

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; a counter is moved beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_plain_request_asks_for_memory_a_few_times() {
    let directory = tempfile::tempdir().expect("a directory");
    let (app, peer) = desk(directory.path());
    for (path, most) in [
        ("/latest/meta-data/instance-id", 2),
        ("/latest/meta-data/", 2),
        ("/latest/user-data", 2),
        // It has a page of its own.
        ("/latest/meta-data/nothing", 6),
    ] {
        let request = request(path);
        let mut head = Vec::with_capacity(1024);
        let mut answer = || {
            head.clear();
            let before = ASKED.get();
            let written = app.quick(&peer, &Nowhere, request.as_bytes(), &mut head);
            assert!(written.is_some(), "{path} is not plain");
            ASKED.get() - before
        };
        // The first question has the answers rendered, and the second what a thread makes once.
        answer();
        answer();
        let counted = answer();
        assert!(
            counted <= most,
            "{path}: {counted} times, {most} at the most"
        );
    }
}
