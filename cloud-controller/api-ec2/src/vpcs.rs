//! VPCs: made, described, changed, deleted.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, choice, dry_run, fill, filters, next_key, page, refuse, rows, tag_filter_values, tags_of_one,
    tags_on, values_of,
};
use crate::filter::Filterable;
use ipnet::Ipv4Net;
use mallee_app::OpContext;
use mallee_app::dhcp::NO_SET;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::{parse_ids, require_all};
use mallee_app::network::{TAG_KIND, TakenBlock, VpcChange, first_association};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{VpcCidrRow, VpcIpv6CidrRow, VpcRow, vpc_cidr_list, vpc_ipv6_cidr_list, vpc_list};
use mallee_types::VpcId;

/// What DescribeVpcs filters by. Some have more names than AWS
/// writes down, by which Ansible asks.
const VPC_FILTERS: [&str; 17] = [
    "cidr",
    "cidr-block",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "cidrBlock",
    "dhcp-options-id",
    "dhcpOptionsId",
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

/// What is so with every block that a VPC has.
const ASSOCIATED: &str = "associated";

impl Filterable for Vpc {
    fn values(&self, name: &str) -> Vec<String> {
        let associations = &self.cidr_block_association_set;
        match name {
            "cidr" | "cidr-block" | "cidrBlock" => values_of(&self.cidr_block),
            "cidr-block-association.association-id" => {
                associations.iter().flat_map(|a| values_of(&a.association_id)).collect()
            }
            "cidr-block-association.cidr-block" => associations.iter().flat_map(|a| values_of(&a.cidr_block)).collect(),
            "cidr-block-association.state" => {
                associations.iter().flat_map(|a| &a.cidr_block_state).flat_map(|s| values_of(&s.state)).collect()
            }
            "dhcp-options-id" | "dhcpOptionsId" => values_of(&self.dhcp_options_id),
            "ipv6-cidr-block-association.association-id" => {
                self.ipv6_cidr_block_association_set.iter().flat_map(|a| values_of(&a.association_id)).collect()
            }
            "ipv6-cidr-block-association.ipv6-cidr-block" => {
                self.ipv6_cidr_block_association_set.iter().flat_map(|a| values_of(&a.ipv6_cidr_block)).collect()
            }
            "ipv6-cidr-block-association.state" => {
                let states = self.ipv6_cidr_block_association_set.iter().flat_map(|a| &a.ipv6_cidr_block_state);
                states.flat_map(|s| values_of(&s.state)).collect()
            }
            "is-default" | "isDefault" => values_of(&self.is_default),
            "owner-id" => values_of(&self.owner_id),
            "state" => values_of(&self.state),
            "vpc-id" => values_of(&self.vpc_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

/// A VPC's having a block.
fn association(id: String, cidr: Ipv4Net, state: &str) -> VpcCidrBlockAssociation {
    VpcCidrBlockAssociation {
        association_id: Some(id),
        cidr_block: Some(cidr.to_string()),
        cidr_block_state: Some(VpcCidrBlockState { state: Some(state.into()), status_message: None }),
    }
}

/// A VPC's having an IPv6 block.
fn ipv6_association(row: &VpcIpv6CidrRow, region: &str, state: &str) -> VpcIpv6CidrBlockAssociation {
    VpcIpv6CidrBlockAssociation {
        association_id: Some(row.id.to_string()),
        ip_source: Some("amazon".into()),
        ipv6_address_attribute: Some("public".into()),
        ipv6_cidr_block: Some(row.cidr.to_string()),
        ipv6_cidr_block_state: Some(VpcCidrBlockState { state: Some(state.into()), status_message: None }),
        ipv6_pool: Some("Amazon".into()),
        network_border_group: Some(region.into()),
    }
}

/// The blocks of some VPCs besides their first ones.
#[derive(Default)]
struct Blocks {
    ipv4: Vec<VpcCidrRow>,
    ipv6: Vec<VpcIpv6CidrRow>,
}

fn vpc_shape(row: &VpcRow, region: &str, blocks: &Blocks, tags: &mut TagMap) -> Vpc {
    let first = association(first_association(&row.id), row.cidr, ASSOCIATED);
    let more = blocks.ipv4.iter().filter(|block| block.vpc_id == row.id);
    let ipv6 = blocks.ipv6.iter().filter(|block| block.vpc_id == row.id);
    let more = more.map(|block| association(block.id.to_string(), block.cidr, ASSOCIATED));
    Vpc {
        cidr_block: Some(row.cidr.to_string()),
        cidr_block_association_set: std::iter::once(first).chain(more).collect(),
        dhcp_options_id: Some(row.dhcp_options_id.as_ref().map_or(NO_SET, |id| id.as_str()).to_owned()),
        instance_tenancy: Some(if row.dedicated { "dedicated" } else { "default" }.into()),
        ipv6_cidr_block_association_set: ipv6.map(|block| ipv6_association(block, region, ASSOCIATED)).collect(),
        is_default: Some(row.is_default),
        owner_id: Some(row.account_id.to_string()),
        state: Some("available".into()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        vpc_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

/// `CreateVpc`'s tenancies, and whether they are `dedicated`. AWS took `host` away.
const TENANCIES: [(&str, bool); 2] = [("default", false), ("dedicated", true)];

/// The one attribute a call changes.
fn attribute(
    dns_hostnames: Option<AttributeBooleanValue>,
    dns_support: Option<AttributeBooleanValue>,
    usage_metrics: Option<AttributeBooleanValue>,
) -> Result<Option<VpcChange>, ApiError> {
    let given = [
        ("enableDnsHostnames", dns_hostnames.and_then(|v| v.value)),
        ("enableDnsSupport", dns_support.and_then(|v| v.value)),
        ("enableNetworkAddressUsageMetrics", usage_metrics.and_then(|v| v.value)),
    ];
    let mut named = given.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let Some((name, value)) = named.next() else {
        return Err(ApiError::invalid_combination("No attributes specified."));
    };
    let others: Vec<&str> = named.map(|(name, _)| name).collect();
    if !others.is_empty() {
        let all = [&[name], others.as_slice()].concat().join(", ");
        return Err(ApiError::invalid_combination(format!("Fields for multiple attribute types specified: {all}")));
    }
    match name {
        "enableDnsHostnames" => Ok(Some(VpcChange::DnsHostnames(value))),
        "enableDnsSupport" => Ok(Some(VpcChange::DnsSupport(value))),
        // Off is what it is.
        _ => refuse("EnableNetworkAddressUsageMetrics", value).map(|()| None),
    }
}

impl Ec2Api {
    pub(crate) async fn create_vpc(&self, cx: &OpContext, r: CreateVpcRequest) -> Result<CreateVpcResult, ApiError> {
        let CreateVpcRequest {
            amazon_provided_ipv6_cidr_block,
            cidr_block,
            dry_run,
            instance_tenancy,
            ipv4_ipam_pool_id,
            ipv4_netmask_length,
            ipv6_cidr_block,
            ipv6_cidr_block_network_border_group,
            ipv6_ipam_pool_id,
            ipv6_netmask_length,
            ipv6_pool,
            tag_specifications,
            vpc_encryption_control,
        } = r;
        let ipv6 = self.wants_ipv6(amazon_provided_ipv6_cidr_block)?;
        refuse("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some())?;
        refuse("Ipv4NetmaskLength", ipv4_netmask_length.is_some())?;
        refuse("Ipv6CidrBlock", ipv6_cidr_block.is_some())?;
        refuse("Ipv6CidrBlockNetworkBorderGroup", ipv6_cidr_block_network_border_group.is_some())?;
        refuse("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some())?;
        refuse("Ipv6NetmaskLength", ipv6_netmask_length.is_some())?;
        refuse("Ipv6Pool", ipv6_pool.is_some())?;
        refuse("VpcEncryptionControl", vpc_encryption_control.is_some())?;
        let dedicated = choice("instanceTenancy", instance_tenancy.as_deref(), &TENANCIES)?.unwrap_or(false);
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let cidr = cidr_block.ok_or_else(|| ApiError::missing_parameter("cidrBlock"))?;
        let row = self.cloud.create_vpc(cx, &cidr, dedicated, ipv6, &tags, dry_run == Some(true)).await?;
        Ok(CreateVpcResult { vpc: Some(self.vpc_made(cx, &row).await?) })
    }

    pub(crate) async fn create_default_vpc(
        &self,
        cx: &OpContext,
        r: CreateDefaultVpcRequest,
    ) -> Result<CreateDefaultVpcResult, ApiError> {
        let CreateDefaultVpcRequest { dry_run } = r;
        let row = self.cloud.create_default_vpc(cx, dry_run == Some(true)).await?;
        Ok(CreateDefaultVpcResult { vpc: Some(self.vpc_made(cx, &row).await?) })
    }

    /// Whether a call asks for an IPv6 block, which a cloud without a pool of them refuses.
    fn wants_ipv6(&self, given: Option<bool>) -> Result<bool, ApiError> {
        let wanted = given == Some(true);
        refuse("AmazonProvidedIpv6CidrBlock", wanted && self.cloud.config().public_pool_v6.is_none())?;
        Ok(wanted)
    }

    /// As it is shown to its maker: AWS calls it `pending`, and what waits for `available` looks again.
    async fn vpc_made(&self, cx: &OpContext, row: &VpcRow) -> Result<Vpc, ApiError> {
        let mut tags = tags_on(self.store(), cx.account(), std::iter::once(row.id.to_string())).await?;
        let ipv6 = vpc_ipv6_cidr_list(self.store(), Some(std::slice::from_ref(&row.id))).await.or_fail()?;
        let ipv6_cidr_block_association_set = ipv6.iter().map(|row| self.ipv6_changing(row, "associating")).collect();
        let shape = vpc_shape(row, &self.cloud.config().region, &Blocks::default(), &mut tags);
        Ok(Vpc { state: Some("pending".into()), ipv6_cidr_block_association_set, ..shape })
    }

    pub(crate) async fn delete_vpc(&self, cx: &OpContext, r: DeleteVpcRequest) -> Result<(), ApiError> {
        let DeleteVpcRequest { dry_run, vpc_id } = r;
        self.cloud.delete_vpc(cx, &vpc_id.unwrap_or_default(), dry_run == Some(true)).await
    }

    pub(crate) async fn associate_vpc_cidr_block(
        &self,
        cx: &OpContext,
        r: AssociateVpcCidrBlockRequest,
    ) -> Result<AssociateVpcCidrBlockResult, ApiError> {
        let AssociateVpcCidrBlockRequest {
            amazon_provided_ipv6_cidr_block,
            cidr_block,
            ipv4_ipam_pool_id,
            ipv4_netmask_length,
            ipv6_cidr_block,
            ipv6_cidr_block_network_border_group,
            ipv6_ipam_pool_id,
            ipv6_netmask_length,
            ipv6_pool,
            vpc_id,
        } = r;
        let ipv6 = self.wants_ipv6(amazon_provided_ipv6_cidr_block)?;
        refuse("Ipv4IpamPoolId", ipv4_ipam_pool_id.is_some())?;
        refuse("Ipv4NetmaskLength", ipv4_netmask_length.is_some())?;
        refuse("Ipv6CidrBlock", ipv6_cidr_block.is_some())?;
        refuse("Ipv6CidrBlockNetworkBorderGroup", ipv6_cidr_block_network_border_group.is_some())?;
        refuse("Ipv6IpamPoolId", ipv6_ipam_pool_id.is_some())?;
        refuse("Ipv6NetmaskLength", ipv6_netmask_length.is_some())?;
        refuse("Ipv6Pool", ipv6_pool.is_some())?;
        let vpc = vpc_id.ok_or_else(|| ApiError::missing_parameter("vpcId"))?;
        if ipv6 {
            if cidr_block.is_some() {
                return Err(ApiError::invalid_combination(
                    "The parameters CidrBlock and AmazonProvidedIpv6CidrBlock cannot be used together.",
                ));
            }
            let row = self.cloud.associate_vpc_ipv6(cx, &vpc).await?;
            return Ok(AssociateVpcCidrBlockResult {
                cidr_block_association: None,
                ipv6_cidr_block_association: Some(self.ipv6_changing(&row, "associating")),
                vpc_id: Some(row.vpc_id.to_string()),
            });
        }
        let cidr = cidr_block.ok_or_else(|| ApiError::missing_parameter("cidrBlock"))?;
        let row = self.cloud.associate_vpc_cidr(cx, &vpc, &cidr).await?;
        Ok(AssociateVpcCidrBlockResult {
            // What waits for `associated` looks again, as on AWS.
            cidr_block_association: Some(association(row.id.to_string(), row.cidr, "associating")),
            ipv6_cidr_block_association: None,
            vpc_id: Some(row.vpc_id.to_string()),
        })
    }

    fn ipv6_changing(&self, row: &VpcIpv6CidrRow, state: &str) -> VpcIpv6CidrBlockAssociation {
        ipv6_association(row, &self.cloud.config().region, state)
    }

    pub(crate) async fn disassociate_vpc_cidr_block(
        &self,
        cx: &OpContext,
        r: DisassociateVpcCidrBlockRequest,
    ) -> Result<DisassociateVpcCidrBlockResult, ApiError> {
        let DisassociateVpcCidrBlockRequest { association_id } = r;
        let id = association_id.ok_or_else(|| ApiError::missing_parameter("associationId"))?;
        let block = self.cloud.disassociate_vpc_cidr(cx, &id).await?;
        let mut result = DisassociateVpcCidrBlockResult { vpc_id: Some(block.vpc().to_string()), ..Default::default() };
        let state = "disassociating";
        match &block {
            TakenBlock::Ipv4(row) => {
                result.cidr_block_association = Some(association(row.id.to_string(), row.cidr, state));
            }
            TakenBlock::Ipv6(row) => result.ipv6_cidr_block_association = Some(self.ipv6_changing(row, state)),
        }
        Ok(result)
    }

    pub(crate) async fn modify_vpc_attribute(
        &self,
        cx: &OpContext,
        r: ModifyVpcAttributeRequest,
    ) -> Result<(), ApiError> {
        let ModifyVpcAttributeRequest {
            enable_dns_hostnames,
            enable_dns_support,
            enable_network_address_usage_metrics,
            vpc_id,
        } = r;
        let id = vpc_id.unwrap_or_default();
        match attribute(enable_dns_hostnames, enable_dns_support, enable_network_address_usage_metrics)? {
            Some(change) => self.cloud.modify_vpc(cx, &id, change, false).await,
            None => self.cloud.find_vpc(cx, &id).await.map(drop),
        }
    }

    pub(crate) async fn modify_vpc_tenancy(
        &self,
        cx: &OpContext,
        r: ModifyVpcTenancyRequest,
    ) -> Result<ModifyVpcTenancyResult, ApiError> {
        let ModifyVpcTenancyRequest { dry_run, instance_tenancy, vpc_id } = r;
        choice("instanceTenancy", instance_tenancy.as_deref(), &[("default", ())])?
            .ok_or_else(|| ApiError::missing_parameter("instanceTenancy"))?;
        let id = vpc_id.unwrap_or_default();
        self.cloud.modify_vpc(cx, &id, VpcChange::DefaultTenancy, dry_run == Some(true)).await?;
        Ok(ModifyVpcTenancyResult { return_value: Some(true) })
    }

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
        let (store, region) = (self.store(), self.cloud.config().region.as_str());
        if !ids.is_empty() {
            let there = rows(vpc_list(store, cx.account(), Some(ids), None, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidVpcIdNotFound)?;
        }
        let read = |after: Option<VpcId>| async move {
            let ids = (!ids.is_empty()).then_some(ids.as_slice());
            let rows = rows(vpc_list(store, cx.account(), ids, after.as_ref(), ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let vpcs: Vec<VpcId> = rows.iter().map(|row| row.id.clone()).collect();
            let blocks = Blocks {
                ipv4: vpc_cidr_list(store, Some(&vpcs)).await.or_fail()?,
                ipv6: vpc_ipv6_cidr_list(store, Some(&vpcs)).await.or_fail()?,
            };
            let shapes = rows.iter().map(|row| vpc_shape(row, region, &blocks, &mut tags));
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
        // Address usage is not metered.
        match attribute.as_deref().unwrap_or_default() {
            "enableDnsSupport" => result.enable_dns_support = said(vpc.dns_support),
            "enableDnsHostnames" => result.enable_dns_hostnames = said(vpc.dns_hostnames),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_types::Generation;

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
            dhcp_options_id: None,
            generation: Generation(1),
            created_ms: 0,
        };
        let vpc = vpc_shape(&row, "eu-1", &Blocks::default(), &mut TagMap::new());
        for (name, value) in [
            ("cidr", "172.31.0.0/16"),
            ("cidr-block", "172.31.0.0/16"),
            ("cidrBlock", "172.31.0.0/16"),
            ("cidr-block-association.cidr-block", "172.31.0.0/16"),
            ("cidr-block-association.association-id", "vpc-cidr-assoc-00000000000000001"),
            ("cidr-block-association.state", "associated"),
            ("dhcp-options-id", "default"),
            ("dhcpOptionsId", "default"),
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
    fn a_call_changes_one_attribute() {
        let value = |value| Some(AttributeBooleanValue { value: Some(value) });
        assert_eq!(attribute(value(false), None, None).unwrap(), Some(VpcChange::DnsHostnames(false)));
        assert_eq!(attribute(None, value(true), None).unwrap(), Some(VpcChange::DnsSupport(true)));
        assert_eq!(attribute(None, None, value(false)).unwrap(), None);
        assert!(attribute(None, None, value(true)).unwrap_err().message().contains("EnableNetworkAddressUsageMetrics"));
        assert_eq!(
            attribute(value(true), value(true), None).unwrap_err().message(),
            "Fields for multiple attribute types specified: enableDnsHostnames, enableDnsSupport"
        );
        assert_eq!(attribute(None, None, None).unwrap_err().code(), Code::InvalidParameterCombination);
    }
}
