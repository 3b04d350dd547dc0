//! NAT gateways: made, shown, deleted. One is an interface of its subnet that no instance has, and a place on a node, which
//! translates behind it; [`observe`] takes in what nodes say of theirs.

mod addresses;
pub(crate) mod check;
mod make;
mod observe;

pub use addresses::{LeavingAddresses, NewAddresses};
pub use make::NewGateway;
pub use observe::observe;

use crate::fail::OrFail as _;
use crate::ids::parse_id;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    NatGatewayFilter, NatGatewayRow, NatGatewayState, StoreError, Tx, change_append, interface_delete,
    nat_gateway_delete, nat_gateway_failed_delete, nat_gateway_forget, nat_gateway_gone, nat_gateway_list,
    nat_gateway_list_over, tag_delete_of,
};
use mallee_types::NatGatewayId;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "natgateway";
/// For so long one that failed, or is gone, is shown (EC2: about an hour).
const SHOWN_MS: i64 = 3600 * 1000;
/// Gateways that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 200;

impl Cloud {
    /// The account's NAT gateway of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a gateway that is not there.
    pub async fn find_nat_gateway(&self, cx: &OpContext, id: &str) -> Result<NatGatewayRow, ApiError> {
        let id: NatGatewayId = parse_id(id, Code::NatGatewayMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let filter = NatGatewayFilter { account: Some(cx.account()), ids, ..Default::default() };
        let found = nat_gateway_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::NatGatewayNotFound.with(&[id.as_str()]))
    }

    /// `DeleteNatGateway`. Its interface and its elastic IP are free when its node says that it has let go of it. One that is
    /// about to go, or gone, may be deleted again.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a gateway that is not there.
    pub async fn delete_nat_gateway(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<NatGatewayId, ApiError> {
        let row = self.find_nat_gateway(cx, id).await?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        self.faults().point("cloud.nat.delete").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        let changed = if row.state == NatGatewayState::Failed {
            nat_gateway_failed_delete(&mut tx, &row.id, self.clock().now_ms()).await.or_fail()?
        } else {
            let told = nat_gateway_delete(&mut tx, &row.id).await.or_fail()?;
            if told {
                change_append(&mut tx, load::NAT_GATEWAY, &row.id, None);
            }
            told
        };
        if changed {
            tx.commit().await.or_fail()?;
            self.faults().point("cloud.nat.delete.committed").await.or_fail()?;
        } else {
            tx.rollback().await.or_fail()?;
        }
        Ok(row.id)
    }
}

/// The gateway's node has let go of it: its addresses go back, and its elastic IP leads nowhere. False when it was not about
/// to go.
async fn finish(tx: &mut Tx, row: &NatGatewayRow, now_ms: i64) -> Result<bool, StoreError> {
    if !nat_gateway_gone(tx, &row.id, now_ms).await? {
        return Ok(false);
    }
    if let Some(interface) = &row.interface_id {
        tag_delete_of(tx, interface.as_str()).await?;
        interface_delete(tx, interface).await?;
    }
    change_append(tx, load::NAT_GATEWAY, &row.id, None);
    Ok(true)
}

async fn forget(tx: &mut Tx, id: &NatGatewayId) -> Result<(), StoreError> {
    tag_delete_of(tx, id.as_str()).await?;
    nat_gateway_forget(tx, id).await.map(drop)
}

/// One pass of the keeper of drains: addresses whose flows have had their time leave. Idempotent.
///
/// # Errors
/// What the database says; the next pass goes on.
pub async fn keep_drains(cloud: &Cloud) -> Result<(), StoreError> {
    addresses::end_drains(cloud, cloud.clock().now_ms()).await
}

/// One pass of the background task: what nobody is shown any more is forgotten with its tags. Idempotent.
///
/// # Errors
/// What the database says; the next pass goes on.
pub(crate) async fn keep(cloud: &Cloud, now_ms: i64) -> Result<(), StoreError> {
    loop {
        let over = nat_gateway_list_over(cloud.store(), now_ms.saturating_sub(SHOWN_MS), FORGOTTEN_AT_ONCE).await?;
        if over.is_empty() {
            return Ok(());
        }
        let mut tx = cloud.store().write().await?;
        for id in &over {
            forget(&mut tx, id).await?;
        }
        tx.commit().await?;
    }
}
