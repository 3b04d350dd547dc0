//! The connection to libvirtd, kept by a thread of its own: opened, watched with keep-alive, opened again after
//! libvirtd went away. Guests do not notice any of this.

use crate::error::explain;
use crate::events::{self, Closed, Watch};
use mallee_node_core::{DomainEvent, HypervisorError};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use virt::connect::Connect;

/// Seconds between two keep-alive messages on a silent connection.
const KEEPALIVE_SECONDS: i32 = 5;
/// Unanswered messages after which the connection counts as broken (calls that hang on it then return).
const KEEPALIVE_COUNT: u32 = 5;
/// Wait after the first failed attempt to connect; doubles up to `RETRY_MOST`.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// How often the connection is looked at even if no signal came.
const CHECK_PERIOD: Duration = Duration::from_secs(10);

/// What the keeper thread hears.
#[derive(Debug)]
pub(crate) enum Signal {
    /// This connection broke.
    Closed(u64),
    /// The driver goes away.
    Stop,
}

/// One open connection and its callbacks.
#[derive(Debug)]
pub(crate) struct Session {
    watch: Option<Watch>,
    conn: ConnectDebug,
}

struct ConnectDebug(Connect);

impl std::fmt::Debug for ConnectDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connect")
    }
}

impl Deref for Session {
    type Target = Connect;
    fn deref(&self) -> &Connect {
        &self.conn.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Callbacks first: they hold the bare pointer. `virt` does not close a dropped connection by itself.
        self.watch = None;
        if let Err(error) = self.conn.0.close() {
            tracing::debug!(error = error.message(), "closing the connection to libvirtd");
        }
    }
}

type Current = RwLock<Result<Arc<Session>, HypervisorError>>;

/// Handle of the keeper thread.
#[derive(Debug)]
pub(crate) struct Link {
    current: Arc<Current>,
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Connects; an error of the first attempt is returned, later ones are retried.
    pub(crate) async fn open(uri: String, events: broadcast::Sender<DomainEvent>) -> Result<Self, HypervisorError> {
        events::start_loop()
            .map_err(|why| HypervisorError::Unavailable(format!("libvirt's event loop does not start: {why}")))?;
        let (signals, heard) = channel();
        let (first, opened) = oneshot::channel();
        let not_yet = HypervisorError::Unavailable("not yet connected to libvirtd".into());
        let current = Arc::new(RwLock::new(Err(not_yet)));
        let keeper = Keeper { uri, events, signals: signals.clone(), current: Arc::clone(&current) };
        let thread = thread::Builder::new()
            .name("libvirt-link".into())
            .spawn(move || keeper.keep(&heard, first))
            .map_err(|error| HypervisorError::Exhausted(format!("threads: {error}")))?;
        let link = Self { current, signals, thread: Some(thread) };
        opened.await.map_err(|_| HypervisorError::Failed("the thread that connects to libvirtd ended".into()))??;
        Ok(link)
    }

    /// The open connection, or why there is none.
    pub(crate) fn session(&self) -> Result<Arc<Session>, HypervisorError> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The keeper sees the signal at once unless it is opening a connection; it then ends by itself, so there is no
        // need to wait for it here, on what may be a worker of the async runtime.
        let _ = self.signals.send(Signal::Stop);
        drop(self.thread.take());
    }
}

struct Keeper {
    uri: String,
    events: broadcast::Sender<DomainEvent>,
    signals: Sender<Signal>,
    current: Arc<Current>,
}

impl Keeper {
    fn keep(self, heard: &Receiver<Signal>, first: oneshot::Sender<Result<(), HypervisorError>>) {
        let mut first = Some(first);
        let mut retry = RETRY_FIRST;
        for number in 0u64.. {
            match self.connect(number) {
                Ok(session) => {
                    self.set(Ok(Arc::new(session)));
                    retry = RETRY_FIRST;
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    } else {
                        tracing::info!("connected to libvirtd again");
                        let _ = self.events.send(DomainEvent::Resync);
                    }
                    let stop = self.wait_for_end(number, heard);
                    self.set(Err(HypervisorError::Unavailable("libvirtd went away; connecting again".into())));
                    if stop {
                        return;
                    }
                    tracing::warn!("libvirtd went away; guests go on, connecting again");
                }
                Err(error) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(error));
                        return;
                    }
                    self.set(Err(error));
                    if matches!(heard.recv_timeout(retry), Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected)) {
                        return;
                    }
                    retry = (retry * 2).min(RETRY_MOST);
                }
            }
        }
    }

    /// True: the driver goes away. False: the connection broke.
    fn wait_for_end(&self, number: u64, heard: &Receiver<Signal>) -> bool {
        loop {
            match heard.recv_timeout(CHECK_PERIOD) {
                Ok(Signal::Closed(which)) if which == number => return false,
                Ok(Signal::Closed(_)) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => {
                    let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
                    if !current.is_ok_and(|session| session.is_alive().unwrap_or(false)) {
                        return false;
                    }
                }
            }
        }
    }

    fn set(&self, to: Result<Arc<Session>, HypervisorError>) {
        // The old session may be the last reference: close it after the lock is given back.
        let old = std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), to);
        drop(old);
    }

    fn connect(&self, number: u64) -> Result<Session, HypervisorError> {
        let opened = Connect::open(Some(&self.uri)).map_err(|error| explain("connect to libvirt", &error))?;
        let mut session = Session { watch: None, conn: ConnectDebug(opened) };
        // A keep-alive that the driver does not know (local ones) is no loss.
        let _ = session.set_keep_alive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
        let closed = Closed { to: self.signals.clone(), session: number };
        let watch = Watch::register(&session, self.events.clone(), Some(closed))
            .map_err(|error| explain("listen to libvirt's events", &error))?;
        session.watch = Some(watch);
        Ok(session)
    }
}
