//! Where a fleet's launch meets RunInstances.

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use async_trait::async_trait;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::Placement;
use mallee_store::{
    FleetEventKind, FleetEventRow, FleetLaunchDoc, FleetLaunchState, FleetMemberRow, FleetMemberState, InstanceRow,
    SubnetRow, Tx, fleet_event_insert, fleet_hold, fleet_launch_end, fleet_launch_fetch, fleet_member_insert,
};
use mallee_types::{FleetId, InstanceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Which launch of which fleet a RunInstances is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetLaunch {
    /// The fleet.
    pub fleet: FleetId,
    /// The number of the launch.
    pub attempt: u64,
}

/// A launch that is to be made.
#[derive(Debug)]
pub struct LaunchOrder<'a> {
    /// Which one.
    pub launch: FleetLaunch,
    /// What.
    pub doc: &'a FleetLaunchDoc,
    /// For the instances, over those of the template.
    pub instance_tags: &'a [(String, String)],
    /// For their interfaces, over those of the template.
    pub interface_tags: &'a [(String, String)],
}

impl LaunchOrder<'_> {
    /// The client token of the launch: the same whenever it is tried.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}-{}", self.launch.fleet, self.launch.attempt)
    }
}

/// What the keeper has others do: templates are the API's to read.
#[async_trait]
pub trait FleetHands: Send + Sync + Debug {
    /// RunInstances from the candidate's template, with the order's client token.
    async fn launch(&self, cx: &OpContext, order: &LaunchOrder<'_>) -> Result<(), ApiError>;

    /// Those of these instances whose status checks fail.
    fn impaired(&self, rows: &[InstanceRow]) -> BTreeSet<InstanceId>;
}

impl Cloud {
    /// Ends the fleet's launch in the transaction that makes its instances.
    ///
    /// # Errors
    /// When the launch has ended already, or is not wanted any more: then nothing is to be launched.
    pub(crate) async fn fleet_launched(
        &self,
        tx: &mut Tx,
        of: &FleetLaunch,
        placements: &[Placement],
        subnet: &SubnetRow,
    ) -> Result<(), ApiError> {
        let over = || Code::Unavailable.message(format!("{} does not want this launch any more", of.fleet));
        fleet_hold(tx, &of.fleet).await.or_fail()?;
        let mut row = fleet_launch_fetch(&mut *tx, &of.fleet, of.attempt).await.or_fail()?.ok_or_else(over)?;
        let ids: Result<Vec<InstanceId>, _> = placements.iter().map(|placed| placed.instance_id.parse()).collect();
        row.state = FleetLaunchState::Launched;
        row.doc.0.instances = ids.map_err(ApiError::internal)?;
        row.doc.0.subnet = Some(subnet.id.to_string());
        row.doc.0.zone = Some(subnet.zone.to_string());
        if !fleet_launch_end(tx, &row).await.or_fail()? {
            return Err(over());
        }
        for id in &row.doc.0.instances {
            let member = FleetMemberRow {
                instance_id: id.clone(),
                fleet_id: of.fleet.clone(),
                attempt: of.attempt,
                state: FleetMemberState::Live,
            };
            fleet_member_insert(tx, &member).await.or_fail()?;
            let kind = if row.doc.0.spot { "spot" } else { "on-demand" };
            let candidate = &row.doc.0.candidate;
            let text = format!(
                "{{\"instanceType\":\"{}\",\"availabilityZone\":\"{}\",\"lifecycle\":\"{kind}\"}}",
                candidate.instance_type, subnet.zone
            );
            self.fleet_event(tx, &of.fleet, FleetEventKind::Instance, "launched", text, Some(id.clone())).await?;
        }
        Ok(())
    }

    pub(super) async fn fleet_event(
        &self,
        tx: &mut Tx,
        fleet: &FleetId,
        kind: FleetEventKind,
        word: &str,
        description: String,
        instance_id: Option<InstanceId>,
    ) -> Result<(), ApiError> {
        let row = FleetEventRow {
            fleet_id: fleet.clone(),
            seq: 0,
            at_ms: self.clock().now_ms(),
            kind,
            sub_kind: word.to_owned(),
            description,
            instance_id,
        };
        fleet_event_insert(tx, &row).await.or_fail()
    }
}
