//! The audit trail of calls that manage buckets (CloudTrail's management events). Such a call is written down before it
//! changes anything, once its body has been read, and recorded when it has ended; it runs to its end and to its record
//! though its caller hangs up. Where nothing can be written down, nothing is changed.
//!
//! What is about objects does not come here. Who writes is the caller's [`Identity`](crate::Identity).

mod names;
mod parameters;

pub(crate) use names::name;

use crate::auth::Identity;
use crate::authz::Access;
use crate::call::Call;
use crate::dispatch::dispatch;
use crate::operation::Operation;
use crate::reply::Reply;
use crate::service::{Arrived, RequestId};
use http::request::Parts;
use mallee_awswire::ApiError;
use mallee_awswire::sigv4::Claim;
use mallee_objects::Engine;
use mallee_runtime::TaskScope;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Semaphore, oneshot};

/// Calls that may change something, and run on when their callers go away; more wait.
const CALLS_MAX: usize = 4096;

/// A call that manages buckets.
#[derive(Debug)]
pub struct Event<'a> {
    /// CloudTrail's name of the operation. Those that begin with `Get` or `List` only look.
    pub name: &'static str,
    /// The id that its reply carries.
    pub request_id: &'a str,
    /// The head of the request; its extensions hold the `Peer` of crate `serve`, where that is known.
    pub head: &'a Parts,
    /// What it says of its signature; `None`: nobody signed.
    pub claim: Option<&'a Claim>,
    /// The bucket it is about; empty: all of the caller's.
    pub bucket: &'a str,
    /// The account whose bucket that is, as far as it is known.
    pub owner: Option<&'a str>,
    /// What it asks. Secrets are left out of it, but for those that a policy or a rule may have in it.
    pub parameters: Value,
    /// When the head of the request came, in milliseconds since 1970.
    pub arrived_ms: i64,
    /// The time now, in the same.
    pub now_ms: i64,
}

/// Where such calls run to their end.
#[derive(Debug)]
pub(crate) struct Calls {
    permits: Arc<Semaphore>,
    scope: OnceLock<TaskScope>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(CALLS_MAX)), scope: OnceLock::new() }
    }
}

impl Calls {
    /// Has them run in this scope; the first that is given is the one. Without one they end with their connections.
    pub(crate) fn run_in(&self, scope: &TaskScope) {
        self.scope.get_or_init(|| scope.clone());
    }
}

/// What becomes of one call.
#[derive(Debug, Default)]
struct Progress {
    shown: Map<String, Value>,
    owner: Option<String>,
    /// It was decided: what it asks may be done.
    decided: bool,
    begun: bool,
}

/// One call on its way to its record.
pub(crate) struct Audit {
    operation: Operation,
    name: &'static str,
    bucket: String,
    access: Arc<Access>,
    engine: Engine,
    progress: Mutex<Progress>,
}

impl Audit {
    fn new(call: &Call, name: &'static str) -> Self {
        let shown = parameters::of_head(&call.asked, &call.access.head);
        Self {
            operation: call.asked.operation,
            name,
            bucket: call.asked.bucket.clone(),
            access: call.access.clone(),
            engine: call.s3.engine().clone(),
            progress: Mutex::new(Progress { shown, ..Progress::default() }),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self) -> &dyn Identity {
        &*self.access.identity
    }

    /// What is to be told of it now.
    fn event<'a>(&'a self, owner: Option<&'a str>) -> Event<'a> {
        let Access { head, claim, .. } = &*self.access;
        let now_ms = self.engine.clock().now_ms();
        Event {
            name: self.name,
            request_id: head.extensions.get::<RequestId>().map_or("", |id| id.0.as_str()),
            head,
            claim: claim.as_ref(),
            bucket: &self.bucket,
            owner,
            parameters: Value::Object(self.progress().shown.clone()),
            arrived_ms: head.extensions.get::<Arrived>().map_or(now_ms, |Arrived(at)| *at),
            now_ms,
        }
    }

    /// Writes the call down, if it may change something and has been decided; once.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be written: it must not be done.
    async fn begin(&self) -> Result<(), ApiError> {
        let (due, owner) = {
            let progress = self.progress();
            (progress.decided && !progress.begun, progress.owner.clone())
        };
        if !due || names::only_looks(self.operation) {
            return Ok(());
        }
        self.identity().begin(&self.event(owner.as_deref())).await?;
        self.progress().begun = true;
        self.engine.faults().point("walrus.managed.begun").await.map_err(ApiError::internal)
    }

    /// Notes the body, once it is read; what it asks for is about to be done.
    ///
    /// # Errors
    /// As [`Audit::begin`].
    pub(crate) async fn read(&self, body: &[u8]) -> Result<(), ApiError> {
        if let Some((name, value)) = parameters::of_body(self.operation, body) {
            self.progress().shown.insert(name, value);
        }
        self.begin().await
    }

    async fn run(&self, call: Call) -> Result<Reply, ApiError> {
        let outcome = self.done(call).await;
        // A place to be killed at, as the next is; failing here is the disk's affair.
        let faults = self.engine.faults();
        if faults.point("walrus.managed.done").await.is_ok() {
            let (begun, owner) = {
                let progress = self.progress();
                (progress.begun, progress.owner.clone())
            };
            self.identity().record(&self.event(owner.as_deref()), begun, outcome.as_ref().err()).await;
        }
        faults.point("walrus.managed.recorded").await.map_err(ApiError::internal)?;
        outcome
    }

    async fn done(&self, mut call: Call) -> Result<Reply, ApiError> {
        let decided = call.authorize().await;
        let owner = call.held.first().map(|bucket| bucket.account.clone());
        {
            let mut progress = self.progress();
            progress.decided = decided.is_ok();
            progress.owner = owner.or_else(|| (!call.caller.is_anonymous()).then(|| call.caller.account.clone()));
        }
        decided?;
        // What has a body is begun when that is read.
        if self.operation.row().method == "DELETE" {
            self.begin().await?;
        }
        dispatch(call).await
    }
}

/// Runs a call of this name.
///
/// # Errors
/// What it answers; `ServiceUnavailable` where it cannot be written down.
pub(crate) async fn run(mut call: Call, name: &'static str) -> Result<Reply, ApiError> {
    let audit = Arc::new(Audit::new(&call, name));
    call.audit = Some(audit.clone());
    let calls = call.s3.calls().clone();
    let Some(scope) = calls.scope.get().filter(|_| !names::only_looks(audit.operation)) else {
        return audit.run(call).await;
    };
    let permit = calls.permits.clone().acquire_owned().await.map_err(ApiError::internal)?;
    let (done, replied) = oneshot::channel();
    scope.spawn(async move {
        let outcome = audit.run(call).await;
        drop(permit);
        // Its caller may be gone.
        drop(done.send(outcome));
    });
    replied.await.unwrap_or_else(|_| Err(ApiError::internal("the call was cut off")))
}
