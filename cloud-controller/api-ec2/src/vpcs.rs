//! VPCs and subnets, read only: the default ones.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_on, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{AddressRange, SubnetRow, VpcRow, private_address_count, subnet_list, vpc_list};
use mallee_types::{SubnetId, VpcId};

/// What DescribeVpcs filters by; IPv6 does not exist here, so its filters match nothing.
const VPC_FILTERS: [&str; 14] = [
    "cidr",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "dhcp-options-id",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "tag-key",
    "vpc-id",
];

/// What DescribeSubnets filters by.
const SUBNET_FILTERS: [&str; 31] = [
    "availability-zone",
    "availabilityZone",
    "availability-zone-id",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options-on-launch.hostname-type",
    "state",
    "subnet-arn",
    "subnet-id",
    "tag-key",
    "type",
    "vpc-id",
    "vpcId",
];

impl Filterable for Vpc {
    fn values(&self, name: &str) -> Vec<String> {
        let associations = &self.cidr_block_association_set;
        match name {
            "cidr" => values_of(&self.cidr_block),
            "cidr-block-association.association-id" => {
                associations.iter().flat_map(|a| values_of(&a.association_id)).collect()
            }
            "cidr-block-association.cidr-block" => associations.iter().flat_map(|a| values_of(&a.cidr_block)).collect(),
            "cidr-block-association.state" => {
                associations.iter().flat_map(|a| &a.cidr_block_state).flat_map(|s| values_of(&s.state)).collect()
            }
            "dhcp-options-id" => values_of(&self.dhcp_options_id),
            "is-default" | "isDefault" => values_of(&self.is_default),
            "owner-id" => values_of(&self.owner_id),
            "state" => values_of(&self.state),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

impl Filterable for Subnet {
    fn values(&self, name: &str) -> Vec<String> {
        let dns = self.private_dns_name_options_on_launch.as_ref();
        match name {
            "availability-zone" | "availabilityZone" => values_of(&self.availability_zone),
            "availability-zone-id" | "availabilityZoneId" => values_of(&self.availability_zone_id),
            "available-ip-address-count" => values_of(&self.available_ip_address_count),
            "cidr" | "cidr-block" | "cidrBlock" => values_of(&self.cidr_block),
            "default-for-az" | "defaultForAz" => values_of(&self.default_for_az),
            "enable-dns64" => values_of(&self.enable_dns64),
            "ipv6-native" => values_of(&self.ipv6_native),
            "map-customer-owned-ip-on-launch" => values_of(&self.map_customer_owned_ip_on_launch),
            "map-public-ip-on-launch" => values_of(&self.map_public_ip_on_launch),
            "owner-id" => values_of(&self.owner_id),
            "private-dns-name-options-on-launch.enable-resource-name-dns-a-record" => {
                dns.into_iter().flat_map(|d| values_of(&d.enable_resource_name_dns_a_record)).collect()
            }
            "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record" => {
                dns.into_iter().flat_map(|d| values_of(&d.enable_resource_name_dns_aaaa_record)).collect()
            }
            "private-dns-name-options-on-launch.hostname-type" => {
                dns.into_iter().flat_map(|d| values_of(&d.hostname_type)).collect()
            }
            "state" => values_of(&self.state),
            "subnet-arn" => values_of(&self.subnet_arn),
            "subnet-id" => values_of(&self.subnet_id),
            "vpc-id" | "vpcId" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn vpc_shape(row: &VpcRow, tags: &mut TagMap) -> Vpc {
    let cidr = row.cidr.to_string();
    // A VPC has one block, so the association needs no id of its own to be told apart.
    let association = VpcCidrBlockAssociation {
        association_id: Some(row.id.as_str().replacen("vpc-", "vpc-cidr-assoc-", 1)),
        cidr_block: Some(cidr.clone()),
        cidr_block_state: Some(VpcCidrBlockState { state: Some("associated".into()), status_message: None }),
    };
    Vpc {
        cidr_block: Some(cidr),
        cidr_block_association_set: vec![association],
        dhcp_options_id: Some("default".into()),
        instance_tenancy: Some("default".into()),
        is_default: Some(row.is_default),
        owner_id: Some(row.account_id.to_string()),
        state: Some("available".into()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        vpc_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

fn subnet_shape(row: &SubnetRow, in_use: u64, look: Look<'_>, tags: &mut TagMap) -> Subnet {
    let size = AddressRange::of_subnet(row.cidr).map_or(0, AddressRange::len);
    Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        available_ip_address_count: i32::try_from(size.saturating_sub(in_use)).ok(),
        cidr_block: Some(row.cidr.to_string()),
        default_for_az: Some(row.is_default),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(row.map_public_ip),
        owner_id: Some(row.account_id.to_string()),
        private_dns_name_options_on_launch: Some(PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some("ip-name".into()),
        }),
        state: Some("available".into()),
        subnet_arn: Some(look.arn(&row.account_id, "subnet", row.id.as_str())),
        subnet_id: Some(row.id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        vpc_id: Some(row.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Ec2Api {
    pub(crate) async fn describe_vpcs(
        &self,
        cx: &OpContext,
        r: DescribeVpcsRequest,
    ) -> Result<DescribeVpcsResult, ApiError> {
        let DescribeVpcsRequest { dry_run: dry, filters: wanted, max_results, next_token, vpc_ids } = r;
        let filters = &filters(&wanted, &VPC_FILTERS)?;
        let page = page("DescribeVpcs", max_results, next_token.as_deref(), 5..=1000, &vpc_ids)?;
        let ids: &Vec<VpcId> = &parse_ids(&vpc_ids, Code::InvalidVpcIdMalformed)?;
        dry_run(dry)?;
        let store = self.store();
        if !ids.is_empty() {
            let there = rows(vpc_list(store, cx.account(), Some(ids), None, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidVpcIdNotFound)?;
        }
        let read = |after: Option<VpcId>| async move {
            let ids = (!ids.is_empty()).then_some(ids.as_slice());
            let rows = rows(vpc_list(store, cx.account(), ids, after.as_ref(), ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let shapes = rows.iter().map(|row| vpc_shape(row, &mut tags));
            Ok(Chunk { found: shapes.filter(|vpc| filters.accept(vpc)).collect(), next })
        };
        let key = |vpc: &Vpc| vpc.vpc_id.clone().unwrap_or_default();
        let (vpcs, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeVpcsResult { vpcs, next_token })
    }

    pub(crate) async fn describe_vpc_attribute(
        &self,
        cx: &OpContext,
        r: DescribeVpcAttributeRequest,
    ) -> Result<DescribeVpcAttributeResult, ApiError> {
        let DescribeVpcAttributeRequest { attribute, dry_run: dry, vpc_id } = r;
        let vpc = self.cloud.find_vpc(cx, &vpc_id.unwrap_or_default()).await?;
        let said = |value| Some(AttributeBooleanValue { value: Some(value) });
        let mut result = DescribeVpcAttributeResult { vpc_id: Some(vpc.id.to_string()), ..Default::default() };
        // Every node serves DNS to every VPC, names included; address usage is not metered.
        match attribute.as_deref().unwrap_or_default() {
            "enableDnsSupport" => result.enable_dns_support = said(true),
            "enableDnsHostnames" => result.enable_dns_hostnames = said(true),
            "enableNetworkAddressUsageMetrics" => result.enable_network_address_usage_metrics = said(false),
            other => {
                return Err(ApiError::invalid_value(
                    "attribute",
                    other,
                    "Valid values are: enableDnsSupport, enableDnsHostnames, enableNetworkAddressUsageMetrics.",
                ));
            }
        }
        dry_run(dry)?;
        Ok(result)
    }

    pub(crate) async fn describe_subnets(
        &self,
        cx: &OpContext,
        r: DescribeSubnetsRequest,
    ) -> Result<DescribeSubnetsResult, ApiError> {
        let DescribeSubnetsRequest { dry_run: dry, filters: wanted, max_results, next_token, subnet_ids } = r;
        let filters = &filters(&wanted, &SUBNET_FILTERS)?;
        let page = page("DescribeSubnets", max_results, next_token.as_deref(), 5..=1000, &subnet_ids)?;
        let ids: &Vec<SubnetId> = &parse_ids(&subnet_ids, Code::InvalidSubnetIdMalformed)?;
        dry_run(dry)?;
        let (store, look) = (self.store(), self.look());
        if !ids.is_empty() {
            let there = rows(subnet_list(store, cx.account(), Some(ids), None, None, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidSubnetIdNotFound)?;
        }
        let read = |after: Option<SubnetId>| async move {
            let ids = (!ids.is_empty()).then_some(ids.as_slice());
            let rows = rows(subnet_list(store, cx.account(), ids, None, after.as_ref(), ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let mut found = Vec::new();
            for row in &rows {
                let in_use = private_address_count(store, &row.id).await.or_fail()?;
                found.extend(Some(subnet_shape(row, in_use, look, &mut tags)).filter(|subnet| filters.accept(subnet)));
            }
            Ok(Chunk { found, next })
        };
        let key = |subnet: &Subnet| subnet.subnet_id.clone().unwrap_or_default();
        let (subnets, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeSubnetsResult { subnets, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{Generation, ZoneName};

    #[test]
    fn a_vpc_is_found_by_what_it_shows() {
        let row = VpcRow {
            id: VpcId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            cidr: "172.31.0.0/16".parse().unwrap(),
            vni: 4096,
            is_default: true,
            dedicated: false,
            dns_support: true,
            dns_hostnames: true,
            generation: Generation(1),
            created_ms: 0,
        };
        let vpc = vpc_shape(&row, &mut TagMap::new());
        for (name, value) in [
            ("cidr", "172.31.0.0/16"),
            ("cidr-block-association.cidr-block", "172.31.0.0/16"),
            ("cidr-block-association.association-id", "vpc-cidr-assoc-00000000000000001"),
            ("cidr-block-association.state", "associated"),
            ("dhcp-options-id", "default"),
            ("is-default", "true"),
            ("isDefault", "true"),
            ("owner-id", "123456789012"),
            ("state", "available"),
            ("vpc-id", row.id.as_str()),
        ] {
            assert_eq!(vpc.values(name), [value], "{name}");
            assert!(VPC_FILTERS.contains(&name));
        }
        assert_eq!(vpc.instance_tenancy.as_deref(), Some("default"), "without it Terraform replaces the VPC");
    }

    #[test]
    fn a_subnet_counts_what_is_free() {
        let zones: Vec<ZoneName> = vec!["zone-a".parse().unwrap(), "zone-b".parse().unwrap()];
        let row = SubnetRow {
            id: SubnetId::from_random(2),
            account_id: "123456789012".parse().unwrap(),
            vpc_id: VpcId::from_random(1),
            zone: zones[1].clone(),
            cidr: "172.31.16.0/20".parse().unwrap(),
            is_default: true,
            map_public_ip: true,
            generation: Generation(1),
            created_ms: 0,
        };
        let look = Look { region: "eu-1", zones: &zones };
        let subnet = subnet_shape(&row, 3, look, &mut TagMap::new());
        for (name, value) in [
            ("availability-zone", "zone-b"),
            ("availability-zone-id", "mal1-az2"),
            ("available-ip-address-count", "4088"),
            ("cidr-block", "172.31.16.0/20"),
            ("default-for-az", "true"),
            ("map-public-ip-on-launch", "true"),
            ("subnet-arn", "arn:aws:ec2:eu-1:123456789012:subnet/subnet-00000000000000002"),
            ("vpc-id", "vpc-00000000000000001"),
            ("private-dns-name-options-on-launch.hostname-type", "ip-name"),
        ] {
            assert_eq!(subnet.values(name), [value], "{name}");
            assert!(SUBNET_FILTERS.contains(&name));
        }
    }
}
