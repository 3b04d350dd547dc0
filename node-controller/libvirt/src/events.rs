//! The part that is `unsafe`: libvirt's event loop and its callbacks, which the `virt` crate does not wrap.
//!
//! Two rules keep it sound. What a callback needs is boxed, handed to libvirt as its opaque pointer, and freed only by
//! the free function that libvirt calls when it has forgotten the callback. And a callback never calls back into
//! libvirt beyond reading the name of the domain it was given: it sends into a channel and returns.

use crate::mark;
use mallee_node_core::DomainEvent;
use mallee_types::InstanceId;
use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::sync::OnceLock;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use tokio::sync::broadcast;
use virt::connect::Connect;
use virt::error::Error;
use virt_sys as sys;

static LOOP: OnceLock<Result<(), String>> = OnceLock::new();

/// Starts libvirt's event loop on a thread of its own, once per process and before the first connection is opened
/// (connections opened earlier would deliver no events). Also stops libvirt from printing errors to stderr.
pub(crate) fn start_loop() -> Result<(), String> {
    LOOP.get_or_init(|| {
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl().map_err(|error| error.message().to_owned())?;
        thread::Builder::new()
            .name("libvirt-events".into())
            .spawn(run_loop)
            .map(drop)
            .map_err(|error| error.to_string())
    })
    .clone()
}

fn run_loop() {
    loop {
        if let Err(error) = virt::event::event_run_default_impl() {
            tracing::warn!(error = error.message(), "libvirt's event loop stumbled; going on");
            thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// The registration of callbacks on one connection; dropping it ends it. Must be dropped before its connection is
/// closed, which `link::Session` does.
#[derive(Debug)]
pub(crate) struct Watch {
    conn: sys::virConnectPtr,
    /// Numbers of the registered domain events.
    registered: Vec<c_int>,
    close: bool,
}

// SAFETY: libvirt's connections may be used from any thread; the pointer is only used while the session that owns
// both keeps the connection open.
unsafe impl Send for Watch {}
// SAFETY: as above; no method takes `&self`.
unsafe impl Sync for Watch {}

/// Told when the connection breaks.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Where to.
    pub(crate) to: Sender<crate::link::Signal>,
    /// Which connection it is.
    pub(crate) session: u64,
}

impl Watch {
    /// Sends an event for each change of state of a domain of ours to `events`, and one signal to `closed` when the
    /// connection breaks.
    pub(crate) fn register(
        conn: &Connect,
        events: broadcast::Sender<DomainEvent>,
        closed: Option<Closed>,
    ) -> Result<Self, Error> {
        let ptr = conn.as_ptr();
        let mut watch = Self { conn: ptr, registered: Vec::new(), close: false };
        // SAFETY: libvirt documents that a lifecycle callback is passed as the generic type and called with the
        // arguments of `on_lifecycle` (macro VIR_DOMAIN_EVENT_CALLBACK does this cast).
        let lifecycle = unsafe {
            mem::transmute::<
                unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int,
                unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
            >(on_lifecycle)
        };
        watch.add(sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int, lifecycle, events.clone())?;
        // The generic callback is the reboot event's own type.
        watch.add(sys::VIR_DOMAIN_EVENT_ID_REBOOT as c_int, on_reboot, events)?;
        if let Some(closed) = closed {
            let opaque = Box::into_raw(Box::new(closed)).cast::<c_void>();
            // SAFETY: the connection is open; `opaque` is a leaked box of the type that `on_close` and `free` expect.
            let result =
                unsafe { sys::virConnectRegisterCloseCallback(ptr, Some(on_close), opaque, Some(free::<Closed>)) };
            if result < 0 {
                let error = Error::last_error();
                // SAFETY: on failure libvirt keeps nothing and does not call the free function.
                unsafe { free::<Closed>(opaque) };
                return Err(error);
            }
            watch.close = true;
        }
        Ok(watch)
    }

    fn add(
        &mut self,
        event: c_int,
        callback: unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
        events: broadcast::Sender<DomainEvent>,
    ) -> Result<(), Error> {
        let opaque = Box::into_raw(Box::new(events)).cast::<c_void>();
        // SAFETY: the connection is open; a null domain means every domain; `opaque` is a leaked box of the type that
        // the callbacks and `free` expect.
        let number = unsafe {
            sys::virConnectDomainEventRegisterAny(
                self.conn,
                std::ptr::null_mut(),
                event,
                Some(callback),
                opaque,
                Some(free::<broadcast::Sender<DomainEvent>>),
            )
        };
        if number < 0 {
            let error = Error::last_error();
            // SAFETY: on failure libvirt keeps nothing and does not call the free function.
            unsafe { free::<broadcast::Sender<DomainEvent>>(opaque) };
            return Err(error);
        }
        self.registered.push(number);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Both fail harmlessly on a broken connection: closing it forgets the callbacks too.
        if self.close {
            // SAFETY: the session keeps the connection open until after this, and `on_close` was registered on it.
            unsafe { sys::virConnectUnregisterCloseCallback(self.conn, Some(on_close)) };
        }
        for number in &self.registered {
            // SAFETY: as above; the number came from the registration.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.conn, *number) };
        }
    }
}

/// # Safety
/// For libvirt only: `domain` is valid during the call, `opaque` is what `add` passed.
unsafe extern "C" fn on_lifecycle(
    _conn: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: as of this function.
    unsafe { tell(domain, opaque, DomainEvent::Changed) };
    0
}

/// # Safety
/// For libvirt only: `domain` is valid during the call, `opaque` is what `add` passed.
unsafe extern "C" fn on_reboot(_conn: sys::virConnectPtr, domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: as of this function.
    unsafe { tell(domain, opaque, DomainEvent::Rebooted) };
}

/// Sends an event if the domain is one of ours.
///
/// # Safety
/// `domain` is valid, `opaque` is what `add` passed.
unsafe fn tell(domain: sys::virDomainPtr, opaque: *mut c_void, event: fn(InstanceId) -> DomainEvent) {
    // SAFETY: `opaque` is the box leaked in `add`, alive until `free`.
    let events = unsafe { &*opaque.cast::<broadcast::Sender<DomainEvent>>() };
    // SAFETY: the domain is valid during the call; its name is part of it and needs no call to the daemon.
    let name = unsafe { sys::virDomainGetName(domain) };
    if !name.is_null() {
        // SAFETY: libvirt's names are NUL-terminated and live as long as the domain.
        let name = unsafe { CStr::from_ptr(name) };
        if let Some(instance) = name.to_str().ok().and_then(mark::instance_of) {
            // Nobody listening is fine.
            let _ = events.send(event(instance));
        }
    }
}

/// # Safety
/// For libvirt only: `opaque` is what `register` passed.
unsafe extern "C" fn on_close(_conn: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is the box leaked in `register`, alive until `free`.
    let closed = unsafe { &*opaque.cast::<Closed>() };
    // The thread that keeps the link may have ended; then nobody needs to know.
    let _ = closed.to.send(crate::link::Signal::Closed(closed.session));
}

/// # Safety
/// `opaque` is a leaked `Box<T>`, and this is called once for it.
unsafe extern "C" fn free<T>(opaque: *mut c_void) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(opaque.cast::<T>()) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use virt::domain::Domain;

    const XML: &str = "<domain type='test'><name>NAME</name><memory>8192</memory><os><type>hvm</type></os></domain>";

    /// libvirt's own test driver needs no daemon, and delivers real events through the real loop.
    #[tokio::test]
    async fn events_of_our_domains_arrive_and_those_of_others_do_not() {
        start_loop().unwrap();
        let mut conn = Connect::open(Some("test:///default")).unwrap();
        let (events, mut receiver) = broadcast::channel(64);
        let watch = Watch::register(&conn, events.clone(), None).unwrap();
        Domain::create_xml(&conn, &XML.replace("NAME", "foreign"), 0).unwrap();
        let ours = Domain::create_xml(&conn, &XML.replace("NAME", "mallee-i-0123abcd"), 0).unwrap();
        let expected = DomainEvent::Changed("i-0123abcd".parse().unwrap());
        let mut next = async || tokio::time::timeout(Duration::from_secs(10), receiver.recv()).await.unwrap().unwrap();
        assert_eq!(next().await, expected);
        ours.suspend().unwrap();
        assert_eq!(next().await, expected);
        drop(watch);
        ours.resume().unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(500), receiver.recv()).await;
        assert!(silent.is_err(), "an event came after the end of the watch: {silent:?}");
        ours.destroy().unwrap();
        drop(ours);
        conn.close().unwrap();
        assert_eq!(events.receiver_count(), 1);
    }
}
