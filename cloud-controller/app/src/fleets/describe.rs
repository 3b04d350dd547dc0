//! What is read of fleets.

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    FleetEventKind, FleetEventRow, FleetKind, FleetLaunchRow, FleetMemberState, FleetRow, InstanceFilter, InstanceRow,
    fleet_event_list, fleet_launch_list, fleet_member_list, instance_list,
};
use mallee_types::{InstanceId, InstanceState};

/// Instances looked up at once.
const IDS_AT_ONCE: usize = 1_000;

impl Cloud {
    /// The launches of a fleet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn fleet_launches(&self, fleet: &FleetRow) -> Result<Vec<FleetLaunchRow>, ApiError> {
        fleet_launch_list(self.store(), &fleet.id).await.or_fail()
    }

    /// `DescribeFleetInstances`: what of the fleet is pending or running, by id.
    ///
    /// # Errors
    /// EC2's for a fleet that is not there or instant.
    pub async fn fleet_instances(&self, cx: &OpContext, id: &str) -> Result<(FleetRow, Vec<InstanceRow>), ApiError> {
        let fleet = self.find_fleet(cx, id).await?;
        if fleet.kind == FleetKind::Instant {
            return Err(Code::Unsupported.message(
                "DescribeFleetInstances does not support fleets of type instant. Use DescribeFleets with the fleet's id.",
            ));
        }
        let members = fleet_member_list(self.store(), &fleet.id).await.or_fail()?;
        let ids: Vec<InstanceId> = members
            .into_iter()
            .filter(|member| member.state != FleetMemberState::Gone)
            .map(|member| member.instance_id)
            .collect();
        let mut out = Vec::new();
        for some in ids.chunks(IDS_AT_ONCE) {
            let states = [InstanceState::Pending, InstanceState::Running];
            let filter = InstanceFilter { ids: Some(some), states: Some(&states), ..Default::default() };
            out.extend(
                instance_list(self.store(), filter, u32::try_from(IDS_AT_ONCE).unwrap_or(u32::MAX)).await.or_fail()?,
            );
        }
        out.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((fleet, out))
    }

    /// `DescribeFleetHistory`: events from a time on, after number `after`.
    ///
    /// # Errors
    /// EC2's for a fleet that is not there.
    pub async fn fleet_events(
        &self,
        cx: &OpContext,
        id: &str,
        kind: Option<FleetEventKind>,
        from_ms: i64,
        after: Option<u64>,
        limit: u32,
    ) -> Result<(FleetRow, Vec<FleetEventRow>), ApiError> {
        let fleet = self.find_fleet(cx, id).await?;
        let events = fleet_event_list(self.store(), &fleet.id, kind, from_ms, after, limit).await.or_fail()?;
        Ok((fleet, events))
    }
}
