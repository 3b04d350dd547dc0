//! Observations up: each batch is one transaction, acknowledged after its commit.

use super::{ROUND_GAP, nodes, push};
use crate::Cloud;
use crate::instances::apply::apply_observations;
use futures::StreamExt as _;
use mallee_proto::v1::cloud_to_cluster::Message as Down;
use mallee_proto::v1::cluster_to_cloud::Message as Up;
use mallee_proto::v1::{CloudToCluster, ClusterToCloud, Cursor};
use mallee_proto::{Kind, WireError};
use mallee_runtime::Pace;
use mallee_types::ZoneName;
use tokio::sync::mpsc;
use tonic::Streaming;

/// Messages that one transaction takes in at most.
const MESSAGES_PER_COMMIT_MAX: usize = 256;

/// Takes observations until the stream ends.
pub(super) async fn take_observations(
    cloud: &Cloud,
    zone: &ZoneName,
    incoming: &mut Streaming<ClusterToCloud>,
    send: &mpsc::Sender<CloudToCluster>,
    observed: &mut Cursor,
) -> Result<(), WireError> {
    // What has arrived since the last commit began goes into one transaction.
    let mut incoming = incoming.ready_chunks(MESSAGES_PER_COMMIT_MAX);
    let mut pace = Pace::new(ROUND_GAP);
    loop {
        pace.round().await;
        let Some(messages) = incoming.next().await else { break };
        let (mut instances, mut said) = (Vec::new(), Vec::new());
        let mut cursor = None;
        for message in messages {
            match message.map_err(WireError::from)?.message {
                Some(Up::Observed(batch)) => {
                    instances.extend(batch.instances);
                    cursor = batch.cursor.or(cursor);
                }
                Some(Up::ResyncEnd(_)) => cloud.zone_state(zone).resynced(),
                Some(Up::Node(status)) => {
                    cloud.zone_state(zone).node(status.clone());
                    said.push(status);
                    cloud.spot_nudge().wake();
                }
                Some(Up::Hello(_)) | None => {
                    let message = format!("{zone}: an unexpected message from the cluster controller");
                    return Err(WireError::new(Kind::Invalid, message));
                }
            }
        }
        nodes::keep(cloud, zone, &said).await?;
        apply_observations(cloud, &instances).await?;
        if let Some(cursor) = cursor {
            *observed = cursor.clone();
            push(send, Down::Observed(cursor)).await?;
        }
    }
    Err(WireError::new(Kind::Unavailable, format!("the cluster controller of {zone} closed the session")))
}
