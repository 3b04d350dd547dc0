//! VPC peering connections, as each side sees them.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values, tags_of_one,
    tags_on, time, time_text, values_of,
};
use crate::filter::Filterable;
use ipnet::Ipv4Net;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::peerings::{NewPeering, PeeringOptions, TAG_KIND};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    StoreError, VpcIpv6CidrRow, VpcPeeringFilter, VpcPeeringRow, VpcPeeringState, vpc_blocks, vpc_fetch,
    vpc_ipv6_cidr_list, vpc_peering_list_shown,
};
use mallee_types::{AccountId, VpcId, VpcPeeringId};
use std::collections::BTreeMap;

/// What DescribeVpcPeeringConnections filters by.
const FILTERS: [&str; 11] = [
    "accepter-vpc-info.cidr-block",
    "accepter-vpc-info.owner-id",
    "accepter-vpc-info.vpc-id",
    "expiration-time",
    "requester-vpc-info.cidr-block",
    "requester-vpc-info.owner-id",
    "requester-vpc-info.vpc-id",
    "status-code",
    "status-message",
    "tag-key",
    "vpc-peering-connection-id",
];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;
/// What a request is before anybody has looked at it: what the call that makes it answers.
const INITIATING: &str = "initiating-request";

impl Filterable for VpcPeeringConnection {
    fn values(&self, name: &str) -> Vec<String> {
        let of = |info: &Option<VpcPeeringConnectionVpcInfo>, property: &str| -> Vec<String> {
            let Some(info) = info else { return Vec::new() };
            match property {
                "cidr-block" => info.cidr_block_set.iter().flat_map(|block| values_of(&block.cidr_block)).collect(),
                "owner-id" => values_of(&info.owner_id),
                _ => values_of(&info.vpc_id),
            }
        };
        let status = |value: fn(&VpcPeeringConnectionStateReason) -> &Option<String>| {
            self.status.as_ref().map_or_else(Vec::new, |status| values_of(value(status)))
        };
        if let Some(property) = name.strip_prefix("accepter-vpc-info.") {
            return of(&self.accepter_vpc_info, property);
        }
        if let Some(property) = name.strip_prefix("requester-vpc-info.") {
            return of(&self.requester_vpc_info, property);
        }
        match name {
            "expiration-time" => self
                .expiration_time
                .iter()
                .map(|at| time_text(at.unix_timestamp().saturating_mul(1000).saturating_add(at.millisecond().into())))
                .collect(),
            "status-code" => status(|status| &status.code),
            "status-message" => status(|status| &status.message),
            "vpc-peering-connection-id" => values_of(&self.vpc_peering_connection_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// AWS's words about a state.
fn message(row: &VpcPeeringRow) -> String {
    let by = row.decided_by.as_ref().unwrap_or(&row.accepter_account);
    match row.state {
        VpcPeeringState::PendingAcceptance => format!("Pending Acceptance by {}", row.accepter_account),
        VpcPeeringState::Active => "Active".to_owned(),
        VpcPeeringState::Rejected => format!("Rejected by {by}"),
        VpcPeeringState::Failed => "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".to_owned(),
        VpcPeeringState::Expired => "Expired".to_owned(),
        VpcPeeringState::Deleted => format!("Deleted by {by}"),
    }
}

/// A VPC of a connection: whose it is, and its blocks.
struct Peer {
    owner: AccountId,
    blocks: Vec<Ipv4Net>,
    ipv6: Vec<VpcIpv6CidrRow>,
}

type Vpcs = BTreeMap<VpcId, Peer>;

/// One side. `peer`: its VPC, where its blocks are shown; `dns`: of an active connection.
fn side(
    account: &AccountId,
    id: &VpcId,
    peer: Option<&Peer>,
    dns: Option<bool>,
    region: &str,
) -> VpcPeeringConnectionVpcInfo {
    let blocks = peer.map_or(&[][..], |peer| peer.blocks.as_slice());
    let ipv6 = peer.into_iter().flat_map(|peer| &peer.ipv6);
    VpcPeeringConnectionVpcInfo {
        cidr_block: blocks.first().map(ToString::to_string),
        cidr_block_set: blocks.iter().map(|block| CidrBlock { cidr_block: Some(block.to_string()) }).collect(),
        ipv6_cidr_block_set: ipv6.map(|row| Ipv6CidrBlock { ipv6_cidr_block: Some(row.cidr.to_string()) }).collect(),
        owner_id: Some(account.to_string()),
        peering_options: dns.map(|dns| VpcPeeringConnectionOptionsDescription {
            allow_dns_resolution_from_remote_vpc: Some(dns),
            allow_egress_from_local_classic_link_to_remote_vpc: Some(false),
            allow_egress_from_local_vpc_to_remote_classic_link: Some(false),
            ..Default::default()
        }),
        region: Some(region.to_owned()),
        vpc_id: Some(id.to_string()),
    }
}

fn shape(row: &VpcPeeringRow, vpcs: &Vpcs, region: &str, tags: &mut TagMap) -> VpcPeeringConnection {
    let active = row.state == VpcPeeringState::Active;
    let dns = |dns: bool| active.then_some(dns);
    // What the accepter has is shown once it has accepted.
    let accepter = vpcs.get(&row.accepter_vpc).filter(|_| active);
    let requester = vpcs.get(&row.requester_vpc).filter(|peer| peer.owner == row.requester_account);
    VpcPeeringConnection {
        accepter_vpc_info: Some(side(
            &row.accepter_account,
            &row.accepter_vpc,
            accepter,
            dns(row.accepter_dns),
            region,
        )),
        expiration_time: (row.state == VpcPeeringState::PendingAcceptance).then(|| time(row.expires_ms)).flatten(),
        multipath_resilience_status: None,
        requester_vpc_info: Some(side(
            &row.requester_account,
            &row.requester_vpc,
            requester,
            dns(row.requester_dns),
            region,
        )),
        status: Some(VpcPeeringConnectionStateReason {
            code: Some(row.state.word().to_owned()),
            message: Some(message(row)),
        }),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        vpc_peering_connection_id: Some(row.id.to_string()),
    }
}

fn required(id: Option<String>) -> Result<String, ApiError> {
    id.ok_or_else(|| ApiError::missing_parameter("vpcPeeringConnectionId"))
}

/// What a side wants of its own VPC; the options of EC2-Classic are refused, there is none.
fn wanted_dns(options: Option<PeeringConnectionOptionsRequest>) -> Result<Option<bool>, ApiError> {
    let Some(PeeringConnectionOptionsRequest {
        allow_dns_resolution_from_remote_vpc,
        allow_egress_from_local_classic_link_to_remote_vpc,
        allow_egress_from_local_vpc_to_remote_classic_link,
        allow_multipath_resilience,
        multipath_resilience_mode,
    }) = options
    else {
        return Ok(None);
    };
    let asked = |given: Option<bool>| given == Some(true);
    refuse("AllowEgressFromLocalClassicLinkToRemoteVpc", asked(allow_egress_from_local_classic_link_to_remote_vpc))?;
    refuse("AllowEgressFromLocalVpcToRemoteClassicLink", asked(allow_egress_from_local_vpc_to_remote_classic_link))?;
    refuse("AllowMultipathResilience", asked(allow_multipath_resilience))?;
    refuse("MultipathResilienceMode", multipath_resilience_mode.is_some())?;
    Ok(allow_dns_resolution_from_remote_vpc)
}

impl Ec2Api {
    async fn peerings_shown(
        &self,
        cx: &OpContext,
        rows: &[VpcPeeringRow],
    ) -> Result<Vec<VpcPeeringConnection>, ApiError> {
        let mut vpcs = Vpcs::new();
        for id in rows.iter().flat_map(|row| [&row.requester_vpc, &row.accepter_vpc]) {
            if !vpcs.contains_key(id) {
                let vpc = match vpc_fetch(self.store(), id).await {
                    Err(StoreError::NotFound { .. }) => continue,
                    other => other.or_fail()?,
                };
                let blocks = vpc_blocks(self.store(), &vpc).await.or_fail()?;
                let ipv6 = vpc_ipv6_cidr_list(self.store(), Some(std::slice::from_ref(&vpc.id))).await.or_fail()?;
                vpcs.insert(vpc.id, Peer { owner: vpc.account_id, blocks, ipv6 });
            }
        }
        let mut tags = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
        let region = self.look().region;
        Ok(rows.iter().map(|row| shape(row, &vpcs, region, &mut tags)).collect())
    }

    async fn peering_shown(
        &self,
        cx: &OpContext,
        row: VpcPeeringRow,
    ) -> Result<Option<VpcPeeringConnection>, ApiError> {
        Ok(self.peerings_shown(cx, &[row]).await?.pop())
    }

    pub(crate) async fn create_vpc_peering_connection(
        &self,
        cx: &OpContext,
        r: CreateVpcPeeringConnectionRequest,
    ) -> Result<CreateVpcPeeringConnectionResult, ApiError> {
        let CreateVpcPeeringConnectionRequest {
            dry_run,
            peer_owner_id,
            peer_region,
            peer_vpc_id,
            requester_peering_connection_options,
            tag_specifications,
            vpc_id,
        } = r;
        only("PeerRegion", peer_region.as_deref(), &[self.look().region])?;
        if let Some(options) = requester_peering_connection_options {
            refuse("AllowMultipathResilience", options.allow_multipath_resilience == Some(true))?;
            refuse("MultipathResilienceMode", options.multipath_resilience_mode.is_some())?;
        }
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        let peer_vpc = peer_vpc_id.ok_or_else(|| ApiError::missing_parameter("peerVpcId"))?;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let new = NewPeering { vpc: &vpc, peer_vpc: &peer_vpc, peer_owner: peer_owner_id.as_deref(), tags: &tags };
        let row = self.cloud.create_peering(cx, &new, dry_run == Some(true)).await?;
        let is_active = row.state == VpcPeeringState::Active;
        let accepter = row.accepter_account.clone();
        let mut shown = self.peering_shown(cx, row).await?;
        if let Some(status) = shown.as_mut().and_then(|shown| shown.status.as_mut()).filter(|_| !is_active) {
            status.code = Some(INITIATING.to_owned());
            status.message = Some(format!("Initiating Request to {accepter}"));
        }
        Ok(CreateVpcPeeringConnectionResult { vpc_peering_connection: shown })
    }

    pub(crate) async fn accept_vpc_peering_connection(
        &self,
        cx: &OpContext,
        r: AcceptVpcPeeringConnectionRequest,
    ) -> Result<AcceptVpcPeeringConnectionResult, ApiError> {
        let AcceptVpcPeeringConnectionRequest { dry_run, vpc_peering_connection_id } = r;
        let id = required(vpc_peering_connection_id)?;
        let row = self.cloud.accept_peering(cx, &id, dry_run == Some(true)).await?;
        Ok(AcceptVpcPeeringConnectionResult { vpc_peering_connection: self.peering_shown(cx, row).await? })
    }

    pub(crate) async fn reject_vpc_peering_connection(
        &self,
        cx: &OpContext,
        r: RejectVpcPeeringConnectionRequest,
    ) -> Result<RejectVpcPeeringConnectionResult, ApiError> {
        let RejectVpcPeeringConnectionRequest { dry_run, vpc_peering_connection_id } = r;
        self.cloud.reject_peering(cx, &required(vpc_peering_connection_id)?, dry_run == Some(true)).await?;
        Ok(RejectVpcPeeringConnectionResult { return_: Some(true) })
    }

    pub(crate) async fn delete_vpc_peering_connection(
        &self,
        cx: &OpContext,
        r: DeleteVpcPeeringConnectionRequest,
    ) -> Result<DeleteVpcPeeringConnectionResult, ApiError> {
        let DeleteVpcPeeringConnectionRequest { dry_run, vpc_peering_connection_id } = r;
        self.cloud.delete_peering(cx, &required(vpc_peering_connection_id)?, dry_run == Some(true)).await?;
        Ok(DeleteVpcPeeringConnectionResult { return_: Some(true) })
    }

    pub(crate) async fn modify_vpc_peering_connection_options(
        &self,
        cx: &OpContext,
        r: ModifyVpcPeeringConnectionOptionsRequest,
    ) -> Result<ModifyVpcPeeringConnectionOptionsResult, ApiError> {
        let ModifyVpcPeeringConnectionOptionsRequest {
            accepter_peering_connection_options: accepter,
            dry_run,
            requester_peering_connection_options: requester,
            vpc_peering_connection_id,
        } = r;
        let id = required(vpc_peering_connection_id)?;
        let asked = (requester.is_some(), accepter.is_some());
        if asked == (false, false) {
            return Err(Code::MissingParameter.message(
                "The request must contain at least one of the parameters requesterPeeringConnectionOptions, \
                 accepterPeeringConnectionOptions",
            ));
        }
        let options = PeeringOptions { requester_dns: wanted_dns(requester)?, accepter_dns: wanted_dns(accepter)? };
        let row = self.cloud.modify_peering_options(cx, &id, options, dry_run == Some(true)).await?;
        let now = |dns: bool| PeeringConnectionOptions {
            allow_dns_resolution_from_remote_vpc: Some(dns),
            allow_egress_from_local_classic_link_to_remote_vpc: Some(false),
            allow_egress_from_local_vpc_to_remote_classic_link: Some(false),
            ..Default::default()
        };
        Ok(ModifyVpcPeeringConnectionOptionsResult {
            requester_peering_connection_options: asked.0.then(|| now(row.requester_dns)),
            accepter_peering_connection_options: asked.1.then(|| now(row.accepter_dns)),
        })
    }

    pub(crate) async fn describe_vpc_peering_connections(
        &self,
        cx: &OpContext,
        r: DescribeVpcPeeringConnectionsRequest,
    ) -> Result<DescribeVpcPeeringConnectionsResult, ApiError> {
        let DescribeVpcPeeringConnectionsRequest {
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
            vpc_peering_connection_ids: given,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeVpcPeeringConnections", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<VpcPeeringId> = &parse_ids(&given, Code::InvalidVpcPeeringConnectionIdMalformed)?;
        dry_run(dry)?;
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let now_ms = self.cloud.clock().now_ms();
        let read = |after: Option<VpcPeeringId>| async move {
            let filter = VpcPeeringFilter { ids: some_ids, after: after.as_ref(), ..Default::default() };
            let list = rows(vpc_peering_list_shown(self.store(), cx.account(), now_ms, filter, ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidVpcPeeringConnectionIdNotFound)?;
            let list: Vec<VpcPeeringRow> = list.into_iter().map(|row| self.cloud.peering_now(row)).collect();
            let shapes = self.peerings_shown(cx, &list).await?.into_iter();
            Ok(Chunk { found: shapes.filter(|peering| filters.accept(peering)).collect(), next })
        };
        let key = |peering: &VpcPeeringConnection| peering.vpc_peering_connection_id.clone().unwrap_or_default();
        let (vpc_peering_connections, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeVpcPeeringConnectionsResult { next_token, vpc_peering_connections })
    }
}
