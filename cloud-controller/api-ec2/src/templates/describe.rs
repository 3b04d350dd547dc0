//! DescribeLaunchTemplates and DescribeLaunchTemplateVersions.

use super::data::Data;
use super::shown::Shown as _;
use super::{number, shape};
use crate::Ec2Api;
use crate::common::{
    Chunk, ROWS, dry_run, fill, filters, next_key, page, rows, tag_filter_values, tags_on, time, time_text, values_of,
};
use crate::filter::{Filterable, Filters};
use crate::page::Page;
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::ids::parse_ids;
use mallee_app::launch_templates::{TemplateRef, VersionRef};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::ec2::{
    DescribeLaunchTemplateVersionsRequest, DescribeLaunchTemplateVersionsResult, DescribeLaunchTemplatesRequest,
    DescribeLaunchTemplatesResult, LaunchTemplate, LaunchTemplateVersion,
};
use mallee_store::{
    LaunchTemplateRow, LaunchTemplateVersionFilter, LaunchTemplateVersionRow, launch_template_list,
    launch_template_version_latest, launch_template_version_list,
};
use mallee_types::LaunchTemplateId;
use time::OffsetDateTime;

/// What DescribeLaunchTemplates filters by.
const FILTERS: [&str; 3] = ["create-time", "launch-template-name", "tag-key"];
/// What DescribeLaunchTemplateVersions filters by.
const VERSION_FILTERS: [&str; 13] = [
    "create-time",
    "ebs-optimized",
    "http-endpoint",
    "http-protocol-ipv4",
    "http-tokens",
    "iam-instance-profile",
    "image-id",
    "instance-type",
    "is-default-version",
    "kernel-id",
    "license-configuration-arn",
    "network-card-index",
    "ram-disk-id",
];
/// Names, or versions, one request may list (EC2: 200).
const LISTED_MAX: usize = 200;

/// The values of `create-time`.
fn created(at: Option<OffsetDateTime>) -> Vec<String> {
    at.iter().filter_map(|t| i64::try_from(t.unix_timestamp_nanos() / 1_000_000).ok()).map(time_text).collect()
}

impl Filterable for LaunchTemplate {
    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "create-time" => created(self.create_time),
            "launch-template-name" => values_of(&self.launch_template_name),
            _ => tag_filter_values(name, &self.tags),
        }
    }
}

impl Filterable for LaunchTemplateVersion {
    fn values(&self, name: &str) -> Vec<String> {
        let Some(data) = &self.launch_template_data else { return Vec::new() };
        let metadata = data.metadata_options.as_ref();
        match name {
            "create-time" => created(self.create_time),
            "ebs-optimized" => values_of(&data.ebs_optimized),
            "http-endpoint" => metadata.map(|m| values_of(&m.http_endpoint)).unwrap_or_default(),
            // The service speaks IPv4 wherever it is on.
            "http-protocol-ipv4" => metadata.map(|m| values_of(&m.http_endpoint)).unwrap_or_default(),
            "http-tokens" => metadata.map(|m| values_of(&m.http_tokens)).unwrap_or_default(),
            "iam-instance-profile" => data.iam_instance_profile.iter().flat_map(|p| values_of(&p.arn)).collect(),
            "image-id" => values_of(&data.image_id),
            "instance-type" => values_of(&data.instance_type),
            "is-default-version" => values_of(&self.default_version),
            "kernel-id" => values_of(&data.kernel_id),
            "license-configuration-arn" => {
                data.license_specifications.iter().flat_map(|l| values_of(&l.license_configuration_arn)).collect()
            }
            "network-card-index" => {
                data.network_interfaces.iter().flat_map(|i| values_of(&i.network_card_index)).collect()
            }
            "ram-disk-id" => values_of(&data.ram_disk_id),
            _ => Vec::new(),
        }
    }
}

/// A version as EC2 shows it.
///
/// # Errors
/// When what is stored does not read.
pub(super) fn version_shape(
    template: &LaunchTemplateRow,
    row: LaunchTemplateVersionRow,
) -> Result<LaunchTemplateVersion, ApiError> {
    Ok(LaunchTemplateVersion {
        create_time: time(row.created_ms),
        created_by: Some(row.created_by),
        default_version: Some(row.version == template.default_version),
        launch_template_data: Some(Data::from_text(&row.data)?.read()?.shown()),
        launch_template_id: Some(template.id.to_string()),
        launch_template_name: Some(template.name.clone()),
        operator: None,
        version_description: row.description,
        version_number: number(row.version),
    })
}

/// Pages go from the highest version down, their keys must rise.
fn page_key(version: u64) -> String {
    format!("{:020}", u64::MAX - version)
}

/// The versions a request asks for.
#[derive(Debug, Default)]
struct Wanted {
    versions: Vec<VersionRef>,
    min: Option<u64>,
    max: Option<u64>,
}

impl Wanted {
    fn parse(versions: &[String], min: Option<&str>, max: Option<&str>) -> Result<Self, ApiError> {
        if versions.len() > LISTED_MAX {
            return Err(Code::InvalidParameterValue
                .message(format!("At most {LISTED_MAX} versions can be given in one request.")));
        }
        if !versions.is_empty() && (min.is_some() || max.is_some()) {
            return Err(ApiError::invalid_combination(
                "The parameter Versions cannot be used with the parameters MinVersion and MaxVersion",
            ));
        }
        let number = |name: &str, text: Option<&str>| match text.map(VersionRef::parse).transpose()? {
            None => Ok(None),
            Some(VersionRef::Number(number)) => Ok(Some(number)),
            Some(_) => Err(ApiError::invalid_value(name, text.unwrap_or_default(), "It is not a number.")),
        };
        let versions = versions.iter().map(|text| VersionRef::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { versions, min: number("MinVersion", min)?, max: number("MaxVersion", max)? })
    }

    /// The numbers meant of a template; `None`: all.
    fn numbers(&self, template: &LaunchTemplateRow, latest: u64) -> Option<Vec<u64>> {
        let number = |version: &VersionRef| match version {
            VersionRef::Latest => latest,
            VersionRef::Default => template.default_version,
            VersionRef::Number(number) => *number,
        };
        (!self.versions.is_empty()).then(|| self.versions.iter().map(number).collect())
    }
}

impl Ec2Api {
    /// A template with its tags.
    pub(super) async fn shown_template(
        &self,
        cx: &OpContext,
        row: &LaunchTemplateRow,
    ) -> Result<LaunchTemplate, ApiError> {
        let latest = self.cloud.latest_launch_template_version(row).await?;
        let mut tags = tags_on(self.store(), cx.account(), [row.id.to_string()]).await?;
        Ok(shape(row, latest, tags.remove(row.id.as_str()).unwrap_or_default()))
    }

    pub(crate) async fn describe_launch_templates(
        &self,
        cx: &OpContext,
        r: DescribeLaunchTemplatesRequest,
    ) -> Result<DescribeLaunchTemplatesResult, ApiError> {
        let DescribeLaunchTemplatesRequest {
            dry_run: dry,
            filters: wanted,
            // Templates that a service of the cloud keeps: there are none.
            include_managed_resources: _,
            launch_template_ids,
            launch_template_names,
            max_results,
            next_token,
        } = r;
        let filters = &filters(&wanted, &FILTERS)?;
        let ids: &Vec<LaunchTemplateId> = &parse_ids(&launch_template_ids, Code::InvalidLaunchTemplateIdMalformed)?;
        let names = &launch_template_names;
        if names.len() > LISTED_MAX {
            return Err(
                Code::InvalidParameterValue.message(format!("At most {LISTED_MAX} names can be given in one request."))
            );
        }
        if !ids.is_empty() && !names.is_empty() {
            return Err(ApiError::invalid_combination(
                "The parameter LaunchTemplateNames cannot be used with the parameter LaunchTemplateIds",
            ));
        }
        let page = page("DescribeLaunchTemplates", max_results, next_token.as_deref(), 1..=200, &[])?;
        dry_run(dry)?;
        let read = |after: Option<LaunchTemplateId>| async move {
            let some_ids = (!ids.is_empty()).then_some(ids.as_slice());
            let some_names = (!names.is_empty()).then_some(names.as_slice());
            let list =
                launch_template_list(self.store(), cx.account(), some_ids, some_names, after.as_ref(), ROWS).await;
            let list = rows(list)?;
            // A later page lacks what an earlier one has shown.
            let first = after.is_none();
            if let Some(id) = ids.iter().filter(|_| first).find(|id| !list.iter().any(|row| row.id == **id)) {
                return Err(Code::InvalidLaunchTemplateIdNotFound.with(&[id.as_str()]));
            }
            if let Some(name) = names.iter().filter(|_| first).find(|name| !list.iter().any(|row| row.name == **name)) {
                return Err(Code::InvalidLaunchTemplateNameNotFoundException.with(&[&clip(name)]));
            }
            let next = next_key(&list, |row| row.id.clone());
            let mut tags = tags_on(self.store(), cx.account(), list.iter().map(|row| row.id.to_string())).await?;
            let mut found = Vec::with_capacity(list.len());
            for row in list {
                let latest = launch_template_version_latest(self.store(), &row.id).await.or_fail()?;
                let tags = tags.remove(row.id.as_str()).unwrap_or_default();
                let shown = shape(&row, latest.unwrap_or(row.default_version), tags);
                if filters.accept(&shown) {
                    found.push(shown);
                }
            }
            Ok(Chunk { found, next })
        };
        let key = |template: &LaunchTemplate| template.launch_template_id.clone().unwrap_or_default();
        let (launch_templates, next_token) = fill(&page, page.after()?, read, key).await?;
        Ok(DescribeLaunchTemplatesResult { launch_templates, next_token })
    }

    pub(crate) async fn describe_launch_template_versions(
        &self,
        cx: &OpContext,
        r: DescribeLaunchTemplateVersionsRequest,
    ) -> Result<DescribeLaunchTemplateVersionsResult, ApiError> {
        let DescribeLaunchTemplateVersionsRequest {
            dry_run: dry,
            filters: wanted,
            include_managed_resources: _,
            launch_template_id: id,
            launch_template_name: name,
            max_results,
            max_version,
            min_version,
            next_token,
            resolve_alias,
            versions,
        } = r;
        // An image is always named by its id here, which is what an alias resolves to.
        let _nothing_to_resolve = resolve_alias;
        let filters = filters(&wanted, &VERSION_FILTERS)?;
        let wanted = Wanted::parse(&versions, min_version.as_deref(), max_version.as_deref())?;
        let page = page("DescribeLaunchTemplateVersions", max_results, next_token.as_deref(), 1..=200, &[])?;
        if id.is_none() && name.is_none() {
            let named = wanted.versions.iter().any(|version| matches!(version, VersionRef::Number(_)));
            if wanted.versions.is_empty() || named {
                return Err(ApiError::missing_parameter("LaunchTemplateId or LaunchTemplateName"));
            }
            dry_run(dry)?;
            return self.versions_of_all(cx, &wanted, &filters, &page).await;
        }
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        dry_run(dry)?;
        self.versions_of_one(&template, &wanted, &filters, &page).await
    }

    async fn versions_of_one(
        &self,
        template: &LaunchTemplateRow,
        wanted: &Wanted,
        filters: &Filters,
        page: &Page,
    ) -> Result<DescribeLaunchTemplateVersionsResult, ApiError> {
        let latest = self.cloud.latest_launch_template_version(template).await?;
        let numbers = &wanted.numbers(template, latest);
        let read = |before: Option<u64>| async move {
            let filter = LaunchTemplateVersionFilter {
                versions: numbers.as_deref(),
                min: wanted.min,
                max: wanted.max,
                before: before.map(|key| u64::MAX - key),
            };
            let list = rows(launch_template_version_list(self.store(), &template.id, filter, ROWS).await)?;
            if before.is_none()
                && let Some(missing) = numbers.iter().flatten().find(|n| !list.iter().any(|row| row.version == **n))
            {
                let error = Code::InvalidLaunchTemplateIdVersionNotFound;
                return Err(error.with(&[&missing.to_string(), template.id.as_str()]));
            }
            let next = next_key(&list, |row| u64::MAX - row.version);
            let mut found = Vec::with_capacity(list.len());
            for row in list {
                let key = page_key(row.version);
                let shown = version_shape(template, row)?;
                if filters.accept(&shown) {
                    found.push((key, shown));
                }
            }
            Ok(Chunk { found, next })
        };
        let (found, next_token) = fill(page, page.after()?, read, |(key, _): &(String, _)| key.clone()).await?;
        let launch_template_versions = found.into_iter().map(|(_, shown)| shown).collect();
        Ok(DescribeLaunchTemplateVersionsResult { launch_template_versions, next_token })
    }

    /// `$Latest` and `$Default` of every template of the account.
    async fn versions_of_all(
        &self,
        cx: &OpContext,
        wanted: &Wanted,
        filters: &Filters,
        page: &Page,
    ) -> Result<DescribeLaunchTemplateVersionsResult, ApiError> {
        let read = |after: Option<LaunchTemplateId>| async move {
            let list = launch_template_list(self.store(), cx.account(), None, None, after.as_ref(), ROWS).await;
            let list = rows(list)?;
            let next = next_key(&list, |row| row.id.clone());
            let mut found = Vec::with_capacity(list.len());
            for template in &list {
                let latest = self.cloud.latest_launch_template_version(template).await?;
                let numbers = wanted.numbers(template, latest);
                let filter = LaunchTemplateVersionFilter { versions: numbers.as_deref(), ..Default::default() };
                for row in rows(launch_template_version_list(self.store(), &template.id, filter, ROWS).await)? {
                    let key = format!("{}/{}", template.id, page_key(row.version));
                    let shown = version_shape(template, row)?;
                    if filters.accept(&shown) {
                        found.push((key, shown));
                    }
                }
            }
            Ok(Chunk { found, next })
        };
        // A page may end between two versions of one template: it is read from the beginning, and cut.
        let (found, next_token) = fill(page, None, read, |(key, _): &(String, _)| key.clone()).await?;
        let launch_template_versions = found.into_iter().map(|(_, shown)| shown).collect();
        Ok(DescribeLaunchTemplateVersionsResult { launch_template_versions, next_token })
    }
}
