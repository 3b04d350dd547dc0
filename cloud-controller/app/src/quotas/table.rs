//! Every quota there is. A later resource is one row here, one line in the store's `counted!`, and one
//! [`Allowance`](super::Allowance) where it is made.
//!
//! Codes, names and defaults are AWS's where AWS has them
//! (<https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html>); defaults are higher where a private
//! cloud would be annoyed. Codes that begin with `mallee-` are this cloud's own.

use crate::prefix_lists::PREFIX_LIST_ENTRIES_MAX;
use mallee_awswire::Code;
use mallee_store::Counted;
use mallee_types::limits::{GROUPS_PER_INTERFACE_MAX, RULES_PER_GROUP_MAX};

/// How what is in use is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A sum of rows of the account; so many of the rows' units make one of the quota's.
    Sum(Counted, u64),
    /// It is a quota of each resource; whoever makes something counts itself.
    Each,
}

/// The words of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// The code's own text.
    Plain,
    /// `InstanceLimitExceeded`: how many were asked for, and the limit.
    Instances,
    /// `VcpuLimitExceeded`: the limit.
    Vcpus,
    /// IAM's: "Cannot exceed quota for …: …".
    Iam(&'static str),
    /// "You have requested more … than your quota of … allows."
    More(&'static str),
}

/// One quota.
#[derive(Debug, PartialEq, Eq)]
pub struct Quota {
    /// AWS's code of the service.
    pub service: &'static str,
    /// AWS's code of the quota.
    pub code: &'static str,
    /// AWS's name of it.
    pub name: &'static str,
    /// What an account has until an administrator says otherwise; none: as much as there is.
    pub default: Option<u64>,
    /// An administrator may set another value.
    pub adjustable: bool,
    /// The cloud bears no more, whoever has it.
    pub most: Option<u64>,
    /// How what is in use is known.
    pub used: Use,
    /// The key by which policies of effect `Limit` set it.
    pub key: Option<&'static str>,
    /// The error where it is exceeded.
    pub refusal: (Code, Words),
}

/// A service that has quotas.
#[derive(Debug, PartialEq, Eq)]
pub struct QuotaService {
    /// AWS's code of it.
    pub code: &'static str,
    /// AWS's name of it.
    pub name: &'static str,
    /// Its quotas hold for the cloud, not for a region.
    pub global: bool,
}

/// The services with quotas, by code.
pub const SERVICES: &[QuotaService] = &[
    QuotaService { code: "ec2", name: "Amazon Elastic Compute Cloud (Amazon EC2)", global: false },
    QuotaService { code: "iam", name: "AWS Identity and Access Management (IAM)", global: true },
    QuotaService { code: "s3", name: "Amazon Simple Storage Service (Amazon S3)", global: true },
    QuotaService { code: "vpc", name: "Amazon Virtual Private Cloud (Amazon VPC)", global: false },
];

/// Identities of one kind in an account at most: they are read in one page.
const IDENTITIES_MAX: usize = 10_000;
/// Routes of a table at most: nodes look at no more.
const ROUTES_PER_TABLE_MAX: usize = 1_000;
/// Network ACLs of a VPC at most: they are read in one page.
const NETWORK_ACLS_PER_VPC_MAX: usize = 4_000;
/// Entries of one direction of a network ACL at most: every packet may be held against each.
const RULES_PER_NETWORK_ACL_MAX: usize = 100;
/// References to a prefix list of one kind at most: each change of the list touches all of them (AWS: 5,000).
const PREFIX_LIST_REFERENCES_MAX: usize = 5_000;
/// Blocks of a VPC at most, as on AWS: every packet from the world is held against them.
const CIDRS_PER_VPC_MAX: usize = 50;
/// Active peering connections of a VPC at most: a node with a port in it knows all of their VPCs (AWS: 125).
const ACTIVE_PEERINGS_PER_VPC_MAX: usize = 125;
/// Flow logs of a resource at most (AWS: 2): each record is written once for each.
const FLOW_LOGS_PER_RESOURCE_MAX: usize = 2;
/// The smallest subnets (/28) that the largest VPC (/16) has room for.
const SUBNETS_PER_VPC_MAX: usize = 1 << (28 - 16);
const MIB: u64 = 1;
const GIB_IN_BYTES: u64 = 1 << 30;

const fn quota(service: &'static str, code: &'static str, name: &'static str, used: Use) -> Quota {
    let refusal = (Code::LimitExceeded, Words::Plain);
    Quota { service, code, name, default: None, adjustable: true, most: None, used, key: None, refusal }
}

impl Quota {
    const fn usual(mut self, default: usize) -> Self {
        self.default = Some(default as u64);
        self
    }

    const fn key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    const fn refused(mut self, code: Code, words: Words) -> Self {
        self.refusal = (code, words);
        self
    }

    const fn most(mut self, most: usize) -> Self {
        self.most = Some(most as u64);
        self
    }

    const fn fixed(mut self) -> Self {
        self.adjustable = false;
        self
    }

    const fn iam(self, name: &'static str) -> Self {
        self.refused(Code::LimitExceeded, Words::Iam(name)).most(IDENTITIES_MAX)
    }

    /// Whether it holds for the cloud and not for a region.
    #[must_use]
    pub fn is_global(&self) -> bool {
        SERVICES.iter().any(|service| service.code == self.service && service.global)
    }
}

macro_rules! quotas {
    ($($(#[$meta:meta])* $name:ident = $quota:expr;)*) => {
        $($(#[$meta])* pub static $name: Quota = $quota;)*
        /// All of them.
        pub static ALL: &[&Quota] = &[$(&$name),*];
    };
}

quotas! {
    /// Virtual CPUs of instances that take room on a node.
    VCPUS = quota("ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        Use::Sum(Counted::Vcpus, 1))
        .usual(100_000).key("ec2:quota-cputotalsize").refused(Code::VcpuLimitExceeded, Words::Vcpus);
    /// Elastic IPs.
    ELASTIC_IPS = quota("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs", Use::Sum(Counted::ElasticIps, 1))
        .usual(50).key("ec2:quota-addressnumber").refused(Code::AddressLimitExceeded, Words::Plain);
    /// Versions of each launch template.
    TEMPLATE_VERSIONS = quota("ec2", "L-142B4294", "Launch template versions", Use::Each)
        .usual(10_000).most(10_000).fixed().refused(Code::LaunchTemplateVersionLimitExceeded, Words::Plain);
    /// Registered images.
    IMAGES = quota("ec2", "L-B665C33B", "AMIs", Use::Sum(Counted::Images, 1))
        .usual(50_000).key("ec2:quota-imagenumber").refused(Code::AmiQuotaExceeded, Words::Plain);
    /// Launch templates.
    LAUNCH_TEMPLATES = quota("ec2", "L-FB451C26", "Launch templates", Use::Sum(Counted::LaunchTemplates, 1))
        .usual(5_000).key("ec2:quota-launchtemplatenumber").refused(Code::LaunchTemplateLimitExceeded, Words::Plain);
    /// Instances that take room on a node.
    ACTIVE_INSTANCES = quota("ec2", "mallee-active-instances", "Instances that are not stopped",
        Use::Sum(Counted::ActiveInstances, 1))
        .key("ec2:quota-vminstanceactivenumber").refused(Code::InstanceLimitExceeded, Words::Instances);
    /// Root disks of instances, in GiB.
    DISK = quota("ec2", "mallee-disk-gib", "Root disks of instances in GiB",
        Use::Sum(Counted::DiskBytes, GIB_IN_BYTES))
        .key("ec2:quota-disktotalsize").refused(Code::ResourceLimitExceeded, Words::More("GiB of root disks"));
    /// Instances that are not terminated.
    INSTANCES = quota("ec2", "mallee-instances", "Instances", Use::Sum(Counted::Instances, 1))
        .usual(20_000).key("ec2:quota-vminstancenumber").refused(Code::InstanceLimitExceeded, Words::Instances);
    /// Key pairs.
    KEY_PAIRS = quota("ec2", "mallee-key-pairs", "Key pairs", Use::Sum(Counted::KeyPairs, 1))
        .usual(5_000).refused(Code::KeyPairLimitExceeded, Words::Plain);
    /// Memory of instances that take room on a node, in MiB.
    MEMORY = quota("ec2", "mallee-memory-mib", "Memory of running instances in MiB",
        Use::Sum(Counted::MemoryMib, MIB))
        .key("ec2:quota-memorytotalsize").refused(Code::ResourceLimitExceeded, Words::More("MiB of memory"));
    /// Placement groups.
    PLACEMENT_GROUPS = quota("ec2", "mallee-placement-groups", "Placement groups",
        Use::Sum(Counted::PlacementGroups, 1))
        .usual(500).refused(Code::PlacementGroupLimitExceeded, Words::Plain);
    /// Roles.
    ROLES = quota("iam", "L-FE177D64", "Roles per account", Use::Sum(Counted::Roles, 1))
        .usual(1_000).key("iam:quota-rolenumber").iam("RolesPerAccount");
    /// IAM groups.
    GROUPS = quota("iam", "L-F4A5425F", "Groups per account", Use::Sum(Counted::Groups, 1))
        .usual(300).key("iam:quota-groupnumber").iam("GroupsPerAccount");
    /// IAM users.
    USERS = quota("iam", "L-F55AF5E4", "Users per account", Use::Sum(Counted::Users, 1))
        .usual(5_000).key("iam:quota-usernumber").iam("UsersPerAccount");
    /// Managed policies of the account.
    POLICIES = quota("iam", "L-E95E4862", "Customer managed policies per account", Use::Sum(Counted::Policies, 1))
        .usual(1_500).key("iam:quota-policynumber").iam("PoliciesPerAccount");
    /// Server certificates.
    SERVER_CERTIFICATES = quota("iam", "L-BF35879D", "Server certificates per account",
        Use::Sum(Counted::ServerCertificates, 1))
        .usual(20).key("iam:quota-servercertificatenumber").iam("ServerCertificatesPerAccount");
    /// OpenID Connect providers.
    OIDC_PROVIDERS = quota("iam", "L-858F3967", "OpenId connect providers per account",
        Use::Sum(Counted::OidcProviders, 1))
        .usual(100).key("iam:quota-openidconnectprovidernumber").iam("OpenIdConnectProvidersPerAccount");
    /// Instance profiles.
    INSTANCE_PROFILES = quota("iam", "L-6E65F664", "Instance profiles per account",
        Use::Sum(Counted::InstanceProfiles, 1))
        .usual(1_000).key("iam:quota-instanceprofilenumber").iam("InstanceProfilesPerAccount");
    /// Buckets.
    BUCKETS = quota("s3", "L-DC2B2D3D", "General purpose buckets", Use::Sum(Counted::Buckets, 1))
        .usual(10_000).key("s3:quota-bucketnumber").refused(Code::TooManyBuckets, Words::Plain);
    /// DHCP option sets. (AWS has the error, but no code.)
    DHCP_OPTIONS = quota("vpc", "mallee-dhcp-options", "DHCP option sets", Use::Sum(Counted::DhcpOptions, 1))
        .usual(1_000).refused(Code::DhcpOptionsLimitExceeded, Words::Plain);
    /// Internet gateways.
    INTERNET_GATEWAYS = quota("vpc", "L-A4707A72", "Internet gateways per Region",
        Use::Sum(Counted::InternetGateways, 1))
        .usual(5_000).key("ec2:quota-internetgatewaynumber").refused(Code::InternetGatewayLimitExceeded, Words::Plain);
    /// Egress-only internet gateways. (AWS has no error of their own for it.)
    EGRESS_ONLY_GATEWAYS = quota("vpc", "L-45FE3B85", "Egress-only internet gateways per Region",
        Use::Sum(Counted::EgressOnlyGateways, 1))
        .usual(5_000).refused(Code::ResourceLimitExceeded, Words::More("egress-only internet gateways"));
    /// Network interfaces, those of instances with them.
    NETWORK_INTERFACES = quota("vpc", "L-DF5E4CA3", "Network interfaces per Region",
        Use::Sum(Counted::NetworkInterfaces, 1))
        .usual(5_000).refused(Code::NetworkInterfaceLimitExceeded, Words::Plain);
    /// NAT gateways of each zone that are neither gone nor failed.
    NAT_GATEWAYS_PER_ZONE = quota("vpc", "L-FE5A380F", "NAT gateways per Availability Zone", Use::Each)
        .usual(5).refused(Code::NatGatewayLimitExceeded, Words::Plain);
    /// Elastic IPs of each public NAT gateway.
    NAT_ELASTIC_IPS = quota("vpc", "L-5F53652F", "Elastic IP addresses per public NAT gateway", Use::Each)
        .usual(2).most(8).refused(Code::AddressLimitExceeded, Words::Plain);
    /// Addresses of each private NAT gateway. (AWS has the quota; its code is not public.)
    NAT_PRIVATE_ADDRESSES = quota("vpc", "mallee-nat-private-addresses", "Private IP addresses per NAT gateway",
        Use::Each)
        .usual(8).most(31).refused(Code::PrivateIpAddressLimitExceeded, Words::More("addresses of a NAT gateway"));
    /// Prefix lists.
    PREFIX_LISTS = quota("vpc", "mallee-prefix-lists", "Prefix lists per Region", Use::Sum(Counted::PrefixLists, 1))
        .usual(1_000).refused(Code::PrefixListLimitExceeded, Words::Plain);
    /// Entries of each prefix list.
    PREFIX_LIST_ENTRIES = quota("vpc", "mallee-prefix-list-entries", "Maximum number of entries per prefix list",
        Use::Each)
        .usual(PREFIX_LIST_ENTRIES_MAX).most(PREFIX_LIST_ENTRIES_MAX)
        .refused(Code::PrefixListMaxEntriesExceeded, Words::Plain);
    /// Security groups that refer to one prefix list, and route tables that do.
    PREFIX_LIST_REFERENCES = quota("vpc", "mallee-prefix-list-references",
        "References to a prefix list per resource type", Use::Each)
        .usual(1_000).most(PREFIX_LIST_REFERENCES_MAX)
        .refused(Code::ResourceLimitExceeded, Words::More("references to a prefix list"));
    /// Routes of each table, besides the local one; a prefix list counts as so many as it may have entries.
    ROUTES_PER_TABLE = quota("vpc", "L-93826ACB", "Non-propagated routes per route table", Use::Each)
        .usual(500).most(ROUTES_PER_TABLE_MAX).refused(Code::RouteLimitExceeded, Words::Plain);
    /// Route tables of each VPC.
    ROUTE_TABLES_PER_VPC = quota("vpc", "L-589F43AA", "Route tables per VPC", Use::Each)
        .usual(200).most(mallee_store::ROUTE_TABLES_MAX as usize).refused(Code::RouteTableLimitExceeded, Words::Plain);
    /// Network ACLs of each VPC.
    NETWORK_ACLS_PER_VPC = quota("vpc", "L-B4A6D682", "Network ACLs per VPC", Use::Each)
        .usual(200).most(NETWORK_ACLS_PER_VPC_MAX).refused(Code::NetworkAclLimitExceeded, Words::Plain);
    /// Entries of one direction of each network ACL, besides the last.
    RULES_PER_NETWORK_ACL = quota("vpc", "L-2AEEBF1A", "Rules per network ACL", Use::Each)
        .usual(20).most(RULES_PER_NETWORK_ACL_MAX).refused(Code::NetworkAclEntryLimitExceeded, Words::Plain);
    /// VPCs.
    VPCS = quota("vpc", "L-F678F1CE", "VPCs per Region", Use::Sum(Counted::Vpcs, 1))
        .usual(1_000).key("ec2:quota-vpcnumber").refused(Code::VpcLimitExceeded, Words::Plain);
    /// IPv4 blocks of each VPC, the first one with them.
    CIDRS_PER_VPC = quota("vpc", "L-83CA0A9D", "IPv4 CIDR blocks per VPC", Use::Each)
        .usual(5).most(CIDRS_PER_VPC_MAX).refused(Code::CidrLimitExceeded, Words::Plain);
    /// Active peering connections of each VPC.
    ACTIVE_PEERINGS_PER_VPC = quota("vpc", "L-7E9ECCDB", "Active VPC peering connections per VPC", Use::Each)
        .usual(50).most(ACTIVE_PEERINGS_PER_VPC_MAX)
        .refused(Code::ActiveVpcPeeringConnectionPerVpcLimitExceeded, Words::Plain);
    /// Requests for peering connections that are not answered.
    VPC_PEERING_REQUESTS = quota("vpc", "L-DC9F7029", "Outstanding VPC peering connection requests",
        Use::Sum(Counted::VpcPeeringRequests, 1))
        .usual(25).refused(Code::OutstandingVpcPeeringConnectionLimitExceeded, Words::Plain);
    /// Transit gateways.
    TRANSIT_GATEWAYS = quota("ec2", "L-A2478D36", "Transit gateways per account", Use::Sum(Counted::TransitGateways, 1))
        .usual(5).refused(Code::TransitGatewayLimitExceeded, Words::Plain);
    /// Of each VPC.
    TRANSIT_GATEWAYS_PER_VPC = quota("ec2", "L-6DA43717", "Unique transit gateways per VPC", Use::Each)
        .usual(5).most(5).refused(Code::TransitGatewayAttachmentLimitExceeded, Words::More("transit gateways of a VPC"));
    /// VPCs at each transit gateway. (AWS's 5,000 are for a router; here each node knows the way to all that a VPC meets, and
    /// looks at no more than five times so many.)
    ATTACHMENTS_PER_TRANSIT_GATEWAY = quota("ec2", "L-E0233F82", "Attachments per transit gateway", Use::Each)
        .usual(100).most(200).refused(Code::TransitGatewayAttachmentLimitExceeded, Words::More("attachments of a transit gateway"));
    /// Tables of each transit gateway.
    TABLES_PER_TRANSIT_GATEWAY = quota("ec2", "L-E2F4F4C5", "Route tables per transit gateway", Use::Each)
        .usual(20).most(100).refused(Code::ResourceLimitExceeded, Words::More("route tables of a transit gateway"));
    /// Routes of each of those that somebody made.
    ROUTES_PER_TRANSIT_TABLE = quota("ec2", "mallee-transit-gateway-routes", "Static routes per transit gateway route table",
        Use::Each)
        .usual(1_000).most(1_000).refused(Code::ResourceLimitExceeded, Words::More("routes of a route table"));
    /// Subnets of each VPC.
    SUBNETS_PER_VPC = quota("vpc", "L-407747CB", "Subnets per VPC", Use::Each)
        .usual(200).most(SUBNETS_PER_VPC_MAX).refused(Code::SubnetLimitExceeded, Words::Plain);
    /// Security groups.
    SECURITY_GROUPS = quota("vpc", "L-E79EC296", "VPC security groups per Region",
        Use::Sum(Counted::SecurityGroups, 1))
        .usual(10_000).key("ec2:quota-securitygroupnumber").refused(Code::SecurityGroupLimitExceeded, Words::Plain);
    /// Rules of one direction of each security group; one of a prefix list counts as so many as that may have entries.
    RULES_PER_GROUP = quota("vpc", "L-0EA8095F", "Inbound or outbound rules per security group", Use::Each)
        .usual(RULES_PER_GROUP_MAX).most(RULES_PER_GROUP_MAX)
        .refused(Code::RulesPerSecurityGroupLimitExceeded, Words::Plain);
    /// Flow logs of each VPC, subnet and interface. (AWS has no code for it.)
    FLOW_LOGS_PER_RESOURCE = quota("vpc", "mallee-flow-logs-per-resource",
        "Flow logs per network interface, subnet or VPC", Use::Each)
        .usual(FLOW_LOGS_PER_RESOURCE_MAX).most(FLOW_LOGS_PER_RESOURCE_MAX)
        .refused(Code::ResourceLimitExceeded, Words::More("flow logs of a resource"));
    /// Paths to analyse for reachability. (AWS's codes of these are not published with its user guide.)
    INSIGHTS_PATHS = quota("vpc", "mallee-network-insights-paths", "Network insights paths per Region",
        Use::Sum(Counted::InsightsPaths, 1))
        .usual(100).refused(Code::NetworkInsightsPathLimitExceeded, Words::Plain);
    /// Analyses that are kept. Each is done within its call, so that none is ever pending.
    INSIGHTS_ANALYSES = quota("vpc", "mallee-network-insights-analyses", "Network insights analyses per Region",
        Use::Sum(Counted::InsightsAnalyses, 1))
        .usual(1_000).refused(Code::NetworkInsightsAnalysisLimitExceeded, Words::Plain);
    /// Security groups of each interface.
    GROUPS_PER_INTERFACE = quota("vpc", "L-2AFB9258", "Security groups per network interface", Use::Each)
        .usual(GROUPS_PER_INTERFACE_MAX).most(GROUPS_PER_INTERFACE_MAX).fixed()
        .refused(Code::SecurityGroupsPerInterfaceLimitExceeded, Words::Plain);
}

/// The service of this code.
#[must_use]
pub fn service(code: &str) -> Option<&'static QuotaService> {
    SERVICES.iter().find(|service| service.code == code)
}

/// The quota of this code.
#[must_use]
pub fn find(service: &str, code: &str) -> Option<&'static Quota> {
    ALL.iter().copied().find(|quota| quota.service == service && quota.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_iam::QUOTA_KEYS;

    #[test]
    fn every_quota_is_there_once_and_its_key_exists() {
        let mut seen = std::collections::BTreeSet::new();
        for quota in ALL {
            assert!(seen.insert((quota.service, quota.code)), "{} {} twice", quota.service, quota.code);
            assert!(service(quota.service).is_some(), "{}", quota.code);
            assert!(quota.code.len() <= 128 && quota.code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
            if let Some(key) = quota.key {
                assert!(QUOTA_KEYS.iter().any(|known| known.key == key), "{key}");
            }
        }
        assert_eq!(QUOTA_KEYS.len(), 33);
        assert_eq!(find("iam", "L-F55AF5E4").map(|quota| quota.default), Some(Some(5_000)));
        assert!(find("ec2", "L-F55AF5E4").is_none());
    }
}
