//! Hands the hypervisor's events to the instances they concern, and has everything looked at now and then, so that a
//! lost event is not lost for good.

use crate::hypervisor::DomainEvent;
use crate::node::Node;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// A driver whose events have ended is subscribed to again after this long.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn run(node: Arc<Node>, mut events: Receiver<DomainEvent>) {
    let shutdown = node.shutdown().clone();
    let period = node.context().settings.look_period;
    let mut slow = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    let mut heard = node.context().drivers.held.subscribe_heard();
    loop {
        tokio::select! {
            () = shutdown.stopped() => return,
            _ = slow.tick() => node.look(None),
            // The sender lives as long as the node; what was missed is heard again.
            guest = heard.recv() => if let Ok(id) = guest { node.heard(&id) },
            event = events.recv() => match event {
                Ok(DomainEvent::Changed(id)) => node.look(Some(&id)),
                Ok(DomainEvent::Rebooted(id)) => node.rebooted(&id),
                Ok(DomainEvent::Resync) | Err(RecvError::Lagged(_)) => node.look(None),
                Err(RecvError::Closed) => {
                    tokio::time::sleep(RESUBSCRIBE_AFTER).await;
                    events = node.context().drivers.hypervisor.subscribe();
                    node.look(None);
                }
            },
        }
    }
}
