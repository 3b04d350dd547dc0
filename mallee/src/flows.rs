//! Flow logs: how nodes tell the cloud what they counted, in one process or over the network.

use crate::tier::CloudLink;
use async_trait::async_trait;
use mallee_app::Cloud;
use mallee_node_core::NetworkEngine;
use mallee_node_core::flows::{FlowSink, FlowTimes, run};
use mallee_proto::v1::RecordFlowsRequest;
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Clock, Rng, TaskScope};
use mallee_types::NodeId;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where a node keeps what it could not tell yet, in its directory.
pub(crate) const SPOOL_DIR: &str = "flows";

/// How often flow logs are written.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct FlowArgs {
    /// Windows of flow logs are so many seconds long, and each is told by itself: for tests (default: 60, and five are
    /// told at once).
    #[arg(long, value_name = "SECONDS", hide = true, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub flow_window: Option<u32>,
}

impl FlowArgs {
    /// The times that are meant.
    #[must_use]
    pub fn times(self) -> FlowTimes {
        self.flow_window.map_or_else(FlowTimes::default, |seconds| FlowTimes {
            window: Duration::from_secs(u64::from(seconds)),
            windows: 1,
        })
    }
}

/// To a cloud controller in the same process.
#[derive(Debug)]
pub(crate) struct LocalFlows {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) node: NodeId,
}

#[async_trait]
impl FlowSink for LocalFlows {
    async fn record(&self, batch: RecordFlowsRequest) -> Result<(), WireError> {
        let none = || WireError::new(Kind::Unavailable, "there is no object store");
        let objects = self.cloud.objects().ok_or_else(none)?;
        mallee_app::flow_logs::record(&self.cloud, &**objects, &self.node, batch).await
    }
}

/// To a cloud controller elsewhere.
#[derive(Debug)]
pub(crate) struct RemoteFlows(pub(crate) CloudLink);

#[async_trait]
impl FlowSink for RemoteFlows {
    async fn record(&self, batch: RecordFlowsRequest) -> Result<(), WireError> {
        self.0.record_flows(batch).await
    }
}

/// Has the flows of a node told until the scope stops.
pub(crate) fn spawn(
    tasks: &TaskScope,
    network: Arc<dyn NetworkEngine>,
    sink: Arc<dyn FlowSink>,
    spool: Option<PathBuf>,
    times: FlowTimes,
    (clock, rng): (Clock, Rng),
) {
    tasks.spawn(run(network, sink, spool, times, (clock, rng), tasks.shutdown().clone()));
}
