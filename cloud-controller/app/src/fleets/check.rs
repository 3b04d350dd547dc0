//! Do fleets and instances agree? What `mallee check` says of fleets.

use super::FLEET_TAG;
use crate::Cloud;
use crate::fail::OrFail as _;
use mallee_awswire::ApiError;
use mallee_store::{FleetMemberRow, fleet_launch_fetch, fleet_member_list_all, tag_list_of};
use mallee_types::InstanceId;
use std::collections::BTreeSet;

/// Rows read at once.
const PAGE: u32 = 1_000;

/// What differs: the instance, and how. `instances` are those that there are.
pub(crate) async fn differences(
    cloud: &Cloud,
    instances: &BTreeSet<&InstanceId>,
) -> Result<Vec<(InstanceId, String)>, ApiError> {
    let store = cloud.store();
    let mut out = Vec::new();
    let mut members: Vec<FleetMemberRow> = Vec::new();
    loop {
        let after = members.last().map(|row| row.instance_id.clone());
        let page = fleet_member_list_all(store, after.as_ref(), PAGE).await.or_fail()?;
        if page.is_empty() {
            break;
        }
        members.extend(page);
    }
    for member in &members {
        let launch = fleet_launch_fetch(store, &member.fleet_id, member.attempt).await.or_fail()?;
        if !launch.is_some_and(|launch| launch.doc.0.instances.contains(&member.instance_id)) {
            let problem = format!("is of launch {} of {}, which did not make it", member.attempt, member.fleet_id);
            out.push((member.instance_id.clone(), problem));
        }
        if !instances.contains(&member.instance_id) {
            continue;
        }
        let tags = tag_list_of(store, member.instance_id.as_str()).await.or_fail()?;
        let tag = tags.into_iter().find(|tag| tag.key == FLEET_TAG).map(|tag| tag.value);
        if tag.as_deref() != Some(member.fleet_id.as_str()) {
            let problem = format!("is of {}, and its tag says {tag:?}", member.fleet_id);
            out.push((member.instance_id.clone(), problem));
        }
    }
    Ok(out)
}
