//! The default VPC of each account, and looking up VPCs and subnets.

use crate::fail::OrFail as _;
use crate::groups::rule::{Peer, RuleSpec};
use crate::groups::{DEFAULT_GROUP, NewRule, insert_group, insert_rule};
use crate::{Cloud, OpContext, load};
use ipnet::Ipv4Net;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    SecurityGroupRow, StoreError, SubnetRow, Tx, VpcRow, change_append, cloud_account, subnet_default, subnet_insert,
    subnet_list, vpc_default, vpc_insert, vpc_list, vpc_vni_take,
};
use mallee_types::{AccountId, Generation, SubnetId, VpcId, ZoneName};
use std::net::Ipv4Addr;

/// The default VPC's block, as on AWS.
const DEFAULT_VPC: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 31, 0, 0), 16);
/// Its subnets are /20, one per zone.
const DEFAULT_SUBNET_PREFIX: u8 = 20;

fn default_vpc_cidr() -> Ipv4Net {
    Ipv4Net::new_assert(DEFAULT_VPC.0, DEFAULT_VPC.1)
}

/// The name that DNS gives instances of a region: `ip-10-0-0-1.REGION.compute.internal`.
#[must_use]
pub fn dns_domain(region: &str) -> String {
    format!("{region}.compute.internal")
}

/// An address's private name.
#[must_use]
pub fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ip-{a}-{b}-{c}-{d}.{}", dns_domain(region))
}

/// A public address's name.
#[must_use]
pub fn public_dns_name(address: Ipv4Addr, region: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("ec2-{a}-{b}-{c}-{d}.{region}.compute.internal")
}

/// A VPC to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewVpc<'a> {
    /// Whose.
    pub(crate) account: &'a AccountId,
    /// Its block.
    pub(crate) cidr: Ipv4Net,
    /// The account's default one.
    pub(crate) is_default: bool,
    /// See [`VpcRow`].
    pub(crate) dedicated: bool,
}

impl Cloud {
    /// Makes an account's default VPC with its group, and a default subnet for each zone that has none yet.
    /// Repeating it is harmless.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ensure_default_vpc(&self, tx: &mut Tx, account: &AccountId) -> Result<VpcRow, StoreError> {
        let now_ms = self.clock().now_ms();
        let vpc = match vpc_default(&mut *tx, account).await? {
            Some(vpc) => vpc,
            None => {
                let new = NewVpc { account, cidr: default_vpc_cidr(), is_default: true, dedicated: false };
                self.make_vpc(tx, new).await?
            }
        };
        let blocks: Vec<Ipv4Net> = vpc.cidr.subnets(DEFAULT_SUBNET_PREFIX).map(Iterator::collect).unwrap_or_default();
        for zone in self.zones() {
            if subnet_default(&mut *tx, account, zone).await?.is_some() {
                continue;
            }
            let vpcs = [vpc.id.clone()];
            let taken: Vec<Ipv4Net> = subnet_list(&mut *tx, account, None, Some(&vpcs), None, 1000)
                .await?
                .into_iter()
                .map(|s| s.cidr)
                .collect();
            let free = blocks.iter().find(|block| !taken.contains(block));
            let cidr = *free.ok_or_else(|| StoreError::Exhausted { what: format!("the default vpc of {account}") })?;
            let subnet = SubnetRow {
                id: SubnetId::from_random(self.rng().u128()),
                account_id: account.clone(),
                vpc_id: vpc.id.clone(),
                zone: zone.clone(),
                cidr,
                is_default: true,
                map_public_ip: true,
                generation: Generation(1),
                created_ms: now_ms,
            };
            subnet_insert(tx, &subnet).await?;
            change_append(tx, load::SUBNET, &subnet.id, None);
        }
        Ok(vpc)
    }

    /// Makes a VPC with what every VPC has: a main route table, and a default security group whose members reach each
    /// other.
    ///
    /// # Errors
    /// What the database says; [`StoreError::Exhausted`] without a free network identifier.
    pub(crate) async fn make_vpc(&self, tx: &mut Tx, new: NewVpc<'_>) -> Result<VpcRow, StoreError> {
        let NewVpc { account, cidr, is_default, dedicated } = new;
        let vpc = VpcRow {
            id: VpcId::from_random(self.rng().u128()),
            account_id: account.clone(),
            cidr,
            vni: vpc_vni_take(tx).await?,
            is_default,
            dedicated,
            dns_support: true,
            // As on AWS: a VPC that somebody makes names no public addresses until it is told to.
            dns_hostnames: is_default,
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        vpc_insert(tx, &vpc).await?;
        change_append(tx, load::VPC, &vpc.id, None);
        let main = self.make_main_table(tx, &vpc).await?;
        let group = insert_group(self, tx, account, &vpc.id, DEFAULT_GROUP, "default VPC security group").await?;
        let from_itself = RuleSpec {
            egress: false,
            protocol: -1,
            from_port: None,
            to_port: None,
            peer: Peer::Group(group.id.clone()),
        };
        insert_rule(self, tx, &group, &NewRule { spec: from_itself, peer_account: None, description: None }).await?;
        if is_default && cloud_account(&mut *tx).await?.as_ref() == Some(account) {
            self.let_host_in(tx, &group).await?;
        }
        if is_default {
            self.open_to_world(tx, &vpc, &main).await?;
        }
        Ok(vpc)
    }

    /// On a single host, its user logs in to a fresh instance without further ado, as the README says.
    async fn let_host_in(&self, tx: &mut Tx, group: &SecurityGroupRow) -> Result<(), StoreError> {
        let Some(host) = self.config().host_source else { return Ok(()) };
        let peer = Peer::Cidr(Ipv4Net::from(host));
        for (protocol, from_port, to_port) in [(6, 22, 22), (1, -1, -1)] {
            let spec = RuleSpec {
                egress: false,
                protocol,
                from_port: Some(from_port),
                to_port: Some(to_port),
                peer: peer.clone(),
            };
            let description = Some("the host that runs this cloud".to_owned());
            insert_rule(self, tx, group, &NewRule { spec, peer_account: None, description }).await?;
        }
        Ok(())
    }

    /// The account's default VPC.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn default_vpc(&self, cx: &OpContext) -> Result<Option<VpcRow>, ApiError> {
        vpc_default(self.store(), cx.account()).await.or_fail()
    }

    pub(crate) async fn require_default_vpc(&self, cx: &OpContext) -> Result<VpcRow, ApiError> {
        self.default_vpc(cx).await?.ok_or_else(|| {
            Code::VpcIdNotSpecified
                .message("No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
        })
    }

    /// The VPC of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a VPC that is not there.
    pub async fn find_vpc(&self, cx: &OpContext, id: &str) -> Result<VpcRow, ApiError> {
        let id: VpcId = crate::ids::parse_id(id, Code::InvalidVpcIdMalformed)?;
        let found =
            vpc_list(self.store(), cx.account(), Some(std::slice::from_ref(&id)), None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidVpcIdNotFound.with(&[id.as_str()]))
    }

    /// The subnet of this id.
    ///
    /// # Errors
    /// EC2's for an id that is none, and for a subnet that is not there.
    pub async fn find_subnet(&self, cx: &OpContext, id: &str) -> Result<SubnetRow, ApiError> {
        let id: SubnetId = crate::ids::parse_id(id, Code::InvalidSubnetIdMalformed)?;
        let ids = Some(std::slice::from_ref(&id));
        let found = subnet_list(self.store(), cx.account(), ids, None, None, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidSubnetIdNotFound.with(&[id.as_str()]))
    }

    /// The account's default subnet in a zone.
    ///
    /// # Errors
    /// `MissingInput`-class error when there is none.
    pub(crate) async fn require_default_subnet(&self, cx: &OpContext, zone: &ZoneName) -> Result<SubnetRow, ApiError> {
        subnet_default(self.store(), cx.account(), zone).await.or_fail()?.ok_or_else(|| {
            Code::MissingInput
                .message(format!("No default subnet for availability zone '{zone}'. Please specify a subnet."))
        })
    }
}
