//! Security-group rules: authorise, revoke, describe.

use super::group_ref;
use super::permissions::{FlatPermission, WantedPeer, WantedRule, pair, wanted_rules};
use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows as read_rows, tag_filter_values,
    tags_of_one, tags_on, values_of,
};
use crate::filter::Filterable;
use ipnet::IpNet;
use mallee_app::OpContext;
use mallee_app::groups::rule::{self, Peer, RuleSpec};
use mallee_app::groups::{Crossing, GroupRef, NewRule, PeerClaim, RULE_TAG_KIND, RulesToRevoke, spec_of};
use mallee_app::ids::{parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{SecurityGroupRow, SecurityGroupRuleRow, security_group_rule_list};
use mallee_types::{GroupId, GroupRuleId};

/// What DescribeSecurityGroupRules filters by.
const FILTERS: [&str; 3] = ["group-id", "security-group-rule-id", "tag-key"];

impl Filterable for SecurityGroupRule {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "group-id" => values_of(&self.group_id),
            "security-group-rule-id" => values_of(&self.security_group_rule_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(
    row: &SecurityGroupRuleRow,
    look: Look<'_>,
    tags: &mut TagMap,
    crossing: Option<&Crossing>,
) -> Result<SecurityGroupRule, ApiError> {
    let RuleSpec { egress, protocol, from_port, to_port, peer } = spec_of(row)?;
    let (cidr, referenced_group_info, prefix_list_id) = match peer {
        Peer::Cidr(net) => (Some(net), None, None),
        Peer::List(list) => (None, None, Some(list.to_string())),
        Peer::Group(group) => {
            let owner = row.peer_account.as_ref().unwrap_or(&row.account_id);
            let UserIdGroupPair { group_id, peering_status, user_id, vpc_id, vpc_peering_connection_id, .. } =
                pair(&group, owner.as_str(), crossing);
            let info = ReferencedSecurityGroup { group_id, peering_status, user_id, vpc_id, vpc_peering_connection_id };
            (None, Some(info), None)
        }
    };
    let of_family = |six: bool| cidr.filter(|cidr| matches!(cidr, IpNet::V6(_)) == six).map(|cidr| cidr.to_string());
    Ok(SecurityGroupRule {
        cidr_ipv4: of_family(false),
        cidr_ipv6: of_family(true),
        description: row.description.clone(),
        // EC2 says -1 here where there are no ports.
        from_port: Some(from_port.unwrap_or(-1)),
        to_port: Some(to_port.unwrap_or(-1)),
        group_id: Some(row.group_id.to_string()),
        group_owner_id: Some(row.account_id.to_string()),
        ip_protocol: Some(rule::protocol_name(protocol)),
        is_egress: Some(egress),
        prefix_list_id,
        referenced_group_info,
        security_group_rule_arn: Some(look.arn(&row.account_id, RULE_TAG_KIND, row.id.as_str())),
        security_group_rule_id: Some(row.id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    })
}

fn revoked_shape(row: &SecurityGroupRuleRow) -> Result<RevokedSecurityGroupRule, ApiError> {
    let rule = shape(row, Look { region: "", zones: &[] }, &mut TagMap::new(), None)?;
    Ok(RevokedSecurityGroupRule {
        cidr_ipv4: rule.cidr_ipv4,
        cidr_ipv6: rule.cidr_ipv6,
        description: rule.description,
        from_port: rule.from_port,
        group_id: rule.group_id,
        ip_protocol: rule.ip_protocol,
        is_egress: rule.is_egress,
        prefix_list_id: rule.prefix_list_id,
        referenced_group_id: rule.referenced_group_info.and_then(|group| group.group_id),
        security_group_rule_id: rule.security_group_rule_id,
        to_port: rule.to_port,
    })
}

/// What both directions' authorise calls ask for.
struct Authorization {
    dry_run: bool,
    permissions: Vec<IpPermission>,
    flat: FlatPermission,
    tag_specifications: Vec<TagSpecification>,
}

/// What both directions' revoke calls ask for.
struct Revocation {
    dry_run: bool,
    permissions: Vec<IpPermission>,
    flat: FlatPermission,
    rule_ids: Vec<String>,
}

fn refuse_repeats(rules: &[NewRule]) -> Result<(), ApiError> {
    let mut seen = std::collections::HashSet::with_capacity(rules.len());
    if rules.iter().all(|rule| seen.insert(&rule.spec)) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue.message("The same permission must not appear multiple times"))
}

impl Ec2Api {
    /// A rule of a request; a group that is named by its name is looked up.
    pub(super) async fn rule(&self, cx: &OpContext, wanted: WantedRule, egress: bool) -> Result<NewRule, ApiError> {
        let WantedRule { protocol, from_port, to_port, peer, description } = wanted;
        let (peer, claim) = match peer {
            WantedPeer::Cidr(net) => (Peer::Cidr(net), PeerClaim::default()),
            WantedPeer::List(list) => (Peer::List(list), PeerClaim::default()),
            WantedPeer::GroupId { id, claim } => (Peer::Group(id), claim),
            // Names are of the caller's default VPC.
            WantedPeer::GroupName { name, claim } => {
                if claim.account.as_deref().is_some_and(|id| id != cx.account().as_str()) {
                    return Err(Code::InvalidGroupNotFound.with(&[&mallee_awswire::texts::clip(&name)]));
                }
                (Peer::Group(self.cloud.find_group(cx, &GroupRef::Name(&name)).await?.id), claim)
            }
        };
        Ok(NewRule { spec: RuleSpec { egress, protocol, from_port, to_port, peer }, claim, description })
    }

    async fn authorize(
        &self,
        cx: &OpContext,
        group: SecurityGroupRow,
        egress: bool,
        wanted: Authorization,
    ) -> Result<Vec<SecurityGroupRule>, ApiError> {
        let Authorization { dry_run, permissions, flat, tag_specifications } = wanted;
        let tags = tags_of_one(tag_specifications, RULE_TAG_KIND)?;
        let wanted = wanted_rules(permissions, flat)?;
        if wanted.is_empty() {
            return Err(ApiError::missing_parameter("ipPermissions"));
        }
        let mut rules = Vec::with_capacity(wanted.len());
        for rule in wanted {
            let mut rule = self.rule(cx, rule, egress).await?;
            // A group of another account is named with its account.
            rule.claim.account.get_or_insert_with(|| cx.account().to_string());
            rules.push(rule);
        }
        refuse_repeats(&rules)?;
        let rows = self.cloud.authorize_rules(cx, &group, &rules, &tags, dry_run).await?;
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let mut tags = tags_on(self.store(), cx.account(), ids).await?;
        let crossings = self.cloud.crossings(&rows).await?;
        rows.iter().map(|row| shape(row, self.look(), &mut tags, crossings.get(&row.id))).collect()
    }

    async fn revoke(
        &self,
        cx: &OpContext,
        group: SecurityGroupRow,
        egress: bool,
        wanted: Revocation,
    ) -> Result<Vec<RevokedSecurityGroupRule>, ApiError> {
        let Revocation { dry_run, permissions, flat, rule_ids } = wanted;
        let ids: Vec<GroupRuleId> = parse_ids(&rule_ids, Code::InvalidSecurityGroupRuleIdMalformed)?;
        let rules = wanted_rules(permissions, flat)?;
        let wanted = match (ids.is_empty(), rules.is_empty()) {
            (true, true) => {
                return Err(Code::MissingParameter
                    .message("Either 'ipPermissions' or 'securityGroupRuleIds' should be provided."));
            }
            (false, false) => {
                return Err(ApiError::invalid_combination(
                    "The parameter securityGroupRuleIds cannot be used with the parameter ipPermissions",
                ));
            }
            (false, true) => RulesToRevoke::Ids(ids),
            (true, false) => {
                let mut specs = Vec::with_capacity(rules.len());
                for rule in rules {
                    specs.push(self.rule(cx, rule, egress).await?);
                }
                refuse_repeats(&specs)?;
                RulesToRevoke::Specs(specs)
            }
        };
        let rows = self.cloud.revoke_rules(&group, egress, &wanted, dry_run).await?;
        rows.iter().map(revoked_shape).collect()
    }

    pub(crate) async fn authorize_ingress(
        &self,
        cx: &OpContext,
        r: AuthorizeSecurityGroupIngressRequest,
    ) -> Result<AuthorizeSecurityGroupIngressResult, ApiError> {
        let AuthorizeSecurityGroupIngressRequest {
            cidr_ip,
            dry_run,
            from_port,
            group_id,
            group_name,
            ip_permissions: permissions,
            ip_protocol,
            source_security_group_name: source_group_name,
            source_security_group_owner_id: source_group_owner,
            tag_specifications,
            to_port,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), group_name.as_deref())?).await?;
        let flat = FlatPermission { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner };
        let wanted = Authorization { dry_run: dry_run == Some(true), permissions, flat, tag_specifications };
        let security_group_rules = self.authorize(cx, group, false, wanted).await?;
        Ok(AuthorizeSecurityGroupIngressResult { return_: Some(true), security_group_rules })
    }

    pub(crate) async fn authorize_egress(
        &self,
        cx: &OpContext,
        r: AuthorizeSecurityGroupEgressRequest,
    ) -> Result<AuthorizeSecurityGroupEgressResult, ApiError> {
        let AuthorizeSecurityGroupEgressRequest {
            cidr_ip,
            dry_run,
            from_port,
            group_id,
            ip_permissions: permissions,
            ip_protocol,
            source_security_group_name: source_group_name,
            source_security_group_owner_id: source_group_owner,
            tag_specifications,
            to_port,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), None)?).await?;
        let flat = FlatPermission { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner };
        let wanted = Authorization { dry_run: dry_run == Some(true), permissions, flat, tag_specifications };
        let security_group_rules = self.authorize(cx, group, true, wanted).await?;
        Ok(AuthorizeSecurityGroupEgressResult { return_: Some(true), security_group_rules })
    }

    pub(crate) async fn revoke_ingress(
        &self,
        cx: &OpContext,
        r: RevokeSecurityGroupIngressRequest,
    ) -> Result<RevokeSecurityGroupIngressResult, ApiError> {
        let RevokeSecurityGroupIngressRequest {
            cidr_ip,
            dry_run,
            from_port,
            group_id,
            group_name,
            ip_permissions: permissions,
            ip_protocol,
            security_group_rule_ids: rule_ids,
            source_security_group_name: source_group_name,
            source_security_group_owner_id: source_group_owner,
            to_port,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), group_name.as_deref())?).await?;
        let flat = FlatPermission { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner };
        let wanted = Revocation { dry_run: dry_run == Some(true), permissions, flat, rule_ids };
        let revoked_security_group_rules = self.revoke(cx, group, false, wanted).await?;
        let unknown_ip_permissions = Vec::new();
        Ok(RevokeSecurityGroupIngressResult {
            return_: Some(true),
            revoked_security_group_rules,
            unknown_ip_permissions,
        })
    }

    pub(crate) async fn revoke_egress(
        &self,
        cx: &OpContext,
        r: RevokeSecurityGroupEgressRequest,
    ) -> Result<RevokeSecurityGroupEgressResult, ApiError> {
        let RevokeSecurityGroupEgressRequest {
            cidr_ip,
            dry_run,
            from_port,
            group_id,
            ip_permissions: permissions,
            ip_protocol,
            security_group_rule_ids: rule_ids,
            source_security_group_name: source_group_name,
            source_security_group_owner_id: source_group_owner,
            to_port,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), None)?).await?;
        let flat = FlatPermission { cidr_ip, from_port, to_port, ip_protocol, source_group_name, source_group_owner };
        let wanted = Revocation { dry_run: dry_run == Some(true), permissions, flat, rule_ids };
        let revoked_security_group_rules = self.revoke(cx, group, true, wanted).await?;
        let unknown_ip_permissions = Vec::new();
        Ok(RevokeSecurityGroupEgressResult {
            return_: Some(true),
            revoked_security_group_rules,
            unknown_ip_permissions,
        })
    }

    pub(crate) async fn describe_security_group_rules(
        &self,
        cx: &OpContext,
        r: DescribeSecurityGroupRulesRequest,
    ) -> Result<DescribeSecurityGroupRulesResult, ApiError> {
        let DescribeSecurityGroupRulesRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            security_group_rule_ids,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeSecurityGroupRules";
        let page = page(operation, max_results, next_token.as_deref(), 5..=1000, &security_group_rule_ids)?;
        let ids: &Vec<GroupRuleId> = &parse_ids(&security_group_rule_ids, Code::InvalidSecurityGroupRuleIdMalformed)?;
        dry_run(dry)?;
        let (store, look) = (self.store(), self.look());
        if !ids.is_empty() {
            let there = read_rows(security_group_rule_list(store, cx.account(), None, Some(ids), None, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidSecurityGroupRuleIdNotFound)?;
        }
        let groups = filters.literals("group-id");
        let groups: &Option<Vec<GroupId>> = &groups.map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
        let read = |after: Option<GroupRuleId>| async move {
            let ids = (!ids.is_empty()).then_some(ids.as_slice());
            let read =
                security_group_rule_list(store, cx.account(), groups.as_deref(), ids, after.as_ref(), ROWS).await;
            let rows = read_rows(read)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let crossings = self.cloud.crossings(&rows).await?;
            let mut found = Vec::new();
            for row in &rows {
                found.extend(
                    Some(shape(row, look, &mut tags, crossings.get(&row.id))?).filter(|rule| filters.accept(rule)),
                );
            }
            Ok(Chunk { found, next })
        };
        let key = |rule: &SecurityGroupRule| rule.security_group_rule_id.clone().unwrap_or_default();
        let (security_group_rules, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeSecurityGroupRulesResult { security_group_rules, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: Option<GroupId>) -> SecurityGroupRuleRow {
        SecurityGroupRuleRow {
            id: GroupRuleId::from_random(5),
            group_id: GroupId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            egress: true,
            protocol: -1,
            from_port: None,
            to_port: None,
            cidr: peer.is_none().then(|| "0.0.0.0/0".to_owned()),
            peer_account: None,
            peer_group: peer,
            description: None,
            prefix_list: None,
            peer_vpc: None,
            peering: None,
        }
    }

    #[test]
    fn a_rule_is_shown_with_its_id_and_peer() {
        let look = Look { region: "eu-1", zones: &[] };
        let shown = shape(&row(None), look, &mut TagMap::new(), None).unwrap();
        assert_eq!(shown.security_group_rule_id.as_deref(), Some("sgr-00000000000000005"));
        assert_eq!((shown.ip_protocol.as_deref(), shown.from_port, shown.to_port), (Some("-1"), Some(-1), Some(-1)));
        assert_eq!((shown.cidr_ipv4.as_deref(), shown.is_egress), (Some("0.0.0.0/0"), Some(true)));
        assert_eq!(shown.values("group-id"), ["sg-00000000000000001"]);
        let peer = GroupId::from_random(2);
        let shown = shape(&row(Some(peer.clone())), look, &mut TagMap::new(), None).unwrap();
        let info = shown.referenced_group_info.unwrap();
        assert_eq!(info.group_id.as_deref(), Some(peer.as_str()));
        assert_eq!(info.user_id.as_deref(), Some("123456789012"));
        assert_eq!(
            revoked_shape(&row(Some(peer.clone()))).unwrap().referenced_group_id.as_deref(),
            Some(peer.as_str())
        );
    }

    #[test]
    fn a_permission_stands_once_in_a_request() {
        let spec = spec_of(&row(None)).unwrap();
        let rule = |spec| NewRule { spec, claim: PeerClaim::default(), description: None };
        let other = RuleSpec { egress: false, ..spec.clone() };
        assert!(refuse_repeats(&[rule(spec.clone()), rule(other)]).is_ok());
        assert!(refuse_repeats(&[rule(spec.clone()), rule(spec)]).is_err());
    }
}
