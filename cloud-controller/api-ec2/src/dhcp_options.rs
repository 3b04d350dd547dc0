//! DHCP option sets.

use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, TagMap, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_of_one, tags_on,
    values_of, wire_tags,
};
use crate::filter::Filterable;
use mallee_app::OpContext;
use mallee_app::dhcp::{self, DhcpSetting, TAG_KIND};
use mallee_app::ids::{parse_ids, require_all};
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{DhcpOptionsRow, dhcp_options_list};
use mallee_types::DhcpOptionsId;

/// What DescribeDhcpOptions filters by.
const FILTERS: [&str; 5] = ["dhcp-options-id", "key", "owner-id", "tag-key", "value"];
/// A page may have so many.
const PAGE_SIZES: std::ops::RangeInclusive<i32> = 5..=1000;

impl Filterable for DhcpOptions {
    fn values(&self, name: &str) -> Vec<String> {
        let options = &self.dhcp_configurations;
        match name {
            "dhcp-options-id" => values_of(&self.dhcp_options_id),
            "key" => options.iter().flat_map(|option| values_of(&option.key)).collect(),
            "owner-id" => values_of(&self.owner_id),
            "value" => options.iter().flat_map(|option| &option.values).flat_map(|v| values_of(&v.value)).collect(),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn shape(row: &DhcpOptionsRow, region: &str, tags: &mut TagMap) -> DhcpOptions {
    let settings = if row.is_default { dhcp::settings(&dhcp::default_doc(region)) } else { dhcp::settings(&row.doc.0) };
    let option = |(key, values): DhcpSetting| DhcpConfiguration {
        key: Some(key),
        values: values.into_iter().map(|value| AttributeValue { value: Some(value) }).collect(),
    };
    DhcpOptions {
        dhcp_configurations: settings.into_iter().map(option).collect(),
        dhcp_options_id: Some(row.id.to_string()),
        owner_id: Some(row.account_id.to_string()),
        tags: tags.remove(row.id.as_str()).unwrap_or_default(),
    }
}

fn required<'a>(name: &str, value: &'a Option<String>) -> Result<&'a str, ApiError> {
    value.as_deref().ok_or_else(|| ApiError::missing_parameter(name))
}

impl Ec2Api {
    pub(crate) async fn create_dhcp_options(
        &self,
        cx: &OpContext,
        r: CreateDhcpOptionsRequest,
    ) -> Result<CreateDhcpOptionsResult, ApiError> {
        let CreateDhcpOptionsRequest { dhcp_configurations, dry_run, tag_specifications } = r;
        let given = dhcp_configurations.into_iter().map(|option| (option.key.unwrap_or_default(), option.values));
        let doc = dhcp::doc(&given.collect::<Vec<_>>())?;
        let tags = tags_of_one(tag_specifications, TAG_KIND)?;
        let row = self.cloud.create_dhcp_options(cx, doc, &tags, dry_run == Some(true)).await?;
        let tags = wire_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let mut tags = TagMap::from([(row.id.to_string(), tags)]);
        Ok(CreateDhcpOptionsResult { dhcp_options: Some(shape(&row, &self.cloud.config().region, &mut tags)) })
    }

    pub(crate) async fn associate_dhcp_options(
        &self,
        cx: &OpContext,
        r: AssociateDhcpOptionsRequest,
    ) -> Result<(), ApiError> {
        let AssociateDhcpOptionsRequest { dhcp_options_id, dry_run, vpc_id } = r;
        let (id, vpc) = (required("dhcpOptionsId", &dhcp_options_id)?, required("vpcId", &vpc_id)?);
        self.cloud.associate_dhcp_options(cx, id, vpc, dry_run == Some(true)).await
    }

    pub(crate) async fn delete_dhcp_options(
        &self,
        cx: &OpContext,
        r: DeleteDhcpOptionsRequest,
    ) -> Result<(), ApiError> {
        let DeleteDhcpOptionsRequest { dhcp_options_id, dry_run } = r;
        let id = required("dhcpOptionsId", &dhcp_options_id)?;
        self.cloud.delete_dhcp_options(cx, id, dry_run == Some(true)).await
    }

    pub(crate) async fn describe_dhcp_options(
        &self,
        cx: &OpContext,
        r: DescribeDhcpOptionsRequest,
    ) -> Result<DescribeDhcpOptionsResult, ApiError> {
        let DescribeDhcpOptionsRequest {
            dhcp_options_ids: given,
            dry_run: dry,
            filters: wanted,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeDhcpOptions", max_results, next_token.as_deref(), PAGE_SIZES, &given)?;
        let ids: &Vec<DhcpOptionsId> = &parse_ids(&given, Code::InvalidDhcpOptionsIdMalformed)?;
        dry_run(dry)?;
        let (store, region) = (self.store(), &self.cloud.config().region);
        let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
        let read = |after: Option<DhcpOptionsId>| async move {
            let list = rows(dhcp_options_list(store, cx.account(), some_ids, after.as_ref(), ROWS).await)?;
            let next = next_key(&list, |row| row.id.clone());
            require_all(ids, |id| list.iter().any(|row| row.id == *id), Code::InvalidDhcpOptionIdNotFound)?;
            let mut tags = tags_on(store, cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let shapes = list.iter().map(|row| shape(row, region, &mut tags));
            Ok(Chunk { found: shapes.filter(|set| filters.accept(set)).collect(), next })
        };
        let key = |set: &DhcpOptions| set.dhcp_options_id.clone().unwrap_or_default();
        let (dhcp_options, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeDhcpOptionsResult { dhcp_options, next_token })
    }
}
