//! The moment at which a subscription leaves a host. libvirt frees what belongs to it with its queue of events locked,
//! so an event that is made meanwhile meets that lock each time, as it would by chance without.

use std::os::raw::c_void;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use virt::connect::Connect;
use virt_sys as sys;

use super::host::{Guest, URI, inhabit, watch_libvirt};

/// What is done while a subscription is taken back.
struct Leaving {
    /// Starts the guest whose event is to meet the lock.
    start: Box<dyn FnOnce() -> JoinHandle<()>>,
    started: Sender<JoinHandle<()>>,
}

unsafe extern "C" fn nothing(_: sys::virConnectPtr, _: sys::virDomainPtr, _: *mut c_void) {}

unsafe extern "C" fn leaving(opaque: *mut c_void) {
    // SAFETY: `opaque` came from `Box::into_raw` below, and libvirt frees it once.
    let leaving = unsafe { Box::from_raw(opaque.cast::<Leaving>()) };
    let started = (leaving.start)();
    leaving.started.send(started).unwrap();
}

/// Waits until a thread lies in one system call, as for libvirt's lock, or is at its end.
fn until_it_waits(thread: &JoinHandle<()>, task: &Path) {
    let mut last = String::new();
    let mut looks = 0;
    while looks < 200 && !thread.is_finished() {
        let call = std::fs::read_to_string(task.join("syscall")).unwrap_or_default();
        looks = if call == last && !call.starts_with("running") {
            looks + 1
        } else {
            0
        };
        last = call;
        std::thread::yield_now();
    }
}

/// Starts the guest in the moment in which `connection` takes a subscription of its own back: its event meets the
/// lock.
pub(super) fn start_while_leaving(connection: &Connect, guest: &Guest) {
    let domain = guest.domain.clone();
    let start = move || {
        let (sender, receiver) = channel();
        let starting = std::thread::spawn(move || {
            let this = std::fs::read_link("/proc/thread-self").unwrap();
            sender.send(PathBuf::from("/proc").join(this)).unwrap();
            domain.create().unwrap();
        });
        let task = receiver.recv().unwrap();
        until_it_waits(&starting, &task);
        starting
    };
    let (started, starting) = channel();
    let opaque = Box::into_raw(Box::new(Leaving {
        start: Box::new(start),
        started,
    }));
    // SAFETY: the pointer is only used while `connection` holds its reference.
    let pointer = unsafe { connection.as_ptr() };
    // SAFETY: the connection is open, `nothing` has the signature of this event, and `opaque` lives until libvirt
    // hands it to `leaving`.
    let id = unsafe {
        sys::virConnectDomainEventRegisterAny(
            pointer,
            std::ptr::null_mut(),
            sys::VIR_DOMAIN_EVENT_ID_REBOOT.cast_signed(),
            Some(nothing),
            opaque.cast(),
            Some(leaving),
        )
    };
    assert!(id >= 0);
    // SAFETY: the connection is open, and the id came from registering on it.
    let taken_back = unsafe { sys::virConnectDomainEventDeregisterAny(pointer, id) };
    assert!(taken_back >= 0);
    starting.recv().unwrap().join().unwrap();
}

#[tokio::test]
async fn an_event_that_meets_a_subscription_leaving_deafens_nobody() {
    inhabit();
    let guest = Guest::define("leaving");
    start_while_leaving(&Connect::open_read_only(Some(URI)).unwrap(), &guest);
    let mut libvirt = watch_libvirt(URI);
    libvirt.connected().await;
    guest.domain.destroy().unwrap();
    libvirt
        .subject("stopped", &guest.key, |subject| !subject.running)
        .await;
}
