//! libvirt's event loop and callbacks in, [`Occurrence`]s out. A callback names what happened and returns: it asks
//! libvirt nothing, since it runs on the loop's thread, and every other call waits for that.

use std::os::raw::{c_char, c_int, c_void};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;
use virt::connect::Connect;
use virt_sys as sys;

/// What a callback saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// Something about this domain is another than before.
    Domain(Uuid),
    /// Something about a network is another than before.
    Network,
    /// The connection is no longer there, for this reason.
    Closed(&'static str),
}

/// Where callbacks send what they saw. The receiver coalesces, so a storm of events costs little.
pub(crate) type Bell = UnboundedSender<Occurrence>;

/// Starts the process's only libvirt event loop, once; it must run before the first connection is opened.
pub(crate) fn start_loop() -> Result<(), String> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl().map_err(|error| {
            format!("cannot register libvirt's event loop: {}", error.message())
        })?;
        std::thread::Builder::new()
            .name("libvirt-events".to_owned())
            .spawn(turn)
            .map(drop)
            .map_err(|error| format!("cannot start a thread for libvirt's event loop: {error}"))
    });
    started.clone()
}

/// The callbacks of one connection; dropping it takes them back, without which libvirt keeps the connection.
pub(crate) struct Subscription {
    connection: Connect,
    domain: Vec<c_int>,
    network: Vec<c_int>,
    close: bool,
}

/// Asks a connection for every event that may change an instance.
///
/// Drivers differ in what they know: only the life cycle of domains is indispensable.
pub(crate) fn subscribe(
    connection: &Connect,
    bell: &Bell,
) -> Result<Subscription, virt::error::Error> {
    let mut subscription = Subscription {
        connection: connection.clone(),
        domain: Vec::new(),
        network: Vec::new(),
        close: false,
    };
    subscription.domain(
        sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        generic_lifecycle(),
        bell,
    )?;
    for (id, callback) in [
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, generic_device()),
        (sys::VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, generic_device()),
        (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, generic_metadata()),
    ] {
        if let Err(error) = subscription.domain(id, callback, bell) {
            tracing::debug!(
                event = id,
                error = error.message(),
                "libvirt driver has no such domain event"
            );
        }
    }
    subscription.network(bell);
    subscription.close(bell);
    Ok(subscription)
}

fn turn() {
    loop {
        if let Err(error) = virt::event::event_run_default_impl() {
            tracing::warn!(
                error = error.message(),
                "libvirt's event loop failed, it goes on in a second"
            );
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Subscription {
    fn domain(
        &mut self,
        id: sys::virDomainEventID,
        callback: DomainCallback,
        bell: &Bell,
    ) -> Result<(), virt::error::Error> {
        let opaque = to_opaque(bell);
        let connection = self.pointer();
        // SAFETY: the connection is open, libvirt accepts no domain as all domains, the callback has the signature
        // of this event, and `opaque` lives until libvirt hands it to `free_bell`.
        let registered = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection,
                std::ptr::null_mut(),
                id.cast_signed(),
                Some(callback),
                opaque,
                Some(free_bell),
            )
        };
        keep(&mut self.domain, registered, opaque)
    }

    fn network(&mut self, bell: &Bell) {
        let opaque = to_opaque(bell);
        let connection = self.pointer();
        // SAFETY: as for domains; null stands for all networks.
        let registered = unsafe {
            sys::virConnectNetworkEventRegisterAny(
                connection,
                std::ptr::null_mut(),
                sys::VIR_NETWORK_EVENT_ID_LIFECYCLE.cast_signed(),
                Some(generic_network()),
                opaque,
                Some(free_bell),
            )
        };
        if let Err(error) = keep(&mut self.network, registered, opaque) {
            tracing::debug!(
                error = error.message(),
                "libvirt driver has no network events"
            );
        }
    }

    fn close(&mut self, bell: &Bell) {
        let opaque = to_opaque(bell);
        let connection = self.pointer();
        // SAFETY: the connection is open and `opaque` lives until libvirt hands it to `free_bell`.
        let registered = unsafe {
            sys::virConnectRegisterCloseCallback(
                connection,
                Some(on_close),
                opaque,
                Some(free_bell),
            )
        };
        let mut kept = Vec::new();
        match keep(&mut kept, registered, opaque) {
            Ok(()) => self.close = true,
            Err(error) => tracing::debug!(
                error = error.message(),
                "libvirt driver has no close callback"
            ),
        }
    }

    fn pointer(&self) -> sys::virConnectPtr {
        // SAFETY: the pointer is only used while `self.connection` holds its reference.
        unsafe { self.connection.as_ptr() }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let connection = self.pointer();
        for id in self.domain.drain(..) {
            // SAFETY: the connection is held, and the id came from registering on it.
            let _ = unsafe { sys::virConnectDomainEventDeregisterAny(connection, id) };
        }
        for id in self.network.drain(..) {
            // SAFETY: the connection is held, and the id came from registering on it.
            let _ = unsafe { sys::virConnectNetworkEventDeregisterAny(connection, id) };
        }
        if self.close {
            // SAFETY: the connection is held, and this very function was registered on it.
            let _ = unsafe { sys::virConnectUnregisterCloseCallback(connection, Some(on_close)) };
        }
    }
}

type DomainCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type DeviceCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *const c_char, *mut c_void);
type MetadataCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);
type NetworkCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virNetworkPtr, *mut c_void);
type NetworkLifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virNetworkPtr, c_int, c_int, *mut c_void);

fn generic_lifecycle() -> DomainCallback {
    // SAFETY: libvirt casts it back to the signature of VIR_DOMAIN_EVENT_ID_LIFECYCLE before it calls it.
    unsafe { std::mem::transmute::<LifecycleCallback, DomainCallback>(on_lifecycle) }
}

fn generic_device() -> DomainCallback {
    // SAFETY: libvirt casts it back to the signature that the device events share before it calls it.
    unsafe { std::mem::transmute::<DeviceCallback, DomainCallback>(on_device) }
}

fn generic_metadata() -> DomainCallback {
    // SAFETY: libvirt casts it back to the signature of VIR_DOMAIN_EVENT_ID_METADATA_CHANGE before it calls it.
    unsafe { std::mem::transmute::<MetadataCallback, DomainCallback>(on_metadata) }
}

fn generic_network() -> NetworkCallback {
    // SAFETY: libvirt casts it back to the signature of VIR_NETWORK_EVENT_ID_LIFECYCLE before it calls it.
    unsafe { std::mem::transmute::<NetworkLifecycleCallback, NetworkCallback>(on_network) }
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    ring_domain(domain, opaque);
    0
}

unsafe extern "C" fn on_device(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _alias: *const c_char,
    opaque: *mut c_void,
) {
    ring_domain(domain, opaque);
}

unsafe extern "C" fn on_metadata(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _kind: c_int,
    _uri: *const c_char,
    opaque: *mut c_void,
) {
    ring_domain(domain, opaque);
}

unsafe extern "C" fn on_network(
    _: sys::virConnectPtr,
    _network: sys::virNetworkPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) {
    ring(opaque, Occurrence::Network);
}

unsafe extern "C" fn on_close(_: sys::virConnectPtr, reason: c_int, opaque: *mut c_void) {
    let why = match reason.cast_unsigned() {
        sys::VIR_CONNECT_CLOSE_REASON_EOF => "libvirt closed it",
        sys::VIR_CONNECT_CLOSE_REASON_KEEPALIVE => "libvirt does not answer",
        sys::VIR_CONNECT_CLOSE_REASON_CLIENT => "it was closed here",
        _ => "it broke",
    };
    ring(opaque, Occurrence::Closed(why));
}

fn ring_domain(domain: sys::virDomainPtr, opaque: *mut c_void) {
    let mut uuid = [0_u8; 16];
    // SAFETY: libvirt passes a live domain, and the buffer has the VIR_UUID_BUFLEN octets that it writes.
    let read = unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) };
    if read == 0 {
        ring(opaque, Occurrence::Domain(Uuid::from_bytes(uuid)));
    }
}

fn ring(opaque: *mut c_void, occurrence: Occurrence) {
    // SAFETY: `opaque` came from `to_opaque`, and libvirt calls back only until it has called `free_bell`.
    let bell = unsafe { opaque.cast::<Bell>().as_ref() };
    if let Some(bell) = bell {
        // Nobody listens any more: the session is about to take its callbacks back.
        let _ = bell.send(occurrence);
    }
}

fn to_opaque(bell: &Bell) -> *mut c_void {
    Box::into_raw(Box::new(bell.clone())).cast()
}

/// libvirt owns `opaque` from a successful registration on, and nobody else after a failed one.
fn keep(
    ids: &mut Vec<c_int>,
    registered: c_int,
    opaque: *mut c_void,
) -> Result<(), virt::error::Error> {
    if registered >= 0 {
        ids.push(registered);
        return Ok(());
    }
    let error = virt::error::Error::last_error();
    // SAFETY: libvirt refused `opaque` and does not keep it.
    unsafe { free_bell(opaque) };
    Err(error)
}

unsafe extern "C" fn free_bell(opaque: *mut c_void) {
    // SAFETY: `opaque` came from `to_opaque`, and libvirt frees it once, after the last callback.
    drop(unsafe { Box::from_raw(opaque.cast::<Bell>()) });
}
