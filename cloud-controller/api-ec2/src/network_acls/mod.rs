//! Network ACLs, what they look like, and which subnet has which.

mod entries;

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on,
    values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::acls::TAG_KIND;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    NetworkAclAssociationFilter, NetworkAclAssociationRow, NetworkAclEntryRow, NetworkAclFilter, NetworkAclRow,
    network_acl_association_list, network_acl_entry_list, network_acl_list, vpc_ipv6_cidr_list,
};
use mallee_types::{NetworkAclId, VpcId};
use std::collections::{BTreeMap, BTreeSet};

/// What DescribeNetworkAcls filters by.
const FILTERS: [&str; 18] = [
    "association.association-id",
    "association.network-acl-id",
    "association.subnet-id",
    "default",
    "entry.cidr",
    "entry.egress",
    "entry.icmp.code",
    "entry.icmp.type",
    "entry.ipv6-cidr",
    "entry.port-range.from",
    "entry.port-range.to",
    "entry.protocol",
    "entry.rule-action",
    "entry.rule-number",
    "network-acl-id",
    "owner-id",
    "tag-key",
    "vpc-id",
];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;

impl Filterable for NetworkAcl {
    fn values(&self, name: &str) -> Vec<String> {
        let associations = |value: fn(&NetworkAclAssociation) -> Vec<String>| {
            self.associations.iter().flat_map(value).collect::<Vec<_>>()
        };
        let entries =
            |value: fn(&NetworkAclEntry) -> Vec<String>| self.entries.iter().flat_map(value).collect::<Vec<_>>();
        match name {
            "association.association-id" => associations(|a| values_of(&a.network_acl_association_id)),
            "association.network-acl-id" => associations(|a| values_of(&a.network_acl_id)),
            "association.subnet-id" => associations(|a| values_of(&a.subnet_id)),
            "default" => values_of(&self.is_default),
            "entry.cidr" => entries(|e| values_of(&e.cidr_block)),
            "entry.ipv6-cidr" => entries(|e| values_of(&e.ipv6_cidr_block)),
            "entry.egress" => entries(|e| values_of(&e.egress)),
            "entry.icmp.code" => entries(|e| e.icmp_type_code.iter().flat_map(|icmp| values_of(&icmp.code)).collect()),
            "entry.icmp.type" => entries(|e| e.icmp_type_code.iter().flat_map(|icmp| values_of(&icmp.type_)).collect()),
            "entry.port-range.from" => entries(|e| e.port_range.iter().flat_map(|p| values_of(&p.from)).collect()),
            "entry.port-range.to" => entries(|e| e.port_range.iter().flat_map(|p| values_of(&p.to)).collect()),
            "entry.protocol" => entries(entries::protocol_values),
            "entry.rule-action" => entries(|e| values_of(&e.rule_action)),
            "entry.rule-number" => entries(|e| values_of(&e.rule_number)),
            "network-acl-id" => values_of(&self.network_acl_id),
            "owner-id" => values_of(&self.owner_id),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// What belongs to some ACLs.
struct Parts {
    entries: BTreeMap<NetworkAclId, Vec<NetworkAclEntryRow>>,
    associations: BTreeMap<NetworkAclId, Vec<NetworkAclAssociationRow>>,
    /// VPCs that have IPv6 blocks.
    six: BTreeSet<VpcId>,
    tags: TagMap,
}

fn association(row: &NetworkAclAssociationRow) -> NetworkAclAssociation {
    NetworkAclAssociation {
        network_acl_association_id: Some(row.id.to_string()),
        network_acl_id: Some(row.acl_id.to_string()),
        subnet_id: Some(row.subnet_id.to_string()),
    }
}

impl Parts {
    fn shape(&mut self, row: &NetworkAclRow) -> NetworkAcl {
        let own = self.entries.get(&row.id).map_or(&[][..], Vec::as_slice);
        NetworkAcl {
            associations: self.associations.get(&row.id).into_iter().flatten().map(association).collect(),
            entries: entries::shapes(own, self.six.contains(&row.vpc_id)),
            is_default: Some(row.is_default),
            network_acl_id: Some(row.id.to_string()),
            owner_id: Some(row.account_id.to_string()),
            tags: self.tags.remove(row.id.as_str()).unwrap_or_default(),
            vpc_id: Some(row.vpc_id.to_string()),
        }
    }
}

impl Ec2Api {
    async fn network_acl_parts(&self, cx: &OpContext, acls: &[NetworkAclRow]) -> Result<Parts, ApiError> {
        let store = self.store();
        let ids: Vec<NetworkAclId> = acls.iter().map(|acl| acl.id.clone()).collect();
        let mut entries: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in network_acl_entry_list(store, &ids).await.or_fail()? {
            entries.entry(row.acl_id.clone()).or_default().push(row);
        }
        let mut associations: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let filter = NetworkAclAssociationFilter { acls: Some(&ids), ..Default::default() };
        for row in network_acl_association_list(store, filter).await.or_fail()? {
            associations.entry(row.acl_id.clone()).or_default().push(row);
        }
        let vpcs: BTreeSet<VpcId> = acls.iter().map(|acl| acl.vpc_id.clone()).collect();
        let vpcs: Vec<VpcId> = vpcs.into_iter().collect();
        let six = vpc_ipv6_cidr_list(store, Some(&vpcs)).await.or_fail()?;
        let six = six.into_iter().map(|row| row.vpc_id).collect();
        let tags = tags_on(store, cx.account(), ids.iter().map(ToString::to_string)).await?;
        Ok(Parts { entries, associations, six, tags })
    }

    pub(crate) async fn create_network_acl(
        &self,
        cx: &OpContext,
        r: CreateNetworkAclRequest,
        params: &Params,
    ) -> Result<CreateNetworkAclResult, ApiError> {
        let CreateNetworkAclRequest { client_token, dry_run, tag_specifications, vpc_id } = r;
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let once = Once { token: client_token.clone(), params_hash: hex::encode(params.fingerprint()) };
        let id = self.cloud.create_network_acl(cx, &vpc, &tags, &once, dry_run == Some(true)).await?;
        let row = self.cloud.find_network_acl(cx, id.as_str()).await?;
        let mut parts = self.network_acl_parts(cx, std::slice::from_ref(&row)).await?;
        Ok(CreateNetworkAclResult { client_token, network_acl: Some(parts.shape(&row)) })
    }

    pub(crate) async fn delete_network_acl(&self, cx: &OpContext, r: DeleteNetworkAclRequest) -> Result<(), ApiError> {
        let DeleteNetworkAclRequest { dry_run, network_acl_id } = r;
        let id = network_acl_id.ok_or_else(|| ApiError::missing_parameter("networkAclId"))?;
        self.cloud.delete_network_acl(cx, &id, dry_run == Some(true)).await
    }

    pub(crate) async fn replace_network_acl_association(
        &self,
        cx: &OpContext,
        r: ReplaceNetworkAclAssociationRequest,
    ) -> Result<ReplaceNetworkAclAssociationResult, ApiError> {
        let ReplaceNetworkAclAssociationRequest { association_id, dry_run, network_acl_id } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("associationId"))?;
        let acl = network_acl_id.ok_or_else(|| ApiError::missing_parameter("networkAclId"))?;
        let new = self.cloud.replace_network_acl_association(cx, &id, &acl, dry_run == Some(true)).await?;
        Ok(ReplaceNetworkAclAssociationResult { new_association_id: Some(new.to_string()) })
    }

    pub(crate) async fn describe_network_acls(
        &self,
        cx: &OpContext,
        r: DescribeNetworkAclsRequest,
    ) -> Result<DescribeNetworkAclsResult, ApiError> {
        let DescribeNetworkAclsRequest { dry_run: dry, filters: wanted, max_results, network_acl_ids, next_token } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeNetworkAcls", max_results, next_token.as_deref(), PAGE_SIZES, &network_acl_ids)?;
        let ids: &Vec<NetworkAclId> = &parse_ids(&network_acl_ids, Code::InvalidNetworkAclIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<NetworkAclId>| async move {
            let (account, after) = (Some(cx.account()), after.as_ref());
            let filter = NetworkAclFilter { account, ids: some_ids, after, ..Default::default() };
            let list = rows(network_acl_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidNetworkAclIdNotFound)?;
            let mut parts = self.network_acl_parts(cx, &list).await?;
            let shapes = list.iter().map(|row| parts.shape(row));
            Ok(Chunk { found: shapes.filter(|acl| filters.accept(acl)).collect(), next })
        };
        let key = |acl: &NetworkAcl| acl.network_acl_id.clone().unwrap_or_default();
        let (network_acls, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeNetworkAclsResult { network_acls, next_token })
    }
}
