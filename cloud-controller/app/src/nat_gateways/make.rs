//! `CreateNatGateway`: an interface, its elastic IP, and a node.
//!
//! What the caller can see beforehand is refused. What only shows when it is made is told as EC2 tells it: the gateway is
//! there, failed, and says why.

use super::{FORGOTTEN_AT_ONCE, NewAddresses, TAG_KIND, forget};
use crate::addresses::allocation_id;
use crate::fail::{OrFail as _, store_failure};
use crate::interfaces::{WantedAddresses, in_subnet, take_addresses};
use crate::once::{Once, record};
use crate::quotas::{Allowance, table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::NodeState;
use mallee_store::{
    ElasticIpFilter, ElasticIpRow, InterfaceKind, InterfaceRow, NatGatewayRow, NatGatewayState, StoreError, SubnetRow,
    Tx, change_append, elastic_ip_associate, elastic_ip_list, interface_insert, internet_gateway_hold,
    internet_gateway_list_attached, nat_gateway_count, nat_gateway_insert, nat_gateway_list_ended, nat_gateway_nodes,
    node_list, tag_put,
};
use mallee_types::{AddressId, AllocationId, Generation, Incarnation, NatGatewayId, NodeId, ZoneName};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const OPERATION: &str = "CreateNatGateway";
/// How often it is tried anew when another request changed its rows meanwhile.
pub(super) const TRIES_MAX: u32 = 5;
/// Of gateways that an account has had, so many are shown: who fails again and again fills nobody's list.
const ENDED_SHOWN_MAX: usize = 200;

/// A NAT gateway to be made.
#[derive(Debug, Clone, Default)]
pub struct NewGateway {
    /// In which subnet.
    pub subnet: String,
    /// Its elastic IP; `None`: it is between private networks only.
    pub allocation: Option<String>,
    /// Its address; `None`: any.
    pub private_ip: Option<Ipv4Addr>,
    /// Its addresses besides.
    pub more: NewAddresses,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// Why there is no gateway.
pub(super) enum Trouble {
    /// It is noted as failed: why, as EC2 names it, and in words.
    Failed(&'static str, String),
    /// Another request changed what was read.
    Again,
    /// The call is refused.
    Refused(ApiError),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

pub(super) fn database(error: StoreError) -> Trouble {
    match error {
        StoreError::Conflict { .. } | StoreError::Stale { .. } => Trouble::Again,
        other => Trouble::Refused(store_failure(other)),
    }
}

/// What the request names, as it was found.
struct Named {
    subnet: SubnetRow,
    allocation: Option<AllocationId>,
    private_ip: Option<Ipv4Addr>,
    /// Elastic IPs of its further addresses.
    more: Vec<AllocationId>,
}

/// The node of a zone that is ready and has the fewest gateways; of equal ones the first.
async fn place(tx: &mut Tx, zone: &ZoneName) -> Result<Option<NodeId>, StoreError> {
    let used: BTreeMap<NodeId, u64> = nat_gateway_nodes(&mut *tx, zone).await?.into_iter().collect();
    let ready = crate::cluster_link::state_word(NodeState::Ready);
    let nodes = node_list(&mut *tx, Some(zone)).await?.into_iter().filter(|node| node.last_state == ready);
    Ok(nodes.map(|node| (used.get(&node.id).copied().unwrap_or_default(), node.id)).min().map(|(_, id)| id))
}

impl Cloud {
    /// `CreateNatGateway`. Repeating it with its token gives the same gateway.
    ///
    /// # Errors
    /// `NatGatewayLimitExceeded`, `AddressLimitExceeded`, `PrivateIpAddressLimitExceeded`, `InvalidIPAddress.InUse`, `Unavailable` while no
    /// node is ready; a subnet, address or allocation that is none. What else keeps it
    /// from being is told by the gateway.
    pub async fn create_nat_gateway(
        &self,
        cx: &OpContext,
        new: &NewGateway,
        once: &Once,
        dry_run: bool,
    ) -> Result<NatGatewayRow, ApiError> {
        tags::validate(&new.tags)?;
        let subnet = self.find_subnet(cx, &new.subnet).await?;
        new.private_ip.iter().chain(&new.more.private).try_for_each(|ip| in_subnet(&subnet, *ip))?;
        let mut allocations = Vec::new();
        for id in new.allocation.iter().chain(&new.more.allocations) {
            let address = crate::addresses::AddressRef::Allocation(allocation_id(id)?);
            allocations.push(self.find_address(self.store(), cx, &address).await?.id);
        }
        let more = allocations.split_off(usize::from(new.allocation.is_some()));
        let allocation = allocations.pop();
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let region = &self.config().region;
        let keys = [
            ("ec2:Vpc", vec![format!("arn:aws:ec2:{region}:{}:vpc/{}", cx.account(), subnet.vpc_id)]),
            ("ec2:Subnet", vec![format!("arn:aws:ec2:{region}:{}:subnet/{}", cx.account(), subnet.id)]),
            ("ec2:AvailabilityZone", vec![subnet.zone.to_string()]),
        ];
        let allowance = self.ec2_allowance(cx, "ec2:CreateNatGateway", TAG_KIND, &keys).await?;
        self.faults().point("cloud.nat.create").await.or_fail()?;
        let named = Named { subnet, allocation, private_ip: new.private_ip, more };
        for _ in 0..TRIES_MAX {
            match self.try_nat_gateway(cx, new, once, &allowance, &named, None).await {
                Ok(row) => return Ok(row),
                Err(Trouble::Again) => {}
                Err(Trouble::Refused(error)) => return Err(error),
                // With nothing of what it took.
                Err(Trouble::Failed(code, text)) => {
                    match self.try_nat_gateway(cx, new, once, &allowance, &named, Some((code, text))).await {
                        Ok(row) => return Ok(row),
                        Err(Trouble::Refused(error)) => return Err(error),
                        Err(Trouble::Again | Trouble::Failed(..)) => {}
                    }
                }
            }
        }
        Err(Code::Unavailable.message("The addresses were changed by other requests. Please try again."))
    }

    /// One transaction. `failure`: it is noted only.
    async fn try_nat_gateway(
        &self,
        cx: &OpContext,
        new: &NewGateway,
        once: &Once,
        allowance: &Allowance,
        named: &Named,
        failure: Option<(&'static str, String)>,
    ) -> Result<NatGatewayRow, Trouble> {
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            tx.rollback().await.or_fail()?;
            return Ok(self.find_nat_gateway(cx, &before).await?);
        }
        let (subnet, now_ms) = (&named.subnet, self.clock().now_ms());
        let mut row = NatGatewayRow {
            id: NatGatewayId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            vpc_id: subnet.vpc_id.clone(),
            subnet_id: subnet.id.clone(),
            zone: subnet.zone.clone(),
            private: named.allocation.is_none(),
            interface_id: None,
            private_ip: None,
            allocation_id: named.allocation.clone(),
            association_id: None,
            public_ip: None,
            state: NatGatewayState::Pending,
            failure_code: None,
            failure_message: None,
            node_id: None,
            incarnation: Incarnation(1),
            generation: Generation(1),
            created_ms: now_ms,
            ended_ms: None,
        };
        if let Some((code, text)) = failure {
            allowance.take(&mut tx, &[], &[row.id.to_string()]).await?;
            row.state = NatGatewayState::Failed;
            (row.failure_code, row.failure_message) = (Some(code.to_owned()), Some(text));
            row.ended_ms = Some(now_ms);
            nat_gateway_insert(&mut tx, &row).await.map_err(database)?;
            let ended = nat_gateway_list_ended(&mut tx, cx.account()).await.map_err(database)?;
            for id in ended.iter().skip(ENDED_SHOWN_MAX).take(FORGOTTEN_AT_ONCE as usize) {
                forget(&mut tx, id).await.map_err(database)?;
            }
        } else {
            allowance.take(&mut tx, &[(&quotas::NETWORK_INTERFACES, 1)], &[row.id.to_string()]).await?;
            let live = nat_gateway_count(&mut tx, cx.account(), &subnet.zone).await.map_err(database)?;
            let live = usize::try_from(live).unwrap_or(usize::MAX);
            within(&mut tx, cx.account(), &quotas::NAT_GATEWAYS_PER_ZONE, live.saturating_add(1)).await?;
            self.fit_out(&mut tx, cx, named, &mut row).await?;
            nat_gateway_insert(&mut tx, &row).await.map_err(database)?;
            if let Some(interface) = row.interface_id.as_ref().filter(|_| !new.more.is_empty()) {
                self.give(&mut tx, cx, (&row, interface, row.generation), subnet, &named.more, &new.more).await?;
            }
            change_append(&mut tx, load::NAT_GATEWAY, &row.id, None);
        }
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.map_err(database)?;
        record(&mut tx, cx, OPERATION, once, row.id.as_str()).await?;
        self.faults().point("cloud.nat.create.before-commit").await.or_fail()?;
        tx.commit().await.map_err(|error| match error {
            // The subnet has just been deleted.
            StoreError::InUse => Trouble::Refused(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()])),
            other => database(other),
        })?;
        self.faults().point("cloud.nat.create.committed").await.or_fail()?;
        Ok(row)
    }

    /// Gives a gateway its node, its interface, and its elastic IP.
    async fn fit_out(
        &self,
        tx: &mut Tx,
        cx: &OpContext,
        named: &Named,
        row: &mut NatGatewayRow,
    ) -> Result<(), Trouble> {
        let subnet = &named.subnet;
        let elastic = match &named.allocation {
            Some(id) => Some(free_address(tx, cx, subnet, id).await?),
            None => None,
        };
        row.node_id = place(tx, &subnet.zone).await.map_err(database)?;
        if row.node_id.is_none() {
            // As when the cloud has just started: it is there soon.
            let text = format!("No node of {} is ready to run a NAT gateway. Please try again.", subnet.zone);
            return Err(Trouble::Refused(Code::Unavailable.message(text)));
        }
        let wanted = WantedAddresses { primary: named.private_ip, ..Default::default() };
        let (address, _) = take_addresses(tx, subnet, &wanted).await.map_err(|error| {
            if error.code() == Code::InsufficientFreeAddressesInSubnet {
                let text = "Subnet has insufficient free addresses to create this NAT gateway".to_owned();
                Trouble::Failed("InsufficientFreeAddressesInSubnet", text)
            } else {
                Trouble::Refused(error)
            }
        })?;
        let description = format!("Interface for NAT Gateway {}", row.id);
        let interface = InterfaceRow {
            kind: InterfaceKind::NatGateway,
            source_dest_check: false,
            ..self.interface_row(subnet, address, &description)
        };
        interface_insert(tx, &interface, &[]).await.map_err(|error| match error {
            StoreError::InUse => Trouble::Refused(Code::InvalidSubnetIdNotFound.with(&[subnet.id.as_str()])),
            other => database(other),
        })?;
        if let Some(elastic) = &elastic {
            let association = AddressId::from_random(self.rng().u128());
            if !elastic_ip_associate(tx, elastic, &association, &interface.id, None).await.map_err(database)? {
                return Err(Trouble::Again);
            }
            row.association_id = Some(association);
            row.public_ip = Some(elastic.address);
        }
        row.interface_id = Some(interface.id);
        row.private_ip = Some(address);
        Ok(())
    }
}

/// The elastic IP, if it leads nowhere, in a VPC that has a way to the world, which it does not lose from here on.
pub(super) async fn free_address(
    tx: &mut Tx,
    cx: &OpContext,
    subnet: &SubnetRow,
    id: &AllocationId,
) -> Result<ElasticIpRow, Trouble> {
    internet_gateway_hold(tx, &subnet.vpc_id).await.map_err(database)?;
    let vpcs = std::slice::from_ref(&subnet.vpc_id);
    if internet_gateway_list_attached(&mut *tx, Some(vpcs), None, 1).await.map_err(database)?.is_empty() {
        let text = format!("Network {} has no Internet gateway attached", subnet.vpc_id);
        return Err(Trouble::Failed("Gateway.NotAttached", text));
    }
    let ids = Some(std::slice::from_ref(id));
    let filter = ElasticIpFilter { account: Some(cx.account()), ids, ..Default::default() };
    let row = elastic_ip_list(&mut *tx, filter, 1).await.map_err(database)?.pop();
    let row = row.ok_or_else(|| ApiError::not_found(Code::InvalidAllocationIdNotFound, &[id.as_str()]))?;
    if row.association_id.is_some() {
        let text = format!("Elastic IP address [{id}] is already associated");
        return Err(Trouble::Failed("Resource.AlreadyAssociated", text));
    }
    Ok(row)
}
