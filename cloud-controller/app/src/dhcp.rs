//! DHCP option sets: what guests of a VPC are told besides their address.

mod parse;

pub use parse::{DhcpSetting, doc, settings};

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::network::dns_domain;
use crate::quotas::{hold_account, table as quotas};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    DhcpOptionsDoc, DhcpOptionsRow, Json, StoreError, Tx, change_append, dhcp_options_associate, dhcp_options_default,
    dhcp_options_delete, dhcp_options_insert, dhcp_options_list, tag_delete_of, tag_put,
};
use mallee_types::{AccountId, DhcpOptionsId};
use std::net::Ipv4Addr;

/// EC2's resource type for tags of an option set.
pub const TAG_KIND: &str = "dhcp-options";
/// In place of a set's id: none.
pub const NO_SET: &str = "default";
/// The word for the VPC's own resolver.
pub const PROVIDED_DNS: &str = "AmazonProvidedDNS";
/// The resolver of every VPC by its other address: what guests of a VPC without a set are told of, as on AWS.
pub const LINK_LOCAL_DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// What the default sets of a region say.
#[must_use]
pub fn default_doc(region: &str) -> DhcpOptionsDoc {
    DhcpOptionsDoc {
        domain_name: Some(dns_domain(region)),
        domain_name_servers: vec![PROVIDED_DNS.to_owned()],
        ..Default::default()
    }
}

fn in_use(id: &DhcpOptionsId) -> ApiError {
    Code::DependencyViolation.message(format!("The dhcpOptions '{id}' has dependencies and cannot be deleted."))
}

impl Cloud {
    async fn dhcp_options(&self, cx: &OpContext, id: &str, absent: Code) -> Result<DhcpOptionsRow, ApiError> {
        let id: DhcpOptionsId = parse_id(id, Code::InvalidDhcpOptionsIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let found = dhcp_options_list(self.store(), cx.account(), ids, None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| absent.with(&[id.as_str()]))
    }

    /// The account's default set, made if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn default_dhcp_options(
        &self,
        tx: &mut Tx,
        account: &AccountId,
    ) -> Result<DhcpOptionsId, StoreError> {
        if let Some(row) = dhcp_options_default(&mut *tx, account).await? {
            return Ok(row.id);
        }
        let row = DhcpOptionsRow {
            id: DhcpOptionsId::from_random(self.rng().u128()),
            account_id: account.clone(),
            is_default: true,
            doc: Json(DhcpOptionsDoc::default()),
            created_ms: self.clock().now_ms(),
        };
        if dhcp_options_insert(tx, &row).await? {
            return Ok(row.id);
        }
        // Another replica was faster.
        let made = dhcp_options_default(tx, account).await?;
        made.map(|made| made.id)
            .ok_or_else(|| StoreError::NotFound { what: format!("the default dhcp options of {account}") })
    }

    /// `CreateDhcpOptions`.
    ///
    /// # Errors
    /// `DhcpOptionsLimitExceeded`, bad tags.
    pub async fn create_dhcp_options(
        &self,
        cx: &OpContext,
        doc: DhcpOptionsDoc,
        tags: &[Tag],
        dry_run: bool,
    ) -> Result<DhcpOptionsRow, ApiError> {
        tags::validate(tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let row = DhcpOptionsRow {
            id: DhcpOptionsId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            is_default: false,
            doc: Json(doc),
            created_ms: self.clock().now_ms(),
        };
        let allowance = self.ec2_allowance(cx, "ec2:CreateDhcpOptions", TAG_KIND, &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::DHCP_OPTIONS, 1)], &[row.id.to_string()]).await?;
        if !dhcp_options_insert(&mut tx, &row).await.or_fail()? {
            return Err(ApiError::internal("a fresh id is taken"));
        }
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `AssociateDhcpOptions`: guests of the VPC hear of it when they next renew their lease. [`NO_SET`]: the VPC has none
    /// from now on.
    ///
    /// # Errors
    /// A set or a VPC that is not there.
    pub async fn associate_dhcp_options(
        &self,
        cx: &OpContext,
        id: &str,
        vpc: &str,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let set = match id {
            NO_SET => None,
            id => Some(self.dhcp_options(cx, id, Code::InvalidDhcpOptionIdNotFound).await?.id),
        };
        let vpc = self.find_vpc(cx, vpc).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        // It was deleted meanwhile.
        let gone = |error| match (error, &set) {
            (StoreError::InUse, Some(set)) => Code::InvalidDhcpOptionIdNotFound.with(&[set.as_str()]),
            (error, _) => store_failure(error),
        };
        let mut tx = self.store().write().await.or_fail()?;
        if dhcp_options_associate(&mut tx, &vpc.id, set.as_ref()).await.map_err(gone)? {
            change_append(&mut tx, load::VPC, &vpc.id, None);
            return tx.commit().await.map_err(gone);
        }
        tx.rollback().await.or_fail()?;
        // It is so already, unless the VPC has gone.
        self.find_vpc(cx, vpc.id.as_str()).await.map(drop)
    }

    /// `DeleteDhcpOptions`. The account's default set can go, too: the next VPC comes with a new one.
    ///
    /// # Errors
    /// `DependencyViolation` while a VPC has it.
    pub async fn delete_dhcp_options(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let row = self.dhcp_options(cx, id, Code::InvalidDhcpOptionsIdNotFound).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let needed = |error| match error {
            StoreError::InUse => in_use(&row.id),
            error => store_failure(error),
        };
        let mut tx = self.store().write().await.or_fail()?;
        // Nobody makes a VPC meanwhile, which would have the default set.
        hold_account(&mut tx, cx.account()).await?;
        if !dhcp_options_delete(&mut tx, &row.id).await.map_err(needed)? {
            // Another call was faster.
            return Err(Code::InvalidDhcpOptionsIdNotFound.with(&[row.id.as_str()]));
        }
        tag_delete_of(&mut tx, row.id.as_str()).await.or_fail()?;
        tx.commit().await.map_err(needed)
    }
}
