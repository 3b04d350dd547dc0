//! DescribeSecurityGroupReferences, DescribeStaleSecurityGroups: what rules name over peering connections.

use super::permissions::{ShownRule, permissions};
use crate::Ec2Api;
use crate::common::{Chunk, ROWS, dry_run, fill, next_key, page, rows as read_rows};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::groups::{Crossings, spec_of};
use mallee_app::ids::{IDS_MAX, parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    PAGE_ROWS_MAX, SecurityGroupFilter, SecurityGroupRow, SecurityGroupRuleRow, VpcPeeringState, security_group_list,
    security_group_named_from, vpc_peering_between,
};
use mallee_types::{GroupId, VpcId};
use std::collections::BTreeMap;

/// Groups that are asked about at once: with 125 peers of each, as many as AWS allows, their answers fit a page.
const AT_ONCE: usize = 50;
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=255;

/// Rules of one direction that are stale, by protocol and ports.
fn stale<'a>(
    rules: impl Iterator<Item = &'a SecurityGroupRuleRow>,
    crossings: &'a Crossings,
) -> Result<Vec<StaleIpPermission>, ApiError> {
    let mut shown = Vec::new();
    for rule in rules {
        if let Some(crossing) = crossings.get(&rule.id).filter(|crossing| crossing.is_stale()) {
            let peer_account = rule.peer_account.as_ref().unwrap_or(&rule.account_id).as_str();
            let description = rule.description.as_deref();
            shown.push(ShownRule { spec: spec_of(rule)?, description, peer_account, crossing: Some(crossing) });
        }
    }
    let permissions = permissions(shown).into_iter().map(|permission| StaleIpPermission {
        from_port: permission.from_port,
        ip_protocol: permission.ip_protocol,
        ip_ranges: Vec::new(),
        prefix_list_ids: Vec::new(),
        to_port: permission.to_port,
        user_id_group_pairs: permission.user_id_group_pairs,
    });
    Ok(permissions.collect())
}

/// A group with its stale rules, if it has any.
fn stale_group(
    row: &SecurityGroupRow,
    rules: &[SecurityGroupRuleRow],
    crossings: &Crossings,
) -> Result<Option<StaleSecurityGroup>, ApiError> {
    let of_way = |egress: bool| stale(rules.iter().filter(move |rule| rule.egress == egress), crossings);
    let (ingress, egress) = (of_way(false)?, of_way(true)?);
    Ok((!ingress.is_empty() || !egress.is_empty()).then(|| StaleSecurityGroup {
        description: Some(row.description.clone()),
        group_id: Some(row.id.to_string()),
        group_name: Some(row.name.clone()),
        stale_ip_permissions: ingress,
        stale_ip_permissions_egress: egress,
        vpc_id: Some(row.vpc_id.to_string()),
    }))
}

impl Ec2Api {
    pub(crate) async fn describe_security_group_references(
        &self,
        cx: &OpContext,
        r: DescribeSecurityGroupReferencesRequest,
    ) -> Result<DescribeSecurityGroupReferencesResult, ApiError> {
        let DescribeSecurityGroupReferencesRequest { dry_run: dry, group_id } = r;
        if group_id.is_empty() {
            return Err(ApiError::missing_parameter("groupId"));
        }
        if group_id.len() > IDS_MAX {
            return Err(Code::RequestResourceCountExceeded.with(&[&IDS_MAX.to_string()]));
        }
        let mut ids: Vec<GroupId> = parse_ids(&group_id, Code::InvalidGroupIdMalformed)?;
        dry_run(dry)?;
        ids.sort();
        ids.dedup();
        let filter = SecurityGroupFilter { ids: Some(&ids), ..Default::default() };
        let groups = security_group_list(self.store(), cx.account(), filter, PAGE_ROWS_MAX).await.or_fail()?;
        require_all(&ids, |id| groups.iter().any(|row| row.id == *id), Code::InvalidGroupNotFound)?;
        let vpcs: BTreeMap<GroupId, VpcId> = groups.into_iter().map(|row| (row.id, row.vpc_id)).collect();
        let mut found = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            for (group, from) in security_group_named_from(self.store(), some, PAGE_ROWS_MAX).await.or_fail()? {
                let Some(own) = vpcs.get(&group) else { continue };
                // Over a connection that has ended nothing is referenced: the other side's rules are stale.
                let live = vpc_peering_between(self.store(), own, &from).await.or_fail()?;
                found.extend(live.filter(|live| live.state == VpcPeeringState::Active).map(|live| {
                    SecurityGroupReference {
                        group_id: Some(group.to_string()),
                        referencing_vpc_id: Some(from.to_string()),
                        vpc_peering_connection_id: Some(live.id.to_string()),
                        ..Default::default()
                    }
                }));
            }
        }
        Ok(DescribeSecurityGroupReferencesResult { security_group_reference_set: found })
    }

    pub(crate) async fn describe_stale_security_groups(
        &self,
        cx: &OpContext,
        r: DescribeStaleSecurityGroupsRequest,
    ) -> Result<DescribeStaleSecurityGroupsResult, ApiError> {
        let DescribeStaleSecurityGroupsRequest { dry_run: dry, max_results, next_token, vpc_id } = r;
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        let vpc = &self.cloud.find_vpc(cx, &vpc).await?.id;
        let page =
            page("DescribeStaleSecurityGroups", max_results, next_token.as_deref(), PAGE_SIZES, &[] as &[String])?;
        dry_run(dry)?;
        let read = |after: Option<GroupId>| async move {
            let filter = SecurityGroupFilter {
                vpcs: Some(std::slice::from_ref(vpc)),
                after: after.as_ref(),
                ..Default::default()
            };
            let rows = read_rows(security_group_list(self.store(), cx.account(), filter, ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let ids: Vec<GroupId> = rows.iter().map(|row| row.id.clone()).collect();
            let rules = self.rules_by_group(cx, &ids).await?;
            let crossings = self.cloud.crossings(rules.values().flatten()).await?;
            let mut found = Vec::new();
            for row in &rows {
                let of_group = rules.get(&row.id).map_or(&[][..], Vec::as_slice);
                found.extend(stale_group(row, of_group, &crossings)?);
            }
            Ok(Chunk { found, next })
        };
        let key = |group: &StaleSecurityGroup| group.group_id.clone().unwrap_or_default();
        let (stale_security_group_set, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeStaleSecurityGroupsResult { next_token, stale_security_group_set })
    }
}
