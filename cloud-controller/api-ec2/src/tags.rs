//! Tags: set, remove, list.

use crate::Ec2Api;
use crate::common::{Chunk, ROWS, dry_run, fill, filters, next_key, page, rows, values_of};
use crate::filter::{Filterable, TAG_PREFIX};
use mallee_app::OpContext;
use mallee_awswire::ApiError;
use mallee_ec2_types::ec2::{
    CreateTagsRequest, DeleteTagsRequest, DescribeTagsRequest, DescribeTagsResult, Tag, TagDescription,
};
use mallee_store::{TagFilter, tag_list};

/// What DescribeTags filters by.
const FILTERS: [&str; 5] = ["key", "resource-id", "resource-type", "value", TAG_PREFIX];
/// Between resource and key in a page's key: sorts before every character of an id.
const KEY_SEPARATOR: char = '\n';

impl Filterable for TagDescription {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "key" => values_of(&self.key),
            "resource-id" => values_of(&self.resource_id),
            "resource-type" => values_of(&self.resource_type),
            "value" => values_of(&self.value),
            _ => match name.strip_prefix(TAG_PREFIX) {
                Some(key) if self.key.as_deref() == Some(key) => values_of(&self.value),
                _ => Vec::new(),
            },
        }
    }
}

fn page_key(tag: &TagDescription) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}{KEY_SEPARATOR}{}", part(&tag.resource_id), part(&tag.key))
}

impl Ec2Api {
    pub(crate) async fn create_tags(&self, cx: &OpContext, r: CreateTagsRequest) -> Result<(), ApiError> {
        let CreateTagsRequest { dry_run, resources, tags } = r;
        let tags: Vec<(String, String)> =
            tags.into_iter().map(|Tag { key, value }| (key.unwrap_or_default(), value.unwrap_or_default())).collect();
        self.cloud.create_tags(cx, &resources, &tags, dry_run == Some(true)).await
    }

    pub(crate) async fn delete_tags(&self, cx: &OpContext, r: DeleteTagsRequest) -> Result<(), ApiError> {
        let DeleteTagsRequest { dry_run, resources, tags } = r;
        let tags: Vec<(String, Option<String>)> =
            tags.into_iter().map(|Tag { key, value }| (key.unwrap_or_default(), value)).collect();
        self.cloud.delete_tags(cx, &resources, &tags, dry_run == Some(true)).await
    }

    pub(crate) async fn describe_tags(
        &self,
        cx: &OpContext,
        r: DescribeTagsRequest,
    ) -> Result<DescribeTagsResult, ApiError> {
        let DescribeTagsRequest { dry_run: dry, filters: wanted, max_results, next_token } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let page = page("DescribeTags", max_results, next_token.as_deref(), 5..=1000, &[])?;
        dry_run(dry)?;
        let (resources, keys) = (&filters.literals("resource-id"), &filters.literals("key"));
        let types = &filters.literals("resource-type");
        let start: Option<String> = page.after()?;
        let start = start.map(|text| {
            let (resource, key) = text.split_once(KEY_SEPARATOR).unwrap_or((&text, ""));
            (resource.to_owned(), key.to_owned())
        });
        let read = |after: Option<(String, String)>| async move {
            let filter = TagFilter {
                resources: resources.as_deref(),
                keys: keys.as_deref(),
                values: None,
                types: types.as_deref(),
                after: after.as_ref().map(|(resource, key)| (resource.as_str(), key.as_str())),
            };
            let rows = rows(tag_list(self.store(), cx.account(), filter, ROWS).await)?;
            let next = next_key(&rows, |row| (row.resource_id.clone(), row.key.clone()));
            let shape = |row: mallee_store::TagRow| TagDescription {
                resource_id: Some(row.resource_id),
                resource_type: Some(row.resource_type),
                key: Some(row.key),
                value: Some(row.value),
            };
            Ok(Chunk { found: rows.into_iter().map(shape).filter(|tag| filters.accept(tag)).collect(), next })
        };
        let (tags, next_token) = fill(&page, start, read, page_key).await?;
        Ok(DescribeTagsResult { tags, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_by_every_filter() {
        let tag = TagDescription {
            resource_id: Some("i-1".into()),
            resource_type: Some("instance".into()),
            key: Some("Name".into()),
            value: Some("web".into()),
        };
        for (name, value) in [
            ("key", "Name"),
            ("resource-id", "i-1"),
            ("resource-type", "instance"),
            ("value", "web"),
            ("tag:Name", "web"),
        ] {
            assert_eq!(tag.values(name), [value], "{name}");
        }
        assert!(tag.values("tag:Other").is_empty());
        let values = vec!["web".to_owned()];
        assert!(crate::filter::Filters::new([(Some("tag:Name"), values.as_slice())], &FILTERS).unwrap().accept(&tag));
    }
}
