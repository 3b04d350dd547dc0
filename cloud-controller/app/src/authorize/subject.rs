//! EC2's resources: from what a request names to ARNs, and what the resources are like.
//!
//! Ids of other accounts read as absent: they are asked about under the caller's own account and without anything that
//! they are like, as ids that are nowhere.

use crate::{Cloud, OpContext};
use mallee_authz::{Kind, Plan, Question, Service, Target};
use mallee_iam::Context;
use mallee_store::{
    ElasticIpFilter, ImageFilter, InstanceFilter, InterfaceFilter, NetworkAclAssociationFilter, NetworkAclFilter,
    RouteAssociationFilter, RouteTableFilter, SecurityGroupFilter, StoreError, VpcPeeringFilter, elastic_ip_list,
    image_list, instance_list, interface_list, key_pair_by_name, key_pair_list, launch_template_list,
    network_acl_association_list, network_acl_list, placement_group_list, profile_association_fetch,
    route_association_list, route_table_list, security_group_by_name, security_group_list, subnet_default, subnet_list,
    tag_list_of, vpc_default, vpc_list, vpc_peering_list_shown,
};
use mallee_types::{AccountId, AttachmentId, NetworkAclId, RouteTableId, SubnetId, VpcPeeringId};
use std::net::Ipv4Addr;

/// A resource of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// Its ARN.
    pub arn: String,
    /// Condition keys that say what it is like.
    pub keys: Vec<(String, String)>,
}

impl Subject {
    pub(super) const fn bare(arn: String) -> Self {
        Self { arn, keys: Vec::new() }
    }

    pub(super) fn key(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.keys.push((name.into(), value.into()));
    }
}

/// A row of the store that must be the account's own.
fn own<R>(rows: Vec<R>, is_own: impl Fn(&R) -> bool) -> Option<R> {
    rows.into_iter().find(is_own)
}

impl Cloud {
    /// What a question is about; `None`: about nothing that is there to be allowed or denied.
    pub(super) async fn subject(
        &self,
        cx: &OpContext,
        target: Target<'_>,
        facts: bool,
    ) -> Result<Option<Subject>, StoreError> {
        let any = |kind: Kind| Subject::bare(kind.arn(&self.config().region, cx.account().as_str(), "*"));
        Ok(Some(match target {
            Target::None => Subject::bare("*".to_owned()),
            Target::Any(kind) => any(kind),
            Target::Arn(arn) => self.arn_subject(cx, arn, facts).await?,
            Target::Own => self.own_subject(cx, facts).await?,
            Target::Named(kind, path, name) => self.named_subject(cx, kind, path, name),
            Target::RoleOf(profile) => return self.role_of_profile(cx, profile, facts).await,
            Target::Existing(kind, given) if kind.service == Service::Ec2 => {
                self.ec2_subject(cx, kind, given, facts).await?
            }
            Target::Existing(kind, given) => self.iam_subject(cx, kind, given, facts).await?,
            Target::Linked(kind, id) if kind.service == Service::Iam => self.owner_of_key(cx, kind, id, facts).await?,
            Target::Linked(kind, id) => match self.end_of(cx, kind, id).await? {
                Some(id) => self.ec2_subject(cx, kind, &id, facts).await?,
                None => any(kind),
            },
        }))
    }

    /// The resource of this kind at one end of an association.
    async fn end_of(&self, cx: &OpContext, kind: Kind, id: &str) -> Result<Option<String>, StoreError> {
        match kind.word {
            "instance" | "network-interface" if id.starts_with(AttachmentId::PREFIX) => {
                let Ok(attachment) = id.parse() else { return Ok(None) };
                let filter = InterfaceFilter {
                    account: Some(cx.account()),
                    attachment: Some(&attachment),
                    ..Default::default()
                };
                let Some(row) = interface_list(self.store(), filter, 1).await?.pop() else { return Ok(None) };
                Ok(if kind.word == "instance" {
                    row.instance_id.map(|id| id.to_string())
                } else {
                    Some(row.id.to_string())
                })
            }
            "instance" => {
                let Ok(association) = id.parse() else { return Ok(None) };
                let row = profile_association_fetch(self.store(), cx.account(), &association).await?;
                Ok(row.map(|row| row.instance_id.to_string()))
            }
            "route-table" => {
                let Ok(association) = id.parse() else { return Ok(None) };
                let filter = RouteAssociationFilter { id: Some(&association), ..Default::default() };
                let row = route_association_list(self.store(), filter).await?.pop();
                Ok(row.map(|row| row.table_id.to_string()))
            }
            "network-acl" => {
                let Ok(association) = id.parse() else { return Ok(None) };
                let filter = NetworkAclAssociationFilter { id: Some(&association), ..Default::default() };
                let row = network_acl_association_list(self.store(), filter).await?.pop();
                Ok(row.map(|row| row.acl_id.to_string()))
            }
            "vpc" => Ok(self.cidr_association(id).await?.map(|found| found.vpc.id.to_string())),
            "subnet" => Ok(self.subnet_cidr_association(id).await?.map(|row| row.subnet_id.to_string())),
            "elastic-ip" => {
                let Ok(association) = id.parse() else { return Ok(None) };
                let filter = ElasticIpFilter {
                    account: Some(cx.account()),
                    associations: Some(std::slice::from_ref(&association)),
                    ..Default::default()
                };
                Ok(elastic_ip_list(self.store(), filter, 1).await?.pop().map(|row| row.id.to_string()))
            }
            _ => Ok(None),
        }
    }

    async fn ec2_subject(&self, cx: &OpContext, kind: Kind, given: &str, facts: bool) -> Result<Subject, StoreError> {
        let account = cx.account();
        let arn = |tail: &str| kind.arn(&self.config().region, account.as_str(), tail);
        // Key pairs, groups and templates may be given by name, and the ARN of a key pair has its name.
        let (tail, id) = match kind.word {
            "key-pair" => {
                let row = match given.parse() {
                    Ok(id) => key_pair_list(self.store(), account, Some(&[id]), None, None, 1).await?.pop(),
                    Err(_) => key_pair_by_name(self.store(), account, given).await?,
                };
                row.map_or_else(|| (given.to_owned(), None), |row| (row.name, Some(row.id.to_string())))
            }
            "security-group" if !given.starts_with("sg-") => match self.group_of_name(account, given).await? {
                Some(id) => (id.clone(), Some(id)),
                None => (given.to_owned(), None),
            },
            "elastic-ip" if !given.starts_with("eipalloc-") => match self.address_of_text(account, given).await? {
                Some(id) => (id.clone(), Some(id)),
                None => (given.to_owned(), None),
            },
            "launch-template" if !given.starts_with("lt-") => {
                let named = [given.to_owned()];
                match launch_template_list(self.store(), account, None, Some(&named), None, 1).await?.pop() {
                    Some(row) => (row.id.to_string(), Some(row.id.to_string())),
                    None => (given.to_owned(), None),
                }
            }
            // Its ARN has its name, its tags hang on its id.
            "placement-group" => {
                let named = [given.to_owned()];
                let row = match given.parse() {
                    Ok(id) => placement_group_list(self.store(), account, Some(&[id]), None, None, 1).await?.pop(),
                    Err(_) => placement_group_list(self.store(), account, None, Some(&named), None, 1).await?.pop(),
                };
                row.map_or_else(|| (given.to_owned(), None), |row| (row.name, Some(row.id.to_string())))
            }
            _ => (given.to_owned(), Some(given.to_owned())),
        };
        let mut subject = Subject::bare(arn(&tail));
        if let Some(id) = id.filter(|_| facts) {
            let is_there = self.describe_resource(account, kind, &id, &mut subject).await?;
            if is_there {
                let tags = tag_list_of(self.store(), &id).await?;
                for tag in tags.into_iter().filter(|tag| tag.account_id == *account) {
                    subject.key(format!("ec2:ResourceTag/{}", tag.key), tag.value.clone());
                    subject.key(format!("aws:ResourceTag/{}", tag.key), tag.value);
                }
            }
        }
        Ok(subject)
    }

    async fn address_of_text(&self, account: &AccountId, text: &str) -> Result<Option<String>, StoreError> {
        let Ok(address) = text.parse::<Ipv4Addr>() else { return Ok(None) };
        let same = [address];
        let filter = ElasticIpFilter { account: Some(account), addresses: Some(&same), ..Default::default() };
        Ok(elastic_ip_list(self.store(), filter, 1).await?.pop().map(|row| row.id.to_string()))
    }

    async fn group_of_name(&self, account: &AccountId, name: &str) -> Result<Option<String>, StoreError> {
        let Some(vpc) = vpc_default(self.store(), account).await? else { return Ok(None) };
        Ok(security_group_by_name(self.store(), &vpc.id, name).await?.map(|group| group.id.to_string()))
    }

    fn arn_of(&self, account: &AccountId, word: &str, id: &str) -> String {
        format!("arn:aws:ec2:{}:{account}:{word}/{id}", self.config().region)
    }

    /// Adds what a resource of the account is like; whether it may have tags of the account.
    async fn describe_resource(
        &self,
        account: &AccountId,
        kind: Kind,
        id: &str,
        subject: &mut Subject,
    ) -> Result<bool, StoreError> {
        let store = self.store();
        match kind.word {
            "instance" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let filter = InstanceFilter {
                    account: Some(account),
                    ids: Some(std::slice::from_ref(&id)),
                    ..Default::default()
                };
                let Some(row) = instance_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:InstanceID", row.id.as_str());
                subject.key("ec2:InstanceType", row.instance_type.as_str());
                subject.key("ec2:AvailabilityZone", row.zone.as_str());
                let metadata = &row.doc.metadata;
                subject.key("ec2:MetadataHttpTokens", if metadata.tokens_required { "required" } else { "optional" });
                subject.key("ec2:MetadataHttpEndpoint", if metadata.enabled { "enabled" } else { "disabled" });
                subject.key("ec2:MetadataHttpPutResponseHopLimit", metadata.hop_limit.to_string());
                Ok(true)
            }
            "image" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let filter = ImageFilter {
                    visible_to: Some(account),
                    ids: Some(std::slice::from_ref(&id)),
                    ..Default::default()
                };
                let Some(row) = image_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:ImageID", row.id.as_str());
                subject.key("ec2:ImageType", "machine");
                subject.key("ec2:Owner", row.account_id.as_str());
                subject.key("ec2:Public", row.is_public.to_string());
                Ok(row.account_id == *account)
            }
            "vpc" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let rows = vpc_list(store, account, Some(&[id]), None, 1).await?;
                let Some(row) = own(rows, |row| row.account_id == *account) else { return Ok(false) };
                subject.key("ec2:VpcID", row.id.as_str());
                subject.key("ec2:Tenancy", if row.dedicated { "dedicated" } else { "default" });
                Ok(true)
            }
            "subnet" => {
                let Ok(id) = id.parse::<SubnetId>() else { return Ok(false) };
                let Some(row) = subnet_list(store, account, Some(&[id]), None, None, 1).await?.pop() else {
                    return Ok(false);
                };
                subject.key("ec2:SubnetID", row.id.as_str());
                subject.key("ec2:AvailabilityZone", row.zone.as_str());
                subject.key("ec2:Vpc", self.arn_of(account, "vpc", row.vpc_id.as_str()));
                Ok(true)
            }
            "route-table" => {
                let Ok(id) = id.parse::<RouteTableId>() else { return Ok(false) };
                let ids = Some(std::slice::from_ref(&id));
                let filter = RouteTableFilter { account: Some(account), ids, ..Default::default() };
                let Some(row) = route_table_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:RouteTableID", row.id.as_str());
                subject.key("ec2:Vpc", self.arn_of(account, "vpc", row.vpc_id.as_str()));
                Ok(true)
            }
            "network-acl" => {
                let Ok(id) = id.parse::<NetworkAclId>() else { return Ok(false) };
                let ids = Some(std::slice::from_ref(&id));
                let filter = NetworkAclFilter { account: Some(account), ids, ..Default::default() };
                let Some(row) = network_acl_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:NetworkAclID", row.id.as_str());
                subject.key("ec2:Vpc", self.arn_of(account, "vpc", row.vpc_id.as_str()));
                Ok(true)
            }
            "vpc-peering-connection" => {
                let Ok(id) = id.parse::<VpcPeeringId>() else { return Ok(false) };
                let filter = VpcPeeringFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
                let now_ms = self.clock().now_ms();
                let row = vpc_peering_list_shown(store, account, now_ms, filter, 1).await?.pop();
                let Some(row) = row else { return Ok(false) };
                subject.key("ec2:VpcPeeringConnectionID", row.id.as_str());
                subject.key("ec2:RequesterVpc", self.arn_of(&row.requester_account, "vpc", row.requester_vpc.as_str()));
                subject.key("ec2:AccepterVpc", self.arn_of(&row.accepter_account, "vpc", row.accepter_vpc.as_str()));
                Ok(true)
            }
            "dhcp-options" => {
                subject.key("ec2:DhcpOptionsID", id);
                Ok(true)
            }
            "internet-gateway" => {
                subject.key("ec2:InternetGatewayID", id);
                Ok(true)
            }
            "security-group" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let filter = SecurityGroupFilter { ids: Some(std::slice::from_ref(&id)), ..Default::default() };
                let Some(row) = security_group_list(store, account, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:SecurityGroupID", row.id.as_str());
                subject.key("ec2:Vpc", self.arn_of(account, "vpc", row.vpc_id.as_str()));
                Ok(true)
            }
            "network-interface" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let filter = InterfaceFilter {
                    account: Some(account),
                    ids: Some(std::slice::from_ref(&id)),
                    ..Default::default()
                };
                let Some(row) = interface_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:NetworkInterfaceID", row.id.as_str());
                subject.key("ec2:AvailabilityZone", row.zone.as_str());
                subject.key("ec2:Vpc", self.arn_of(account, "vpc", row.vpc_id.as_str()));
                subject.key("ec2:Subnet", self.arn_of(account, "subnet", row.subnet_id.as_str()));
                Ok(true)
            }
            "elastic-ip" => {
                let Ok(id) = id.parse() else { return Ok(false) };
                let ids = Some(std::slice::from_ref(&id));
                let filter = ElasticIpFilter { account: Some(account), ids, ..Default::default() };
                let Some(row) = elastic_ip_list(store, filter, 1).await?.pop() else { return Ok(false) };
                subject.key("ec2:AllocationId", row.id.as_str());
                subject.key("ec2:PublicIpAddress", row.address.to_string());
                subject.key("ec2:Domain", "vpc");
                Ok(true)
            }
            "key-pair" => {
                if let Some((_, name)) = subject.arn.rsplit_once(":key-pair/") {
                    let name = name.to_owned();
                    subject.key("ec2:KeyPairName", name);
                }
                Ok(true)
            }
            // Tags are by id and account: that is all there is to know of the others.
            _ => Ok(true),
        }
    }
}

/// Where a launch or an interface is made: what its new parts have before they are.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    vpc: Option<String>,
    subnet: Option<String>,
}

/// Kinds whose new members are in a VPC of the request's choice.
const IN_VPC: [&str; 5] = ["network-acl", "network-interface", "route-table", "security-group", "subnet"];

impl Surroundings {
    /// Of a plan that makes something in a subnet.
    pub(super) async fn of(cloud: &Cloud, cx: &OpContext, plan: &Plan<'_>, facts: bool) -> Result<Self, StoreError> {
        let makes = |q: &Question<'_>| matches!(q.target, Target::Any(kind) if IN_VPC.contains(&kind.word));
        if !facts || !plan.questions.iter().any(makes) {
            return Ok(Self::default());
        }
        let account = cx.account();
        let named = |word: &str| {
            plan.questions.iter().find_map(|q| match q.target {
                Target::Existing(kind, id) if kind.word == word => Some(id),
                _ => None,
            })
        };
        if let Some(vpc) = named("vpc") {
            return Ok(Self { vpc: Some(cloud.arn_of(account, "vpc", vpc)), subnet: None });
        }
        let given = named("subnet");
        let subnet = match given {
            Some(id) => match id.parse::<SubnetId>() {
                Ok(id) => subnet_list(cloud.store(), account, Some(&[id]), None, None, 1).await?.pop(),
                Err(_) => None,
            },
            None => match cloud.zones().first() {
                Some(zone) => subnet_default(cloud.store(), account, zone).await?,
                None => None,
            },
        };
        Ok(subnet.map_or_else(Self::default, |row| Self {
            vpc: Some(cloud.arn_of(account, "vpc", row.vpc_id.as_str())),
            subnet: Some(cloud.arn_of(account, "subnet", row.id.as_str())),
        }))
    }

    /// Adds the keys that a question about something new in there has.
    pub(super) fn describe(&self, question: &Question<'_>, context: &mut Context) {
        let Target::Any(kind) = question.target else { return };
        if !IN_VPC.contains(&kind.word) {
            return;
        }
        if let Some(vpc) = &self.vpc {
            context.set("ec2:Vpc", vpc.as_str());
        }
        if let Some(subnet) = self.subnet.as_ref().filter(|_| kind.word == "network-interface") {
            context.set("ec2:Subnet", subnet.as_str());
        }
    }
}
