//! Subnets: made, described, changed, deleted.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, values_of,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::network::{NewSubnet, SUBNET_TAG_KIND, SubnetChange};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{
    AddressRange, SubnetIpv6CidrRow, SubnetRow, private_address_counts, subnet_ipv6_cidr_list, subnet_list,
};
use mallee_types::{SubnetId, ZoneName};
use std::collections::HashMap;

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

impl Filterable for Subnet {
    fn values(&self, name: &str) -> Vec<String> {
        let dns = self.private_dns_name_options_on_launch.as_ref();
        let ipv6 = self.ipv6_cidr_block_association_set.iter();
        match name {
            "availability-zone" | "availabilityZone" => values_of(&self.availability_zone),
            "availability-zone-id" | "availabilityZoneId" => values_of(&self.availability_zone_id),
            "available-ip-address-count" => values_of(&self.available_ip_address_count),
            "cidr" | "cidr-block" | "cidrBlock" => values_of(&self.cidr_block),
            "default-for-az" | "defaultForAz" => values_of(&self.default_for_az),
            "enable-dns64" => values_of(&self.enable_dns64),
            "ipv6-cidr-block-association.association-id" => ipv6.flat_map(|a| values_of(&a.association_id)).collect(),
            "ipv6-cidr-block-association.ipv6-cidr-block" => ipv6.flat_map(|a| values_of(&a.ipv6_cidr_block)).collect(),
            "ipv6-cidr-block-association.state" => {
                ipv6.flat_map(|a| &a.ipv6_cidr_block_state).flat_map(|s| values_of(&s.state)).collect()
            }
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

/// What is so with every block that a subnet has.
const ASSOCIATED: &str = "associated";
/// As it is told to whoever gave the subnet the block: what waits for `associated` looks again.
const ASSOCIATING: &str = "associating";

/// A subnet's having an IPv6 block.
fn ipv6_association(row: &SubnetIpv6CidrRow, state: &str) -> SubnetIpv6CidrBlockAssociation {
    SubnetIpv6CidrBlockAssociation {
        association_id: Some(row.id.to_string()),
        ip_source: Some("amazon".into()),
        ipv6_address_attribute: Some("public".into()),
        ipv6_cidr_block: Some(row.cidr.to_string()),
        ipv6_cidr_block_state: Some(SubnetCidrBlockState { state: Some(state.into()), status_message: None }),
    }
}

/// The one attribute that a call changes, of those it gives.
fn change(map_public_ip: Option<bool>, assign_ipv6: Option<bool>) -> Result<Option<SubnetChange>, ApiError> {
    match (map_public_ip, assign_ipv6) {
        (None, None) => Ok(None),
        (Some(value), None) => Ok(Some(SubnetChange::MapPublicIp(value))),
        (None, Some(value)) => Ok(Some(SubnetChange::AssignIpv6(value))),
        (Some(_), Some(_)) => {
            Err(ApiError::invalid_combination("A call can change one attribute of a subnet at a time."))
        }
    }
}

fn subnet_shape(
    row: &SubnetRow,
    ipv6: Option<&SubnetIpv6CidrRow>,
    in_use: u64,
    look: Look<'_>,
    tags: &mut TagMap,
) -> Subnet {
    let size = AddressRange::of_subnet(row.cidr).map_or(0, AddressRange::len);
    Subnet {
        assign_ipv6_address_on_creation: Some(ipv6.is_some_and(|ipv6| ipv6.assign_on_creation)),
        availability_zone: Some(row.zone.to_string()),
        availability_zone_id: look.zone_id(&row.zone),
        available_ip_address_count: i32::try_from(size.saturating_sub(in_use)).ok(),
        cidr_block: Some(row.cidr.to_string()),
        default_for_az: Some(row.is_default),
        enable_dns64: Some(false),
        ipv6_cidr_block_association_set: ipv6.map(|ipv6| ipv6_association(ipv6, ASSOCIATED)).into_iter().collect(),
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

/// The zone that a request names, by its name or id.
fn zone(name: Option<&str>, id: Option<&str>, look: Look<'_>) -> Result<Option<ZoneName>, ApiError> {
    let (parameter, wanted) = match (name, id) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_combination(
                "The parameter AvailabilityZoneId cannot be used with the parameter AvailabilityZone",
            ));
        }
        (Some(name), None) => ("availabilityZone", name),
        (None, Some(id)) => ("availabilityZoneId", id),
    };
    let shown = |zone: &ZoneName| if name.is_some() { Some(zone.to_string()) } else { look.zone_id(zone) };
    let found = look.zones.iter().find(|zone| shown(zone).as_deref() == Some(wanted));
    found.cloned().map(Some).ok_or_else(|| {
        let known: Vec<String> = look.zones.iter().filter_map(shown).collect();
        Code::InvalidParameterValue.message(format!(
            "Value ({}) for parameter {parameter} is invalid. Subnets can currently only be created in the following \
             availability zones: {}.",
            clip(wanted),
            known.join(", ")
        ))
    })
}

impl Ec2Api {
    pub(crate) async fn create_subnet(
        &self,
        cx: &OpContext,
        r: CreateSubnetRequest,
    ) -> Result<CreateSubnetResult, ApiError> {
        let CreateSubnetRequest {
            availability_zone,
            availability_zone_id,
            cidr_block,
            dry_run,
            ipv4_ipam_pool_id,
            ipv4_netmask_length,
            ipv6_cidr_block,
            ipv6_ipam_pool_id,
            ipv6_native,
            ipv6_netmask_length,
            outpost_arn,
            tag_specifications,
            vpc_id,
        } = r;
        refuse("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some())?;
        refuse("Ipv4NetmaskLength", ipv4_netmask_length.is_some())?;
        self.refuse_without_ipv6("Ipv6CidrBlock", ipv6_cidr_block.is_some())?;
        refuse("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some())?;
        refuse("Ipv6Native", ipv6_native == Some(true))?;
        refuse("Ipv6NetmaskLength", ipv6_netmask_length.is_some())?;
        refuse("OutpostArn", outpost_arn.is_some())?;
        let new = NewSubnet {
            tags: tags_of_one(tag_specifications, SUBNET_TAG_KIND)?,
            zone: zone(availability_zone.as_deref(), availability_zone_id.as_deref(), self.look())?,
            cidr: cidr_block.ok_or_else(|| ApiError::missing_parameter("cidrBlock"))?,
            ipv6_cidr: ipv6_cidr_block,
            vpc: vpc_id.unwrap_or_default(),
        };
        let row = self.cloud.create_subnet(cx, &new, dry_run == Some(true)).await?;
        Ok(CreateSubnetResult { subnet: Some(self.subnet_made(cx, &row).await?) })
    }

    pub(crate) async fn create_default_subnet(
        &self,
        cx: &OpContext,
        r: CreateDefaultSubnetRequest,
    ) -> Result<CreateDefaultSubnetResult, ApiError> {
        let CreateDefaultSubnetRequest { availability_zone, availability_zone_id, dry_run, ipv6_native } = r;
        refuse("Ipv6Native", ipv6_native == Some(true))?;
        let zone = zone(availability_zone.as_deref(), availability_zone_id.as_deref(), self.look())?;
        let zone = zone.ok_or_else(|| ApiError::missing_parameter("availabilityZone"))?;
        let row = self.cloud.create_default_subnet(cx, &zone, dry_run == Some(true)).await?;
        Ok(CreateDefaultSubnetResult { subnet: Some(self.subnet_made(cx, &row).await?) })
    }

    async fn subnet_made(&self, cx: &OpContext, row: &SubnetRow) -> Result<Subnet, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), std::iter::once(row.id.to_string())).await?;
        let ipv6 = subnet_ipv6_cidr_list(self.store(), Some(std::slice::from_ref(&row.id))).await.or_fail()?;
        let ipv6_cidr_block_association_set = ipv6.iter().map(|ipv6| ipv6_association(ipv6, ASSOCIATING)).collect();
        Ok(Subnet { ipv6_cidr_block_association_set, ..subnet_shape(row, None, 0, self.look(), &mut tags) })
    }

    /// Refuses, by name, what needs IPv6 in a cloud that gives nobody any.
    pub(crate) fn refuse_without_ipv6(&self, name: &str, given: bool) -> Result<(), ApiError> {
        self.ipv6().refuse(name, given)
    }

    pub(crate) async fn associate_subnet_cidr_block(
        &self,
        cx: &OpContext,
        r: AssociateSubnetCidrBlockRequest,
    ) -> Result<AssociateSubnetCidrBlockResult, ApiError> {
        let AssociateSubnetCidrBlockRequest { ipv6_cidr_block, ipv6_ipam_pool_id, ipv6_netmask_length, subnet_id } = r;
        self.refuse_without_ipv6("Ipv6CidrBlock", true)?;
        refuse("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some())?;
        refuse("Ipv6NetmaskLength", ipv6_netmask_length.is_some())?;
        let subnet = subnet_id.ok_or_else(|| ApiError::missing_parameter("subnetId"))?;
        let cidr = ipv6_cidr_block.ok_or_else(|| ApiError::missing_parameter("ipv6CidrBlock"))?;
        let row = self.cloud.associate_subnet_ipv6(cx, &subnet, &cidr).await?;
        Ok(AssociateSubnetCidrBlockResult {
            ipv6_cidr_block_association: Some(ipv6_association(&row, ASSOCIATING)),
            subnet_id: Some(row.subnet_id.to_string()),
        })
    }

    pub(crate) async fn disassociate_subnet_cidr_block(
        &self,
        cx: &OpContext,
        r: DisassociateSubnetCidrBlockRequest,
    ) -> Result<DisassociateSubnetCidrBlockResult, ApiError> {
        let DisassociateSubnetCidrBlockRequest { association_id } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("associationId"))?;
        let row = self.cloud.disassociate_subnet_ipv6(cx, &id).await?;
        Ok(DisassociateSubnetCidrBlockResult {
            ipv6_cidr_block_association: Some(ipv6_association(&row, "disassociating")),
            subnet_id: Some(row.subnet_id.to_string()),
        })
    }

    pub(crate) async fn delete_subnet(&self, cx: &OpContext, r: DeleteSubnetRequest) -> Result<(), ApiError> {
        let DeleteSubnetRequest { dry_run, subnet_id } = r;
        self.cloud.delete_subnet(cx, &subnet_id.unwrap_or_default(), dry_run == Some(true)).await
    }

    pub(crate) async fn modify_subnet_attribute(
        &self,
        cx: &OpContext,
        r: ModifySubnetAttributeRequest,
    ) -> Result<(), ApiError> {
        let ModifySubnetAttributeRequest {
            assign_ipv6_address_on_creation,
            customer_owned_ipv4_pool,
            disable_lni_at_device_index,
            enable_dns64,
            enable_lni_at_device_index,
            enable_resource_name_dns_aaaa_record_on_launch,
            enable_resource_name_dns_a_record_on_launch,
            map_customer_owned_ip_on_launch,
            map_public_ip_on_launch,
            private_dns_hostname_type_on_launch,
            subnet_id,
        } = r;
        // What is switched off says what is so anyway.
        let switches = [
            ("DisableLniAtDeviceIndex", &disable_lni_at_device_index),
            ("EnableDns64", &enable_dns64),
            ("EnableResourceNameDnsAAAARecordOnLaunch", &enable_resource_name_dns_aaaa_record_on_launch),
            ("EnableResourceNameDnsARecordOnLaunch", &enable_resource_name_dns_a_record_on_launch),
            ("MapCustomerOwnedIpOnLaunch", &map_customer_owned_ip_on_launch),
        ];
        for (name, value) in switches {
            refuse(name, value.as_ref().is_some_and(|v| v.value == Some(true)))?;
        }
        refuse("CustomerOwnedIpv4Pool", customer_owned_ipv4_pool.is_some())?;
        refuse("EnableLniAtDeviceIndex", enable_lni_at_device_index.is_some())?;
        only("PrivateDnsHostnameTypeOnLaunch", private_dns_hostname_type_on_launch.as_deref(), &["ip-name"])?;
        let id = subnet_id.unwrap_or_default();
        let assign_ipv6 = assign_ipv6_address_on_creation.and_then(|v| v.value);
        self.refuse_without_ipv6("AssignIpv6AddressOnCreation", assign_ipv6 == Some(true))?;
        match change(map_public_ip_on_launch.and_then(|v| v.value), assign_ipv6)? {
            Some(change) => self.cloud.modify_subnet(cx, &id, change).await,
            None => self.cloud.find_subnet(cx, &id).await.map(drop),
        }
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
            let shown: Vec<SubnetId> = rows.iter().map(|row| row.id.clone()).collect();
            let in_use = private_address_counts(store, &shown).await.or_fail()?;
            let ipv6 = subnet_ipv6_cidr_list(store, Some(&shown)).await.or_fail()?;
            let ipv6: HashMap<&SubnetId, &SubnetIpv6CidrRow> = ipv6.iter().map(|row| (&row.subnet_id, row)).collect();
            let shapes = rows.iter().map(|row| {
                let in_use = in_use.get(&row.id).copied().unwrap_or_default();
                subnet_shape(row, ipv6.get(&row.id).copied(), in_use, look, &mut tags)
            });
            Ok(Chunk { found: shapes.filter(|subnet| filters.accept(subnet)).collect(), next })
        };
        let key = |subnet: &Subnet| subnet.subnet_id.clone().unwrap_or_default();
        let (subnets, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeSubnetsResult { subnets, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::{Generation, SubnetCidrAssociationId, VpcCidrAssociationId, VpcId};

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
        let ipv6 = SubnetIpv6CidrRow {
            id: SubnetCidrAssociationId::from_random(7),
            subnet_id: row.id.clone(),
            vpc_cidr_id: VpcCidrAssociationId::from_random(8),
            cidr: "2001:db8::/64".parse().unwrap(),
            assign_on_creation: true,
            created_ms: 0,
        };
        let subnet = subnet_shape(&row, Some(&ipv6), 3, look, &mut TagMap::new());
        assert_eq!(subnet.assign_ipv6_address_on_creation, Some(true));
        for (name, value) in [
            ("availability-zone", "zone-b"),
            ("availability-zone-id", "mal1-az2"),
            ("available-ip-address-count", "4088"),
            ("cidr-block", "172.31.16.0/20"),
            ("default-for-az", "true"),
            ("ipv6-cidr-block-association.association-id", ipv6.id.as_str()),
            ("ipv6-cidr-block-association.ipv6-cidr-block", "2001:db8::/64"),
            ("ipv6-cidr-block-association.state", "associated"),
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
