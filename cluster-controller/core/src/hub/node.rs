//! The service nodes dial.

use super::Hub;
use crate::peer::{Peer, PeerIdentity, PeerRole, require};
use crate::settings::limits::HELLO_DEADLINE;
use mallee_proto::v1::node_gateway_server::NodeGateway;
use mallee_proto::v1::node_to_cluster::Message;
use mallee_proto::v1::{ClusterToNode, NodeHello, NodeToCluster};
use mallee_proto::{Kind, WireError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

type Out = mpsc::Sender<Result<ClusterToNode, Status>>;

/// [`NodeGateway`] over a [`Hub`].
#[derive(Clone)]
pub struct NodeFacing {
    hub: Arc<Hub>,
    identity: PeerIdentity,
}

impl std::fmt::Debug for NodeFacing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeFacing").finish_non_exhaustive()
    }
}

impl NodeFacing {
    /// The service; `identity` reads the caller from a request.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, identity: PeerIdentity) -> Self {
        Self { hub, identity }
    }
}

#[tonic::async_trait]
impl NodeGateway for NodeFacing {
    type SessionStream = ReceiverStream<Result<ClusterToNode, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<NodeToCluster>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let peer = require(&self.identity, request.extensions(), PeerRole::Node)?;
        let (hub, inbound) = (Arc::clone(&self.hub), request.into_inner());
        Ok(Response::new(self.hub.open_session(move |out| run(hub, peer, inbound, out))))
    }
}

async fn run(hub: Arc<Hub>, peer: Peer, mut inbound: Streaming<NodeToCluster>, out: Out) -> Result<(), WireError> {
    let hello = first(&mut inbound).await?;
    if hello.node_id != peer.id {
        let text = format!("{} may only speak for itself, not for node {}", peer.id, hello.node_id);
        return Err(WireError::new(Kind::Forbidden, text));
    }
    hub.point("cluster.node.hello").await?;
    let (index, session) = hub.with(|state, now| state.node_hello(hello, now))?;
    let waker = hub.node_waker(index);
    let patience = hub.with(|state, _| state.settings().offline_after);
    let sending =
        hub.send_pulled(&out, &waker, patience, "cluster.node.send", |state, now| state.pull_node(index, session, now));
    let result = tokio::select! {
        result = sending => result,
        result = listen(&hub, &peer, &mut inbound, index, session) => result,
    };
    hub.with(|state, _| state.node_ended(index, session));
    hub.drop_questions(index);
    // The session that took over may have been woken in this one's stead.
    waker.notify_one();
    result
}

async fn first(inbound: &mut Streaming<NodeToCluster>) -> Result<NodeHello, WireError> {
    match tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await {
        Ok(Ok(Some(NodeToCluster { message: Some(Message::Hello(hello)) }))) => Ok(hello),
        Ok(Ok(_)) => Err(WireError::new(Kind::Invalid, "a session of a node begins with its hello")),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(WireError::new(Kind::Unavailable, "the node did not say hello in time")),
    }
}

async fn listen(
    hub: &Hub,
    peer: &Peer,
    inbound: &mut Streaming<NodeToCluster>,
    index: usize,
    session: u64,
) -> Result<(), WireError> {
    while let Some(NodeToCluster { message }) = inbound.message().await? {
        match message {
            Some(Message::Observed(batch)) => {
                hub.point("cluster.observe").await?;
                hub.with(|state, now| state.node_observed(index, session, batch, now))?;
                hub.point("cluster.observe.done").await?;
            }
            Some(Message::ResyncEnd(_)) => {
                hub.point("cluster.node.resync").await?;
                hub.with(|state, now| state.node_resynced(index, session, now))?;
            }
            Some(Message::Network(applied)) => {
                hub.with(|state, now| state.node_applied(index, session, applied, now))?;
            }
            Some(Message::ViewMismatch(_)) => {
                hub.with(|state, now| state.node_view_mismatch(index, session, now))?;
            }
            Some(Message::Heartbeat(beat)) => {
                hub.with(|state, now| state.node_heartbeat(index, session, beat, now))?;
            }
            Some(Message::Console(reply)) => hub.console_answer(index, reply),
            Some(Message::Answer(reply)) => hub.ask_answer(index, reply),
            Some(Message::Inventory(reply)) => hub.inventory_answer(index, &peer.id, reply),
            Some(Message::Hello(_)) => {
                return Err(WireError::new(Kind::Invalid, "a node says hello once in a session"));
            }
            // Of a later version: what is not known cannot be needed.
            None => {}
        }
    }
    Ok(())
}
