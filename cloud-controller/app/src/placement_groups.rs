//! Placement groups: made, looked up, removed; and what a launch makes of the one it names.

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::{GroupStrategy, PlacementGroup};
use mallee_store::{
    GroupMembership, PlacementGroupRow, PlacementStrategy, SubnetRow, placement_group_count, placement_group_delete,
    placement_group_insert, placement_group_list, placement_group_member_count, placement_group_zones, tag_delete_of,
    tag_put,
};
use mallee_types::PlacementGroupId;
use std::str::FromStr as _;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "placement-group";
/// Groups of an account (EC2: 500 per Region).
const GROUPS_MAX: u64 = 500;
/// Longest name, in characters (EC2: 255 ASCII).
const NAME_CHARS_MAX: usize = 255;
/// Partitions of a group (EC2: up to 7 per zone).
const PARTITIONS: std::ops::RangeInclusive<u32> = 1..=7;
/// Partitions of a group that does not say how many.
const PARTITIONS_USUAL: u32 = 2;

/// A group that is to be made.
#[derive(Debug)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// How it places.
    pub strategy: PlacementStrategy,
    /// Only of the strategy `Partition`.
    pub partition_count: Option<u32>,
    /// `rack` or `host`; only of the strategy `Spread`.
    pub spread_level: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// How a launch names the group it is to be in.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupWish {
    /// `pg-…`.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The partition; none: any.
    pub partition: Option<u32>,
}

impl NewGroup {
    fn check(&self) -> Result<(), ApiError> {
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(ApiError::invalid_value(
                "groupName",
                name,
                "It should be 1 to 255 printable ASCII characters.",
            ));
        }
        if self.partition_count.is_some() && self.strategy != PlacementStrategy::Partition {
            return Err(ApiError::invalid_combination(
                "The parameter PartitionCount can only be used with the strategy 'partition'",
            ));
        }
        if self.spread_level.is_some() && self.strategy != PlacementStrategy::Spread {
            return Err(ApiError::invalid_combination(
                "The parameter SpreadLevel can only be used with the strategy 'spread'",
            ));
        }
        match self.partition_count {
            Some(count) if !PARTITIONS.contains(&count) => {
                let why = format!("A group has {} to {} partitions.", PARTITIONS.start(), PARTITIONS.end());
                Err(ApiError::invalid_value("partitionCount", &count.to_string(), &why))
            }
            _ => Ok(()),
        }
    }
}

/// A membership as cluster controllers are told.
#[must_use]
pub fn wire_group(group: &GroupMembership) -> PlacementGroup {
    let strategy = match group.strategy {
        PlacementStrategy::Cluster => GroupStrategy::Cluster,
        PlacementStrategy::Spread => GroupStrategy::Spread,
        PlacementStrategy::Partition => GroupStrategy::Partition,
    };
    PlacementGroup {
        id: group.id.to_string(),
        strategy: strategy.into(),
        partition_count: group.partition_count,
        partition: group.partition,
    }
}

impl Cloud {
    /// `CreatePlacementGroup`.
    ///
    /// # Errors
    /// `InvalidPlacementGroup.Duplicate`, `PlacementGroupLimitExceeded`, values that are none.
    pub async fn create_placement_group(
        &self,
        cx: &OpContext,
        new: NewGroup,
        dry_run: bool,
    ) -> Result<PlacementGroupRow, ApiError> {
        new.check()?;
        tags::validate(&new.tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let partitions = new.partition_count.unwrap_or(PARTITIONS_USUAL);
        let row = PlacementGroupRow {
            id: PlacementGroupId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            strategy: new.strategy,
            partition_count: if new.strategy == PlacementStrategy::Partition { partitions } else { 0 },
            spread_level: match new.strategy {
                PlacementStrategy::Spread => new.spread_level.unwrap_or_else(|| "rack".to_owned()),
                PlacementStrategy::Cluster | PlacementStrategy::Partition => String::new(),
            },
            name: new.name,
            created_ms: self.clock().now_ms(),
        };
        let mut tx = self.store().write().await.or_fail()?;
        if placement_group_count(&mut tx, cx.account()).await.or_fail()? >= GROUPS_MAX {
            return Err(Code::PlacementGroupLimitExceeded.error());
        }
        placement_group_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("placement_groups_account_id_name") {
                Code::InvalidPlacementGroupDuplicate.with(&[&row.name])
            } else {
                store_failure(error)
            }
        })?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// The account's group of this name, or of this id where a name is expected.
    ///
    /// # Errors
    /// `InvalidPlacementGroup.Unknown`.
    pub async fn find_placement_group(
        &self,
        cx: &OpContext,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Result<PlacementGroupRow, ApiError> {
        let found = match (id, name) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter GroupName cannot be used with the parameter GroupId",
                ));
            }
            (Some(id), None) => {
                let ids = [parse_id(id, Code::InvalidPlacementGroupIdMalformed)?];
                placement_group_list(self.store(), cx.account(), Some(&ids), None, None, 1).await
            }
            (None, name) => {
                let names = [name.unwrap_or_default().to_owned()];
                placement_group_list(self.store(), cx.account(), None, Some(&names), None, 1).await
            }
        };
        let asked = id.or(name).unwrap_or_default();
        found.or_fail()?.pop().ok_or_else(|| Code::InvalidPlacementGroupUnknown.with(&[&clip(asked)]))
    }

    /// `DeletePlacementGroup`.
    ///
    /// # Errors
    /// `InvalidPlacementGroup.Unknown`, `InvalidPlacementGroup.InUse`.
    pub async fn delete_placement_group(&self, cx: &OpContext, name: &str, dry_run: bool) -> Result<(), ApiError> {
        let by_id = PlacementGroupId::from_str(name).is_ok();
        let group = self.find_placement_group(cx, by_id.then_some(name), (!by_id).then_some(name)).await?;
        let in_use = || Code::InvalidPlacementGroupInUse.with(&[&group.name]);
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if placement_group_member_count(&mut tx, &group.id).await.or_fail()? > 0 {
            return Err(in_use());
        }
        // A launch of this moment may have joined it all the same.
        let busy =
            |error| if matches!(error, mallee_store::StoreError::InUse) { in_use() } else { store_failure(error) };
        placement_group_delete(&mut tx, cx.account(), &group.id).await.map_err(busy)?;
        tag_delete_of(&mut tx, group.id.as_str()).await.or_fail()?;
        tx.commit().await.map_err(busy)
    }

    /// What an instance is a member of if it is launched with this wish; a wish for nothing is none.
    ///
    /// # Errors
    /// `InvalidPlacementGroup.Unknown`; a partition that the group does not have.
    pub async fn wished_group(&self, cx: &OpContext, wish: &GroupWish) -> Result<Option<GroupMembership>, ApiError> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (id, name) = (said(&wish.id), said(&wish.name));
        if id.is_none() && name.is_none() {
            return match wish.partition {
                None => Ok(None),
                Some(_) => Err(ApiError::invalid_combination(
                    "The parameter PartitionNumber can only be used with a placement group of the strategy 'partition'",
                )),
            };
        }
        let group = self.find_placement_group(cx, id.as_deref(), name.as_deref()).await?;
        if wish.partition.is_some() && group.strategy != PlacementStrategy::Partition {
            return Err(ApiError::invalid_combination(
                "The parameter PartitionNumber can only be used with a placement group of the strategy 'partition'",
            ));
        }
        if let Some(partition) = wish.partition.filter(|partition| !(1..=group.partition_count).contains(partition)) {
            let why = format!("The placement group '{}' has {} partitions.", group.name, group.partition_count);
            return Err(ApiError::invalid_value("partitionNumber", &partition.to_string(), &why));
        }
        Ok(Some(GroupMembership {
            id: group.id,
            name: group.name,
            strategy: group.strategy,
            partition_count: group.partition_count,
            partition: wish.partition.unwrap_or(0),
        }))
    }

    /// The subnets a launch into this group may go to: a cluster stays in one zone.
    ///
    /// # Errors
    /// `InsufficientInstanceCapacity` when the group is in another zone than the launch may be.
    pub(crate) async fn subnets_of_group(
        &self,
        group: &GroupMembership,
        subnets: &[SubnetRow],
    ) -> Result<Vec<SubnetRow>, ApiError> {
        if group.strategy != PlacementStrategy::Cluster {
            return Ok(subnets.to_vec());
        }
        let zones = placement_group_zones(self.store(), &group.id).await.or_fail()?;
        let allowed: Vec<SubnetRow> =
            subnets.iter().filter(|subnet| zones.is_empty() || zones.contains(&subnet.zone)).cloned().collect();
        if allowed.is_empty() {
            let there: Vec<&str> = zones.iter().map(AsRef::as_ref).collect();
            return Err(Code::InsufficientInstanceCapacity.message(format!(
                "A cluster placement group stays in one Availability Zone: the instances of '{}' are in {}.",
                group.name,
                there.join(", ")
            )));
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(strategy: PlacementStrategy) -> NewGroup {
        NewGroup { name: "g".into(), strategy, partition_count: None, spread_level: None, tags: Vec::new() }
    }

    #[test]
    fn what_goes_with_which_strategy() {
        assert!(new(PlacementStrategy::Cluster).check().is_ok());
        assert!(NewGroup { name: String::new(), ..new(PlacementStrategy::Cluster) }.check().is_err());
        let counted = |strategy, count| NewGroup { partition_count: Some(count), ..new(strategy) }.check();
        assert!(counted(PlacementStrategy::Partition, 7).is_ok());
        assert!(counted(PlacementStrategy::Partition, 8).is_err() && counted(PlacementStrategy::Partition, 0).is_err());
        assert!(counted(PlacementStrategy::Spread, 2).is_err());
        let level = NewGroup { spread_level: Some("host".into()), ..new(PlacementStrategy::Cluster) };
        assert!(level.check().is_err());
    }
}
