//! `UpdateSecurityGroupRuleDescriptionsIngress`, `…Egress` and `ModifySecurityGroupRules`: rules keep their ids.

use super::rule::RuleSpec;
use super::{NewRule, RulesToRevoke, crossing, is_meant, lists_of, row_of, rules_within, spec_of, touch};
use crate::fail::{OrFail as _, store_failure};
use crate::{Cloud, OpContext, load, prefix_lists};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    RULE_DUPLICATE, SecurityGroupRow, SecurityGroupRuleRow, change_append, security_group_rule_delete,
    security_group_rule_describe, security_group_rule_insert, security_group_rules_of,
};
use mallee_types::GroupRuleId;

fn find<'a>(rules: &'a [SecurityGroupRuleRow], id: &GroupRuleId) -> Result<&'a SecurityGroupRuleRow, ApiError> {
    let row = rules.iter().find(|row| row.id == *id);
    row.ok_or_else(|| Code::InvalidSecurityGroupRuleIdNotFound.with(&[id.as_str()]))
}

fn find_spec<'a>(
    rules: &'a [SecurityGroupRuleRow],
    group: &SecurityGroupRow,
    meant: &NewRule,
) -> Result<&'a SecurityGroupRuleRow, ApiError> {
    for row in rules {
        if is_meant(row, group, meant)? {
            return Ok(row);
        }
    }
    Err(Code::InvalidPermissionNotFound.error())
}

impl Cloud {
    /// Puts descriptions on rules of one direction, on all or on none. Each rule is named as for a revocation, in the
    /// order of `descriptions`.
    ///
    /// # Errors
    /// `InvalidPermission.NotFound`, `InvalidSecurityGroupRuleId.NotFound`.
    pub async fn describe_rules(
        &self,
        group: &SecurityGroupRow,
        egress: bool,
        wanted: &RulesToRevoke,
        descriptions: &[Option<String>],
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let rules = security_group_rules_of(&mut tx, &group.id).await.or_fail()?;
        let rules: Vec<SecurityGroupRuleRow> = rules.into_iter().filter(|rule| rule.egress == egress).collect();
        let found: Vec<&SecurityGroupRuleRow> = match wanted {
            RulesToRevoke::Ids(ids) => ids.iter().map(|id| find(&rules, id)).collect::<Result<_, _>>()?,
            RulesToRevoke::Specs(specs) => {
                specs.iter().map(|meant| find_spec(&rules, group, meant)).collect::<Result<_, _>>()?
            }
        };
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        for (row, description) in found.iter().zip(descriptions) {
            let description = description.as_deref().filter(|text| !text.is_empty());
            security_group_rule_describe(&mut tx, &group.id, &row.id, description).await.or_fail()?;
        }
        tx.commit().await.or_fail()
    }

    /// `ModifySecurityGroupRules`: what each rule allows is replaced; its direction, id and tags stay. All or none.
    ///
    /// # Errors
    /// `InvalidSecurityGroupRuleId.NotFound`, `InvalidPermission.Duplicate`, a peer group that is not there.
    pub async fn modify_rules(
        &self,
        cx: &OpContext,
        group: &SecurityGroupRow,
        changes: &[(GroupRuleId, NewRule)],
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let lists = lists_of(changes.iter().map(|(_, rule)| rule));
        for list in &lists {
            self.find_prefix_list(cx, list.as_str()).await?;
        }
        let mut tx = self.store().write().await.or_fail()?;
        let named: Vec<&NewRule> = changes.iter().map(|(_, rule)| rule).collect();
        // Lists before groups, as who changes a list does.
        prefix_lists::hold(&mut tx, &lists).await?;
        let places = crossing::places(&mut tx, cx, group, &named).await?;
        touch(&mut tx, &group.id).await?;
        let rules = security_group_rules_of(&mut tx, &group.id).await.or_fail()?;
        let mut rows = Vec::with_capacity(changes.len());
        for ((id, rule), place) in changes.iter().zip(places) {
            let old = find(&rules, id)?;
            let spec = RuleSpec { egress: old.egress, ..rule.spec.clone() };
            rows.push(row_of(id.clone(), group, &NewRule { spec, ..rule.clone() }, place));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        // All out before any goes in: two rules may change places.
        for row in &rows {
            security_group_rule_delete(&mut tx, &group.id, &row.id).await.or_fail()?;
        }
        for row in &rows {
            if let Err(error) = security_group_rule_insert(&mut tx, row).await {
                return Err(if error.is_conflict(RULE_DUPLICATE) {
                    Code::InvalidPermissionDuplicate.with(&[&spec_of(row)?.describe()])
                } else {
                    store_failure(error)
                });
            }
        }
        if !lists.is_empty() {
            rules_within(&mut tx, cx.account(), &group.id).await?;
            prefix_lists::referred(&mut tx, cx.account(), &lists).await?;
        }
        change_append(&mut tx, load::GROUP, &group.id, None);
        tx.commit().await.or_fail()
    }
}
