//! The service the leading cloud controller calls.

use super::Hub;
use crate::peer::{PeerIdentity, PeerRole, require};
use crate::settings::limits::{HEAR_DEADLINE, HEAR_LOOK, HELLO_DEADLINE};
use mallee_proto::v1::cloud_to_cluster::Message;
use mallee_proto::v1::cluster_server::Cluster;
use mallee_proto::v1::{
    AskInstanceReply, AskInstanceRequest, CloudHello, CloudToCluster, ClusterStatusReply, ClusterStatusRequest,
    ClusterToCloud, ConsoleOutputReply, ConsoleOutputRequest, ExplainReply, ExplainRequest, InventoryReply,
    InventoryRequest, PlaceReply, PlaceRequest, UnplaceReply, UnplaceRequest,
};
use mallee_proto::{Kind, WireError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Extensions, Request, Response, Status, Streaming};

type Out = mpsc::Sender<Result<ClusterToCloud, Status>>;

/// [`Cluster`] over a [`Hub`].
#[derive(Clone)]
pub struct CloudFacing {
    hub: Arc<Hub>,
    identity: PeerIdentity,
}

impl std::fmt::Debug for CloudFacing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudFacing").finish_non_exhaustive()
    }
}

impl CloudFacing {
    /// The service; `identity` reads the caller from a request.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, identity: PeerIdentity) -> Self {
        Self { hub, identity }
    }

    fn cloud_only(&self, extensions: &Extensions) -> Result<(), WireError> {
        require(&self.identity, extensions, PeerRole::Cloud).map(drop)
    }
}

#[tonic::async_trait]
impl Cluster for CloudFacing {
    type SessionStream = ReceiverStream<Result<ClusterToCloud, Status>>;

    async fn place(&self, request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        self.cloud_only(request.extensions())?;
        let work = async {
            self.hub.point("cluster.place").await?;
            let request = request.into_inner();
            // What the request builds on may be on its way: it was committed before, and goes down another stream.
            let deadline = Instant::now() + HEAR_DEADLINE;
            while self.hub.with(|state, _| state.is_behind(&request)) && Instant::now() < deadline {
                tokio::time::sleep(HEAR_LOOK).await;
            }
            let reply = self.hub.with(|state, now| state.place(request, now))?;
            self.hub.point("cluster.place.done").await?;
            Ok(reply)
        };
        self.hub.call(work).await
    }

    async fn unplace(&self, request: Request<UnplaceRequest>) -> Result<Response<UnplaceReply>, Status> {
        self.cloud_only(request.extensions())?;
        let work = async {
            self.hub.point("cluster.unplace").await?;
            self.hub.with(|state, _| state.unplace(request.get_ref()))?;
            self.hub.point("cluster.unplace.done").await?;
            Ok(UnplaceReply {})
        };
        self.hub.call(work).await
    }

    async fn session(
        &self,
        request: Request<Streaming<CloudToCluster>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.cloud_only(request.extensions())?;
        let (hub, inbound) = (Arc::clone(&self.hub), request.into_inner());
        Ok(Response::new(self.hub.open_session(move |out| run(hub, inbound, out))))
    }

    async fn console_output(
        &self,
        request: Request<ConsoleOutputRequest>,
    ) -> Result<Response<ConsoleOutputReply>, Status> {
        self.cloud_only(request.extensions())?;
        self.hub.call(self.hub.console_output(request.into_inner())).await
    }

    async fn ask_instance(&self, request: Request<AskInstanceRequest>) -> Result<Response<AskInstanceReply>, Status> {
        self.cloud_only(request.extensions())?;
        self.hub.call(self.hub.ask_instance(request.into_inner())).await
    }

    async fn status(&self, request: Request<ClusterStatusRequest>) -> Result<Response<ClusterStatusReply>, Status> {
        self.cloud_only(request.extensions())?;
        self.hub.call(async { Ok(self.hub.with(|state, _| state.status())) }).await
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainReply>, Status> {
        self.cloud_only(request.extensions())?;
        self.hub.call(async { self.hub.with(|state, _| state.explain(&request.get_ref().instance_id)) }).await
    }

    async fn inventory(&self, request: Request<InventoryRequest>) -> Result<Response<InventoryReply>, Status> {
        self.cloud_only(request.extensions())?;
        self.hub.call(self.hub.inventory()).await
    }
}

async fn run(hub: Arc<Hub>, mut inbound: Streaming<CloudToCluster>, out: Out) -> Result<(), WireError> {
    let hello = first(&mut inbound).await?;
    hub.point("cluster.cloud.hello").await?;
    let session = hub.with(|state, _| state.cloud_hello(&hello))?;
    let patience = hub.with(|state, _| state.settings().offline_after);
    let sending =
        hub.send_pulled(&out, &hub.cloud, patience, "cluster.cloud.send", |state, _| state.pull_cloud(session));
    let result = tokio::select! {
        result = sending => result,
        result = listen(&hub, &mut inbound, session) => result,
    };
    hub.with(|state, _| state.cloud_ended(session));
    // The session that took over may have been woken in this one's stead.
    hub.cloud.notify_one();
    result
}

async fn first(inbound: &mut Streaming<CloudToCluster>) -> Result<CloudHello, WireError> {
    match tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await {
        Ok(Ok(Some(CloudToCluster { message: Some(Message::Hello(hello)) }))) => Ok(hello),
        Ok(Ok(_)) => Err(WireError::new(Kind::Invalid, "a session of the cloud begins with its hello")),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(WireError::new(Kind::Unavailable, "the cloud controller did not say hello in time")),
    }
}

async fn listen(hub: &Hub, inbound: &mut Streaming<CloudToCluster>, session: u64) -> Result<(), WireError> {
    while let Some(CloudToCluster { message }) = inbound.message().await? {
        match message {
            Some(Message::SnapshotBegin(begin)) => {
                hub.with(|state, _| state.snapshot_begin(session, begin))?;
            }
            Some(Message::SnapshotEnd(end)) => {
                hub.point("cluster.snapshot").await?;
                hub.with(|state, now| state.snapshot_end(session, end, now))?;
                hub.point("cluster.snapshot.done").await?;
            }
            Some(Message::Change(change)) => {
                hub.point("cluster.intent").await?;
                hub.with(|state, _| state.intent_change(session, change))?;
                hub.point("cluster.intent.done").await?;
            }
            Some(Message::Observed(cursor)) => {
                hub.point("cluster.confirm").await?;
                hub.with(|state, _| state.cloud_observed(session, &cursor))?;
            }
            Some(Message::Hello(_)) => {
                return Err(WireError::new(Kind::Invalid, "the cloud says hello once in a session"));
            }
            // Of a later version: what is not known cannot be needed.
            None => {}
        }
    }
    Ok(())
}
