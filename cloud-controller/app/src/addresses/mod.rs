//! Elastic IPs: allocated, looked up, released. Where they lead to: [`mod@associate`].

pub mod associate;
pub(crate) mod check;

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    AddressRange, ElasticIpFilter, ElasticIpRow, Exec, StoreError, Tx, elastic_ip_delete, elastic_ip_insert,
    elastic_ip_list, public_address_take_exact, public_addresses_take, tag_delete_of, tag_put,
};
use mallee_types::AllocationId;
use std::net::Ipv4Addr;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "elastic-ip";

/// Which elastic IP a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRef {
    /// By its allocation.
    Allocation(AllocationId),
    /// By the address itself.
    Address(Ipv4Addr),
}

impl AddressRef {
    /// Out of the two parameters that may name one.
    ///
    /// # Errors
    /// When neither or both are given, or what is given is none.
    pub fn parse(allocation: Option<&str>, address: Option<&str>) -> Result<Self, ApiError> {
        match (allocation, address) {
            (Some(_), Some(_)) => Err(ApiError::invalid_combination(
                "You may specify public IP or allocation id, but not both in the same call",
            )),
            (Some(id), None) => allocation_id(id).map(Self::Allocation),
            (None, Some(address)) => ipv4(address).map(Self::Address),
            (None, None) => {
                Err(Code::MissingParameter.message("Either 'AllocationId' or 'PublicIp' must be specified"))
            }
        }
    }

    /// Nothing of this account's.
    fn missing(&self) -> ApiError {
        match self {
            Self::Allocation(id) => ApiError::not_found(Code::InvalidAllocationIdNotFound, &[id.as_str()]),
            Self::Address(address) => Code::InvalidAddressNotFound.with(&[&address.to_string()]),
        }
    }
}

/// An allocation's id out of a request; what is none is one that does not exist, as on AWS.
///
/// # Errors
/// `InvalidAllocationID.NotFound`.
pub fn allocation_id(text: &str) -> Result<AllocationId, ApiError> {
    text.parse().map_err(|_| Code::InvalidAllocationIdNotFound.with(&[&clip(text)]))
}

/// An address out of a request.
///
/// # Errors
/// `InvalidAddress.Malformed`.
pub fn ipv4(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| Code::InvalidAddressMalformed.with(&[&clip(text)]))
}

impl Cloud {
    /// `AllocateAddress`: the address that is asked for if it is free in the pool, or any.
    ///
    /// # Errors
    /// `AddressLimitExceeded`, `InsufficientAddressCapacity`, `InvalidAddress.NotFound` for an address that can not be
    /// had, `InvalidIPAddress.InUse` for one that the account has already.
    pub async fn allocate_address(
        &self,
        cx: &OpContext,
        wanted: Option<Ipv4Addr>,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<ElasticIpRow, ApiError> {
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let id = AllocationId::from_random(self.rng().u128());
        let allowance = self.ec2_allowance(cx, "ec2:AllocateAddress", TAG_KIND, &[]).await?;
        self.faults().point("cloud.address.allocate").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::ELASTIC_IPS, 1)], &[id.to_string()]).await?;
        let address = match wanted {
            Some(address) => self.take_wanted(&mut tx, cx, address).await?,
            None => self.take_any(&mut tx).await?,
        };
        let row = ElasticIpRow {
            id,
            account_id: cx.account().clone(),
            address,
            association_id: None,
            interface_id: None,
            allocated_ms: self.clock().now_ms(),
            private_ip: None,
        };
        elastic_ip_insert(&mut tx, &row).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.address.allocate.committed").await.or_fail()?;
        Ok(row)
    }

    async fn take_any(&self, tx: &mut Tx) -> Result<Ipv4Addr, ApiError> {
        let full = || Code::InsufficientAddressCapacity.error();
        let taken = public_addresses_take(tx, self.config().public_pool, 1).await.map_err(|error| match error {
            StoreError::Exhausted { .. } => full(),
            other => store_failure(other),
        })?;
        taken.into_iter().next().ok_or_else(full)
    }

    async fn take_wanted(&self, tx: &mut Tx, cx: &OpContext, address: Ipv4Addr) -> Result<Ipv4Addr, ApiError> {
        let in_pool = AddressRange::of_pool(self.config().public_pool).contains(address);
        if in_pool && public_address_take_exact(tx, address).await.or_fail()? {
            return Ok(address);
        }
        let same = [address];
        let filter = ElasticIpFilter { account: Some(cx.account()), addresses: Some(&same), ..Default::default() };
        match elastic_ip_list(tx, filter, 1).await.or_fail()?.is_empty() {
            false => Err(Code::InvalidIpAddressInUse.with(&[&address.to_string()])),
            true => Err(Code::InvalidAddressNotFound.message(format!(
                "Address '{address}' not found. It is not a free address of this cloud's pool; one that was released is free again after a minute."
            ))),
        }
    }

    /// The account's elastic IP of this name.
    ///
    /// # Errors
    /// `InvalidAllocationID.NotFound`, `InvalidAddress.NotFound`, and `AuthFailure` for an address that is another
    /// account's.
    pub async fn find_address<'a>(
        &self,
        exec: impl Into<Exec<'a>>,
        cx: &OpContext,
        address: &AddressRef,
    ) -> Result<ElasticIpRow, ApiError> {
        let found = match address {
            AddressRef::Allocation(id) => {
                let filter = ElasticIpFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
                elastic_ip_list(exec, filter, 1).await
            }
            AddressRef::Address(address) => {
                let filter = ElasticIpFilter { addresses: Some(std::slice::from_ref(address)), ..Default::default() };
                elastic_ip_list(exec, filter, 1).await
            }
        };
        match (found.or_fail()?.pop(), address) {
            (Some(row), _) if row.account_id == *cx.account() => Ok(row),
            (Some(_), AddressRef::Address(address)) => Err(foreign(*address)),
            _ => Err(address.missing()),
        }
    }

    /// `ReleaseAddress`: back to the pool, where it is kept for a minute before somebody else gets it.
    ///
    /// # Errors
    /// `InvalidIPAddress.InUse` while it is associated, and those of [`Cloud::find_address`].
    pub async fn release_address(&self, cx: &OpContext, address: &AddressRef, dry_run: bool) -> Result<(), ApiError> {
        let row = self.find_address(self.store(), cx, address).await?;
        let in_use = || Code::InvalidIpAddressInUse.with(&[&row.address.to_string()]);
        if row.association_id.is_some() {
            return Err(in_use());
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if !elastic_ip_delete(&mut tx, &row.id).await.or_fail()? {
            // Another request was faster: it is gone, or it leads somewhere.
            self.find_address(&mut tx, cx, &AddressRef::Allocation(row.id.clone())).await?;
            return Err(in_use());
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.address.release.committed").await.or_fail()
    }
}

fn foreign(address: Ipv4Addr) -> ApiError {
    Code::AuthFailure.message(format!("The address '{address}' does not belong to you."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_parameters_names_an_address() {
        let id = AllocationId::from_random(1);
        assert_eq!(AddressRef::parse(Some(id.as_str()), None).unwrap(), AddressRef::Allocation(id.clone()));
        let address = AddressRef::parse(None, Some("192.0.2.1")).unwrap();
        assert_eq!(address, AddressRef::Address(Ipv4Addr::new(192, 0, 2, 1)));
        let code = |allocation, address| AddressRef::parse(allocation, address).unwrap_err().code();
        assert_eq!(code(None, None), Code::MissingParameter);
        assert_eq!(code(Some(id.as_str()), Some("192.0.2.1")), Code::InvalidParameterCombination);
        assert_eq!(code(Some("eipalloc-x"), None), Code::InvalidAllocationIdNotFound);
        assert_eq!(code(None, Some("192.0.2.256")), Code::InvalidAddressMalformed);
    }
}
