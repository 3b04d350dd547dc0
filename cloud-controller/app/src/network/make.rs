//! Making a VPC with what every VPC has.

use crate::groups::rule::{Peer, RuleSpec};
use crate::groups::{DEFAULT_GROUP, NewRule, PeerClaim, insert_group, insert_rule};
use crate::{Cloud, load};
use ipnet::Ipv4Net;
use mallee_store::{SecurityGroupRow, StoreError, Tx, VpcRow, change_append, cloud_account, vpc_insert, vpc_vni_take};
use mallee_types::{AccountId, Generation, VpcId};

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
    /// Makes a VPC with what every VPC has: the account's default DHCP options, a main route table, a default network ACL
    /// through which everything passes, and a default security group whose members reach each other.
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
            dhcp_options_id: Some(self.default_dhcp_options(tx, account).await?),
            generation: Generation(1),
            created_ms: self.clock().now_ms(),
        };
        vpc_insert(tx, &vpc).await?;
        change_append(tx, load::VPC, &vpc.id, None);
        let main = self.make_main_table(tx, &vpc).await?;
        self.make_default_acl(tx, &vpc).await?;
        let group = insert_group(self, tx, account, &vpc.id, DEFAULT_GROUP, "default VPC security group").await?;
        let from_itself = RuleSpec {
            egress: false,
            protocol: -1,
            from_port: None,
            to_port: None,
            peer: Peer::Group(group.id.clone()),
        };
        insert_rule(self, tx, &group, &NewRule { spec: from_itself, claim: PeerClaim::default(), description: None })
            .await?;
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
        let peer = Peer::Cidr(Ipv4Net::from(host).into());
        for (protocol, from_port, to_port) in [(6, 22, 22), (1, -1, -1)] {
            let spec = RuleSpec {
                egress: false,
                protocol,
                from_port: Some(from_port),
                to_port: Some(to_port),
                peer: peer.clone(),
            };
            let description = Some("the host that runs this cloud".to_owned());
            insert_rule(self, tx, group, &NewRule { spec, claim: PeerClaim::default(), description }).await?;
        }
        Ok(())
    }
}
