//! Definitions: what the steps of a workflow are.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// It cannot succeed: undo the workflow.
    #[error("{0}")]
    Failed(String),
    /// It may succeed later: try again until the workflow's deadline.
    #[error("{0}")]
    Transient(String),
}

impl StepError {
    /// The step cannot succeed.
    #[must_use]
    pub fn failed(why: impl std::fmt::Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// The step may succeed later.
    #[must_use]
    pub fn transient(why: impl std::fmt::Display) -> Self {
        Self::Transient(why.to_string())
    }
}

impl From<mallee_store::StoreError> for StepError {
    fn from(error: mallee_store::StoreError) -> Self {
        if error.is_retryable() { Self::transient(error) } else { Self::failed(error) }
    }
}

impl From<mallee_runtime::FaultError> for StepError {
    fn from(error: mallee_runtime::FaultError) -> Self {
        Self::failed(error)
    }
}

/// Outputs of the steps that are done, by the step's name.
pub(crate) type Outputs = BTreeMap<String, Value>;

/// What an action or undo is given, before its parameters are read.
#[derive(Debug, Clone)]
pub(crate) struct RawContext {
    pub(crate) saga_id: Arc<str>,
    pub(crate) params: Arc<str>,
    pub(crate) outputs: Arc<Outputs>,
}

/// What an action or undo is given.
#[derive(Debug, Clone)]
pub struct StepContext<P> {
    params: P,
    raw: RawContext,
}

impl<P> StepContext<P> {
    /// The workflow's id: the same in every repetition, so fit to derive names and tokens from.
    #[must_use]
    pub fn saga_id(&self) -> &str {
        &self.raw.saga_id
    }

    /// The parameters it was started with.
    #[must_use]
    pub const fn params(&self) -> &P {
        &self.params
    }

    /// The output of a step that is done; `None` if it is not (in the undo of the step that failed).
    ///
    /// # Errors
    /// [`StepError::Failed`] when the output is of another type.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<Option<T>, StepError> {
        let Some(value) = self.raw.outputs.get(step) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|e| StepError::failed(format_args!("output of step {step}: {e}")))
    }

    /// The output of an earlier step, which an action may count on.
    ///
    /// # Errors
    /// [`StepError::Failed`] when the step is not done or its output is of another type.
    pub fn need<T: DeserializeOwned>(&self, step: &str) -> Result<T, StepError> {
        self.output(step)?.ok_or_else(|| StepError::failed(format_args!("step {step} has no output")))
    }
}

type Action = Box<dyn Fn(RawContext) -> BoxFuture<'static, Result<Value, StepError>> + Send + Sync>;

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    pub(crate) undo: Action,
}

/// A workflow under construction: its name, version, deadline and steps.
pub struct SagaDef<P> {
    name: &'static str,
    version: u32,
    timeout: Duration,
    steps: Vec<Step>,
    params: PhantomData<fn() -> P>,
}

impl<P> std::fmt::Debug for SagaDef<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SagaDef({} v{}, {} steps)", self.name, self.version, self.steps.len())
    }
}

fn erase<P, O, F, Fut>(work: F) -> Action
where
    P: DeserializeOwned + Send + 'static,
    O: Serialize,
    F: Fn(StepContext<P>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, StepError>> + Send + 'static,
{
    Box::new(move |raw| {
        let params = match serde_json::from_str(&raw.params) {
            Ok(params) => params,
            Err(error) => {
                return std::future::ready(Err(StepError::failed(format_args!("the parameters: {error}")))).boxed();
            }
        };
        let working = work(StepContext { params, raw });
        async move { serde_json::to_value(working.await?).map_err(StepError::failed) }.boxed()
    })
}

impl<P: Serialize + DeserializeOwned + Send + 'static> SagaDef<P> {
    /// A workflow without steps. A change of steps is a new version; keep the old one registered while any may run.
    /// Once `timeout` has passed since the start no further step begins, and what was done is undone.
    #[must_use]
    pub fn new(name: &'static str, version: u32, timeout: Duration) -> Self {
        Self { name, version, timeout, steps: Vec::new(), params: PhantomData }
    }

    /// Appends a step. Names are unique in the workflow.
    #[must_use]
    pub fn step<O, A, AF, U, UF>(mut self, name: &'static str, action: A, undo: U) -> Self
    where
        O: Serialize,
        A: Fn(StepContext<P>) -> AF + Send + Sync + 'static,
        AF: Future<Output = Result<O, StepError>> + Send + 'static,
        U: Fn(StepContext<P>) -> UF + Send + Sync + 'static,
        UF: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        debug_assert!(self.steps.iter().all(|step| step.name != name), "two steps are named {name}");
        self.steps.push(Step { name, action: erase(action), undo: erase(undo) });
        self
    }
}

pub(crate) struct Erased {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) timeout: Duration,
    pub(crate) steps: Vec<Step>,
}

/// A registered workflow, by which it is started with parameters of its type.
pub struct SagaType<P> {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    params: PhantomData<fn() -> P>,
}

impl<P> Clone for SagaType<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for SagaType<P> {}
impl<P> std::fmt::Debug for SagaType<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} v{}", self.name, self.version)
    }
}

/// Every workflow this build knows.
#[derive(Default)]
pub struct Registry(BTreeMap<(&'static str, u32), Arc<Erased>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a workflow.
    pub fn register<P>(&mut self, def: SagaDef<P>) -> SagaType<P> {
        let (name, version) = (def.name, def.version);
        let erased = Erased { name, version, timeout: def.timeout, steps: def.steps };
        self.0.insert((name, version), Arc::new(erased));
        SagaType { name, version, params: PhantomData }
    }

    /// The names of a workflow's steps, in order; none if it is not registered.
    #[must_use]
    pub fn step_names<P>(&self, saga: SagaType<P>) -> Vec<&'static str> {
        self.find(saga.name, saga.version).map_or_else(Vec::new, |def| def.steps.iter().map(|step| step.name).collect())
    }

    pub(crate) fn find(&self, name: &str, version: u32) -> Option<Arc<Erased>> {
        self.0.iter().find(|((n, v), _)| *n == name && *v == version).map(|(_, erased)| Arc::clone(erased))
    }
}
