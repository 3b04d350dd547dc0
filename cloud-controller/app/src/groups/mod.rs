//! Security groups: create, delete, authorise, revoke.

mod crossing;
mod modify;
pub mod rule;

pub use crossing::{Crossing, Crossings, PeerClaim};

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load, prefix_lists};
use crossing::PeerPlace;
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SecurityGroupFilter, SecurityGroupRow, SecurityGroupRuleRow, StoreError, Tx, change_append, security_group_delete,
    security_group_hold, security_group_insert, security_group_list, security_group_referrers,
    security_group_rule_delete, security_group_rule_insert, security_group_rules_of, security_group_touch,
    tag_delete_of, tag_put, vpc_ipv6_cidr_list,
};
use mallee_types::{AccountId, Generation, GroupId, GroupRuleId, PrefixListId, VpcId};
use rule::{Peer, RuleSpec};
use std::collections::BTreeSet;

/// The name every VPC's first group has.
pub const DEFAULT_GROUP: &str = "default";
/// EC2's resource type for tags.
pub const TAG_KIND: &str = "security-group";
/// EC2's resource type for tags of a rule.
pub const RULE_TAG_KIND: &str = "security-group-rule";
/// Longest group name and description (EC2: 255).
const NAME_CHARS_MAX: usize = 255;

/// Which group a request means.
#[derive(Debug, Clone)]
pub enum GroupRef<'a> {
    /// By id.
    Id(&'a str),
    /// By name, in the default VPC.
    Name(&'a str),
}

/// A rule to add.
#[derive(Debug, Clone)]
pub struct NewRule {
    /// What it allows.
    pub spec: RuleSpec,
    /// What the request says of the peer group.
    pub claim: PeerClaim,
    /// For people.
    pub description: Option<String>,
}

/// Which rules to remove.
#[derive(Debug, Clone)]
pub enum RulesToRevoke {
    /// Those that allow exactly this, and whose peer groups are as is said of them.
    Specs(Vec<NewRule>),
    /// By id.
    Ids(Vec<GroupRuleId>),
}

/// A stored rule as a value. Rows are written by us, so what does not read is a defect.
///
/// # Errors
/// `InternalError`.
pub fn spec_of(row: &SecurityGroupRuleRow) -> Result<RuleSpec, ApiError> {
    let bad = || ApiError::internal(format!("security group rule {} does not read", row.id));
    let number = |n: i64| i32::try_from(n).map_err(|_| bad());
    let peer = match (&row.cidr, &row.peer_group, &row.prefix_list) {
        (Some(cidr), _, _) => Peer::Cidr(cidr.parse().map_err(|_| bad())?),
        (None, Some(group), _) => Peer::Group(group.clone()),
        (None, None, Some(list)) => Peer::List(list.clone()),
        (None, None, None) => return Err(bad()),
    };
    Ok(RuleSpec {
        egress: row.egress,
        protocol: number(row.protocol)?,
        from_port: row.from_port.map(number).transpose()?,
        to_port: row.to_port.map(number).transpose()?,
        peer,
    })
}

/// Whether a stored rule is the one that a request means. A rule names a group, whichever connection it is reached over: a
/// connection needs not be told apart.
fn is_meant(row: &SecurityGroupRuleRow, group: &SecurityGroupRow, meant: &NewRule) -> Result<bool, ApiError> {
    let given = |said: &Option<String>, is: &str| said.as_deref().is_none_or(|said| said == is);
    let account = row.peer_account.as_ref().unwrap_or(&group.account_id);
    let vpc = row.peer_vpc.as_ref().unwrap_or(&group.vpc_id);
    let claimed = given(&meant.claim.account, account.as_str()) && given(&meant.claim.vpc, vpc.as_str());
    Ok(claimed && spec_of(row)? == meant.spec)
}

fn row_of(id: GroupRuleId, group: &SecurityGroupRow, rule: &NewRule, place: PeerPlace) -> SecurityGroupRuleRow {
    let (peer_vpc, peering) = place.over.unzip();
    let (cidr, peer_group, prefix_list) = match &rule.spec.peer {
        Peer::Cidr(cidr) => (Some(cidr.to_string()), None, None),
        Peer::Group(group) => (None, Some(group.clone()), None),
        Peer::List(list) => (None, None, Some(list.clone())),
    };
    SecurityGroupRuleRow {
        id,
        group_id: group.id.clone(),
        account_id: group.account_id.clone(),
        egress: rule.spec.egress,
        protocol: i64::from(rule.spec.protocol),
        from_port: rule.spec.from_port.map(i64::from),
        to_port: rule.spec.to_port.map(i64::from),
        cidr,
        peer_account: peer_group.as_ref().map(|_| place.account.unwrap_or_else(|| group.account_id.clone())),
        peer_group,
        description: rule.description.clone(),
        prefix_list,
        peer_vpc,
        peering,
    }
}

/// The prefix lists that rules name.
fn lists_of<'a>(rules: impl IntoIterator<Item = &'a NewRule>) -> BTreeSet<PrefixListId> {
    let lists = rules.into_iter().filter_map(|rule| match &rule.spec.peer {
        Peer::List(list) => Some(list.clone()),
        Peer::Cidr(_) | Peer::Group(_) => None,
    });
    lists.collect()
}

/// Whether a group may have the rules that it has, each of a prefix list counted as so many as that may have entries.
pub(crate) async fn rules_within(tx: &mut Tx, account: &AccountId, group: &GroupId) -> Result<(), ApiError> {
    let all = security_group_rules_of(&mut *tx, group).await.or_fail()?;
    let sizes = prefix_lists::sizes(tx, all.iter().filter_map(|row| row.prefix_list.as_ref())).await?;
    for (egress, six) in [(false, false), (false, true), (true, false), (true, true)] {
        // As on AWS: the two families by themselves, and what names a group in both.
        let counts = |row: &&SecurityGroupRuleRow| {
            row.egress == egress
                && match (&row.cidr, &row.prefix_list) {
                    (Some(cidr), _) => cidr.contains(':') == six,
                    (None, Some(list)) => sizes.is_six(list) == six,
                    (None, None) => true,
                }
        };
        let weights = all.iter().filter(counts).map(|row| sizes.weight(row.prefix_list.as_ref()));
        within(tx, account, &quotas::RULES_PER_GROUP, weights.sum()).await?;
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), ApiError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && text.chars().all(ok) {
        return Ok(());
    }
    Err(Code::InvalidParameterValue.message(format!(
        "Value ({}) for parameter {what} is invalid. Character sets beyond ASCII are not supported, and 1 to 255 characters are allowed.",
        mallee_awswire::texts::clip(text)
    )))
}

/// EC2's first rule of a group, for one family: everything may go out.
pub(crate) fn everything_out(six: bool) -> NewRule {
    let everywhere = if six { Ipv6Net::default().into() } else { Ipv4Net::default().into() };
    let spec = RuleSpec { egress: true, protocol: -1, from_port: None, to_port: None, peer: Peer::Cidr(everywhere) };
    NewRule { spec, claim: PeerClaim::default(), description: None }
}

/// Makes a group inside a transaction, with EC2's first rules: everything may go out, of IPv6 if its VPC has a block.
pub(crate) async fn insert_group(
    cloud: &Cloud,
    tx: &mut Tx,
    account: &AccountId,
    vpc: &VpcId,
    name: &str,
    description: &str,
) -> Result<SecurityGroupRow, StoreError> {
    let row = SecurityGroupRow {
        id: GroupId::from_random(cloud.rng().u128()),
        account_id: account.clone(),
        vpc_id: vpc.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        generation: Generation(1),
        created_ms: cloud.clock().now_ms(),
    };
    security_group_insert(tx, &row).await?;
    let six = !vpc_ipv6_cidr_list(&mut *tx, Some(std::slice::from_ref(vpc))).await?.is_empty();
    for family in [false, true].into_iter().filter(|family| six || !family) {
        insert_rule(cloud, tx, &row, &everything_out(family)).await?;
    }
    change_append(tx, load::GROUP, &row.id, None);
    Ok(row)
}

/// A rule of a group that names, if any, a group of the same VPC.
pub(crate) async fn insert_rule(
    cloud: &Cloud,
    tx: &mut Tx,
    group: &SecurityGroupRow,
    rule: &NewRule,
) -> Result<SecurityGroupRuleRow, StoreError> {
    insert_placed(cloud, tx, group, rule, PeerPlace::default()).await
}

async fn insert_placed(
    cloud: &Cloud,
    tx: &mut Tx,
    group: &SecurityGroupRow,
    rule: &NewRule,
    place: PeerPlace,
) -> Result<SecurityGroupRuleRow, StoreError> {
    let row = row_of(GroupRuleId::from_random(cloud.rng().u128()), group, rule, place);
    security_group_rule_insert(tx, &row).await?;
    Ok(row)
}

impl Cloud {
    /// The group a request means.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a group that is not there.
    pub async fn find_group(&self, cx: &OpContext, group: &GroupRef<'_>) -> Result<SecurityGroupRow, ApiError> {
        let found = match group {
            GroupRef::Id(text) => {
                let id: GroupId = crate::ids::parse_id(text, Code::InvalidGroupIdMalformed)?;
                let filter = SecurityGroupFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
                security_group_list(self.store(), cx.account(), filter, 1).await.or_fail()?.pop()
            }
            GroupRef::Name(name) => {
                let vpc = self.require_default_vpc(cx).await?;
                let names = [(*name).to_owned()];
                let filter = SecurityGroupFilter {
                    names: Some(&names),
                    vpcs: Some(std::slice::from_ref(&vpc.id)),
                    ..Default::default()
                };
                security_group_list(self.store(), cx.account(), filter, 1).await.or_fail()?.pop()
            }
        };
        found.ok_or_else(|| {
            let (GroupRef::Id(text) | GroupRef::Name(text)) = group;
            Code::InvalidGroupNotFound.with(&[&mallee_awswire::texts::clip(text)])
        })
    }

    /// `CreateSecurityGroup`; without a VPC, in the default one.
    ///
    /// # Errors
    /// `InvalidGroup.Duplicate`, bad names, a VPC that is not there.
    pub async fn create_security_group(
        &self,
        cx: &OpContext,
        name: &str,
        description: &str,
        vpc: Option<&str>,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<SecurityGroupRow, ApiError> {
        check_text("GroupName", name)?;
        check_text("GroupDescription", description)?;
        if name.starts_with("sg-") {
            return Err(Code::InvalidParameterValue
                .message("Invalid value 'groupName'. Group names may not be in the format sg-*."));
        }
        if name == DEFAULT_GROUP {
            return Err(Code::InvalidGroupReserved.with(&[name]));
        }
        tags::validate(tags)?;
        let vpc = match vpc {
            Some(id) => self.find_vpc(cx, id).await?,
            None => self.require_default_vpc(cx).await?,
        };
        let names = [name.to_owned()];
        let same = SecurityGroupFilter {
            names: Some(&names),
            vpcs: Some(std::slice::from_ref(&vpc.id)),
            ..Default::default()
        };
        if !security_group_list(self.store(), cx.account(), same, 1).await.or_fail()?.is_empty() {
            return Err(Code::InvalidGroupDuplicate.with(&[name, vpc.id.as_str()]));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let keys = [("ec2:Vpc", vec![format!("arn:aws:ec2:{}:{}:vpc/{}", self.config().region, cx.account(), vpc.id)])];
        let allowance = self.ec2_allowance(cx, "ec2:CreateSecurityGroup", "security-group", &keys).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::SECURITY_GROUPS, 1)], &[]).await?;
        let row = insert_group(self, &mut tx, cx.account(), &vpc.id, name, description).await.map_err(|error| {
            if error.is_conflict("security_groups_vpc_id_name") {
                Code::InvalidGroupDuplicate.with(&[name, vpc.id.as_str()])
            } else {
                store_failure(error)
            }
        })?;
        allowance.made(&mut tx, &[row.id.to_string()]).await?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `DeleteSecurityGroup`. Rules of peer VPCs that name it do not hold it; they are stale then.
    ///
    /// # Errors
    /// `DependencyViolation` while an interface or a rule of another group of its VPC needs it, `CannotDelete` for `default`.
    pub async fn delete_security_group(
        &self,
        cx: &OpContext,
        group: &GroupRef<'_>,
        dry_run: bool,
    ) -> Result<GroupId, ApiError> {
        let row = self.find_group(cx, group).await?;
        if row.name == DEFAULT_GROUP {
            return Err(Code::CannotDelete.with(&[row.id.as_str()]));
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let needed = || ApiError::dependency_violation(row.id.as_str());
        let mut tx = self.store().write().await.or_fail()?;
        // Who is about to name it comes before or after.
        security_group_hold(&mut tx, &BTreeSet::from([row.id.clone()])).await.or_fail()?;
        if !security_group_referrers(&mut tx, &row.id).await.or_fail()?.iter().all(|other| *other == row.id) {
            return Err(needed());
        }
        match security_group_delete(&mut tx, &row.id).await {
            Ok(_) => {}
            Err(StoreError::InUse) => return Err(needed()),
            Err(error) => return Err(store_failure(error)),
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        change_append(&mut tx, load::GROUP, &row.id, None);
        match tx.commit().await {
            Err(StoreError::InUse) => Err(needed()),
            done => done.or_fail().map(|()| row.id),
        }
    }

    /// `AuthorizeSecurityGroupIngress` and `…Egress`: all rules, each with these tags, or none.
    ///
    /// # Errors
    /// `InvalidPermission.Duplicate`, `RulesPerSecurityGroupLimitExceeded`, a peer group that is not there.
    pub async fn authorize_rules(
        &self,
        cx: &OpContext,
        group: &SecurityGroupRow,
        rules: &[NewRule],
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<Vec<SecurityGroupRuleRow>, ApiError> {
        tags::validate(tags)?;
        let lists = lists_of(rules);
        for list in &lists {
            self.find_prefix_list(cx, list.as_str()).await?;
        }
        let mut tx = self.store().write().await.or_fail()?;
        // Lists before groups, as who changes a list does.
        prefix_lists::hold(&mut tx, &lists).await?;
        let places = crossing::places(&mut tx, cx, group, &rules.iter().collect::<Vec<_>>()).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        touch(&mut tx, &group.id).await?;
        let mut rows = Vec::with_capacity(rules.len());
        for (rule, place) in rules.iter().zip(places) {
            let row = insert_placed(self, &mut tx, group, rule, place).await.map_err(|error| {
                if error.is_conflict(mallee_store::RULE_DUPLICATE) {
                    Code::InvalidPermissionDuplicate.with(&[&rule.spec.describe()])
                } else {
                    store_failure(error)
                }
            })?;
            tag_put(&mut tx, &tags::rows(cx.account(), RULE_TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
            rows.push(row);
        }
        rules_within(&mut tx, cx.account(), &group.id).await?;
        prefix_lists::referred(&mut tx, cx.account(), &lists).await?;
        change_append(&mut tx, load::GROUP, &group.id, None);
        tx.commit().await.or_fail()?;
        Ok(rows)
    }

    /// `RevokeSecurityGroupIngress` and `…Egress`: all named rules or none. What was removed.
    ///
    /// # Errors
    /// `InvalidPermission.NotFound`, `InvalidSecurityGroupRuleId.NotFound`.
    pub async fn revoke_rules(
        &self,
        group: &SecurityGroupRow,
        egress: bool,
        wanted: &RulesToRevoke,
        dry_run: bool,
    ) -> Result<Vec<SecurityGroupRuleRow>, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        touch(&mut tx, &group.id).await?;
        let rules = security_group_rules_of(&mut tx, &group.id).await.or_fail()?;
        let mut revoked: Vec<SecurityGroupRuleRow> = Vec::new();
        match wanted {
            RulesToRevoke::Ids(ids) => {
                for id in ids {
                    let row = rules.iter().find(|row| row.id == *id && row.egress == egress);
                    revoked.push(
                        row.ok_or_else(|| Code::InvalidSecurityGroupRuleIdNotFound.with(&[id.as_str()]))?.clone(),
                    );
                }
            }
            RulesToRevoke::Specs(specs) => {
                for meant in specs {
                    let mut found = None;
                    for row in &rules {
                        if is_meant(row, group, meant)? {
                            found = Some(row);
                        }
                    }
                    revoked.push(found.ok_or_else(|| Code::InvalidPermissionNotFound.error())?.clone());
                }
            }
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        for row in &revoked {
            security_group_rule_delete(&mut tx, &group.id, &row.id).await.or_fail()?;
            tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        }
        change_append(&mut tx, load::GROUP, &group.id, None);
        tx.commit().await.or_fail()?;
        Ok(revoked)
    }
}

/// The group's next generation.
async fn touch(tx: &mut Tx, group: &GroupId) -> Result<(), ApiError> {
    security_group_touch(tx, group).await.map(drop).map_err(|error| match error {
        // Another call has just deleted it.
        StoreError::NotFound { .. } => Code::InvalidGroupNotFound.with(&[group.as_str()]),
        other => store_failure(other),
    })
}
