//! The node's side of the session with its cluster controller: dial, say hello, take orders, send observations the
//! moment they are made, dial again when anything breaks.
//!
//! A controller of an older epoch than the node has served is refused. Observations are resumed from where the cluster
//! says it is, and sent whole now and then.

use crate::node::Node;
use crate::outbox::Outbox;
use crate::{answers, inventory};
use async_trait::async_trait;
use mallee_proto::v1::cluster_to_node::Message as Order;
use mallee_proto::v1::node_gateway_client::NodeGatewayClient;
use mallee_proto::v1::node_to_cluster::Message as Report;
use mallee_proto::v1::{Capacity, ClusterToNode, NodeHello, NodeInventoryReply, NodeToCluster, ViewMismatch, Welcome};
use mallee_runtime::Backoff;
use mallee_types::limits::GRPC_MESSAGE_BYTES_MAX;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// Messages on their way out; more than this and the sender waits.
const OUT_MAX: usize = 64;
/// Questions (console, inventory) answered at once; more are refused.
const QUESTIONS_MAX: usize = 32;
/// Dialling, the first answer and the welcome may each take this long.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// A cluster that sends heartbeats and misses this many is gone.
const HEARTBEATS_MISSED_MAX: u32 = 4;
/// A session that held this long was a good one: the next dial is at once.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// A controller could not be reached; the text names where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub String);

/// Reaches the cluster controller (or Walrus): over TCP, mTLS, or in memory.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// A fresh connection.
    async fn connect(&self) -> Result<Channel, ConnectError>;
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot reach the cluster controller: {0}")]
    Connect(#[from] ConnectError),
    #[error("the cluster controller does not answer")]
    Silent,
    #[error("the cluster controller ended the session: {0}")]
    Refused(String),
    #[error("the cluster controller ended the session")]
    Closed,
    #[error("a controller of epoch {offered} was refused: epoch {held} has been served")]
    OldEpoch { offered: u64, held: u64 },
    #[error("epoch not recorded: {0}")]
    Ledger(#[from] std::io::Error),
    #[error("hypervisor: {0}")]
    Hypervisor(#[from] crate::hypervisor::HypervisorError),
    #[error(transparent)]
    Fault(#[from] mallee_runtime::FaultError),
    #[error("answers are not taken fast enough")]
    Congested,
}

/// Keeps one session open until the node stops.
pub(crate) async fn run(node: Arc<Node>, connector: Arc<dyn Connector>) {
    let shutdown = node.shutdown().clone();
    let context = Arc::clone(node.context());
    let (first, most) = context.settings.reconnect;
    let mut backoff = Backoff::new(first, most, context.rng.clone());
    let mut complained = false;
    while !shutdown.is_stopped() {
        let began = tokio::time::Instant::now();
        let ended = tokio::select! {
            () = shutdown.stopped() => return,
            ended = once(&node, &*connector) => ended,
        };
        let Err(error) = ended;
        if began.elapsed() >= GOOD_SESSION {
            backoff.reset();
            complained = false;
        }
        // One line per outage, not one per dial.
        if complained {
            tracing::debug!(node = %context.host, %error, "no session with the cluster controller; dialling again");
        } else {
            tracing::warn!(node = %context.host, %error, "no session with the cluster controller; dialling again, instances run on");
            complained = true;
        }
        tokio::select! {
            () = shutdown.stopped() => return,
            () = backoff.wait() => {}
        }
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Ended> {
    tokio::time::timeout(limit, work).await.map_err(|_| Ended::Silent)
}

async fn once(node: &Arc<Node>, connector: &dyn Connector) -> Result<std::convert::Infallible, Ended> {
    node.context().faults.point("node.session.connect").await?;
    let channel = in_time(HANDSHAKE_MAX, connector.connect()).await??;
    let hello = hello(node).await?;
    let mut client = NodeGatewayClient::new(channel)
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX);
    let (out, sending) = mpsc::channel::<NodeToCluster>(OUT_MAX);
    let first = NodeToCluster { message: Some(Report::Hello(hello)) };
    out.try_send(first).map_err(|_| Ended::Congested)?;
    let answer = in_time(HANDSHAKE_MAX, client.session(ReceiverStream::new(sending))).await?;
    let mut orders = answer.map_err(|status| Ended::Refused(status.message().to_owned()))?.into_inner();
    let welcome = in_time(HANDSHAKE_MAX, first_order(&mut orders)).await??;
    enter(node, &welcome).await?;
    node.context().faults.point("node.session.welcome").await?;
    tracing::info!(node = %node.context().host, epoch = welcome.epoch, "session with the cluster controller");
    let (answers, outgoing_answers) = mpsc::channel(OUT_MAX);
    let (broken, on_break) = oneshot::channel();
    let outbox = Outbox::new(Arc::clone(node), &welcome, out, outgoing_answers);
    let questions = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let patience = Duration::from_millis(welcome.heartbeat_ms.max(1)) * HEARTBEATS_MISSED_MAX;
    let sweep_grace = Duration::from_millis(welcome.sweep_grace_ms);
    let inbox = Inbox { node, patience, sweep_grace, answers, questions, heard_heartbeat: false };
    tokio::select! {
        ended = inbox.run(&mut orders) => ended,
        () = outbox.run(broken) => Err(Ended::Closed),
        _ = on_break => Err(Ended::Closed),
    }
}

/// Takes the epoch of a welcome: the first of a session, or a later one that says that the cloud has a new leader.
/// Nothing else of the session changes by it.
async fn enter(node: &Node, welcome: &Welcome) -> Result<(), Ended> {
    let held = node.epoch();
    if welcome.epoch < held {
        return Err(Ended::OldEpoch { offered: welcome.epoch, held });
    }
    if welcome.epoch > held {
        node.enter_epoch(welcome.epoch).await?;
    }
    Ok(())
}

async fn first_order(orders: &mut Streaming<ClusterToNode>) -> Result<Welcome, Ended> {
    match orders.next().await {
        Some(Ok(ClusterToNode { message: Some(Order::Welcome(welcome)) })) => Ok(welcome),
        Some(Ok(_)) => Err(Ended::Refused("the first message is no welcome".to_owned())),
        Some(Err(status)) => Err(Ended::Refused(status.message().to_owned())),
        None => Err(Ended::Closed),
    }
}

async fn hello(node: &Node) -> Result<NodeHello, Ended> {
    let context = node.context();
    let facts = context.drivers.hypervisor.facts().await?;
    let mut warnings = facts.warnings;
    warnings.extend(node.quarantined.iter().map(|file| format!("unreadable file of the ledger put aside: {file}")));
    let view = node.views.newest();
    let hash = view.as_deref().map(mallee_proto::view::hash).map_or_else(Vec::new, |hash| hash.to_vec());
    Ok(NodeHello {
        node_id: context.host.to_string(),
        boot: context.journal(|journal| journal.boot().to_owned()),
        capacity: Some(Capacity { vcpus: facts.vcpus, memory_mib: facts.memory_mib, disk_bytes: facts.disk_bytes }),
        hypervisor: facts.description,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        vtep: context.settings.vtep.clone(),
        warnings,
        view_epoch: view.as_ref().map_or(0, |view| view.epoch),
        view_generation: view.as_ref().map_or(0, |view| view.generation),
        view_hash: hash,
        epoch: node.epoch(),
        view_format: mallee_proto::view::FORMAT,
    })
}

struct Inbox<'a> {
    node: &'a Arc<Node>,
    /// After this long without a heartbeat the cluster is gone.
    patience: Duration,
    /// As the newest welcome has it.
    sweep_grace: Duration,
    answers: mpsc::Sender<Report>,
    questions: Arc<Semaphore>,
    heard_heartbeat: bool,
}

impl Inbox<'_> {
    async fn run(mut self, orders: &mut Streaming<ClusterToNode>) -> Result<std::convert::Infallible, Ended> {
        loop {
            let next =
                if self.heard_heartbeat { in_time(self.patience, orders.next()).await? } else { orders.next().await };
            match next {
                Some(Ok(ClusterToNode { message: Some(Order::Welcome(welcome)) })) => {
                    enter(self.node, &welcome).await?;
                    self.sweep_grace = Duration::from_millis(welcome.sweep_grace_ms);
                }
                Some(Ok(ClusterToNode { message: Some(order) })) => self.take(order)?,
                // A message of a newer cluster that this node does not know.
                Some(Ok(ClusterToNode { message: None })) => {}
                Some(Err(status)) => return Err(Ended::Refused(status.message().to_owned())),
                None => return Err(Ended::Closed),
            }
        }
    }

    fn take(&mut self, order: Order) -> Result<(), Ended> {
        match order {
            // Taken above: it is written to the ledger.
            Order::Welcome(_) => {}
            Order::Instance(intent) => self.node.order(intent),
            Order::Forget(forget) => self.node.forget(&forget.id, forget.generation),
            Order::DesiredEnd(end) => {
                self.node.desired_end(&end.instance_ids, self.sweep_grace);
            }
            Order::View(update) => {
                let generation = update.generation;
                if update.epoch < self.node.epoch() {
                    tracing::warn!(node = %self.node.context().host, epoch = update.epoch, "view of an older epoch ignored");
                } else if let Err(error) = self.node.views.take(update) {
                    tracing::warn!(node = %self.node.context().host, %error, "asking for the view of the network whole");
                    self.answer(Report::ViewMismatch(ViewMismatch { generation }))?;
                }
            }
            Order::Console(request) => match self.question() {
                Some(turn) => {
                    self.later(turn, |node| async move { Report::Console(inventory::console(&node, request).await) })
                }
                None => self.answer(Report::Console(inventory::busy(self.node, request)))?,
            },
            Order::Ask(ask) => match self.question() {
                Some(turn) => self.later(turn, |node| async move { Report::Answer(answers::answer(&node, ask).await) }),
                None => self.answer(Report::Answer(answers::busy(self.node, ask)))?,
            },
            Order::Inventory(request) => match self.question() {
                Some(turn) => self
                    .later(turn, |node| async move { Report::Inventory(inventory::inventory(&node, request).await) }),
                None => {
                    let reply = NodeInventoryReply { request_id: request.request_id, inventory: None };
                    self.answer(Report::Inventory(reply))?;
                }
            },
            Order::Heartbeat(_) => self.heard_heartbeat = true,
        }
        Ok(())
    }

    fn answer(&self, report: Report) -> Result<(), Ended> {
        self.answers.try_send(report).map_err(|_| Ended::Congested)
    }

    fn question(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.questions).try_acquire_owned().ok()
    }

    /// Questions are answered beside the orders, not before them.
    fn later<F>(&self, turn: OwnedSemaphorePermit, work: impl FnOnce(Arc<Node>) -> F)
    where
        F: Future<Output = Report> + Send + 'static,
    {
        let answers = self.answers.clone();
        let work = work(Arc::clone(self.node));
        self.node.spawn(async move {
            // The session may be over by then; its successor does not know the question.
            drop((answers.send(work.await).await, turn));
        });
    }
}
