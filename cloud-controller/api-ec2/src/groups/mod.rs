//! Security groups: create, delete, describe.

pub(crate) mod modify;
mod permissions;
mod references;
mod rules;

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows as read_rows, tag_filter_values,
    tags_of_one, tags_on, values_of, wire_tags,
};
use crate::filter::{Filterable, Filters};
use mallee_app::OpContext;
use mallee_app::groups::{Crossings, GroupRef, TAG_KIND, spec_of};
use mallee_app::ids::{IDS_MAX, parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    CreateSecurityGroupRequest, CreateSecurityGroupResult, DeleteSecurityGroupRequest, DeleteSecurityGroupResult,
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, IpPermission, SecurityGroup,
};
use mallee_store::{
    SecurityGroupFilter, SecurityGroupRow, SecurityGroupRuleRow, security_group_list, security_group_rule_list,
};
use mallee_types::{AccountId, GroupId, GroupRuleId, VpcId};
use permissions::{ShownRule, permissions};
use std::collections::BTreeMap;

/// What DescribeSecurityGroups filters by.
const FILTERS: [&str; 25] = [
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "security-group-arn",
    "tag-key",
    "vpc-id",
];

/// A group with the names of the groups that its rules name: filters see them, replies do not.
struct Candidate<'a> {
    group: SecurityGroup,
    names: &'a BTreeMap<GroupId, String>,
}

impl Candidate<'_> {
    fn permission_values(&self, permissions: &[IpPermission], property: &str) -> Vec<String> {
        let of = |p: &IpPermission| -> Vec<String> {
            let pairs = p.user_id_group_pairs.iter();
            match property {
                "cidr" => p.ip_ranges.iter().flat_map(|range| values_of(&range.cidr_ip)).collect(),
                "ipv6-cidr" => p.ipv6_ranges.iter().flat_map(|range| values_of(&range.cidr_ipv6)).collect(),
                "from-port" => values_of(&p.from_port),
                "group-id" => pairs.flat_map(|pair| values_of(&pair.group_id)).collect(),
                "group-name" => {
                    let ids = pairs.filter_map(|pair| pair.group_id.as_ref()?.parse::<GroupId>().ok());
                    ids.filter_map(|id| self.names.get(&id).cloned()).collect()
                }
                "prefix-list-id" => p.prefix_list_ids.iter().flat_map(|list| values_of(&list.prefix_list_id)).collect(),
                "protocol" => values_of(&p.ip_protocol),
                "to-port" => values_of(&p.to_port),
                "user-id" => pairs.flat_map(|pair| values_of(&pair.user_id)).collect(),
                _ => Vec::new(),
            }
        };
        permissions.iter().flat_map(of).collect()
    }
}

impl Filterable for Candidate<'_> {
    fn values(&self, name: &str) -> Vec<String> {
        let group = &self.group;
        if let Some(property) = name.strip_prefix("egress.ip-permission.") {
            return self.permission_values(&group.ip_permissions_egress, property);
        }
        if let Some(property) = name.strip_prefix("ip-permission.") {
            return self.permission_values(&group.ip_permissions, property);
        }
        match name {
            "description" => values_of(&group.description),
            "group-id" => values_of(&group.group_id),
            "group-name" => values_of(&group.group_name),
            "owner-id" => values_of(&group.owner_id),
            "security-group-arn" => values_of(&group.security_group_arn),
            "vpc-id" => values_of(&group.vpc_id),
            _ => tag_filter_values(name, &group.tags),
        }
    }
}

/// Rows by the group they belong to.
type RulesByGroup = BTreeMap<GroupId, Vec<SecurityGroupRuleRow>>;

fn shape(
    row: SecurityGroupRow,
    rules: &RulesByGroup,
    look: Look<'_>,
    tags: &mut TagMap,
    crossings: &Crossings,
) -> Result<SecurityGroup, ApiError> {
    let (mut ingress, mut egress) = (Vec::new(), Vec::new());
    for rule in rules.get(&row.id).into_iter().flatten() {
        let peer_account = rule.peer_account.as_ref().unwrap_or(&row.account_id).as_str();
        let (description, crossing) = (rule.description.as_deref(), crossings.get(&rule.id));
        let shown = ShownRule { spec: spec_of(rule)?, description, peer_account, crossing };
        if rule.egress { egress.push(shown) } else { ingress.push(shown) }
    }
    Ok(SecurityGroup {
        security_group_arn: Some(arn(look, &row.account_id, &row.id)),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        group_id: Some(row.id.to_string()),
        group_name: Some(row.name),
        description: Some(row.description),
        ip_permissions: permissions(ingress),
        ip_permissions_egress: permissions(egress),
        owner_id: Some(row.account_id.to_string()),
        vpc_id: Some(row.vpc_id.to_string()),
    })
}

fn arn(look: Look<'_>, account: &AccountId, id: &GroupId) -> String {
    look.arn(account, TAG_KIND, id.as_str())
}

/// The one group a request names, by id or by name.
fn group_ref<'a>(id: Option<&'a str>, name: Option<&'a str>) -> Result<GroupRef<'a>, ApiError> {
    match (id, name) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid_combination("The parameter groupName cannot be used with the parameter groupId"))
        }
        (Some(id), None) => Ok(GroupRef::Id(id)),
        (None, Some(name)) => Ok(GroupRef::Name(name)),
        (None, None) => {
            Err(Code::MissingParameter.message("The request must contain the parameter groupName or groupId"))
        }
    }
}

/// What the store can look up of a description's filters.
struct Lookup {
    ids: Option<Vec<GroupId>>,
    names: Option<Vec<String>>,
    vpcs: Option<Vec<VpcId>>,
}

impl Lookup {
    fn new(ids: Vec<GroupId>, filters: &Filters) -> Self {
        // An id that is none names no group.
        let by_filter = || {
            let literals = filters.literals("group-id")?;
            Some(literals.iter().filter_map(|id| id.parse().ok()).collect())
        };
        Self {
            ids: if ids.is_empty() { by_filter() } else { Some(ids) },
            names: filters.literals("group-name"),
            vpcs: filters.literals("vpc-id").map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect()),
        }
    }

    fn filter<'a>(&'a self, after: Option<&'a GroupId>) -> SecurityGroupFilter<'a> {
        SecurityGroupFilter {
            ids: self.ids.as_deref(),
            names: self.names.as_deref(),
            vpcs: self.vpcs.as_deref(),
            after,
        }
    }
}

impl Ec2Api {
    pub(crate) async fn create_security_group(
        &self,
        cx: &OpContext,
        r: CreateSecurityGroupRequest,
    ) -> Result<CreateSecurityGroupResult, ApiError> {
        let CreateSecurityGroupRequest { description, dry_run, group_name, tag_specifications, vpc_id } = r;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let (name, description) = (group_name.unwrap_or_default(), description.unwrap_or_default());
        let dry_run = dry_run == Some(true);
        let row = self.cloud.create_security_group(cx, &name, &description, vpc_id.as_deref(), &tags, dry_run).await?;
        Ok(CreateSecurityGroupResult {
            group_id: Some(row.id.to_string()),
            security_group_arn: Some(arn(self.look(), &row.account_id, &row.id)),
            tags: wire_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        })
    }

    pub(crate) async fn delete_security_group(
        &self,
        cx: &OpContext,
        r: DeleteSecurityGroupRequest,
    ) -> Result<DeleteSecurityGroupResult, ApiError> {
        let DeleteSecurityGroupRequest { dry_run, group_id, group_name } = r;
        let group = group_ref(group_id.as_deref(), group_name.as_deref())?;
        let id = self.cloud.delete_security_group(cx, &group, dry_run == Some(true)).await?;
        Ok(DeleteSecurityGroupResult { group_id: Some(id.to_string()), return_: Some(true) })
    }

    pub(crate) async fn describe_security_groups(
        &self,
        cx: &OpContext,
        r: DescribeSecurityGroupsRequest,
    ) -> Result<DescribeSecurityGroupsResult, ApiError> {
        let DescribeSecurityGroupsRequest {
            dry_run: dry,
            filters: wanted,
            group_ids,
            group_names,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let named: Vec<String> = group_ids.iter().chain(&group_names).cloned().collect();
        let page = page("DescribeSecurityGroups", max_results, next_token.as_deref(), 5..=1000, &named)?;
        let mut ids: Vec<GroupId> = parse_ids(&group_ids, Code::InvalidGroupIdMalformed)?;
        if named.len() > IDS_MAX {
            return Err(
                Code::InvalidParameterValue.message(format!("At most {IDS_MAX} groups can be given in one request."))
            );
        }
        dry_run(dry)?;
        let (store, look) = (self.store(), self.look());
        if !ids.is_empty() {
            let filter = SecurityGroupFilter { ids: Some(&ids), ..Default::default() };
            let there = read_rows(security_group_list(store, cx.account(), filter, ROWS).await)?;
            require_all(&ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidGroupNotFound)?;
        }
        // Names are those of the default VPC.
        for name in &group_names {
            ids.push(self.cloud.find_group(cx, &GroupRef::Name(name)).await?.id);
        }
        ids.sort();
        ids.dedup();
        let lookup = &Lookup::new(ids, filters);
        let read = |after: Option<GroupId>| async move {
            let rows = read_rows(security_group_list(store, cx.account(), lookup.filter(after.as_ref()), ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let ids: Vec<GroupId> = rows.iter().map(|row| row.id.clone()).collect();
            let rules = self.rules_by_group(cx, &ids).await?;
            let names = &self.peer_names(cx, &rules).await?;
            let crossings = self.cloud.crossings(rules.values().flatten()).await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                let candidate = Candidate { group: shape(row, &rules, look, &mut tags, &crossings)?, names };
                found.extend(Some(candidate).filter(|c| filters.accept(c)).map(|c| c.group));
            }
            Ok(Chunk { found, next })
        };
        let key = |group: &SecurityGroup| group.group_id.clone().unwrap_or_default();
        let (security_groups, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeSecurityGroupsResult { security_groups, next_token })
    }

    async fn rules_by_group(&self, cx: &OpContext, groups: &[GroupId]) -> Result<RulesByGroup, ApiError> {
        let mut out = RulesByGroup::new();
        let mut after: Option<GroupRuleId> = None;
        loop {
            let read =
                security_group_rule_list(self.store(), cx.account(), Some(groups), None, after.as_ref(), ROWS).await;
            let rows = read_rows(read)?;
            after = next_key(&rows, |row| row.id.clone());
            for row in rows {
                out.entry(row.group_id.clone()).or_default().push(row);
            }
            if after.is_none() {
                return Ok(out);
            }
        }
    }

    /// The names of the groups that rules name as peers.
    async fn peer_names(&self, cx: &OpContext, rules: &RulesByGroup) -> Result<BTreeMap<GroupId, String>, ApiError> {
        let mut ids: Vec<GroupId> = rules.values().flatten().filter_map(|rule| rule.peer_group.clone()).collect();
        ids.sort();
        ids.dedup();
        let mut names = BTreeMap::new();
        for some in ids.chunks(ROWS as usize) {
            let filter = SecurityGroupFilter { ids: Some(some), ..Default::default() };
            let rows = read_rows(security_group_list(self.store(), cx.account(), filter, ROWS).await)?;
            names.extend(rows.into_iter().map(|row| (row.id, row.name)));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::Generation;

    fn group(n: u128) -> SecurityGroupRow {
        SecurityGroupRow {
            id: GroupId::from_random(n),
            account_id: "123456789012".parse().unwrap(),
            vpc_id: VpcId::from_random(1),
            name: format!("group-{n}"),
            description: "of tests".into(),
            generation: Generation(1),
            created_ms: 0,
        }
    }

    fn rule(n: u128, egress: bool, cidr: Option<&str>, peer: Option<GroupId>) -> SecurityGroupRuleRow {
        SecurityGroupRuleRow {
            id: GroupRuleId::from_random(n),
            group_id: GroupId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            egress,
            protocol: if egress { -1 } else { 6 },
            from_port: (!egress).then_some(22),
            to_port: (!egress).then_some(23),
            cidr: cidr.map(str::to_owned),
            peer_account: peer.as_ref().map(|_| "123456789012".parse().unwrap()),
            peer_group: peer,
            description: Some("why".into()),
            prefix_list: None,
            peer_vpc: None,
            peering: None,
        }
    }

    #[test]
    fn a_group_is_found_by_its_rules() {
        let peer = GroupId::from_random(2);
        let rules = vec![
            rule(1, true, Some("0.0.0.0/0"), None),
            rule(2, false, Some("10.0.0.0/8"), None),
            rule(3, false, None, Some(peer.clone())),
        ];
        let rules = RulesByGroup::from([(GroupId::from_random(1), rules)]);
        let mut tags = TagMap::from([(group(1).id.to_string(), wire_tags([("Env", "prod")]))]);
        let look = Look { region: "eu-1", zones: &[] };
        let shown = shape(group(1), &rules, look, &mut tags, &Crossings::new()).unwrap();
        assert_eq!((shown.ip_permissions.len(), shown.ip_permissions_egress.len()), (1, 1));
        assert_eq!(shown.ip_permissions[0].ip_ranges[0].description.as_deref(), Some("why"));
        let names = BTreeMap::from([(peer.clone(), "peer".to_owned())]);
        let candidate = Candidate { group: shown, names: &names };
        for (name, value) in [
            ("description", "of tests"),
            ("egress.ip-permission.cidr", "0.0.0.0/0"),
            ("egress.ip-permission.protocol", "-1"),
            ("group-id", "sg-00000000000000001"),
            ("group-name", "group-1"),
            ("ip-permission.cidr", "10.0.0.0/8"),
            ("ip-permission.from-port", "22"),
            ("ip-permission.to-port", "23"),
            ("ip-permission.group-id", peer.as_str()),
            ("ip-permission.group-name", "peer"),
            ("ip-permission.protocol", "tcp"),
            ("ip-permission.user-id", "123456789012"),
            ("owner-id", "123456789012"),
            ("security-group-arn", "arn:aws:ec2:eu-1:123456789012:security-group/sg-00000000000000001"),
            ("tag:Env", "prod"),
            ("vpc-id", "vpc-00000000000000001"),
        ] {
            assert_eq!(candidate.values(name), [value], "{name}");
            assert!(name.starts_with("tag:") || FILTERS.contains(&name), "{name} is not offered");
        }
        assert!(candidate.values("ip-permission.ipv6-cidr").is_empty());
    }

    #[test]
    fn a_group_is_named_by_id_or_name() {
        assert!(matches!(group_ref(Some("sg-1"), None), Ok(GroupRef::Id("sg-1"))));
        assert!(matches!(group_ref(None, Some("web")), Ok(GroupRef::Name("web"))));
        assert_eq!(group_ref(None, None).unwrap_err().code(), Code::MissingParameter);
        assert_eq!(group_ref(Some("a"), Some("b")).unwrap_err().code(), Code::InvalidParameterCombination);
    }
}
