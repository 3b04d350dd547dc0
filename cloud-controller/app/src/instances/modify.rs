//! `ModifyInstanceAttribute` and its kin: one attribute of one instance, in one transaction.
//!
//! What the node must hear of (size, user data, groups, the metadata service) takes a new generation of the intent and
//! is pushed; what only the cloud decides by (protection, shutdown behaviour) changes the row alone.

use super::run::{FALLBACK_GROUP, group_gone};
use crate::fail::OrFail as _;
use crate::groups::GroupRef;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    CpuCredits, InstanceRow, InterfaceFilter, MetadataOptions, ShutdownBehavior, Tx, change_append,
    instance_fetch_locked, instance_intent_update, instance_observe, instance_user_data_set, interface_groups_set,
    interface_list, interface_source_dest_check_set,
};
use mallee_types::instance_type::InstanceType;
use mallee_types::limits::{GROUPS_PER_INTERFACE_MAX, USER_DATA_BYTES_MAX};
use mallee_types::{GroupId, InstanceState, RunIntent, VpcId};

/// Interfaces of one instance, at most.
const INTERFACES_MAX: u32 = 100;

/// One attribute's new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Another size; only while stopped. The root disk keeps its size.
    InstanceType(String),
    /// Decoded; `None` empties it. Only while stopped.
    UserData(Option<Vec<u8>>),
    /// `TerminateInstances` is refused.
    DisableApiTermination(bool),
    /// `StopInstances` is refused.
    DisableApiStop(bool),
    /// What a guest's own power-off means.
    ShutdownBehavior(ShutdownBehavior),
    /// Whether packets that are not from or to the instance are dropped on its interface.
    SourceDestCheck(bool),
    /// The security groups of its only interface, by id.
    Groups(Vec<String>),
    /// Shown only. Only while stopped.
    EbsOptimized(bool),
    /// Detailed monitoring; shown only.
    Monitoring(bool),
    /// What happens without CPU credits; shown only.
    Credits(CpuCredits),
    /// What is put where something is given.
    Metadata(MetadataChange),
    /// A request that asks for what is so anyway, and may be asked only of a stopped instance.
    Nothing,
}

/// New settings of the metadata service; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// Answers at all.
    pub enabled: Option<bool>,
    /// Only to requests with a session token.
    pub tokens_required: Option<bool>,
    /// IP hops a token reply may take, 1 to 64.
    pub hop_limit: Option<u32>,
    /// Shows the instance's tags.
    pub tags: Option<bool>,
}

impl MetadataChange {
    /// The settings with these put over them.
    #[must_use]
    pub fn over(self, now: &MetadataOptions) -> MetadataOptions {
        MetadataOptions {
            enabled: self.enabled.unwrap_or(now.enabled),
            tokens_required: self.tokens_required.unwrap_or(now.tokens_required),
            hop_limit: self.hop_limit.unwrap_or(now.hop_limit),
            tags: self.tags.unwrap_or(now.tags),
        }
    }
}

impl Change {
    const fn needs_stopped(&self) -> bool {
        matches!(self, Self::InstanceType(_) | Self::UserData(_) | Self::EbsOptimized(_) | Self::Nothing)
    }

    /// Whether the node must hear of it.
    const fn concerns_node(&self) -> bool {
        match self {
            Self::InstanceType(_)
            | Self::UserData(_)
            | Self::SourceDestCheck(_)
            | Self::Groups(_)
            | Self::Metadata(_) => true,
            Self::DisableApiTermination(_)
            | Self::DisableApiStop(_)
            | Self::ShutdownBehavior(_)
            | Self::EbsOptimized(_)
            | Self::Monitoring(_)
            | Self::Credits(_)
            | Self::Nothing => false,
        }
    }
}

/// Whether an instance in its present state may be changed so.
fn allowed(row: &InstanceRow, change: &Change) -> Result<(), ApiError> {
    if row.intent == RunIntent::Terminate {
        return Err(Code::IncorrectInstanceState.message(format!(
            "The instance '{}' is in the '{}' state: its attributes can not be modified any more.",
            row.id,
            row.state.name()
        )));
    }
    let one_time = row.doc.spot.as_ref().is_some_and(|spot| !spot.persistent);
    if one_time && *change == Change::ShutdownBehavior(ShutdownBehavior::Stop) {
        return Err(Code::UnsupportedOperation.message(format!(
            "The Spot Instance '{}' is associated with a one-time Spot Instance request: it can not be stopped.",
            row.id
        )));
    }
    let refused = match change {
        Change::InstanceType(_) => Some("its instance type can not be modified"),
        Change::DisableApiTermination(true) => Some("termination protection can not be enabled for it"),
        _ => None,
    };
    if let Some(refused) = refused.filter(|_| row.doc.spot.is_some()) {
        return Err(Code::UnsupportedOperation.message(format!("'{}' is a Spot Instance: {refused}.", row.id)));
    }
    // A stop that its node has not confirmed is not over: the guest may still be saving what it has.
    if change.needs_stopped() && row.state != InstanceState::Stopped {
        return Err(
            Code::IncorrectInstanceState.message(format!("The instance '{}' is not in the 'stopped' state.", row.id))
        );
    }
    Ok(())
}

impl Cloud {
    /// Changes one attribute of an instance of the account; the instance afterwards.
    ///
    /// # Errors
    /// `IncorrectInstanceState` where EC2 wants the instance stopped, or it is terminated; a type, group or value that
    /// is none; an id that is none.
    pub async fn modify_instance(
        &self,
        cx: &OpContext,
        id: &str,
        change: &Change,
        dry_run: bool,
    ) -> Result<InstanceRow, ApiError> {
        Ok(self.modify_instances(cx, &[id.to_owned()], change, dry_run).await?.remove(0))
    }

    /// The same change to all of these instances, or to none.
    ///
    /// # Errors
    /// As [`Cloud::modify_instance`].
    pub async fn modify_instances(
        &self,
        cx: &OpContext,
        ids: &[String],
        change: &Change,
        dry_run: bool,
    ) -> Result<Vec<InstanceRow>, ApiError> {
        let rows = self.find_instances(cx, ids).await?;
        let mut groups = Vec::new();
        for row in &rows {
            allowed(row, change)?;
            if let Change::Groups(wanted) = change {
                groups = self.groups_of_vpc(cx, wanted, &row.vpc_id).await?;
            }
        }
        if let Change::UserData(Some(data)) = change
            && data.len() > USER_DATA_BYTES_MAX
        {
            return Err(Code::InvalidParameterValue.message("User data is limited to 16384 bytes"));
        }
        let size = match change {
            Change::InstanceType(name) => Some(self.size_named(name).await?),
            _ => None,
        };
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.modify").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let mut changed = Vec::with_capacity(rows.len());
        for row in rows {
            let mut row = instance_fetch_locked(&mut tx, &row.id).await.or_fail()?;
            allowed(&row, change)?;
            put(&mut tx, &mut row, change, size.as_ref(), &groups).await?;
            if size.is_some() && row.doc.host.is_some() {
                // Its dedicated host must take the new size.
                self.join_host(&mut tx, &row).await?;
            }
            if change.concerns_node() {
                row.generation = instance_intent_update(&mut tx, &row).await.or_fail()?;
                change_append(&mut tx, load::INSTANCE, &row.id, Some(&row.zone));
            } else {
                // The node's orders stay as they are, so their generation does.
                instance_observe(&mut tx, &row).await.or_fail()?;
            }
            changed.push(row);
        }
        self.faults().point("cloud.modify.before-commit").await.or_fail()?;
        tx.commit().await.map_err(group_gone)?;
        self.faults().point("cloud.modify.committed").await.or_fail()?;
        Ok(changed)
    }

    /// Groups by id, all of this VPC.
    pub(crate) async fn groups_of_vpc(
        &self,
        cx: &OpContext,
        ids: &[String],
        vpc: &VpcId,
    ) -> Result<Vec<GroupId>, ApiError> {
        if ids.is_empty() {
            return Err(Code::InvalidParameterCombination.message(format!(
                "An instance is in at least one security group; its VPC's first one is called {FALLBACK_GROUP}"
            )));
        }
        if ids.len() > GROUPS_PER_INTERFACE_MAX {
            return Err(Code::SecurityGroupsPerInterfaceLimitExceeded.error());
        }
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids {
            let group = self.find_group(cx, &GroupRef::Id(id)).await?;
            if group.vpc_id != *vpc {
                return Err(Code::InvalidGroupNotFound.message(format!(
                    "You have specified two resources that belong to different networks: {} and {vpc}.",
                    group.id
                )));
            }
            if !groups.contains(&group.id) {
                groups.push(group.id);
            }
        }
        Ok(groups)
    }
}

/// Puts the value into the row, and into those that belong to it.
async fn put(
    tx: &mut Tx,
    row: &mut InstanceRow,
    change: &Change,
    size: Option<&InstanceType>,
    groups: &[GroupId],
) -> Result<(), ApiError> {
    match change {
        Change::InstanceType(_) => {
            if let Some(size) = size {
                crate::interfaces::attach::check_size(tx, row, size).await?;
                size.name.clone_into(&mut row.instance_type);
                row.doc.vcpus = size.vcpus;
                row.doc.memory_mib = size.memory_mib;
                row.doc.bandwidth_kbps = u64::from(size.network_mbps) * 1000;
            }
        }
        Change::UserData(data) => instance_user_data_set(tx, &row.id, data.as_deref()).await.or_fail()?,
        Change::DisableApiTermination(value) => row.doc.disable_api_termination = *value,
        Change::DisableApiStop(value) => row.doc.disable_api_stop = *value,
        Change::ShutdownBehavior(value) => row.doc.shutdown_behavior = *value,
        Change::EbsOptimized(value) => row.doc.ebs_optimized = *value,
        Change::Monitoring(value) => row.doc.monitoring = *value,
        Change::Credits(value) => row.doc.credits = Some(*value),
        Change::Metadata(options) => row.doc.metadata = options.over(&row.doc.metadata),
        Change::SourceDestCheck(_) | Change::Groups(_) => {
            let filter = InterfaceFilter { instances: Some(std::slice::from_ref(&row.id)), ..Default::default() };
            let interfaces = interface_list(&mut *tx, filter, INTERFACES_MAX).await.or_fail()?;
            if interfaces.len() > 1 {
                return Err(Code::InvalidInstanceId.message(format!(
                    "There are multiple interfaces attached to instance '{}'. Please specify an interface ID for the operation instead.",
                    row.id
                )));
            }
            let first = interfaces.first();
            let first = first.ok_or_else(|| {
                Code::IncorrectInstanceState
                    .message(format!("The instance '{}' has no network interface any more.", row.id))
            })?;
            match change {
                Change::SourceDestCheck(on) => {
                    interface_source_dest_check_set(tx, &first.id, *on).await.or_fail()?;
                }
                _ => interface_groups_set(tx, &first.id, groups).await.map_err(group_gone)?,
            }
        }
        Change::Nothing => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let now = MetadataOptions { enabled: true, tokens_required: true, hop_limit: 2, tags: false };
        let change = MetadataChange { tokens_required: Some(false), ..Default::default() };
        assert_eq!(change.over(&now), MetadataOptions { tokens_required: false, ..now.clone() });
        let all = MetadataChange { enabled: Some(false), tokens_required: None, hop_limit: Some(64), tags: Some(true) };
        assert_eq!(
            all.over(&now),
            MetadataOptions { enabled: false, tokens_required: true, hop_limit: 64, tags: true }
        );
    }

    #[test]
    fn what_the_node_must_hear_is_told_it() {
        assert!(Change::UserData(None).concerns_node() && Change::UserData(None).needs_stopped());
        assert!(Change::Groups(vec![]).concerns_node() && !Change::Groups(vec![]).needs_stopped());
        assert!(!Change::DisableApiStop(true).concerns_node());
    }
}
