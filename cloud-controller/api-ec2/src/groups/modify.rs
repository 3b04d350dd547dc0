//! UpdateSecurityGroupRuleDescriptionsIngress, …Egress, ModifySecurityGroupRules.

use super::group_ref;
use super::permissions::{FlatPermission, wanted_rules};
use crate::Ec2Api;
use mallee_app::OpContext;
use mallee_app::groups::rule;
use mallee_app::groups::{NewRule, RulesToRevoke};
use mallee_app::ids::IDS_MAX;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::SecurityGroupRow;
use mallee_types::GroupRuleId;

fn rule_id(id: Option<String>) -> Result<GroupRuleId, ApiError> {
    let id = id.ok_or_else(|| ApiError::missing_parameter("SecurityGroupRuleId"))?;
    mallee_app::ids::parse_id(&id, Code::InvalidSecurityGroupRuleIdMalformed)
}

/// The one permission of a changed rule.
fn permission(rule: SecurityGroupRuleRequest) -> Result<IpPermission, ApiError> {
    let SecurityGroupRuleRequest {
        cidr_ipv4,
        cidr_ipv6,
        description,
        from_port,
        ip_protocol,
        prefix_list_id,
        referenced_group_id,
        to_port,
    } = rule;
    let given = [&cidr_ipv4, &cidr_ipv6, &prefix_list_id, &referenced_group_id].iter().filter(|p| p.is_some()).count();
    if given != 1 {
        return Err(ApiError::invalid_combination(
            "A rule has exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId",
        ));
    }
    let mut out = IpPermission { ip_protocol, from_port, to_port, ..Default::default() };
    if let Some(cidr) = cidr_ipv4 {
        out.ip_ranges.push(IpRange { cidr_ip: Some(cidr), description });
    } else if let Some(group) = referenced_group_id {
        let pair = UserIdGroupPair { group_id: Some(group), description, ..Default::default() };
        out.user_id_group_pairs.push(pair);
    } else if cidr_ipv6.is_some() {
        out.ipv6_ranges.push(Ipv6Range { cidr_ipv6, description });
    } else {
        out.prefix_list_ids.push(PrefixListId { description, prefix_list_id });
    }
    Ok(out)
}

/// What both directions' description updates ask for.
struct Descriptions {
    dry_run: bool,
    permissions: Vec<IpPermission>,
    rules: Vec<SecurityGroupRuleDescription>,
}

impl Ec2Api {
    async fn update_descriptions(
        &self,
        cx: &OpContext,
        group: SecurityGroupRow,
        egress: bool,
        wanted: Descriptions,
    ) -> Result<(), ApiError> {
        let Descriptions { dry_run, permissions, rules } = wanted;
        if permissions.is_empty() == rules.is_empty() {
            return Err(Code::MissingParameter
                .message("Either 'ipPermissions' or 'securityGroupRuleDescriptions' should be provided."));
        }
        if rules.len() > IDS_MAX {
            return Err(Code::RequestResourceCountExceeded.with(&[&IDS_MAX.to_string()]));
        }
        let mut texts = Vec::new();
        let which = if permissions.is_empty() {
            let mut ids = Vec::with_capacity(rules.len());
            for SecurityGroupRuleDescription { description, security_group_rule_id } in rules {
                ids.push(rule_id(security_group_rule_id)?);
                texts.push(description);
            }
            RulesToRevoke::Ids(ids)
        } else {
            let mut specs = Vec::new();
            for wanted in wanted_rules(permissions, FlatPermission::default())? {
                let meant = self.rule(cx, wanted, egress).await?;
                texts.push(meant.description.clone());
                specs.push(meant);
            }
            RulesToRevoke::Specs(specs)
        };
        for text in texts.iter().flatten() {
            rule::description(text)?;
        }
        self.cloud.describe_rules(&group, egress, &which, &texts, dry_run).await
    }

    pub(crate) async fn update_rule_descriptions_ingress(
        &self,
        cx: &OpContext,
        r: UpdateSecurityGroupRuleDescriptionsIngressRequest,
    ) -> Result<UpdateSecurityGroupRuleDescriptionsIngressResult, ApiError> {
        let UpdateSecurityGroupRuleDescriptionsIngressRequest {
            dry_run,
            group_id,
            group_name,
            ip_permissions: permissions,
            security_group_rule_descriptions: rules,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), group_name.as_deref())?).await?;
        let wanted = Descriptions { dry_run: dry_run == Some(true), permissions, rules };
        self.update_descriptions(cx, group, false, wanted).await?;
        Ok(UpdateSecurityGroupRuleDescriptionsIngressResult { return_: Some(true) })
    }

    pub(crate) async fn update_rule_descriptions_egress(
        &self,
        cx: &OpContext,
        r: UpdateSecurityGroupRuleDescriptionsEgressRequest,
    ) -> Result<UpdateSecurityGroupRuleDescriptionsEgressResult, ApiError> {
        let UpdateSecurityGroupRuleDescriptionsEgressRequest {
            dry_run,
            group_id,
            group_name,
            ip_permissions: permissions,
            security_group_rule_descriptions: rules,
        } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), group_name.as_deref())?).await?;
        let wanted = Descriptions { dry_run: dry_run == Some(true), permissions, rules };
        self.update_descriptions(cx, group, true, wanted).await?;
        Ok(UpdateSecurityGroupRuleDescriptionsEgressResult { return_: Some(true) })
    }

    pub(crate) async fn modify_security_group_rules(
        &self,
        cx: &OpContext,
        r: ModifySecurityGroupRulesRequest,
    ) -> Result<ModifySecurityGroupRulesResult, ApiError> {
        let ModifySecurityGroupRulesRequest { dry_run, group_id, security_group_rules } = r;
        let group = self.cloud.find_group(cx, &group_ref(group_id.as_deref(), None)?).await?;
        if security_group_rules.is_empty() {
            return Err(ApiError::missing_parameter("SecurityGroupRules"));
        }
        if security_group_rules.len() > IDS_MAX {
            return Err(Code::RequestResourceCountExceeded.with(&[&IDS_MAX.to_string()]));
        }
        let mut changes: Vec<(GroupRuleId, NewRule)> = Vec::with_capacity(security_group_rules.len());
        for SecurityGroupRuleUpdate { security_group_rule, security_group_rule_id } in security_group_rules {
            let id = rule_id(security_group_rule_id)?;
            if changes.iter().any(|(seen, _)| *seen == id) {
                return Err(Code::InvalidParameterValue.message(format!("The rule {id} is named twice.")));
            }
            let rule = security_group_rule.ok_or_else(|| ApiError::missing_parameter("SecurityGroupRule"))?;
            let permissions = vec![permission(rule)?];
            let wanted = wanted_rules(permissions, FlatPermission::default())?;
            for wanted in wanted {
                // The direction is the rule's own. A peer's group may be of any account: there is no place to say which.
                changes.push((id.clone(), self.rule(cx, wanted, false).await?));
            }
        }
        self.cloud.modify_rules(cx, &group, &changes, dry_run == Some(true)).await?;
        Ok(ModifySecurityGroupRulesResult { return_: Some(true) })
    }
}
