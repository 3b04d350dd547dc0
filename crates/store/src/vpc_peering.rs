//! VPC peering connections: asked for, active, and ended ones for as long as they are shown.

use crate::StoreError;
use crate::exec::Exec;
use crate::macros::{args, record, sql};
use crate::select::Select;
use crate::tx::Tx;
use crate::value::{ToArg as _, words};
use mallee_types::{AccountId, Generation, VpcId, VpcPeeringId};

/// How far a peering connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VpcPeeringState {
    /// The accepter has not answered.
    PendingAcceptance,
    /// Routes may lead over it.
    Active,
    /// The accepter does not want it.
    Rejected,
    /// It could not be: no such VPC, or blocks that overlap.
    Failed,
    /// Nobody answered in time.
    Expired,
    /// One side has ended it.
    Deleted,
}
words! {
    VpcPeeringState {
        PendingAcceptance = "pending-acceptance", Active = "active", Rejected = "rejected", Failed = "failed",
        Expired = "expired", Deleted = "deleted",
    }
}

impl VpcPeeringState {
    /// AWS's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PendingAcceptance => "pending-acceptance",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
        }
    }

    /// Whether there is something to answer or to end.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::PendingAcceptance | Self::Active)
    }
}

record! {
    /// A peering connection.
    pub struct VpcPeeringRow {
        /// `pcx-…`.
        id: VpcPeeringId,
        /// Who asked for it.
        requester_account: AccountId,
        /// The VPC of theirs.
        requester_vpc: VpcId,
        /// Who was asked.
        accepter_account: AccountId,
        /// The VPC of theirs. Of a request that failed there may be none.
        accepter_vpc: VpcId,
        /// How far it has come.
        state: VpcPeeringState,
        /// Who accepted, rejected or deleted it.
        decided_by: Option<AccountId>,
        /// In the accepter's VPC, public names of the requester's VPC mean private addresses.
        requester_dns: bool,
        /// The other way round.
        accepter_dns: bool,
        /// Grows with every change.
        generation: Generation,
        /// When it was asked for.
        created_ms: i64,
        /// When the request ends if nobody answers.
        expires_ms: i64,
        /// Until when the requester is shown one that has ended.
        requester_until_ms: Option<i64>,
        /// Until when the accepter is.
        accepter_until_ms: Option<i64>,
    }
}

impl VpcPeeringRow {
    /// Whether the account is one of its sides, and knows of it. (The accepter does not hear of a request that failed.)
    #[must_use]
    pub fn is_of(&self, account: &AccountId) -> bool {
        self.requester_account == *account || self.accepter_account == *account && self.accepter_until_ms != Some(0)
    }
}

/// The constraint that a second live connection between two VPCs breaks.
pub const VPC_PEERING_DUPLICATE: &str = "vpc_peerings_live_pair";
/// For so long both sides are shown a request that expired.
pub const VPC_PEERING_EXPIRED_SHOWN_MS: i64 = 2 * 24 * 3600 * 1000;

macro_rules! columns {
    () => {
        "id, requester_account, requester_vpc, accepter_account, accepter_vpc, state, decided_by, requester_dns,
            accepter_dns, generation, created_ms, expires_ms, requester_until_ms, accepter_until_ms"
    };
}

sql! {
    INSERT = concat!("INSERT INTO vpc_peerings (", columns!(), ", live_pair, live_requester, live_accepter)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)");
    LIST = concat!("SELECT ", columns!(), " FROM vpc_peerings WHERE 1 = 1");
    SHOWN = concat!("SELECT ", columns!(), " FROM vpc_peerings WHERE
        ((requester_account = $1 AND (requester_until_ms IS NULL OR requester_until_ms > $2))
        OR (accepter_account = $1 AND (accepter_until_ms IS NULL OR accepter_until_ms > $2)))");
    OF = concat!("SELECT ", columns!(), " FROM vpc_peerings WHERE (live_requester = $1 OR live_accepter = $1)");
    HOLD = "UPDATE vpc_peerings SET generation = generation WHERE live_requester = $1 OR live_accepter = $1";
    ACTIVE_OF = "SELECT COUNT(*) FROM vpc_peerings WHERE state = 'active'
        AND (live_requester = $1 OR live_accepter = $1)";
    ACCEPT = "UPDATE vpc_peerings SET state = 'active', decided_by = $2, generation = generation + 1
        WHERE id = $1 AND state = 'pending-acceptance'";
    END = "UPDATE vpc_peerings SET state = $2, decided_by = $3, requester_until_ms = $4, accepter_until_ms = $5,
        live_pair = NULL, live_requester = NULL, live_accepter = NULL, generation = generation + 1
        WHERE id = $1 AND state = $6";
    EXPIRE = "UPDATE vpc_peerings SET state = 'expired', requester_until_ms = expires_ms + $2,
        accepter_until_ms = expires_ms + $2, live_pair = NULL, live_requester = NULL, live_accepter = NULL,
        generation = generation + 1 WHERE state = 'pending-acceptance' AND expires_ms <= $1";
    OPTIONS = "UPDATE vpc_peerings SET requester_dns = COALESCE($2, requester_dns),
        accepter_dns = COALESCE($3, accepter_dns), generation = generation + 1
        WHERE id = $1 AND state = 'active'";
    OVER = "SELECT id FROM vpc_peerings WHERE live_pair IS NULL AND requester_until_ms <= $1
        AND accepter_until_ms <= $1";
    ENDED = "SELECT id FROM vpc_peerings WHERE live_pair IS NULL AND requester_account = $1";
    DELETE = "DELETE FROM vpc_peerings WHERE id = $1";
}

/// Two VPCs in one order, whoever asked.
fn pair(one: &VpcId, other: &VpcId) -> String {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    format!("{low} {high}")
}

/// Notes a request. Conflict: [`VPC_PEERING_DUPLICATE`]; [`StoreError::InUse`] where a VPC of a live one is gone.
pub async fn vpc_peering_insert(tx: &mut Tx, row: &VpcPeeringRow) -> Result<(), StoreError> {
    let live = row.state.is_live();
    let mut args = row.args();
    args.push(live.then(|| pair(&row.requester_vpc, &row.accepter_vpc)).to_arg());
    args.push(live.then(|| row.requester_vpc.clone()).to_arg());
    args.push(live.then(|| row.accepter_vpc.clone()).to_arg());
    Exec::Tx(tx).run(INSERT, args).await.map(drop)
}

/// Which connections.
#[derive(Debug, Default, Clone, Copy)]
pub struct VpcPeeringFilter<'a> {
    /// Only these.
    pub ids: Option<&'a [VpcPeeringId]>,
    /// Only in this state.
    pub state: Option<VpcPeeringState>,
    /// Only those after this id.
    pub after: Option<&'a VpcPeeringId>,
}

/// Connections, by id.
pub async fn vpc_peering_list<'a>(
    exec: impl Into<Exec<'a>>,
    filter: VpcPeeringFilter<'_>,
    limit: u32,
) -> Result<Vec<VpcPeeringRow>, StoreError> {
    page(Select::new(LIST, vec![]), exec.into(), filter, limit).await
}

/// Those that an account is shown at this time (in ms), by id.
pub async fn vpc_peering_list_shown<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    now_ms: i64,
    filter: VpcPeeringFilter<'_>,
    limit: u32,
) -> Result<Vec<VpcPeeringRow>, StoreError> {
    page(Select::new(SHOWN, args![account, now_ms]), exec.into(), filter, limit).await
}

async fn page(
    select: Select,
    exec: Exec<'_>,
    filter: VpcPeeringFilter<'_>,
    limit: u32,
) -> Result<Vec<VpcPeeringRow>, StoreError> {
    let select = select.and("id >", filter.after).and("state =", filter.state).and_in("id", filter.ids)?;
    select.page(exec, "id", limit).await
}

/// The live connection between two VPCs, whoever asked for it.
pub async fn vpc_peering_between<'a>(
    exec: impl Into<Exec<'a>>,
    one: &VpcId,
    other: &VpcId,
) -> Result<Option<VpcPeeringRow>, StoreError> {
    let select = Select::new(LIST, vec![]).and("live_pair =", Some(pair(one, other)));
    Ok(select.page(exec.into(), "id", 1).await?.pop())
}

/// The live connections of a VPC, by id.
pub async fn vpc_peering_list_of<'a>(
    exec: impl Into<Exec<'a>>,
    vpc: &VpcId,
    limit: u32,
) -> Result<Vec<VpcPeeringRow>, StoreError> {
    Select::new(OF, args![vpc]).page(exec.into(), "id", limit).await
}

/// Holds the live connections of a VPC until the end of the transaction: whoever else holds one waits. They are to be read
/// after this.
pub async fn vpc_peering_hold(tx: &mut Tx, vpc: &VpcId) -> Result<(), StoreError> {
    Exec::Tx(tx).run(HOLD, args![vpc]).await.map(drop)
}

/// How many active connections a VPC has.
pub async fn vpc_peering_count_active<'a>(exec: impl Into<Exec<'a>>, vpc: &VpcId) -> Result<u64, StoreError> {
    Ok(exec.into().one::<(u64,)>(ACTIVE_OF, args![vpc], vpc).await?.0)
}

/// A request is accepted; false when it is none any more.
pub async fn vpc_peering_accept(tx: &mut Tx, id: &VpcPeeringId, by: &AccountId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(ACCEPT, args![id, by]).await? > 0)
}

/// A connection ends as `row` says (state, who, and until when it is shown), if it is still as `from`.
pub async fn vpc_peering_end(tx: &mut Tx, row: &VpcPeeringRow, from: VpcPeeringState) -> Result<bool, StoreError> {
    let args = args![row.id, row.state, row.decided_by, row.requester_until_ms, row.accepter_until_ms, from];
    Ok(Exec::Tx(tx).run(END, args).await? > 0)
}

/// Requests that nobody answered until now (in ms) are over; how many.
pub async fn vpc_peering_expire(tx: &mut Tx, now_ms: i64) -> Result<u64, StoreError> {
    Exec::Tx(tx).run(EXPIRE, args![now_ms, VPC_PEERING_EXPIRED_SHOWN_MS]).await
}

/// Sets whether public names of the requester's VPC, and of the accepter's, mean private addresses to the other side; `None`
/// leaves what the other side may be setting at this moment. False when it is not active.
pub async fn vpc_peering_options_set(
    tx: &mut Tx,
    id: &VpcPeeringId,
    requester_dns: Option<bool>,
    accepter_dns: Option<bool>,
) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(OPTIONS, args![id, requester_dns, accepter_dns]).await? > 0)
}

/// Connections that nobody is shown any more, by id.
pub async fn vpc_peering_list_over<'a>(
    exec: impl Into<Exec<'a>>,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<VpcPeeringId>, StoreError> {
    let rows: Vec<(VpcPeeringId,)> = Select::new(OVER, args![now_ms]).page(exec.into(), "id", limit).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Connections that an account asked for and that have ended, the newest first.
pub async fn vpc_peering_list_ended<'a>(
    exec: impl Into<Exec<'a>>,
    requester: &AccountId,
    limit: u32,
) -> Result<Vec<VpcPeeringId>, StoreError> {
    let select = Select::new(ENDED, args![requester]);
    let rows: Vec<(VpcPeeringId,)> = select.page(exec.into(), "created_ms DESC, id", limit).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Forgets a connection that has ended.
pub async fn vpc_peering_delete(tx: &mut Tx, id: &VpcPeeringId) -> Result<bool, StoreError> {
    Ok(Exec::Tx(tx).run(DELETE, args![id]).await? > 0)
}
