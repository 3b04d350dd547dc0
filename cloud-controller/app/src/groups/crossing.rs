//! Rules that name a group of a peer VPC: whether they may, and how they are reached by now.

use super::NewRule;
use super::rule::Peer;
use crate::fail::OrFail as _;
use crate::ids::parse_id;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SecurityGroupRow, SecurityGroupRuleRow, StoreError, Tx, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState,
    security_group_fetch, security_group_hold, vpc_peering_between, vpc_peering_list,
};
use mallee_types::{AccountId, GroupId, GroupRuleId, VpcId, VpcPeeringId};
use std::collections::BTreeMap;

/// What a request says of a group that it names, besides its id. What is given must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerClaim {
    /// Whose it is.
    pub account: Option<String>,
    /// In which VPC it is.
    pub vpc: Option<String>,
    /// Over which connection it is reached.
    pub peering: Option<String>,
}

/// Where the group is that a rule names.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerPlace {
    /// Its account, where it is not that of the rule's group.
    pub account: Option<AccountId>,
    /// Its VPC, where it is another one, and the connection.
    pub over: Option<(VpcId, VpcPeeringId)>,
}

/// The group of another VPC that a rule names, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// Its VPC.
    pub vpc: VpcId,
    /// The active connection to that VPC; else the one that the rule was allowed over.
    pub peering: VpcPeeringId,
    /// How that connection is. One that nobody remembers is deleted.
    pub state: VpcPeeringState,
    /// The group is not there any more.
    pub group_gone: bool,
}

impl Crossing {
    /// Whether the rule lets nothing through any more.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.group_gone || self.state != VpcPeeringState::Active
    }
}

/// By rule; rules that name no group of another VPC are not in it.
pub type Crossings = BTreeMap<GroupRuleId, Crossing>;

fn missing(group: &GroupId) -> ApiError {
    Code::InvalidGroupNotFound.with(&[group.as_str()])
}

/// Where the groups are that rules of a group name, in the order of the rules: each in its VPC, or in a peer of it; what
/// the request claims of each holds. None of them goes until the transaction ends.
///
/// # Errors
/// `InvalidGroup.NotFound` for one that is not there, or is out of reach; that of a connection that is another one.
pub(super) async fn places(
    tx: &mut Tx,
    cx: &OpContext,
    group: &SecurityGroupRow,
    rules: &[&NewRule],
) -> Result<Vec<PeerPlace>, ApiError> {
    let named = rules.iter().filter_map(|rule| match &rule.spec.peer {
        Peer::Group(peer) => Some(peer.clone()),
        Peer::Cidr(_) | Peer::List(_) => None,
    });
    // With the group itself: two calls whose groups name each other hold both in the same order.
    security_group_hold(tx, &named.chain([group.id.clone()]).collect()).await.or_fail()?;
    let mut places = Vec::with_capacity(rules.len());
    for rule in rules {
        places.push(match &rule.spec.peer {
            Peer::Group(peer) => place(tx, cx, group, peer, &rule.claim).await?,
            Peer::Cidr(_) | Peer::List(_) => PeerPlace::default(),
        });
    }
    Ok(places)
}

async fn place(
    tx: &mut Tx,
    cx: &OpContext,
    group: &SecurityGroupRow,
    id: &GroupId,
    claim: &PeerClaim,
) -> Result<PeerPlace, ApiError> {
    let row = match security_group_fetch(&mut *tx, id).await {
        Err(StoreError::NotFound { .. }) => return Err(missing(id)),
        other => other.or_fail()?,
    };
    let given = |said: &Option<String>, is: &str| said.as_deref().is_none_or(|said| said == is);
    if !given(&claim.account, row.account_id.as_str()) || !given(&claim.vpc, row.vpc_id.as_str()) {
        return Err(missing(id));
    }
    let peering = claim.peering.as_deref();
    let peering: Option<VpcPeeringId> =
        peering.map(|id| parse_id(id, Code::InvalidVpcPeeringConnectionIdMalformed)).transpose()?;
    let between = if row.vpc_id == group.vpc_id {
        None
    } else {
        let live = vpc_peering_between(&mut *tx, &group.vpc_id, &row.vpc_id).await.or_fail()?;
        Some(live.filter(|live| live.state == VpcPeeringState::Active).map(|live| live.id))
    };
    if let Some(named) = &peering
        && between.as_ref().and_then(Option::as_ref) != Some(named)
    {
        return Err(Code::InvalidVpcPeeringConnectionIdNotFound.with(&[named.as_str()]));
    }
    match between {
        None => Ok(PeerPlace::default()),
        Some(Some(peering)) => Ok(PeerPlace { account: Some(row.account_id), over: Some((row.vpc_id, peering)) }),
        Some(None) if row.account_id == *cx.account() => Err(Code::InvalidGroupNotFound.message(format!(
            "You have specified two resources that belong to different networks: {} and {id}.",
            group.id
        ))),
        // Groups of strangers read as absent.
        Some(None) => Err(missing(id)),
    }
}

/// A connection as it is remembered.
async fn remembered(cloud: &Cloud, id: &VpcPeeringId) -> Result<Option<VpcPeeringRow>, ApiError> {
    let filter = VpcPeeringFilter { ids: Some(std::slice::from_ref(id)), ..Default::default() };
    Ok(vpc_peering_list(cloud.store(), filter, 1).await.or_fail()?.pop())
}

async fn vpc_of(cloud: &Cloud, group: &GroupId) -> Result<Option<VpcId>, ApiError> {
    match security_group_fetch(cloud.store(), group).await {
        Err(StoreError::NotFound { .. }) => Ok(None),
        other => other.or_fail().map(|row| Some(row.vpc_id)),
    }
}

impl Cloud {
    /// How the groups of other VPCs are reached that some rules name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn crossings(
        &self,
        rules: impl IntoIterator<Item = &SecurityGroupRuleRow>,
    ) -> Result<Crossings, ApiError> {
        let mut out = Crossings::new();
        let mut groups: BTreeMap<GroupId, Option<VpcId>> = BTreeMap::new();
        let mut states: BTreeMap<(VpcId, VpcId, VpcPeeringId), (VpcPeeringId, VpcPeeringState)> = BTreeMap::new();
        for rule in rules {
            let (Some(peer), Some(vpc), Some(peering)) = (&rule.peer_group, &rule.peer_vpc, &rule.peering) else {
                continue;
            };
            for group in [&rule.group_id, peer] {
                if !groups.contains_key(group) {
                    groups.insert(group.clone(), vpc_of(self, group).await?);
                }
            }
            // A group that has just gone shows no rules.
            let Some(Some(own)) = groups.get(&rule.group_id) else { continue };
            let pair = (own.clone(), vpc.clone(), peering.clone());
            if !states.contains_key(&pair) {
                let live = vpc_peering_between(self.store(), own, vpc).await.or_fail()?;
                let state = match live.filter(|live| live.state == VpcPeeringState::Active) {
                    Some(live) => (live.id, VpcPeeringState::Active),
                    None => {
                        let was = remembered(self, peering).await?;
                        (peering.clone(), was.map_or(VpcPeeringState::Deleted, |was| was.state))
                    }
                };
                states.insert(pair.clone(), state);
            }
            let Some((peering, state)) = states.get(&pair).cloned() else { continue };
            let group_gone = groups.get(peer).is_none_or(Option::is_none);
            out.insert(rule.id.clone(), Crossing { vpc: vpc.clone(), peering, state, group_gone });
        }
        Ok(out)
    }
}
