//! Which instances could be meant: their ids out of an index, a page at a time, so that a description by a selective
//! filter reads what the filter selects, however many instances the account has.
//!
//! A search may give more than are meant (the account is not always looked at, and what is read later may have
//! changed), never fewer: the caller reads those instances and decides. Each text below is answered from one index in
//! its order (tests/it/plans.rs); lists are looked up value by value, because SQLite, which knows nothing of how many rows
//! have a value, would rather read the whole account than more than a few values of an index.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, sql};
use crate::select::Select;
use crate::value::{Arg, ToArg};
use mallee_types::{
    AccountId, GroupId, ImageId, InstanceId, InstanceState, InterfaceId, MacAddress, ReservationId, SubnetId, VpcId,
};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// Instances that a search without order finds at most; of more it only says so.
const SET_MAX: usize = 1000;
/// Subnets of one VPC that are looked through; of a VPC with more, the search says that there are many.
const SUBNETS_MAX: usize = 500;

/// A property that instances are searched by; of several values any will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceTerm {
    /// In one of these states.
    States(Vec<InstanceState>),
    /// Of one of these types.
    Types(Vec<String>),
    /// Made from one of these images.
    Images(Vec<ImageId>),
    /// Launched with one of these key pairs.
    KeyNames(Vec<String>),
    /// The first interface is in one of these subnets.
    Subnets(Vec<SubnetId>),
    /// In one of these VPCs.
    Vpcs(Vec<VpcId>),
    /// With one of these values of a tag.
    Tag {
        /// The tag's key.
        key: String,
        /// Its values.
        values: Vec<String>,
    },
    /// With a tag of one of these keys.
    TagKeys(Vec<String>),
    /// Of one of these launches.
    Reservations(Vec<ReservationId>),
    /// An interface has one of these private addresses.
    PrivateIps(Vec<Ipv4Addr>),
    /// An interface has one of these public addresses.
    PublicIps(Vec<Ipv4Addr>),
    /// With one of these interfaces.
    Interfaces(Vec<InterfaceId>),
    /// An interface has one of these hardware addresses.
    Macs(Vec<MacAddress>),
    /// An interface is in one of these security groups.
    Groups(Vec<GroupId>),
    /// An interface is in a security group of one of these names.
    GroupNames(Vec<String>),
    /// With an instance profile of one of these ARNs.
    ProfileArns(Vec<String>),
    /// With an instance profile of one of these ids.
    ProfileIds(Vec<String>),
}

/// What a search found; ids ascend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceMatches {
    /// All there are after the given id.
    All(Vec<InstanceId>),
    /// The first ones after the given id; go on from the last.
    First(Vec<InstanceId>),
    /// Too many to say which.
    Many,
}

impl InstanceMatches {
    /// What either of two searches without order found.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(one), Self::All(other)) => {
                let both: BTreeSet<InstanceId> = one.into_iter().chain(other).collect();
                Self::All(both.into_iter().collect())
            }
            _ => Self::Many,
        }
    }
}

sql! {
    OF_STATE = "SELECT id FROM instances WHERE account_id = $1 AND state = $2 AND id > $3 ORDER BY id LIMIT $4 + 0";
    OF_TYPE = "SELECT id FROM instances WHERE account_id = $1 AND instance_type = $2 AND id > $3
        ORDER BY id LIMIT $4 + 0";
    OF_IMAGE = "SELECT id FROM instances WHERE account_id = $1 AND image_id = $2 AND id > $3 ORDER BY id LIMIT $4 + 0";
    OF_KEY = "SELECT id FROM instances WHERE account_id = $1 AND key_name = $2 AND id > $3 ORDER BY id LIMIT $4 + 0";
    OF_SUBNET = "SELECT id FROM instances WHERE account_id = $1 AND subnet_id = $2 AND id > $3
        ORDER BY id LIMIT $4 + 0";
    // Ids of instances lie between `i-` and `i.`, the next character.
    OF_TAG = "SELECT resource_id FROM tags WHERE account_id = $1 AND key = $5 AND value = $2
        AND resource_id > $3 AND resource_id < 'i.' ORDER BY resource_id LIMIT $4 + 0";
    OF_TAG_KEY = "SELECT resource_id FROM tags WHERE account_id = $1 AND key = $2
        AND substr(resource_id, 1, 2) = 'i-' LIMIT $3 + 0";
    SUBNETS_OF_VPC = "SELECT id FROM subnets WHERE vpc_id = $1 LIMIT $2 + 0";
    // From here on a list of values follows. Values name few rows, in all accounts together.
    OF_RESERVATIONS = "SELECT id FROM instances WHERE 1 = 1";
    OF_PRIVATE_IPS = "SELECT instance_id FROM interfaces WHERE subnet_id IN (SELECT id FROM subnets WHERE account_id = $1)";
    OF_SECONDARY_IPS = "SELECT i.instance_id FROM interface_addresses s JOIN interfaces i ON i.id = s.interface_id
        WHERE s.subnet_id IN (SELECT id FROM subnets WHERE account_id = $1)";
    OF_PUBLIC_IPS = "SELECT i.instance_id FROM public_addresses p JOIN interfaces i ON i.id = p.interface_id WHERE 1 = 1";
    OF_INTERFACES = "SELECT instance_id FROM interfaces WHERE 1 = 1";
    OF_GROUPS = "SELECT i.instance_id FROM interface_groups m JOIN interfaces i ON i.id = m.interface_id WHERE 1 = 1";
    OF_GROUP_NAMES = "SELECT i.instance_id FROM security_groups g JOIN interface_groups m ON m.group_id = g.id
        JOIN interfaces i ON i.id = m.interface_id WHERE g.account_id = $1";
    OF_PROFILES = "SELECT instance_id FROM profile_associations WHERE 1 = 1";
}

/// Instances that this can be said of, after `after`: the first `limit`, or (where the index is not in the order of
/// ids) all, if they are few.
///
/// # Errors
/// [`StoreError::Invalid`] for a list that is too long.
pub async fn instance_search<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    term: &InstanceTerm,
    after: Option<&InstanceId>,
    limit: u32,
) -> Result<InstanceMatches, StoreError> {
    let mut search = Search { exec: exec.into(), account, after, limit };
    let any = || Vec::new();
    match term {
        InstanceTerm::States(values) => search.in_order(OF_STATE, values, None).await,
        InstanceTerm::Types(values) => search.in_order(OF_TYPE, values, None).await,
        InstanceTerm::Images(values) => search.in_order(OF_IMAGE, values, None).await,
        InstanceTerm::KeyNames(values) => search.in_order(OF_KEY, values, None).await,
        InstanceTerm::Subnets(values) => search.in_order(OF_SUBNET, values, None).await,
        InstanceTerm::Tag { key, values } => search.in_order(OF_TAG, values, Some(key)).await,
        InstanceTerm::Vpcs(values) => match search.subnets(values).await? {
            Some(subnets) => search.in_order(OF_SUBNET, &subnets, None).await,
            None => Ok(InstanceMatches::Many),
        },
        InstanceTerm::TagKeys(values) => search.of_tag_keys(values).await,
        InstanceTerm::Reservations(values) => search.few(OF_RESERVATIONS, any(), "reservation_id", values).await,
        InstanceTerm::PrivateIps(values) => {
            let primary = search.few(OF_PRIVATE_IPS, args![account], "private_ip", values).await?;
            let secondary = search.few(OF_SECONDARY_IPS, args![account], "s.address", values).await?;
            Ok(primary.or(secondary))
        }
        InstanceTerm::PublicIps(values) => search.few(OF_PUBLIC_IPS, any(), "p.address", values).await,
        InstanceTerm::Interfaces(values) => search.few(OF_INTERFACES, any(), "id", values).await,
        InstanceTerm::Macs(values) => search.few(OF_INTERFACES, any(), "mac", values).await,
        InstanceTerm::Groups(values) => search.few(OF_GROUPS, any(), "m.group_id", values).await,
        InstanceTerm::GroupNames(values) => search.few(OF_GROUP_NAMES, args![account], "g.name", values).await,
        InstanceTerm::ProfileArns(values) => search.few(OF_PROFILES, any(), "profile_arn", values).await,
        InstanceTerm::ProfileIds(values) => search.few(OF_PROFILES, any(), "profile_id", values).await,
    }
}

struct Search<'a> {
    exec: Exec<'a>,
    account: &'a AccountId,
    after: Option<&'a InstanceId>,
    limit: u32,
}

impl Search<'_> {
    /// Of each value its first rows; the first of all these are the first of all.
    async fn in_order<T: ToArg>(
        &mut self,
        text: &'static str,
        values: &[T],
        key: Option<&str>,
    ) -> Result<InstanceMatches, StoreError> {
        // Before the first of all instances, and after whatever else has tags.
        let after = self.after.map_or("i-", |id| id.as_str());
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let (mut ids, mut more) = (BTreeSet::new(), false);
        for value in values {
            let mut args = args![self.account, value, after, self.limit];
            args.extend(key.map(ToArg::to_arg));
            let rows = self.exec.again().all::<(String,)>(text, args).await?;
            more |= rows.len() >= limit;
            ids.extend(rows.into_iter().filter_map(|(id,)| id.parse::<InstanceId>().ok()));
        }
        more |= ids.len() > limit;
        let ids: Vec<InstanceId> = ids.into_iter().take(limit).collect();
        Ok(if more { InstanceMatches::First(ids) } else { InstanceMatches::All(ids) })
    }

    /// All of them, if they are few.
    async fn few<T: ToArg>(
        &mut self,
        base: &'static str,
        args: Vec<Arg>,
        column: &'static str,
        values: &[T],
    ) -> Result<InstanceMatches, StoreError> {
        let select = Select::new(base, args).and_in(column, Some(values))?;
        let rows = select.first::<(Option<InstanceId>,)>(self.exec.again(), row_limit()).await?;
        Ok(self.set(rows.into_iter().map(|(id,)| id)))
    }

    async fn of_tag_keys(&mut self, keys: &[String]) -> Result<InstanceMatches, StoreError> {
        let mut found = Vec::new();
        for key in keys {
            let args = args![self.account, key, row_limit()];
            let rows = self.exec.again().all::<(String,)>(OF_TAG_KEY, args).await?;
            found.extend(rows.into_iter().map(|(id,)| id.parse().ok()));
            if found.len() > SET_MAX {
                break;
            }
        }
        Ok(self.set(found.into_iter()))
    }

    fn set(&self, found: impl ExactSizeIterator<Item = Option<InstanceId>>) -> InstanceMatches {
        if found.len() > SET_MAX {
            return InstanceMatches::Many;
        }
        let ids: BTreeSet<InstanceId> =
            found.flatten().filter(|id| self.after.is_none_or(|after| id > after)).collect();
        InstanceMatches::All(ids.into_iter().collect())
    }

    /// The subnets of VPCs; `None`: too many.
    async fn subnets(&mut self, vpcs: &[VpcId]) -> Result<Option<Vec<SubnetId>>, StoreError> {
        let mut subnets = Vec::new();
        for vpc in vpcs {
            let limit = u32::try_from(SUBNETS_MAX + 1).unwrap_or(u32::MAX);
            let rows = self.exec.again().all::<(SubnetId,)>(SUBNETS_OF_VPC, args![vpc, limit]).await?;
            subnets.extend(rows.into_iter().map(|(id,)| id));
            if subnets.len() > SUBNETS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(subnets))
    }
}

/// One more than are few.
fn row_limit() -> u32 {
    u32::try_from(SET_MAX + 1).unwrap_or(u32::MAX)
}
