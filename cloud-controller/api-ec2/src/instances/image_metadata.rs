//! DescribeInstanceImageMetadata: what the instances' images are, as far as the caller may see them.

use super::shape::state;
use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, Reach, dry_run, fill, filters, page, rows as read_rows, tag_filter_values, tags_on, time, time_text,
    values_of,
};
use crate::filter::Filterable;
use crate::images::state_name;
use crate::instances::search::Lookup;
use mallee_app::OpContext;
use mallee_app::ids::parse_ids;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::*;
use mallee_store::{ImageFilter, ImageRow, image_list, instance_list};
use mallee_types::{ImageId, InstanceId};

/// What DescribeInstanceImageMetadata filters by.
const FILTERS: [&str; 10] = [
    "availability-zone",
    "image-allowed",
    "instance-id",
    "instance-state-name",
    "instance-type",
    "launch-time",
    "owner-alias",
    "owner-id",
    "tag-key",
    "zone-id",
];

impl Filterable for InstanceImageMetadata {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "availability-zone" => values_of(&self.availability_zone),
            "image-allowed" => self.image_metadata.iter().flat_map(|image| values_of(&image.image_allowed)).collect(),
            "instance-id" => values_of(&self.instance_id),
            "instance-state-name" => self.state.iter().flat_map(|state| values_of(&state.name)).collect(),
            "instance-type" => values_of(&self.instance_type),
            "launch-time" => self.launch_time.map(mallee_awswire::xml::timestamp).into_iter().collect(),
            "owner-id" => values_of(&self.owner_id),
            "zone-id" => values_of(&self.zone_id),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

fn image_shape(id: &ImageId, row: Option<&ImageRow>) -> ImageMetadata {
    let base = ImageMetadata { image_id: Some(id.to_string()), ..Default::default() };
    let Some(row) = row else { return base };
    ImageMetadata {
        creation_date: Some(time_text(row.created_ms)),
        deprecation_time: row.deprecation_ms.map(time_text),
        image_allowed: Some(true),
        is_public: Some(row.is_public),
        name: Some(row.name.clone()),
        owner_id: Some(row.account_id.to_string()),
        state: Some(state_name(row).into()),
        ..base
    }
}

impl Ec2Api {
    pub(crate) async fn describe_instance_image_metadata(
        &self,
        cx: &OpContext,
        r: DescribeInstanceImageMetadataRequest,
    ) -> Result<DescribeInstanceImageMetadataResult, ApiError> {
        let DescribeInstanceImageMetadataRequest {
            dry_run: dry,
            filters: wanted,
            instance_ids,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let operation = "DescribeInstanceImageMetadata";
        let page = page(operation, max_results, next_token.as_deref(), 5..=1000, &instance_ids)?;
        let ids: Vec<InstanceId> = parse_ids(&instance_ids, Code::InvalidInstanceIdMalformed)?;
        dry_run(dry)?;
        self.require_instances(cx, &ids).await?;
        let (store, look, lookup) = (self.store(), self.look(), &Lookup::new(ids, filters));
        let mut reach = Reach::new(&page);
        let read = |after: Option<InstanceId>| {
            let count = reach.next();
            async move {
                let step = lookup.step(store, cx.account(), after, count).await?;
                let rows = read_rows(instance_list(store, step.filter(cx.account()), step.rows()).await)?;
                let next = step.next(&rows, |row| row.id.clone());
                let mut ids: Vec<ImageId> = rows.iter().map(|row| row.image_id.clone()).collect();
                ids.sort();
                ids.dedup();
                let filter = ImageFilter {
                    visible_to: Some(cx.account()),
                    ids: Some(&ids),
                    deregistered: true,
                    ..Default::default()
                };
                let images =
                    if ids.is_empty() { Vec::new() } else { read_rows(image_list(store, filter, ROWS).await)? };
                let mut tags = tags_on(store, cx.account(), rows.iter().map(|row| row.id.to_string())).await?;
                let shapes = rows.iter().map(|row| InstanceImageMetadata {
                    availability_zone: Some(row.zone.to_string()),
                    image_metadata: Some(image_shape(
                        &row.image_id,
                        images.iter().find(|image| image.id == row.image_id),
                    )),
                    instance_id: Some(row.id.to_string()),
                    instance_type: Some(row.instance_type.clone()),
                    launch_time: time(row.launch_ms),
                    operator: Some(OperatorResponse { managed: Some(false), ..Default::default() }),
                    owner_id: Some(row.account_id.to_string()),
                    state: Some(state(row.state)),
                    tags: tags.remove(row.id.as_str()).unwrap_or_default(),
                    zone_id: look.zone_id(&row.zone),
                });
                Ok(Chunk { found: shapes.filter(|shape| filters.accept(shape)).collect(), next })
            }
        };
        let key = |shape: &InstanceImageMetadata| shape.instance_id.clone().unwrap_or_default();
        let (instance_image_metadata, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeInstanceImageMetadataResult { instance_image_metadata, next_token })
    }
}
