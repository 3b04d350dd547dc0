//! The thin shell: the state behind one lock, sessions that are woken when they have something to send, questions
//! that wait for a node's answer, and the two tasks that let time pass.

mod cloud;
mod node;
mod questions;

pub use cloud::CloudFacing;
pub use node::NodeFacing;

use crate::Settings;
use crate::settings::limits::SESSION_QUEUE_MAX;
use crate::state::{ClusterState, Now, Pulled};
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Clock, FaultError, Faults, Rng, Shutdown, TaskScope};
use questions::Questions;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tonic::{Response, Status};

/// How long `stop` waits for sessions to end by themselves.
const STOP_GRACE: Duration = Duration::from_secs(2);

struct Inner {
    state: ClusterState,
    nodes: Vec<Arc<Notify>>,
    questions: Questions,
}

/// One zone's controller, shared by its services and tasks.
pub struct Hub {
    inner: Mutex<Inner>,
    cloud: Notify,
    learn: Notify,
    clock: Clock,
    rng: Rng,
    faults: Faults,
    started: Instant,
    scope: TaskScope,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts a controller that knows nothing yet; its tasks run in the current runtime.
    #[must_use]
    pub fn start(settings: Settings, clock: Clock, rng: Rng, faults: Faults) -> Arc<Self> {
        let tick = settings.heartbeat / 2;
        let state = ClusterState::new(settings, rng.uuid());
        let hub = Arc::new(Self {
            inner: Mutex::new(Inner { state, nodes: Vec::new(), questions: Questions::default() }),
            cloud: Notify::new(),
            learn: Notify::new(),
            clock,
            rng,
            faults,
            started: Instant::now(),
            scope: TaskScope::new(&Shutdown::new()),
        });
        hub.scope.spawn(Arc::clone(&hub).keep_ticking(tick.max(Duration::from_millis(10))));
        hub.scope.spawn(Arc::clone(&hub).keep_learning());
        hub
    }

    /// Ends sessions and tasks. True if all ended by themselves.
    pub async fn stop(&self) -> bool {
        self.scope.stop(STOP_GRACE).await
    }

    /// Drops everything where it stands, as a crash would.
    pub async fn kill(&self) {
        self.scope.kill().await;
    }

    /// The fault points this controller passes.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Runs `f` on the state, then wakes whoever has something new to send.
    pub fn with<T>(&self, f: impl FnOnce(&mut ClusterState, Now) -> T) -> T {
        self.with_inner(|inner, now| f(&mut inner.state, now))
    }

    fn with_inner<T>(&self, f: impl FnOnce(&mut Inner, Now) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let result = f(&mut inner, now);
        let wake = inner.state.take_wake();
        for index in wake.nodes {
            if let Some(node) = inner.nodes.get(index) {
                node.notify_one();
            }
        }
        drop(inner);
        if wake.cloud {
            self.cloud.notify_one();
        }
        if wake.learn {
            self.learn.notify_one();
        }
        result
    }

    fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms, wall_ms: self.clock.now_ms() }
    }

    /// What wakes a node's session.
    fn node_waker(&self, index: usize) -> Arc<Notify> {
        self.with_inner(|inner, _| {
            if inner.nodes.len() <= index {
                inner.nodes.resize_with(index + 1, Arc::default);
            }
            Arc::clone(&inner.nodes[index])
        })
    }

    async fn keep_ticking(self: Arc<Self>, period: Duration) {
        let shutdown = self.scope.shutdown().clone();
        while !shutdown.is_stopped() {
            tokio::select! {
                () = shutdown.stopped() => {}
                () = tokio::time::sleep(period) => self.with(ClusterState::tick),
            }
        }
    }

    /// Gathers changes for a moment, so that a burst of launches is told to the other nodes at once.
    async fn keep_learning(self: Arc<Self>) {
        let shutdown = self.scope.shutdown().clone();
        while !shutdown.is_stopped() {
            tokio::select! {
                () = shutdown.stopped() => break,
                () = self.learn.notified() => {}
            }
            let wait = self.with(|state, now| state.learn_in(now));
            tokio::select! {
                () = shutdown.stopped() => {}
                () = tokio::time::sleep(wait) => self.with(ClusterState::learn),
            }
        }
    }

    /// Passes a fault point.
    async fn point(&self, name: &str) -> Result<(), WireError> {
        self.faults.point(name).await.map_err(|error: FaultError| WireError::new(Kind::Unavailable, error.to_string()))
    }

    /// Answers one call, unless the controller ends first.
    async fn call<T>(&self, work: impl Future<Output = Result<T, WireError>>) -> Result<Response<T>, Status> {
        tokio::select! {
            biased;
            () = self.scope.shutdown().stopped() => Err(ended().into()),
            result = work => result.map(Response::new).map_err(Status::from),
        }
    }

    /// Sends what `pull` gives until the session ends; waits for `waker` when there is nothing. A peer that does
    /// not read for `patience` is given up.
    async fn send_pulled<M>(
        &self,
        out: &mpsc::Sender<Result<M, Status>>,
        waker: &Notify,
        patience: Duration,
        point: &str,
        mut pull: impl FnMut(&mut ClusterState, Now) -> Pulled<M>,
    ) -> Result<(), WireError> {
        loop {
            let messages = match self.with(&mut pull) {
                Pulled::Messages(messages) => messages,
                Pulled::Ended => {
                    return Err(WireError::new(
                        Kind::Conflict,
                        "this session has been replaced or given up; connect again",
                    ));
                }
            };
            if messages.is_empty() {
                waker.notified().await;
                continue;
            }
            for message in messages {
                self.point(point).await?;
                match tokio::time::timeout(patience, out.send(Ok(message))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => return Err(WireError::new(Kind::Unavailable, "the peer does not read what it is sent")),
                }
            }
        }
    }

    /// Runs a session in the controller's scope, and gives its peer the stream it will be sent on.
    fn open_session<M, W>(
        &self,
        work: impl FnOnce(mpsc::Sender<Result<M, Status>>) -> W,
    ) -> tokio_stream::wrappers::ReceiverStream<Result<M, Status>>
    where
        M: Send + 'static,
        W: Future<Output = Result<(), WireError>> + Send + 'static,
    {
        let (out, receiver) = mpsc::channel(SESSION_QUEUE_MAX);
        let (session, shutdown) = (work(out.clone()), self.scope.shutdown().clone());
        self.scope.spawn(async move {
            let result = tokio::select! {
                biased;
                () = shutdown.stopped() => Err(ended()),
                result = session => result,
            };
            if let Err(error) = result {
                tracing::debug!(%error, "session ended");
                // A peer that does not read will notice the end of the stream instead.
                drop(out.try_send(Err(error.into())));
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(receiver)
    }
}

fn ended() -> WireError {
    WireError::new(Kind::Unavailable, "the cluster controller is ending")
}
