//! What the node sends in a session: observations as they are made, the network as it is applied, answers, heartbeats.

use crate::context::NetState;
use crate::node::Node;
use mallee_proto::v1::node_to_cluster::Message as Report;
use mallee_proto::v1::{Cursor, Heartbeat, NetworkApplied, NodeObserved, NodeToCluster, Welcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Observations in one message.
const OBSERVATIONS_PER_MESSAGE_MAX: usize = 500;
/// The instances of the ledger get this long to be looked at before the report counts as complete without them.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// Everything is reported again this often, so that a lost message is not lost for good.
const RESEND_PERIOD: Duration = Duration::from_secs(10 * 60);
/// Used when the cluster names no period.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(5);

pub(crate) struct Outbox {
    node: Arc<Node>,
    out: mpsc::Sender<NodeToCluster>,
    answers: mpsc::Receiver<Report>,
    sent_to: u64,
    complete: bool,
    heartbeat: Duration,
}

impl Outbox {
    pub fn new(
        node: Arc<Node>,
        welcome: &Welcome,
        out: mpsc::Sender<NodeToCluster>,
        answers: mpsc::Receiver<Report>,
    ) -> Self {
        let known = |cursor: &&Cursor| node.context().journal(|journal| journal.boot() == cursor.boot);
        let sent_to = welcome.observed.as_ref().filter(known).map_or(0, |cursor| cursor.seq);
        let heartbeat = match welcome.heartbeat_ms {
            0 => HEARTBEAT_DEFAULT,
            ms => Duration::from_millis(ms),
        };
        Self { node, out, answers, sent_to, complete: false, heartbeat }
    }

    /// Runs until the session is over; `broken` is dropped then.
    pub async fn run(mut self, broken: oneshot::Sender<()>) {
        let ended = self.pump().await;
        drop((ended, broken));
    }

    /// `None`: the session is over.
    async fn pump(&mut self) -> Option<()> {
        let context = Arc::clone(self.node.context());
        let mut journal = context.journal_seq.subscribe();
        let mut net = context.net.subscribe();
        let mut unsettled = context.unsettled.subscribe();
        let settle_by = Instant::now() + SETTLE_MAX;
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut resend = tokio::time::interval_at(Instant::now() + RESEND_PERIOD, RESEND_PERIOD);
        net.mark_changed();
        loop {
            journal.mark_unchanged();
            self.send_observations().await?;
            if !self.complete && (*unsettled.borrow_and_update() == 0 || Instant::now() >= settle_by) {
                // What settled the last one may have been observed after the reports above.
                self.send_observations().await?;
                self.send(Report::ResyncEnd(self.cursor(self.sent_to))).await?;
                self.complete = true;
            }
            tokio::select! {
                biased;
                changed = journal.changed() => changed.ok()?,
                changed = net.changed() => {
                    changed.ok()?;
                    let state = Arc::clone(&net.borrow_and_update());
                    self.send_network(&state).await?;
                }
                report = self.answers.recv() => self.send(report?).await?,
                changed = unsettled.changed(), if !self.complete => changed.ok()?,
                () = tokio::time::sleep_until(settle_by), if !self.complete => {}
                _ = heartbeat.tick() => {
                    let cached_images = context.drivers.images.held().await;
                    let sent_at_ms = context.clock.now_ms();
                    self.send(Report::Heartbeat(Heartbeat { sent_at_ms, cached_images })).await?;
                }
                _ = resend.tick() => self.sent_to = 0,
            }
        }
    }

    async fn send(&self, report: Report) -> Option<()> {
        self.out.send(NodeToCluster { message: Some(report) }).await.ok()
    }

    fn cursor(&self, seq: u64) -> Cursor {
        Cursor { boot: self.node.context().journal(|journal| journal.boot().to_owned()), seq }
    }

    async fn send_observations(&mut self) -> Option<()> {
        loop {
            let (last, instances) = self
                .node
                .context()
                .journal(|journal| journal.since(journal.boot(), self.sent_to, OBSERVATIONS_PER_MESSAGE_MAX));
            self.sent_to = last;
            if instances.is_empty() {
                return Some(());
            }
            let cursor = Some(self.cursor(last));
            self.send(Report::Observed(NodeObserved { cursor, instances })).await?;
        }
    }

    async fn send_network(&self, state: &NetState) -> Option<()> {
        let Some(view) = &state.view else { return Some(()) };
        self.send(Report::Network(NetworkApplied {
            epoch: view.epoch,
            generation: view.generation,
            hash: state.hash.to_vec(),
            port_errors: state.waiting.clone().into_iter().chain(state.errors.clone()).collect(),
        }))
        .await
    }
}
