//! Elastic IPs. All are of the domain `vpc`: an address that was asked for in the words of EC2-Classic is one of these,
//! and takes EC2-Classic's calls, which name it by itself, as well.

use crate::Ec2Api;
use crate::common::{
    Chunk, Look, ROWS, TagMap, dry_run, fill, filters, next_key, only, page, refuse, rows, tag_filter_values,
    tags_of_one, tags_on, values_of,
};
use crate::filter::Filterable;
use crate::page::Page;
use mallee_app::OpContext;
use mallee_app::addresses::associate::{AssociationRef, NewAssociation, Target};
use mallee_app::addresses::{AddressRef, TAG_KIND, allocation_id, ipv4};
use mallee_app::ids::{IDS_MAX, parse_id, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{ElasticIpFilter, ElasticIpRow, InterfaceFilter, InterfaceRow, elastic_ip_list, interface_list};
use mallee_types::{AllocationId, InterfaceId};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// What DescribeAddresses filters by.
const FILTERS: [&str; 10] = [
    "allocation-id",
    "association-id",
    "domain",
    "instance-id",
    "network-border-group",
    "network-interface-id",
    "network-interface-owner-id",
    "private-ip-address",
    "public-ip",
    "tag-key",
];
/// The one domain there is.
const DOMAIN: &str = "vpc";
/// What EC2 calls the pool of the cloud's own addresses.
const POOL: &str = "amazon";
/// The one attribute of addresses: the name that their reverse look-up gives.
const ATTRIBUTE: &str = "domain-name";
/// Interfaces looked up at once (the store's bound on a list of values is 1024).
const INTERFACES_AT_ONCE: usize = 1000;

impl Filterable for Address {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "allocation-id" => values_of(&self.allocation_id),
            "association-id" => values_of(&self.association_id),
            "domain" => values_of(&self.domain),
            "instance-id" => values_of(&self.instance_id),
            "network-border-group" => values_of(&self.network_border_group),
            "network-interface-id" => values_of(&self.network_interface_id),
            "network-interface-owner-id" => values_of(&self.network_interface_owner_id),
            "private-ip-address" => values_of(&self.private_ip_address),
            "public-ip" => values_of(&self.public_ip),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: ElasticIpRow, interface: Option<&InterfaceRow>, tags: &mut TagMap, look: Look<'_>) -> Address {
    let interface = interface.filter(|_| row.association_id.is_some());
    Address {
        association_id: row.association_id.as_ref().map(ToString::to_string),
        domain: Some(DOMAIN.to_owned()),
        instance_id: interface.and_then(|interface| interface.instance_id.as_ref()).map(ToString::to_string),
        network_border_group: Some(look.region.to_owned()),
        network_interface_id: interface.map(|interface| interface.id.to_string()),
        network_interface_owner_id: interface.map(|interface| interface.account_id.to_string()),
        private_ip_address: interface.map(|interface| row.private_ip.unwrap_or(interface.private_ip).to_string()),
        public_ip: Some(row.address.to_string()),
        public_ipv4_pool: Some(POOL.to_owned()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
        allocation_id: Some(row.id.to_string()),
        ..Default::default()
    }
}

/// An address as far as its attributes go. No zone of reverse names is kept here, so it has none.
fn attributes(row: &ElasticIpRow) -> AddressAttribute {
    AddressAttribute {
        allocation_id: Some(row.id.to_string()),
        ptr_record: None,
        ptr_record_update: None,
        public_ip: Some(row.address.to_string()),
    }
}

fn check_attribute(attribute: Option<&str>) -> Result<(), ApiError> {
    match attribute {
        Some(ATTRIBUTE) | None => Ok(()),
        Some(other) => Err(ApiError::invalid_value("Attribute", other, &format!("Valid values are: {ATTRIBUTE}."))),
    }
}

fn allocations(texts: &[String]) -> Result<Vec<AllocationId>, ApiError> {
    if texts.len() > IDS_MAX {
        return Err(Code::InvalidParameterValue.message(format!("At most {IDS_MAX} ids can be given in one request.")));
    }
    let mut ids = texts.iter().map(|text| allocation_id(text)).collect::<Result<Vec<_>, _>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}

impl Ec2Api {
    pub(crate) async fn allocate_address(
        &self,
        cx: &OpContext,
        r: AllocateAddressRequest,
    ) -> Result<AllocateAddressResult, ApiError> {
        let AllocateAddressRequest {
            address,
            customer_owned_ipv4_pool,
            domain,
            dry_run,
            ipam_pool_id,
            network_border_group,
            public_ipv4_pool,
            tag_specifications,
        } = r;
        refuse("CustomerOwnedIpv4Pool", customer_owned_ipv4_pool.is_some())?;
        refuse("IpamPoolId", ipam_pool_id.is_some())?;
        let region = self.look().region;
        only("NetworkBorderGroup", network_border_group.as_deref(), &[region])?;
        only("PublicIpv4Pool", public_ipv4_pool.as_deref(), &[POOL])?;
        crate::common::choice("Domain", domain.as_deref(), &[(DOMAIN, ()), ("standard", ())])?;
        let wanted = address.filter(|text| !text.is_empty()).map(|text| ipv4(&text)).transpose()?;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let row = self.cloud.allocate_address(cx, wanted, &tags, dry_run == Some(true)).await?;
        Ok(AllocateAddressResult {
            allocation_id: Some(row.id.to_string()),
            domain: Some(DOMAIN.to_owned()),
            network_border_group: Some(region.to_owned()),
            public_ip: Some(row.address.to_string()),
            public_ipv4_pool: Some(POOL.to_owned()),
            ..Default::default()
        })
    }

    pub(crate) async fn associate_address(
        &self,
        cx: &OpContext,
        r: AssociateAddressRequest,
    ) -> Result<AssociateAddressResult, ApiError> {
        let AssociateAddressRequest {
            allocation_id,
            allow_reassociation,
            dry_run,
            instance_id,
            network_interface_id,
            private_ip_address,
            public_ip,
        } = r;
        let target = match (instance_id, network_interface_id) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "You can specify either the instance ID or the network interface ID, but not both",
                ));
            }
            (Some(id), None) => Target::Instance(parse_id(&id, Code::InvalidInstanceIdMalformed)?),
            (None, Some(id)) => Target::Interface(parse_id(&id, Code::InvalidNetworkInterfaceIdMalformed)?),
            (None, None) => {
                return Err(
                    Code::MissingParameter.message("Either 'NetworkInterfaceId' or 'InstanceId' must be specified")
                );
            }
        };
        let new = NewAssociation {
            address: AddressRef::parse(allocation_id.as_deref(), public_ip.as_deref())?,
            target,
            private_ip: private_ip_address.map(|text| ipv4(&text)).transpose()?,
            // Reassociation is automatic in a VPC: only who says otherwise is stopped.
            reassociate: allow_reassociation != Some(false),
        };
        let id = self.cloud.associate_address(cx, &new, dry_run == Some(true)).await?;
        Ok(AssociateAddressResult { association_id: Some(id.to_string()) })
    }

    pub(crate) async fn disassociate_address(
        &self,
        cx: &OpContext,
        r: DisassociateAddressRequest,
    ) -> Result<(), ApiError> {
        let DisassociateAddressRequest { association_id, dry_run, public_ip } = r;
        let association = match (association_id, public_ip) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "You may specify public IP or association id, but not both in the same call",
                ));
            }
            (Some(id), None) => AssociationRef::Id(id),
            (None, Some(address)) => AssociationRef::Address(ipv4(&address)?),
            (None, None) => {
                return Err(Code::MissingParameter.message("Either 'AssociationId' or 'PublicIp' must be specified"));
            }
        };
        self.cloud.disassociate_address(cx, &association, dry_run == Some(true)).await
    }

    pub(crate) async fn release_address(&self, cx: &OpContext, r: ReleaseAddressRequest) -> Result<(), ApiError> {
        let ReleaseAddressRequest { allocation_id, dry_run, network_border_group, public_ip } = r;
        only("NetworkBorderGroup", network_border_group.as_deref(), &[self.look().region])?;
        let address = AddressRef::parse(allocation_id.as_deref(), public_ip.as_deref())?;
        self.cloud.release_address(cx, &address, dry_run == Some(true)).await
    }

    pub(crate) async fn describe_addresses(
        &self,
        cx: &OpContext,
        r: DescribeAddressesRequest,
    ) -> Result<DescribeAddressesResult, ApiError> {
        let DescribeAddressesRequest { allocation_ids, dry_run: dry, filters: wanted, public_ips } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        if !allocation_ids.is_empty() && !public_ips.is_empty() {
            return Err(ApiError::invalid_combination(
                "You may specify public IPs or allocation ids, but not both in the same call",
            ));
        }
        if public_ips.len() > IDS_MAX {
            return Err(Code::InvalidParameterValue
                .message(format!("At most {IDS_MAX} addresses can be given in one request.")));
        }
        let ids = &allocations(&allocation_ids)?;
        let addresses = &public_ips.iter().map(|text| ipv4(text)).collect::<Result<Vec<Ipv4Addr>, _>>()?;
        dry_run(dry)?;
        self.require_addresses(cx, ids, addresses).await?;
        let look = self.look();
        let read = |after: Option<AllocationId>| async move {
            let filter = ElasticIpFilter {
                account: Some(cx.account()),
                ids: (!ids.is_empty()).then_some(ids.as_slice()),
                addresses: (!addresses.is_empty()).then_some(addresses.as_slice()),
                after: after.as_ref(),
                ..Default::default()
            };
            let rows = rows(elastic_ip_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            let interfaces = self.interfaces_of(&rows).await?;
            let mut tags = tags_on(self.store(), cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
            let shown = rows.into_iter().map(|row| {
                let interface = row.interface_id.as_ref().and_then(|id| interfaces.get(id));
                shape(row.clone(), interface, &mut tags, look)
            });
            let found = shown.filter(|address| filters.accept(address)).collect();
            Ok(Chunk { found, next })
        };
        let key = |address: &Address| address.allocation_id.clone().unwrap_or_default();
        let (addresses, _) = fill(&Page::all("DescribeAddresses"), None, read, key).await?;
        Ok(DescribeAddressesResult { addresses })
    }

    /// Fails unless the account has every one of these.
    async fn require_addresses(
        &self,
        cx: &OpContext,
        ids: &[AllocationId],
        addresses: &[Ipv4Addr],
    ) -> Result<(), ApiError> {
        let account = Some(cx.account());
        if !ids.is_empty() {
            let filter = ElasticIpFilter { account, ids: Some(ids), ..Default::default() };
            let there = rows(elastic_ip_list(self.store(), filter, ROWS).await)?;
            require_all(ids, |id| there.iter().any(|row| row.id == *id), Code::InvalidAllocationIdNotFound)?;
        }
        if !addresses.is_empty() {
            let filter = ElasticIpFilter { account, addresses: Some(addresses), ..Default::default() };
            let there = rows(elastic_ip_list(self.store(), filter, ROWS).await)?;
            if let Some(missing) = addresses.iter().find(|one| !there.iter().any(|row| row.address == **one)) {
                return Err(Code::InvalidAddressNotFound.with(&[&missing.to_string()]));
            }
        }
        Ok(())
    }

    /// The interfaces that these lead to.
    async fn interfaces_of(&self, found: &[ElasticIpRow]) -> Result<HashMap<InterfaceId, InterfaceRow>, ApiError> {
        let ids: Vec<InterfaceId> = found.iter().filter_map(|row| row.interface_id.clone()).collect();
        let mut interfaces = HashMap::with_capacity(ids.len());
        for some in ids.chunks(INTERFACES_AT_ONCE) {
            let filter = InterfaceFilter { ids: Some(some), ..Default::default() };
            let there = rows(interface_list(self.store(), filter, ROWS).await)?;
            interfaces.extend(there.into_iter().map(|row| (row.id.clone(), row)));
        }
        Ok(interfaces)
    }

    pub(crate) async fn describe_addresses_attribute(
        &self,
        cx: &OpContext,
        r: DescribeAddressesAttributeRequest,
    ) -> Result<DescribeAddressesAttributeResult, ApiError> {
        let DescribeAddressesAttributeRequest { allocation_ids, attribute, dry_run: dry, max_results, next_token } = r;
        check_attribute(attribute.as_deref())?;
        let operation = "DescribeAddressesAttribute";
        let page = page(operation, max_results, next_token.as_deref(), 1..=1000, &allocation_ids)?;
        let ids = &allocations(&allocation_ids)?;
        dry_run(dry)?;
        self.require_addresses(cx, ids, &[]).await?;
        let read = |after: Option<AllocationId>| async move {
            let filter = ElasticIpFilter {
                account: Some(cx.account()),
                ids: (!ids.is_empty()).then_some(ids.as_slice()),
                after: after.as_ref(),
                ..Default::default()
            };
            let rows = rows(elastic_ip_list(self.store(), filter, ROWS).await)?;
            let next = next_key(&rows, |row| row.id.clone());
            Ok(Chunk { found: rows.iter().map(attributes).collect(), next })
        };
        let key = |address: &AddressAttribute| address.allocation_id.clone().unwrap_or_default();
        let (addresses, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeAddressesAttributeResult { addresses, next_token })
    }

    /// No address has a reverse name (`ModifyAddressAttribute` is not offered), so each is as it is to be already.
    pub(crate) async fn reset_address_attribute(
        &self,
        cx: &OpContext,
        r: ResetAddressAttributeRequest,
    ) -> Result<ResetAddressAttributeResult, ApiError> {
        let ResetAddressAttributeRequest { allocation_id: id, attribute, dry_run: dry } = r;
        let id = id.ok_or_else(|| ApiError::missing_parameter("AllocationId"))?;
        let attribute = attribute.ok_or_else(|| ApiError::missing_parameter("Attribute"))?;
        check_attribute(Some(&attribute))?;
        let row = self.cloud.find_address(self.store(), cx, &AddressRef::Allocation(allocation_id(&id)?)).await?;
        dry_run(dry)?;
        Ok(ResetAddressAttributeResult { address: Some(attributes(&row)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::tests::view;
    use mallee_types::AddressId;

    fn row() -> ElasticIpRow {
        ElasticIpRow {
            id: AllocationId::from_random(1),
            account_id: "123456789012".parse().unwrap(),
            address: "203.0.113.9".parse().unwrap(),
            association_id: Some(AddressId::from_random(2)),
            interface_id: Some(view().row.id),
            allocated_ms: 1,
            private_ip: None,
        }
    }

    #[test]
    fn what_is_shown_is_what_is_filtered() {
        let interface = view().row;
        let look = Look { region: "eu-1", zones: &[] };
        let tag = Tag { key: Some("Name".into()), value: Some("web".into()) };
        let mut tags = TagMap::from([(row().id.to_string(), vec![tag])]);
        let shown = shape(row(), Some(&interface), &mut tags, look);
        for (name, value) in [
            ("allocation-id", row().id.to_string()),
            ("association-id", AddressId::from_random(2).to_string()),
            ("domain", "vpc".to_owned()),
            ("instance-id", interface.instance_id.as_ref().unwrap().to_string()),
            ("network-border-group", "eu-1".to_owned()),
            ("network-interface-id", interface.id.to_string()),
            ("network-interface-owner-id", "123456789012".to_owned()),
            ("private-ip-address", "172.31.0.4".to_owned()),
            ("public-ip", "203.0.113.9".to_owned()),
            ("tag-key", "Name".to_owned()),
        ] {
            assert_eq!(shown.values(name), [value], "{name}");
            assert!(FILTERS.contains(&name), "{name} is not offered");
        }
        assert_eq!(FILTERS.len(), 10);
        let free = ElasticIpRow { association_id: None, interface_id: None, ..row() };
        let shown = shape(free, None, &mut TagMap::new(), look);
        let nowhere = ["association-id", "instance-id", "network-interface-id", "private-ip-address"];
        assert!(nowhere.iter().all(|name| shown.values(name).is_empty()));
    }
}
