//! The cloud's side of a cluster controller's session: intent down, observations up.
//!
//! One link per zone runs in the replica that holds the zone's lease. The lease's epoch goes with every order, so a
//! replica that lost its lease without noticing is refused by the cluster.

mod down;
mod nodes;
mod up;

pub use nodes::state_word;

use crate::Cloud;
use mallee_proto::v1;
use mallee_proto::v1::cloud_to_cluster::Message as Down;
use mallee_proto::v1::cluster_client::ClusterClient;
use mallee_proto::v1::cluster_to_cloud::Message as Up;
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Backoff, TaskScope};
use mallee_store::{LeaseRow, lease_acquire, lease_fetch, lease_release, lease_renew};
use mallee_types::ZoneName;
use mallee_types::limits::GRPC_MESSAGE_BYTES_MAX;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// Messages to a cluster that may wait for the network.
const DOWN_QUEUE_MAX: usize = 1024;
/// Between two rounds of either direction: what has come meanwhile goes together.
const ROUND_GAP: Duration = Duration::from_millis(10);
/// How long a lease lasts without renewal.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// How often it is renewed. Only the holder acts, and only while its lease stands by the monotonic clock.
const LEASE_RENEW: Duration = Duration::from_secs(3);
/// Longest wait for a cluster to accept a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a channel to a zone's cluster controller: in memory, or over TCP with mTLS.
#[async_trait::async_trait]
pub trait ClusterConnector: Send + Sync + std::fmt::Debug {
    /// A channel; an error names the zone and what is wrong.
    async fn connect(&self, zone: &ZoneName) -> Result<Channel, WireError>;
}

/// A client with our message limits.
#[must_use]
pub fn client(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel)
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
}

/// Runs the link of one zone until the scope stops.
pub fn spawn(scope: &TaskScope, cloud: Arc<Cloud>, zone: ZoneName) {
    let shutdown = scope.shutdown().clone();
    scope.spawn(async move {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(3), cloud.rng().clone());
        let mut link = Link { cloud, zone, observed: v1::Cursor::default() };
        while !shutdown.is_stopped() {
            let started = Instant::now();
            let end = tokio::select! {
                () = shutdown.stopped() => break,
                end = link.lead() => end,
            };
            let why = match &end {
                Ok(()) => "another replica of the cloud controller leads this zone".to_owned(),
                Err(error) => error.message.clone(),
            };
            link.cloud.zone_state(&link.zone).disconnected(why, link.cloud.clock().now_ms());
            if let Err(error) = end {
                tracing::info!(zone = %link.zone, error = %error.message, "the cluster link ended; connecting again");
            }
            if started.elapsed() > Duration::from_secs(10) {
                backoff.reset();
            }
            tokio::select! {
                () = shutdown.stopped() => break,
                () = backoff.wait() => {}
            }
        }
    });
}

fn store_error(error: mallee_store::StoreError) -> WireError {
    WireError::new(Kind::Unavailable, format!("the database: {error}"))
}

struct Link {
    cloud: Arc<Cloud>,
    zone: ZoneName,
    /// How far this zone's observations are in our database.
    observed: v1::Cursor,
}

impl Link {
    fn lease_name(&self) -> String {
        format!("cluster/{}", self.zone)
    }

    /// Takes the zone's lease and runs a session for as long as it stands. `Ok`: another replica leads.
    async fn lead(&mut self) -> Result<(), WireError> {
        let Some((lease, taken)) = self.acquire().await? else {
            tokio::time::sleep(LEASE_RENEW).await;
            return Ok(());
        };
        self.cloud
            .faults()
            .point("cloud.link.leased")
            .await
            .map_err(|e| WireError::new(Kind::Unavailable, e.to_string()))?;
        let cloud = self.cloud.clone();
        let keep = keep_lease(&cloud, lease.clone(), taken);
        tokio::select! {
            lost = keep => Err(lost),
            end = self.session(&lease) => end,
        }
    }

    async fn acquire(&self) -> Result<Option<(LeaseRow, Instant)>, WireError> {
        let taken = Instant::now();
        let name = self.lease_name();
        let holder = self.cloud.config().replica.clone();
        let old = lease_fetch(self.cloud.store(), &name).await.map_err(store_error)?;
        let mut tx = self.cloud.store().write().await.map_err(store_error)?;
        // A lease that an earlier run of this very replica left behind is ours to end: its epoch must not be reused.
        if let Some(old) = old.filter(|old| old.holder == holder) {
            lease_release(&mut tx, &old).await.map_err(store_error)?;
        }
        let lease = lease_acquire(&mut tx, &name, &holder, LEASE_TTL).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(lease.map(|lease| (lease, taken)))
    }

    async fn session(&mut self, lease: &LeaseRow) -> Result<(), WireError> {
        let channel = self.cloud.connector().connect(&self.zone).await?;
        let (send, receive) = mpsc::channel(DOWN_QUEUE_MAX);
        let hello = v1::CloudHello { epoch: lease.epoch.0, observed: Some(self.observed.clone()) };
        push(&send, Down::Hello(hello)).await?;
        let mut client = client(channel.clone());
        let session = tokio::time::timeout(SESSION_TIMEOUT, client.session(ReceiverStream::new(receive)));
        let mut incoming = session
            .await
            .map_err(|_| {
                WireError::new(Kind::Unavailable, format!("the cluster controller of {} does not answer", self.zone))
            })?
            .map_err(WireError::from)?
            .into_inner();
        let Some(v1::ClusterToCloud { message: Some(Up::Hello(hello)) }) =
            incoming.message().await.map_err(WireError::from)?
        else {
            return Err(WireError::new(
                Kind::Internal,
                format!("{}: the cluster controller did not say hello", self.zone),
            ));
        };
        if hello.zone != self.zone.as_str() {
            let message = format!("the cluster controller dialled for {} says it is of {}", self.zone, hello.zone);
            return Err(WireError::new(Kind::Invalid, message));
        }
        self.cloud.zone_state(&self.zone).connected(channel, lease.epoch, self.cloud.clock().now_ms());
        tracing::info!(zone = %self.zone, epoch = %lease.epoch, "cluster controller connected");
        let pushing = down::push_intent(&self.cloud, &self.zone, hello.applied_seq, &send);
        let taking = up::take_observations(&self.cloud, &self.zone, &mut incoming, &send, &mut self.observed);
        tokio::select! {
            end = pushing => end,
            end = taking => end,
        }
    }
}

/// Renews the lease; returns when it is lost, or could not be renewed before it ran out by the monotonic clock.
async fn keep_lease(cloud: &Cloud, mut lease: LeaseRow, mut taken: Instant) -> WireError {
    loop {
        tokio::time::sleep(LEASE_RENEW).await;
        let asked = Instant::now();
        match renew(cloud, &lease).await {
            Ok(renewed) => (lease, taken) = (renewed, asked),
            Err(mallee_store::StoreError::Stale { what }) => {
                return WireError::new(Kind::StaleEpoch, format!("lost {what}"));
            }
            Err(error) if taken.elapsed() + LEASE_RENEW >= LEASE_TTL => return store_error(error),
            Err(error) => tracing::warn!(%error, "cannot renew a lease; trying again while it stands"),
        }
    }
}

async fn renew(cloud: &Cloud, lease: &LeaseRow) -> Result<LeaseRow, mallee_store::StoreError> {
    let mut tx = cloud.store().write().await?;
    let renewed = lease_renew(&mut tx, lease, LEASE_TTL).await?;
    tx.commit().await?;
    Ok(renewed)
}

async fn push(send: &mpsc::Sender<v1::CloudToCluster>, message: Down) -> Result<(), WireError> {
    send.send(v1::CloudToCluster { message: Some(message) })
        .await
        .map_err(|_| WireError::new(Kind::Unavailable, "the cluster controller closed the session"))
}
