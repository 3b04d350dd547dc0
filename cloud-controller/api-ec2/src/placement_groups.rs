//! Placement groups, and the one an instance is in.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, choice, dry_run, fill, filters, next_key, only, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, values_of, wire_tags,
};
use crate::filter::Filterable;
use crate::page::Page;
use mallee_app::OpContext;
use mallee_app::ids::parse_ids;
use mallee_app::placement_groups::{GroupWish, NewGroup, TAG_KIND};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    CreatePlacementGroupRequest, CreatePlacementGroupResult, DeletePlacementGroupRequest,
    DescribePlacementGroupsRequest, DescribePlacementGroupsResult, ModifyInstancePlacementRequest,
    ModifyInstancePlacementResult, PlacementGroup,
};
use mallee_store::{PlacementGroupRow, PlacementStrategy, placement_group_list};
use mallee_types::PlacementGroupId;

/// What DescribePlacementGroups filters by.
const FILTERS: [&str; 6] = ["group-arn", "group-name", "spread-level", "state", "strategy", "tag-key"];
/// Names one request may list.
const NAMES_MAX: usize = 1000;

const STRATEGIES: [(&str, PlacementStrategy); 3] = [
    ("cluster", PlacementStrategy::Cluster),
    ("spread", PlacementStrategy::Spread),
    ("partition", PlacementStrategy::Partition),
];

impl Filterable for PlacementGroup {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "group-arn" => values_of(&self.group_arn),
            "group-name" => values_of(&self.group_name),
            "spread-level" => values_of(&self.spread_level),
            "state" => values_of(&self.state),
            "strategy" => values_of(&self.strategy),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: PlacementGroupRow, tags: &mut TagMap, look: Look<'_>) -> PlacementGroup {
    let strategy = STRATEGIES.iter().find(|(_, strategy)| *strategy == row.strategy);
    PlacementGroup {
        group_arn: Some(look.arn(&row.account_id, TAG_KIND, &row.name)),
        group_id: Some(row.id.to_string()),
        group_name: Some(row.name),
        linked_group_id: None,
        operator: None,
        parent_group_id: None,
        partition_count: i32::try_from(row.partition_count).ok().filter(|count| *count > 0),
        spread_level: Some(row.spread_level).filter(|level| !level.is_empty()),
        state: Some("available".to_owned()),
        strategy: strategy.map(|(word, _)| (*word).to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    }
}

/// The number of a partition out of a request.
pub(crate) fn partition(number: Option<i32>) -> Result<Option<u32>, ApiError> {
    let number = number.map(|number| (number, u32::try_from(number).ok().filter(|number| *number > 0)));
    match number {
        None => Ok(None),
        Some((_, Some(number))) => Ok(Some(number)),
        Some((given, None)) => {
            Err(ApiError::invalid_value("partitionNumber", &given.to_string(), "Partitions are numbered from 1."))
        }
    }
}

impl Ec2Api {
    pub(crate) async fn create_placement_group(
        &self,
        cx: &OpContext,
        r: CreatePlacementGroupRequest,
    ) -> Result<CreatePlacementGroupResult, ApiError> {
        let CreatePlacementGroupRequest {
            dry_run,
            group_name,
            linked_group_id,
            operator,
            parent_group_id,
            partition_count,
            spread_level,
            strategy,
            tag_specifications,
        } = r;
        refuse("LinkedGroupId", linked_group_id.is_some())?;
        refuse("Operator", operator.is_some())?;
        refuse("ParentGroupId", parent_group_id.is_some())?;
        choice("SpreadLevel", spread_level.as_deref(), &[("rack", ()), ("host", ())])?;
        let partition_count = partition_count.map(|count| {
            u32::try_from(count).map_err(|_| {
                ApiError::invalid_value("partitionCount", &count.to_string(), "A group has 1 to 7 partitions.")
            })
        });
        let new = NewGroup {
            name: group_name.ok_or_else(|| ApiError::missing_parameter("groupName"))?,
            strategy: choice("Strategy", strategy.as_deref(), &STRATEGIES)?.unwrap_or(PlacementStrategy::Cluster),
            partition_count: partition_count.transpose()?,
            spread_level,
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let tags = wire_tags(new.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let row = self.cloud.create_placement_group(cx, new, dry_run == Some(true)).await?;
        let mut tags = TagMap::from([(row.id.to_string(), tags)]);
        Ok(CreatePlacementGroupResult { placement_group: Some(shape(row, &mut tags, self.look())) })
    }

    pub(crate) async fn describe_placement_groups(
        &self,
        cx: &OpContext,
        r: DescribePlacementGroupsRequest,
    ) -> Result<DescribePlacementGroupsResult, ApiError> {
        let DescribePlacementGroupsRequest { dry_run: dry, filters: wanted, group_ids, group_names } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let ids: &Vec<PlacementGroupId> = &parse_ids(&group_ids, Code::InvalidPlacementGroupIdMalformed)?;
        let names = &group_names;
        if names.len() > NAMES_MAX {
            return Err(Code::InvalidParameterValue
                .message(format!("At most {NAMES_MAX} group names can be given in one request.")));
        }
        dry_run(dry)?;
        let read = |after: Option<PlacementGroupId>| async move {
            let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
            let some_names = (!names.is_empty()).then_some(names.as_slice());
            let list =
                placement_group_list(self.store(), cx.account(), some_ids, some_names, after.as_ref(), ROWS).await;
            let list = rows(list)?;
            let next = next_key(&list, |row| row.id.clone());
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let found = list.into_iter().map(|row| shape(row, &mut tags, self.look())).collect();
            Ok(Chunk { found, next })
        };
        let page = Page::all("DescribePlacementGroups");
        let (mut placement_groups, _) =
            fill(&page, None, read, |group: &PlacementGroup| group.group_id.clone().unwrap_or_default()).await?;
        let unknown = |text: &str| Code::InvalidPlacementGroupUnknown.with(&[&mallee_awswire::texts::clip(text)]);
        if let Some(name) =
            names.iter().find(|name| !placement_groups.iter().any(|group| group.group_name.as_ref() == Some(*name)))
        {
            return Err(unknown(name));
        }
        if let Some(id) =
            ids.iter().find(|id| !placement_groups.iter().any(|group| group.group_id.as_deref() == Some(id.as_str())))
        {
            return Err(unknown(id.as_str()));
        }
        placement_groups.retain(|group| filters.accept(group));
        Ok(DescribePlacementGroupsResult { placement_groups })
    }

    pub(crate) async fn delete_placement_group(
        &self,
        cx: &OpContext,
        r: DeletePlacementGroupRequest,
    ) -> Result<(), ApiError> {
        let DeletePlacementGroupRequest { dry_run, group_name } = r;
        let name = group_name.ok_or_else(|| ApiError::missing_parameter("groupName"))?;
        self.cloud.delete_placement_group(cx, &name, dry_run == Some(true)).await
    }

    pub(crate) async fn modify_instance_placement(
        &self,
        cx: &OpContext,
        r: ModifyInstancePlacementRequest,
    ) -> Result<ModifyInstancePlacementResult, ApiError> {
        let ModifyInstancePlacementRequest {
            affinity,
            group_id,
            group_name,
            host_id,
            host_resource_group_arn,
            instance_id,
            partition_number,
            tenancy,
        } = r;
        refuse("HostResourceGroupArn", host_resource_group_arn.is_some())?;
        let id = instance_id.ok_or_else(|| ApiError::missing_parameter("InstanceId"))?;
        let rows = self.cloud.find_instances(cx, std::slice::from_ref(&id)).await?;
        for row in &rows {
            // Its root disk is on its node: it can be with nobody else, and on no other host.
            only("Tenancy", tenancy.as_deref(), &[row.doc.tenancy.as_str()])?;
            let host = row.doc.host.as_ref().map(|host| host.as_str());
            only("HostId", host_id.as_deref(), host.as_slice())?;
        }
        if let Some(bound) = choice("Affinity", affinity.as_deref(), &[("default", false), ("host", true)])? {
            self.cloud.modify_instance_affinity(cx, &id, bound).await?;
        }
        let said_nothing = group_id.is_none() && group_name.is_none() && partition_number.is_none();
        if said_nothing && (affinity.is_some() || tenancy.is_some() || host_id.is_some()) {
            return Ok(ModifyInstancePlacementResult { return_: Some(true) });
        }
        if said_nothing {
            return Err(ApiError::missing_parameter("GroupName"));
        }
        let wish = GroupWish { id: group_id, name: group_name, partition: partition(partition_number)? };
        self.cloud.modify_instance_group(cx, &id, &wish).await?;
        Ok(ModifyInstancePlacementResult { return_: Some(true) })
    }
}
