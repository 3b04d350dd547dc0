//! `ModifyInstancePlacement`: which placement group a stopped instance is in, and whether it is bound to its host.

use crate::fail::{OrFail as _, store_failure};
use crate::placement_groups::GroupWish;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    StoreError, change_append, instance_fetch_locked, instance_intent_update, instance_observe, placement_group_join,
    placement_group_leave,
};
use mallee_types::InstanceState;

impl Cloud {
    /// Binds a stopped instance to its dedicated host, or no longer.
    ///
    /// # Errors
    /// `IncorrectInstanceState` unless it is stopped; `InvalidParameterValue` for one that is on no host.
    pub async fn modify_instance_affinity(&self, cx: &OpContext, id: &str, bound: bool) -> Result<(), ApiError> {
        let row = self.find_instances(cx, std::slice::from_ref(&id.to_owned())).await?.pop();
        let row = row.ok_or_else(|| ApiError::instance_not_found(&[id]))?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = instance_fetch_locked(&mut tx, &row.id).await.or_fail()?;
        if row.doc.host.is_none() && bound {
            return Err(Code::InvalidParameterValue
                .message(format!("The instance '{}' is on no dedicated host: it has no affinity.", row.id)));
        }
        if row.doc.host_affinity == bound {
            return tx.rollback().await.or_fail();
        }
        if row.state != InstanceState::Stopped {
            return Err(Code::IncorrectInstanceState.message(format!(
                "The instance '{}' is not in the 'stopped' state: its placement cannot be modified.",
                row.id
            )));
        }
        row.doc.host_affinity = bound;
        // Its node has nothing to do with it.
        instance_observe(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// Puts a stopped instance into another group, partition, or (a wish for nothing) into none. It is placed by it
    /// when it is started: on the node that holds its disk, if the group allows that node.
    ///
    /// # Errors
    /// `IncorrectInstanceState` unless it is stopped; what [`Cloud::wished_group`] says.
    pub async fn modify_instance_group(&self, cx: &OpContext, id: &str, wish: &GroupWish) -> Result<(), ApiError> {
        let row = self.find_instances(cx, std::slice::from_ref(&id.to_owned())).await?.pop();
        let row = row.ok_or_else(|| ApiError::instance_not_found(&[id]))?;
        let group = self.wished_group(cx, wish).await?;
        self.faults().point("cloud.placement").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut row = instance_fetch_locked(&mut tx, &row.id).await.or_fail()?;
        if row.state != InstanceState::Stopped {
            return Err(Code::IncorrectInstanceState.message(format!(
                "The instance '{}' is not in the 'stopped' state: its placement cannot be modified.",
                row.id
            )));
        }
        match &group {
            Some(group) => {
                placement_group_join(&mut tx, &row.id, &group.id, &row.zone).await.map_err(|error| match error {
                    StoreError::InUse => Code::InvalidPlacementGroupUnknown.with(&[&group.name]),
                    other => store_failure(other),
                })?;
            }
            None => placement_group_leave(&mut tx, &row.id).await.or_fail()?,
        }
        row.doc.group = group;
        // The cluster controller counts members by the intent.
        row.generation = instance_intent_update(&mut tx, &row).await.or_fail()?;
        change_append(&mut tx, load::INSTANCE, &row.id, Some(&row.zone));
        self.faults().point("cloud.placement.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.placement.committed").await.or_fail()
    }
}
