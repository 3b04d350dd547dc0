//! The node's view of the network: taken in order, recorded, then applied; the newest only.

use crate::context::NetState;
use crate::node::Node;
use mallee_proto::v1::{NodeView, NodeViewUpdate};
use mallee_proto::view::{self, Mismatch, Parts};
use mallee_runtime::Backoff;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// At the start guests and sessions wait this long for the last view; a broken network must not keep them for ever.
const FIRST_APPLY_MAX: Duration = Duration::from_secs(30);
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// Drift of the host is mended this often by applying the view again.
const REAPPLY_PERIOD: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
struct Wanted {
    view: Option<Arc<NodeView>>,
    /// Of an update that is on its way in several messages.
    parts: Parts,
    hash: [u8; 32],
    recorded: bool,
}

/// The newest view taken. What is applied stands in the context.
#[derive(Debug, Default)]
pub(crate) struct Views {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

impl Views {
    pub fn new(recorded: Option<NodeView>) -> Self {
        let hash = recorded.as_ref().map(view::hash).unwrap_or_default();
        let wanted =
            Wanted { recorded: recorded.is_some(), hash, view: recorded.map(Arc::new), parts: Parts::default() };
        Self { wanted: Mutex::new(wanted), changed: Notify::new() }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Wanted) -> T) -> T {
        f(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn newest(&self) -> Option<Arc<NodeView>> {
        self.with(|wanted| wanted.view.clone())
    }

    /// Takes an update if it is newer than what is held, of one in parts nothing before the last. A stale one is ignored;
    /// one that does not fit is an error, and the view must be asked for whole.
    pub fn take(&self, update: NodeViewUpdate) -> Result<(), Mismatch> {
        self.with(|wanted| {
            let empty = NodeView::default();
            let held = wanted.view.as_deref().unwrap_or(&empty);
            if (update.epoch, update.generation) <= (held.epoch, held.generation) {
                return Ok(());
            }
            let Some(update) = wanted.parts.take(update)? else { return Ok(()) };
            let next = view::apply(held, &update)?;
            // `apply` has found the view to hash to just this.
            let hash = update.hash.as_slice().try_into().unwrap_or_else(|_| view::hash(&next));
            *wanted = Wanted { view: Some(Arc::new(next)), hash, recorded: false, parts: Parts::default() };
            Ok(())
        })?;
        self.changed.notify_one();
        Ok(())
    }
}

/// Applies the recorded view once, before anything else; a failure is mended by [`run`].
pub(crate) async fn apply_first(node: &Node) {
    if node.views.newest().is_none() {
        return;
    }
    match tokio::time::timeout(FIRST_APPLY_MAX, converge(node)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(node = %node.context().host, error, "network not applied; trying on"),
        Err(_) => tracing::warn!(node = %node.context().host, "network not applied in time; going on without"),
    }
}

pub(crate) async fn run(node: Arc<Node>) {
    let shutdown = node.shutdown().clone();
    let mut backoff = Backoff::new(RETRY.0, RETRY.1, node.context().rng.clone());
    let mut due = is_behind(&node);
    loop {
        let wait = if due {
            match converge(&node).await {
                Ok(true) => {
                    backoff.reset();
                    REAPPLY_PERIOD
                }
                // What did not stand is tried again soon; the reasons are with the instances.
                Ok(false) => backoff.next_delay(),
                Err(error) => {
                    tracing::warn!(node = %node.context().host, error, "network not applied; trying again");
                    backoff.next_delay()
                }
            }
        } else {
            REAPPLY_PERIOD
        };
        tokio::select! {
            () = shutdown.stopped() => return,
            () = node.views.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        due = node.views.newest().is_some();
    }
}

fn is_behind(node: &Node) -> bool {
    let applied = node.context().net.borrow().view.clone();
    node.views.newest() != applied
}

/// Records the newest view, then applies it. True: all of it stands.
async fn converge(node: &Node) -> Result<bool, String> {
    let context = node.context();
    let wanted = node.views.with(|wanted| wanted.view.clone().map(|view| (view, wanted.hash, wanted.recorded)));
    let Some((view, hash, recorded)) = wanted else {
        return Ok(true);
    };
    if !recorded {
        context.faults.point("node.view.record").await.map_err(|e| e.to_string())?;
        context.ledger.save_view(Arc::clone(&view)).await.map_err(|e| e.to_string())?;
        node.views.with(|wanted| {
            if wanted.view.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, &view)) {
                wanted.recorded = true;
            }
        });
        context.faults.point("node.view.record.done").await.map_err(|e| e.to_string())?;
    }
    context.faults.point("node.view.apply").await.map_err(|e| e.to_string())?;
    let limit = context.settings.step_timeout;
    let applied = tokio::time::timeout(limit, context.drivers.network.apply(Arc::clone(&view))).await;
    let applied = applied.map_err(|_| format!("no answer within {} s", limit.as_secs()))?.map_err(|e| e.to_string())?;
    context.faults.point("node.view.apply.done").await.map_err(|e| e.to_string())?;
    let ports = view.vpcs.iter().flat_map(|vpc| &vpc.ports).map(|port| (port.interface_id.clone(), port.clone()));
    let (errors, waiting) = (applied.port_errors, applied.waiting);
    let state = NetState { hash, ports: ports.collect(), errors, waiting, view: Some(view) };
    let whole = state.errors.is_empty() && state.waiting.is_empty();
    context.net.send_if_modified(|board| {
        let reasons = board.errors == state.errors && board.waiting == state.waiting;
        let same = board.hash == state.hash && reasons && board.view.is_some();
        *board = Arc::new(state);
        !same
    });
    Ok(whole)
}
