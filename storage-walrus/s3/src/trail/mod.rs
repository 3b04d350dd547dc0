//! The audit trail of calls that manage buckets (CloudTrail's management events). Such a call is written down before it
//! changes anything, once its body has been read, and recorded when it has ended; from then on it runs to its end and to
//! its record though its caller hangs up. (Before, who hangs up ends it through its body.) Where nothing can be written
//! down, nothing is changed.
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
use mallee_awswire::sigv4::Claim;
use mallee_awswire::{ApiError, Code};
use mallee_objects::Engine;
use mallee_runtime::TaskScope;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Calls that are written down and under way; more are refused. Nobody holds a place who may not do what he asks, nor
/// while he still sends.
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
    /// The account whose bucket that is, as far as it is known: of all buckets, and of one that was made, the caller's.
    pub owner: Option<&'a str>,
    /// It was decided that it may be done. Who may not is not told whose it is.
    pub allowed: bool,
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

    /// A place among the calls under way.
    ///
    /// # Errors
    /// `SlowDown` when there is none.
    fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.permits.clone().try_acquire_owned().map_err(|_| Code::SlowDown.error())
    }
}

/// What becomes of one call.
#[derive(Debug, Default)]
struct Progress {
    shown: Map<String, Value>,
    /// Whose the bucket is that was looked up.
    owner: Option<String>,
    /// It was decided: what it asks may be done.
    decided: bool,
    begun: bool,
    /// Its place among the calls under way, once it has begun.
    place: Option<OwnedSemaphorePermit>,
}

/// One call on its way to its record.
pub(crate) struct Audit {
    operation: Operation,
    name: &'static str,
    bucket: String,
    /// The caller's; `None`: nobody's.
    account: Option<String>,
    access: Arc<Access>,
    engine: Engine,
    calls: Arc<Calls>,
    progress: Mutex<Progress>,
}

impl Audit {
    fn new(call: &Call, name: &'static str) -> Self {
        let shown = parameters::of_head(&call.asked, &call.access.head);
        Self {
            operation: call.asked.operation,
            name,
            bucket: call.asked.bucket.clone(),
            account: (!call.caller.is_anonymous()).then(|| call.caller.account.clone()),
            access: call.access.clone(),
            engine: call.s3.engine().clone(),
            calls: call.s3.calls().clone(),
            progress: Mutex::new(Progress { shown, ..Progress::default() }),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self) -> &dyn Identity {
        &*self.access.identity
    }

    /// Whose what it is about is, as far as it is known.
    fn owner(&self, done: bool) -> Option<String> {
        let made = done && self.operation == Operation::CreateBucket;
        let own = self.account.clone().filter(|_| made || self.bucket.is_empty());
        own.or_else(|| self.progress().owner.clone())
    }

    /// What is to be told of it now.
    fn event<'a>(&'a self, owner: Option<&'a str>) -> Event<'a> {
        let Access { head, claim, .. } = &*self.access;
        let now_ms = self.engine.clock().now_ms();
        let (allowed, parameters) = {
            let progress = self.progress();
            (progress.decided, Value::Object(progress.shown.clone()))
        };
        Event {
            name: self.name,
            request_id: head.extensions.get::<RequestId>().map_or("", |id| id.0.as_str()),
            head,
            claim: claim.as_ref(),
            bucket: &self.bucket,
            owner,
            allowed,
            parameters,
            arrived_ms: head.extensions.get::<Arrived>().map_or(now_ms, |Arrived(at)| *at),
            now_ms,
        }
    }

    /// Writes the call down, if it may change something and has been decided; once.
    ///
    /// # Errors
    /// `ServiceUnavailable` when it cannot be written, `SlowDown` when too many are under way: it must not be done.
    async fn begin(&self) -> Result<(), ApiError> {
        let due = {
            let progress = self.progress();
            progress.decided && !progress.begun
        };
        if !due || names::only_looks(self.operation) {
            return Ok(());
        }
        let place = self.calls.enter()?;
        let owner = self.owner(false);
        self.identity().begin(&self.event(owner.as_deref())).await?;
        {
            let mut progress = self.progress();
            (progress.begun, progress.place) = (true, Some(place));
        }
        self.engine.faults().point("walrus.managed.begun").await.map_err(ApiError::internal)
    }

    /// Notes the body, once it is read; what it asks for is about to be done.
    ///
    /// # Errors
    /// As [`Audit::begin`].
    pub(crate) async fn read(&self, body: &[u8]) -> Result<(), ApiError> {
        if let Some((name, value)) = parameters::of_body(self.operation, body) {
            self.progress().shown.insert(name.to_owned(), value);
        }
        self.begin().await
    }

    async fn run(&self, call: Call) -> Result<Reply, ApiError> {
        let outcome = self.done(call).await;
        // A place to be killed at, as the next is; failing here is the disk's affair.
        let faults = self.engine.faults();
        if faults.point("walrus.managed.done").await.is_ok() {
            let owner = self.owner(outcome.is_ok());
            let begun = self.progress().begun;
            self.identity().record(&self.event(owner.as_deref()), begun, outcome.as_ref().err()).await;
        }
        faults.point("walrus.managed.recorded").await.map_err(ApiError::internal)?;
        outcome
    }

    async fn done(&self, mut call: Call) -> Result<Reply, ApiError> {
        let decided = call.authorize().await;
        {
            let mut progress = self.progress();
            progress.decided = decided.is_ok();
            progress.owner = call.held.first().map(|bucket| bucket.account.clone());
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
    let (done, replied) = oneshot::channel();
    scope.spawn(async move {
        let outcome = audit.run(call).await;
        // Its caller may be gone.
        drop(done.send(outcome));
    });
    replied.await.unwrap_or_else(|_| Err(ApiError::internal("the call was cut off")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_until_there_are_none() {
        let calls = Calls::default();
        let mut held: Vec<_> = (0..CALLS_MAX).map(|_| calls.enter().unwrap()).collect();
        assert_eq!(calls.enter().map_err(|error| error.code()).map(drop), Err(Code::SlowDown));
        drop(held.pop());
        drop(calls.enter().unwrap());
    }
}
