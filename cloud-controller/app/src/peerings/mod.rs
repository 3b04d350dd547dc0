//! VPC peering connections: asked for by the owner of one VPC, answered by that of the other. Routes over one that is
//! active lead from VPC to VPC; [`keep`] ends requests that nobody answers.

mod answer;
pub(crate) mod check;

pub use answer::PeeringOptions;

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::quotas::{hold_account, table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    PAGE_ROWS_MAX, StoreError, Tx, VPC_PEERING_DUPLICATE, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState, VpcRow,
    change_append, tag_delete_of, tag_put, vpc_blocks, vpc_fetch, vpc_peering_between, vpc_peering_count_active,
    vpc_peering_delete, vpc_peering_end, vpc_peering_expire, vpc_peering_hold, vpc_peering_insert,
    vpc_peering_list_ended, vpc_peering_list_of, vpc_peering_list_over, vpc_peering_list_shown,
};
use mallee_types::{AccountId, Generation, VpcId, VpcPeeringId};

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "vpc-peering-connection";
/// For so long a request waits for its answer, in milliseconds.
const EXPIRES_MS: i64 = 7 * 24 * 3600 * 1000;
/// For so long those who know are shown what has ended (who rejected or deleted it, or asked in vain).
const SHOWN_MS: i64 = 2 * 3600 * 1000;
/// For so long the other side is shown it, so that it learns of it.
const SHOWN_TO_OTHER_MS: i64 = 2 * 24 * 3600 * 1000;
/// Ended connections that one account asked for and that are shown at once: who asks again and again fills nobody's list.
const ENDED_SHOWN_MAX: usize = 100;
/// Ended connections that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 200;

/// A request as it comes.
#[derive(Debug)]
pub struct NewPeering<'a> {
    /// The caller's VPC.
    pub vpc: &'a str,
    /// The other one, which need not be there.
    pub peer_vpc: &'a str,
    /// Whose the other one is; `None`: the caller's too.
    pub peer_owner: Option<&'a str>,
    /// For the requester alone.
    pub tags: &'a [Tag],
}

/// Whether blocks of one VPC have addresses of another's.
pub(crate) fn overlap(one: &[Ipv4Net], other: &[Ipv4Net]) -> bool {
    one.iter().any(|a| other.iter().any(|b| a.contains(b) || b.contains(a)))
}

async fn vpcs_overlap(tx: &mut Tx, one: &VpcRow, other: &VpcRow) -> Result<bool, ApiError> {
    let one = vpc_blocks(&mut *tx, one).await.or_fail()?;
    Ok(overlap(&one, &vpc_blocks(&mut *tx, other).await.or_fail()?))
}

/// What peering has to say to a new block of a VPC. An active connection keeps out what the peer has; whoever has asked for
/// one gets no block until there is an answer; and a request of others, who may be anybody, keeps out nothing: it fails if
/// it cannot be any more ("VPC CIDR blocks" in AWS's user guide). From here on none of the two gets another block until the
/// transaction ends.
///
/// # Errors
/// `InvalidVpc.Range`, which names the connection.
pub(crate) async fn admits(tx: &mut Tx, vpc: &VpcRow, block: Ipv4Net, now_ms: i64) -> Result<(), ApiError> {
    vpc_peering_expire(tx, now_ms).await.or_fail()?;
    vpc_peering_hold(tx, &vpc.id).await.or_fail()?;
    for row in vpc_peering_list_of(&mut *tx, &vpc.id, PAGE_ROWS_MAX).await.or_fail()? {
        let asking = row.requester_vpc == vpc.id;
        let asked = row.state == VpcPeeringState::PendingAcceptance;
        if asking && asked {
            return Err(Code::InvalidVpcRange.message(format!(
                "The VPC '{}' gets no further CIDR while its peering request {} waits for an answer.",
                vpc.id, row.id
            )));
        }
        let Some(peer) = any_vpc(tx, if asking { &row.accepter_vpc } else { &row.requester_vpc }).await? else {
            continue;
        };
        if !overlap(&[block], &vpc_blocks(&mut *tx, &peer).await.or_fail()?) {
            continue;
        }
        if asked {
            end(tx, &row, VpcPeeringState::Failed, &vpc.account_id, now_ms).await?;
            continue;
        }
        let text = format!(
            "The CIDR '{block}' conflicts with a CIDR of {}, with which '{}' has a peering connection.",
            peer.id, vpc.id
        );
        return Err(Code::InvalidVpcRange.message(text));
    }
    Ok(())
}

/// The VPC of this id, whosesoever.
async fn any_vpc(tx: &mut Tx, id: &VpcId) -> Result<Option<VpcRow>, ApiError> {
    match vpc_fetch(tx, id).await {
        Err(StoreError::NotFound { .. }) => Ok(None),
        other => other.or_fail().map(Some),
    }
}

impl Cloud {
    /// The peering connection of this id, of either side.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a connection that the account is not shown.
    pub async fn find_peering(&self, cx: &OpContext, id: &str) -> Result<VpcPeeringRow, ApiError> {
        let id: VpcPeeringId = parse_id(id, Code::InvalidVpcPeeringConnectionIdMalformed)?;
        let filter = VpcPeeringFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
        let now_ms = self.clock().now_ms();
        let found = vpc_peering_list_shown(self.store(), cx.account(), now_ms, filter, 1).await.or_fail()?.pop();
        let row = found.ok_or_else(|| Code::InvalidVpcPeeringConnectionIdNotFound.with(&[id.as_str()]))?;
        Ok(self.peering_now(row))
    }

    /// A connection as it is at this moment: a request that nobody answered in time is over before [`keep`] says so.
    #[must_use]
    pub fn peering_now(&self, row: VpcPeeringRow) -> VpcPeeringRow {
        if row.state == VpcPeeringState::PendingAcceptance && row.expires_ms <= self.clock().now_ms() {
            return VpcPeeringRow { state: VpcPeeringState::Expired, ..row };
        }
        row
    }

    /// `CreateVpcPeeringConnection`. A request that cannot be (no such VPC, or one with overlapping blocks) is noted as
    /// failed. Asking again gives what there is.
    ///
    /// # Errors
    /// A VPC of the caller's that is not there, `VpcPeeringConnectionAlreadyExists` where the other side has asked, the
    /// quotas.
    pub async fn create_peering(
        &self,
        cx: &OpContext,
        new: &NewPeering<'_>,
        dry_run: bool,
    ) -> Result<VpcPeeringRow, ApiError> {
        let vpc = self.find_vpc(cx, new.vpc).await?;
        let accepter_vpc: VpcId = parse_id(new.peer_vpc, Code::InvalidVpcIdMalformed)?;
        let accepter_account: AccountId = match new.peer_owner {
            None => cx.account().clone(),
            Some(owner) => owner.parse().map_err(|_| {
                ApiError::invalid_value("peerOwnerId", &mallee_awswire::texts::clip(owner), "Invalid account id.")
            })?,
        };
        tags::validate(new.tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateVpcPeeringConnection", TAG_KIND, &[]).await?;
        let exists = || Code::VpcPeeringConnectionAlreadyExists.with(&[vpc.id.as_str(), accepter_vpc.as_str()]);
        let now_ms = self.clock().now_ms();
        let mut tx = self.store().write().await.or_fail()?;
        hold_account(&mut tx, cx.account()).await?;
        vpc_peering_expire(&mut tx, now_ms).await.or_fail()?;
        if let Some(there) = vpc_peering_between(&mut tx, &vpc.id, &accepter_vpc).await.or_fail()? {
            let same = there.requester_vpc == vpc.id && there.accepter_account == accepter_account;
            return if same { Ok(there) } else { Err(exists()) };
        }
        let peer = any_vpc(&mut tx, &accepter_vpc).await?.filter(|peer| peer.account_id == accepter_account);
        let possible = match &peer {
            Some(peer) => peer.id != vpc.id && !vpcs_overlap(&mut tx, &vpc, peer).await?,
            None => false,
        };
        let row = VpcPeeringRow {
            id: VpcPeeringId::from_random(self.rng().u128()),
            requester_account: cx.account().clone(),
            requester_vpc: vpc.id.clone(),
            accepter_account,
            accepter_vpc: accepter_vpc.clone(),
            state: if possible { VpcPeeringState::PendingAcceptance } else { VpcPeeringState::Failed },
            decided_by: None,
            requester_dns: false,
            accepter_dns: false,
            generation: Generation(1),
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(EXPIRES_MS),
            requester_until_ms: (!possible).then(|| now_ms.saturating_add(SHOWN_MS)),
            // The accepter never hears of it.
            accepter_until_ms: (!possible).then_some(0),
        };
        let demands = [(&quotas::VPC_PEERING_REQUESTS, u64::from(possible))];
        allowance.take(&mut tx, &demands, &[row.id.to_string()]).await?;
        if possible {
            active_within(&mut tx, cx.account(), &vpc.id).await?;
        }
        vpc_peering_insert(&mut tx, &row).await.map_err(|error| match error {
            error if error.is_conflict(VPC_PEERING_DUPLICATE) => exists(),
            // One of the two has just been deleted.
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]),
            other => store_failure(other),
        })?;
        forget_oldest(&mut tx, cx.account()).await?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), new.tags)).await.or_fail()?;
        tx.commit().await.map_err(|error| match error {
            StoreError::InUse => Code::InvalidVpcIdNotFound.with(&[vpc.id.as_str()]),
            other => store_failure(other),
        })?;
        Ok(row)
    }
}

/// Of what an account asked for and has ended, the newest stay.
async fn forget_oldest(tx: &mut Tx, requester: &AccountId) -> Result<(), ApiError> {
    let ended = vpc_peering_list_ended(&mut *tx, requester, PAGE_ROWS_MAX).await.or_fail()?;
    for id in ended.iter().skip(ENDED_SHOWN_MAX).take(FORGOTTEN_AT_ONCE as usize) {
        forget(tx, id).await.or_fail()?;
    }
    Ok(())
}

async fn forget(tx: &mut Tx, id: &VpcPeeringId) -> Result<(), StoreError> {
    tag_delete_of(tx, id.as_str()).await?;
    vpc_peering_delete(tx, id).await.map(drop)
}

/// Whether a VPC may have one active connection more.
async fn active_within(tx: &mut Tx, account: &AccountId, vpc: &VpcId) -> Result<(), ApiError> {
    let active = vpc_peering_count_active(&mut *tx, vpc).await.or_fail()?;
    within(tx, account, &quotas::ACTIVE_PEERINGS_PER_VPC, usize::try_from(active).unwrap_or(usize::MAX) + 1).await
}

/// Ends a live connection; false when it is not as `row` says any more. `by`: who knows of it.
async fn end(
    tx: &mut Tx,
    row: &VpcPeeringRow,
    state: VpcPeeringState,
    by: &AccountId,
    now_ms: i64,
) -> Result<bool, ApiError> {
    let until =
        |account: &AccountId| Some(now_ms.saturating_add(if account == by { SHOWN_MS } else { SHOWN_TO_OTHER_MS }));
    let ended = VpcPeeringRow {
        state,
        decided_by: Some(by.clone()),
        requester_until_ms: until(&row.requester_account),
        accepter_until_ms: until(&row.accepter_account),
        ..row.clone()
    };
    let done = vpc_peering_end(tx, &ended, row.state).await.or_fail()?;
    if done && row.state == VpcPeeringState::Active {
        change_append(tx, load::VPC_PEERING, &row.id, None);
    }
    Ok(done)
}

/// What peering has to say to the deletion of a VPC: active connections and its own requests end with it; false while
/// another account's request waits for an answer.
pub(crate) async fn vpc_goes(tx: &mut Tx, vpc: &VpcRow, now_ms: i64) -> Result<bool, ApiError> {
    vpc_peering_expire(tx, now_ms).await.or_fail()?;
    for row in vpc_peering_list_of(&mut *tx, &vpc.id, PAGE_ROWS_MAX).await.or_fail()? {
        let asked = row.state == VpcPeeringState::PendingAcceptance && row.requester_account != vpc.account_id;
        if asked {
            return Ok(false);
        }
        end(tx, &row, VpcPeeringState::Deleted, &vpc.account_id, now_ms).await?;
    }
    Ok(true)
}

/// As [`vpc_goes`] where the whole account goes: requests of others are rejected.
pub(crate) async fn account_goes(tx: &mut Tx, vpc: &VpcRow, now_ms: i64) -> Result<(), ApiError> {
    for row in vpc_peering_list_of(&mut *tx, &vpc.id, PAGE_ROWS_MAX).await.or_fail()? {
        end(tx, &row, VpcPeeringState::Deleted, &vpc.account_id, now_ms).await?;
    }
    Ok(())
}

/// One pass of the background task: requests that nobody answered are over, and what nobody is shown any more is
/// forgotten with its tags. Idempotent.
///
/// # Errors
/// What the database says; the next pass goes on.
pub(crate) async fn keep(cloud: &Cloud, now_ms: i64) -> Result<(), StoreError> {
    let mut tx = cloud.store().write().await?;
    match vpc_peering_expire(&mut tx, now_ms).await? {
        0 => tx.rollback().await?,
        _ => tx.commit().await?,
    }
    loop {
        let over = vpc_peering_list_over(cloud.store(), now_ms, FORGOTTEN_AT_ONCE).await?;
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
