//! Security groups and their rules.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use mallee_types::{AccountId, Generation, GroupId, GroupRuleId, PrefixListId, VpcId, VpcPeeringId};
use std::collections::BTreeSet;

record! {
    /// A security group.
    pub struct SecurityGroupRow {
        /// `sg-…`.
        id: GroupId,
        /// Whose.
        account_id: AccountId,
        /// In which VPC.
        vpc_id: VpcId,
        /// Unique in the VPC.
        name: String,
        /// What the user says it is for.
        description: String,
        /// Grows with every change of the group or its rules.
        generation: Generation,
        /// When it was made.
        created_ms: i64,
    }
    /// One rule: one protocol and port range, and one peer.
    pub struct SecurityGroupRuleRow {
        /// `sgr-…`.
        id: GroupRuleId,
        /// Of which group.
        group_id: GroupId,
        /// The group's account.
        account_id: AccountId,
        /// Outgoing; else incoming.
        egress: bool,
        /// IP protocol number; -1 is all.
        protocol: i64,
        /// First port, or the ICMP type (-1: all); none for protocols without ports.
        from_port: Option<i64>,
        /// Last port, or the ICMP code (-1: all).
        to_port: Option<i64>,
        /// The peer as an address range in canonical text.
        cidr: Option<String>,
        /// The peer as a group.
        peer_group: Option<GroupId>,
        /// The peer group's account.
        peer_account: Option<AccountId>,
        /// What the user says it is for.
        description: Option<String>,
        /// The peer as the addresses of a prefix list.
        prefix_list: Option<PrefixListId>,
        /// The peer group's VPC, where it is another one.
        peer_vpc: Option<VpcId>,
        /// Over which connection the peer group was allowed, where its VPC is another one.
        peering: Option<VpcPeeringId>,
    }
}

/// The constraint that a rule equal to an existing one breaks (`InvalidPermission.Duplicate`).
pub const RULE_DUPLICATE: &str = "security_group_rules_tuple";

sql! {
    INSERT = "INSERT INTO security_groups (id, account_id, vpc_id, name, description, generation, created_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FETCH = "SELECT id, account_id, vpc_id, name, description, generation, created_ms FROM security_groups WHERE id = $1";
    BY_NAME = "SELECT id, account_id, vpc_id, name, description, generation, created_ms
        FROM security_groups WHERE vpc_id = $1 AND name = $2";
    LIST = "SELECT id, account_id, vpc_id, name, description, generation, created_ms
        FROM security_groups WHERE account_id = $1";
    LIST_ALL = "SELECT id, account_id, vpc_id, name, description, generation, created_ms FROM security_groups ORDER BY id";
    TOUCH = "UPDATE security_groups SET generation = generation + 1 WHERE id = $1 RETURNING generation";
    DELETE = "DELETE FROM security_groups WHERE id = $1";
    HOLD = "UPDATE security_groups SET generation = generation WHERE id = $1";
    PEERS = "SELECT DISTINCT group_id FROM security_group_rules WHERE peer_group = $1 AND group_id <> $1
        AND peer_vpc IS NULL ORDER BY group_id";
    FROM_PEERS = "SELECT DISTINCT security_group_rules.peer_group, security_groups.vpc_id FROM security_group_rules
        JOIN security_groups ON security_groups.id = security_group_rules.group_id
        WHERE security_group_rules.peer_vpc IS NOT NULL";
    RULE_INSERT = "INSERT INTO security_group_rules
        (id, group_id, account_id, egress, protocol, from_port, to_port, cidr, peer_group, peer_account, description,
        prefix_list, peer_vpc, peering) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    RULE_LIST = "SELECT id, group_id, account_id, egress, protocol, from_port, to_port, cidr, peer_group, peer_account,
        description, prefix_list, peer_vpc, peering FROM security_group_rules WHERE account_id = $1";
    RULE_LIST_GROUP = "SELECT id, group_id, account_id, egress, protocol, from_port, to_port, cidr, peer_group,
        peer_account, description, prefix_list, peer_vpc, peering FROM security_group_rules WHERE group_id = $1 ORDER BY id";
    RULE_LIST_ALL = "SELECT id, group_id, account_id, egress, protocol, from_port, to_port, cidr, peer_group,
        peer_account, description, prefix_list, peer_vpc, peering FROM security_group_rules ORDER BY group_id, id";
    RULE_DELETE = "DELETE FROM security_group_rules WHERE group_id = $1 AND id = $2";
    RULE_DESCRIBE = "UPDATE security_group_rules SET description = $3 WHERE group_id = $1 AND id = $2";
}

/// Makes a group. Conflict: `security_groups_vpc_id_name`.
pub async fn security_group_insert(tx: &mut Tx, row: &SecurityGroupRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(INSERT, row.args()).await.map(drop)
}

/// The group of this id.
pub async fn security_group_fetch<'a>(exec: impl Into<Exec<'a>>, id: &GroupId) -> Result<SecurityGroupRow, StoreError> {
    exec.into().one(FETCH, args![id], id).await
}

/// The VPC's group of this name.
pub async fn security_group_by_name<'a>(
    exec: impl Into<Exec<'a>>,
    vpc: &VpcId,
    name: &str,
) -> Result<Option<SecurityGroupRow>, StoreError> {
    exec.into().maybe(BY_NAME, args![vpc, name]).await
}

/// Which groups of an account.
#[derive(Debug, Default, Clone, Copy)]
pub struct SecurityGroupFilter<'a> {
    /// Only these.
    pub ids: Option<&'a [GroupId]>,
    /// Only of these names.
    pub names: Option<&'a [String]>,
    /// Only in these VPCs.
    pub vpcs: Option<&'a [VpcId]>,
    /// Only those after this id.
    pub after: Option<&'a GroupId>,
}

/// The account's groups, by id.
pub async fn security_group_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    filter: SecurityGroupFilter<'_>,
    limit: u32,
) -> Result<Vec<SecurityGroupRow>, StoreError> {
    let select = Select::new(LIST, args![account])
        .and("id >", filter.after)
        .and_in("id", filter.ids)?
        .and_in("name", filter.names)?
        .and_in("vpc_id", filter.vpcs)?;
    select.page(exec.into(), "id", limit).await
}

/// Every group of the cloud, by id (reconcilers).
pub async fn security_group_list_all<'a>(exec: impl Into<Exec<'a>>) -> Result<Vec<SecurityGroupRow>, StoreError> {
    exec.into().all(LIST_ALL, vec![]).await
}

/// The group or its rules changed: its new generation. Also keeps two changes of one group apart on PostgreSQL.
pub async fn security_group_touch(tx: &mut Tx, id: &GroupId) -> Result<Generation, StoreError> {
    Ok(Exec::Tx(tx).one::<(Generation,)>(TOUCH, args![id], id).await?.0)
}

/// Removes a group with its rules; [`StoreError::InUse`] while an interface is in it.
pub async fn security_group_delete(tx: &mut Tx, id: &GroupId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}

/// Holds groups until the end of the transaction, always in one order: whoever else holds one waits.
pub async fn security_group_hold(tx: &mut Tx, ids: &BTreeSet<GroupId>) -> Result<(), StoreError> {
    for id in ids {
        Exec::Tx(&mut *tx).run(HOLD, args![id]).await?;
    }
    Ok(())
}

/// The other groups of its VPC whose rules name this one as their peer.
pub async fn security_group_referrers<'a>(exec: impl Into<Exec<'a>>, id: &GroupId) -> Result<Vec<GroupId>, StoreError> {
    Ok(exec.into().all::<(GroupId,)>(PEERS, args![id]).await?.into_iter().map(|(id,)| id).collect())
}

/// Which other VPCs have rules that name these groups: pairs of group and VPC, each once, in this order.
pub async fn security_group_named_from<'a>(
    exec: impl Into<Exec<'a>>,
    ids: &[GroupId],
    limit: u32,
) -> Result<Vec<(GroupId, VpcId)>, StoreError> {
    let select = Select::new(FROM_PEERS, vec![]).and_in("security_group_rules.peer_group", Some(ids))?;
    select.page(exec.into(), "security_group_rules.peer_group, security_groups.vpc_id", limit).await
}

/// Adds a rule. Conflict: [`RULE_DUPLICATE`].
pub async fn security_group_rule_insert(tx: &mut Tx, row: &SecurityGroupRuleRow) -> Result<(), StoreError> {
    Exec::Tx(tx).run(RULE_INSERT, row.args()).await.map(drop)
}

/// The account's rules by id, after `after`; each given list must hold.
pub async fn security_group_rule_list<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    groups: Option<&[GroupId]>,
    ids: Option<&[GroupRuleId]>,
    after: Option<&GroupRuleId>,
    limit: u32,
) -> Result<Vec<SecurityGroupRuleRow>, StoreError> {
    let select =
        Select::new(RULE_LIST, args![account]).and("id >", after).and_in("group_id", groups)?.and_in("id", ids)?;
    select.page(exec.into(), "id", limit).await
}

/// The rules of one group, by id.
pub async fn security_group_rules_of<'a>(
    exec: impl Into<Exec<'a>>,
    group: &GroupId,
) -> Result<Vec<SecurityGroupRuleRow>, StoreError> {
    exec.into().all(RULE_LIST_GROUP, args![group]).await
}

/// Every rule of the cloud, by group and id (reconcilers).
pub async fn security_group_rule_list_all<'a>(
    exec: impl Into<Exec<'a>>,
) -> Result<Vec<SecurityGroupRuleRow>, StoreError> {
    exec.into().all(RULE_LIST_ALL, vec![]).await
}

/// Removes a rule; true if it was there.
pub async fn security_group_rule_delete(tx: &mut Tx, group: &GroupId, id: &GroupRuleId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(RULE_DELETE, args![group, id]).await? > 0)
}

/// Changes a rule's description; true if the rule is there.
pub async fn security_group_rule_describe(
    tx: &mut Tx,
    group: &GroupId,
    id: &GroupRuleId,
    description: Option<&str>,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(RULE_DESCRIBE, args![group, id, description]).await? > 0)
}
