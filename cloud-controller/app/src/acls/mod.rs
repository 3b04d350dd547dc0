//! Network ACLs: what may cross the boundary of a subnet, whatever the security groups of its interfaces say.

mod entries;
mod tables;

pub use entries::{EntryKey, NUMBERS, NewEntry, protocol_number};

use crate::fail::OrFail as _;
use crate::{Cloud, load};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use mallee_awswire::ApiError;
use mallee_store::{
    NetworkAclAssociationRow, NetworkAclEntryRow, NetworkAclFilter, NetworkAclRow, PAGE_ROWS_MAX, StoreError,
    SubnetRow, Tx, VpcRow, change_append, network_acl_association_insert, network_acl_default, network_acl_delete,
    network_acl_entry_insert, network_acl_entry_list, network_acl_insert, network_acl_list, network_acl_touch,
    tag_delete_of,
};
use mallee_types::{AccountId, Generation, NetworkAclAssociationId, NetworkAclId, VpcId};

/// EC2's resource type for tags of a network ACL.
pub const TAG_KIND: &str = "network-acl";
/// The number of the last entry of each direction, which denies what no other decides. It is in no row, cannot be
/// changed, and is not counted.
pub const LAST_NUMBER: u32 = 32767;
/// What "all" is: the number of a protocol, the type and code of ICMP.
pub const ALL: i64 = -1;
/// The same for packets of IPv6, where the VPC has a block.
pub const LAST_NUMBER_IPV6: u32 = 32768;
/// The entries that a default ACL is made with, one each way, and those that it gets with the VPC's IPv6 block.
const DEFAULT_NUMBER: u32 = 100;
const DEFAULT_NUMBER_IPV6: u32 = 101;

/// An entry by which everything of a family passes.
fn everything(acl: &NetworkAclId, egress: bool, six: bool) -> NetworkAclEntryRow {
    let (number, cidr): (u32, IpNet) = match six {
        false => (DEFAULT_NUMBER, Ipv4Net::default().into()),
        true => (DEFAULT_NUMBER_IPV6, Ipv6Net::default().into()),
    };
    let (from_port, to_port) = (None, None);
    NetworkAclEntryRow { acl_id: acl.clone(), egress, number, allow: true, protocol: ALL, cidr, from_port, to_port }
}

impl Cloud {
    /// The default ACL of a VPC that is being made: everything passes.
    pub(crate) async fn make_default_acl(&self, tx: &mut Tx, vpc: &VpcRow) -> Result<(), StoreError> {
        let acl = NetworkAclRow {
            id: NetworkAclId::from_random(self.rng().u128()),
            account_id: vpc.account_id.clone(),
            vpc_id: vpc.id.clone(),
            is_default: true,
            generation: Generation(1),
            created_ms: vpc.created_ms,
        };
        network_acl_insert(tx, &acl).await?;
        for egress in [false, true] {
            network_acl_entry_insert(tx, &everything(&acl.id, egress, false)).await?;
        }
        change_append(tx, load::NETWORK_ACL, &acl.id, None);
        Ok(())
    }

    /// Has the default ACL of a VPC that has got its first IPv6 block let all of that through, each way that is as it was made:
    /// what somebody has changed, stays.
    pub(crate) async fn open_default_acl(&self, tx: &mut Tx, vpc: &VpcId) -> Result<(), StoreError> {
        let Some(acl) = network_acl_default(&mut *tx, vpc).await? else { return Ok(()) };
        // Whoever else changes it waits.
        network_acl_touch(tx, &acl.id).await?;
        let there = network_acl_entry_list(&mut *tx, std::slice::from_ref(&acl.id)).await?;
        for egress in [false, true] {
            let of_way: Vec<_> = there.iter().filter(|entry| entry.egress == egress).collect();
            if of_way == [&everything(&acl.id, egress, false)] {
                network_acl_entry_insert(tx, &everything(&acl.id, egress, true)).await?;
            }
        }
        change_append(tx, load::NETWORK_ACL, &acl.id, None);
        Ok(())
    }

    /// Gives a subnet that is being made the default ACL of its VPC.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the VPC has none any more: it is being deleted.
    pub(crate) async fn give_default_acl(&self, tx: &mut Tx, subnet: &SubnetRow) -> Result<(), StoreError> {
        let none = || StoreError::NotFound { what: format!("the default network ACL of {}", subnet.vpc_id) };
        let acl = network_acl_default(&mut *tx, &subnet.vpc_id).await?.ok_or_else(none)?;
        let row = NetworkAclAssociationRow {
            id: NetworkAclAssociationId::from_random(self.rng().u128()),
            acl_id: acl.id,
            subnet_id: subnet.id.clone(),
        };
        network_acl_association_insert(tx, &row).await
    }
}

/// Which ACLs go with the network they are in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Going<'a> {
    /// That of a VPC.
    Vpc(&'a VpcId),
    /// All of an account.
    Account(&'a AccountId),
}

/// Those ACLs, to be removed by [`remove_acl`].
pub(crate) async fn going(tx: &mut Tx, whose: Going<'_>) -> Result<Vec<NetworkAclRow>, ApiError> {
    let filter = match whose {
        Going::Vpc(vpc) => NetworkAclFilter { vpcs: Some(std::slice::from_ref(vpc)), ..Default::default() },
        Going::Account(account) => NetworkAclFilter { account: Some(account), ..Default::default() },
    };
    network_acl_list(tx, filter, PAGE_ROWS_MAX).await.or_fail()
}

/// Removes an ACL with its entries and tags, and says so; false when it was not there.
///
/// # Errors
/// [`StoreError::InUse`] while a subnet has it.
pub(crate) async fn remove_acl(tx: &mut Tx, id: &NetworkAclId) -> Result<bool, StoreError> {
    let there = network_acl_delete(tx, id).await?;
    tag_delete_of(tx, id.as_str()).await?;
    change_append(tx, load::NETWORK_ACL, id, None);
    Ok(there)
}
