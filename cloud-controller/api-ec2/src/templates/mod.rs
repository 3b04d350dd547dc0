//! Launch templates: making, changing and removing them.

mod check;
pub(crate) mod data;
mod describe;
mod from_instance;
mod launch;
pub(crate) mod shown;

use crate::Ec2Api;
use crate::common::{refuse, tags_of_one, time, wire_tags};
use check::check;
use data::Data;
use describe::version_shape;
pub(crate) use launch::template_tags;
use mallee_app::OpContext;
use mallee_app::launch_templates::{NewTemplate, TAG_KIND, TemplateRef};
use mallee_app::once::Once;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::ec2::{
    CreateLaunchTemplateRequest, CreateLaunchTemplateResult, CreateLaunchTemplateVersionRequest,
    CreateLaunchTemplateVersionResult, DeleteLaunchTemplateRequest, DeleteLaunchTemplateResult,
    DeleteLaunchTemplateVersionsRequest, DeleteLaunchTemplateVersionsResponseErrorItem,
    DeleteLaunchTemplateVersionsResponseSuccessItem, DeleteLaunchTemplateVersionsResult, LaunchTemplate,
    ModifyLaunchTemplateRequest, ModifyLaunchTemplateResult, ResponseError, Tag, ValidationError, ValidationWarning,
};
use mallee_store::LaunchTemplateRow;

/// Versions one call may remove (EC2: 200).
const VERSIONS_PER_CALL_MAX: usize = 200;

/// A template as EC2 shows it.
fn shape(row: &LaunchTemplateRow, latest: u64, tags: Vec<Tag>) -> LaunchTemplate {
    LaunchTemplate {
        create_time: time(row.created_ms),
        created_by: Some(row.created_by.clone()),
        default_version_number: number(row.default_version),
        latest_version_number: number(latest),
        launch_template_id: Some(row.id.to_string()),
        launch_template_name: Some(row.name.clone()),
        operator: None,
        tags,
    }
}

fn number(version: u64) -> Option<i64> {
    i64::try_from(version).ok()
}

impl Ec2Api {
    /// What a launch from this alone would say, as far as it can be told without looking anything up.
    fn warning(&self, data: &Data) -> Option<ValidationWarning> {
        let error = self.would_refuse(data)?;
        let item =
            ValidationError { code: Some(error.code().as_str().to_owned()), message: Some(error.message().to_owned()) };
        Some(ValidationWarning { errors: vec![item] })
    }

    pub(crate) async fn create_launch_template(
        &self,
        cx: &OpContext,
        r: CreateLaunchTemplateRequest,
        params: &Params,
    ) -> Result<CreateLaunchTemplateResult, ApiError> {
        let CreateLaunchTemplateRequest {
            client_token,
            dry_run,
            // Taken as the parameters it came in.
            launch_template_data: _,
            launch_template_name,
            operator,
            tag_specifications,
            version_description,
        } = r;
        refuse("Operator", operator.is_some())?;
        let data = Data::of(params);
        check(&data)?;
        let new = NewTemplate {
            name: launch_template_name.unwrap_or_default(),
            description: version_description,
            data: data.to_text(),
            tags: tags_of_one(tag_specifications, TAG_KIND)?,
        };
        let once = Once { token: client_token, params_hash: hex::encode(params.fingerprint()) };
        let tags = wire_tags(new.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let row = self.cloud.create_launch_template(cx, new, &once, dry_run == Some(true)).await?;
        let latest = self.cloud.latest_launch_template_version(&row).await?;
        Ok(CreateLaunchTemplateResult {
            launch_template: Some(shape(&row, latest, tags)),
            warning: self.warning(&data),
        })
    }

    pub(crate) async fn create_launch_template_version(
        &self,
        cx: &OpContext,
        r: CreateLaunchTemplateVersionRequest,
        params: &Params,
    ) -> Result<CreateLaunchTemplateVersionResult, ApiError> {
        let CreateLaunchTemplateVersionRequest {
            client_token,
            dry_run,
            launch_template_data: _,
            launch_template_id: id,
            launch_template_name: name,
            resolve_alias,
            source_version,
            version_description,
        } = r;
        refuse("ResolveAlias", resolve_alias == Some(true))?;
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        let mut data = Data::of(params);
        if let Some(source) = &source_version {
            let source = self.cloud.launch_template_version(&template, Some(source)).await?;
            data = Data::from_text(&source.data)?.overlaid(data);
        }
        check(&data)?;
        let once = Once { token: client_token, params_hash: hex::encode(params.fingerprint()) };
        let dry_run = dry_run == Some(true);
        let text = data.to_text();
        let made = self.cloud.create_launch_template_version(cx, &template, version_description, text, &once, dry_run);
        Ok(CreateLaunchTemplateVersionResult {
            launch_template_version: Some(version_shape(&template, made.await?)?),
            warning: self.warning(&data),
        })
    }

    pub(crate) async fn modify_launch_template(
        &self,
        cx: &OpContext,
        r: ModifyLaunchTemplateRequest,
        params: &Params,
    ) -> Result<ModifyLaunchTemplateResult, ApiError> {
        let ModifyLaunchTemplateRequest {
            client_token,
            default_version,
            dry_run,
            launch_template_id: id,
            launch_template_name: name,
        } = r;
        let wanted = default_version.ok_or_else(|| ApiError::missing_parameter("SetDefaultVersion"))?;
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        let once = Once { token: client_token, params_hash: hex::encode(params.fingerprint()) };
        let dry_run = dry_run == Some(true);
        let row = self.cloud.set_default_launch_template_version(cx, &template, &wanted, &once, dry_run).await?;
        Ok(ModifyLaunchTemplateResult { launch_template: Some(self.shown_template(cx, &row).await?) })
    }

    pub(crate) async fn delete_launch_template(
        &self,
        cx: &OpContext,
        r: DeleteLaunchTemplateRequest,
    ) -> Result<DeleteLaunchTemplateResult, ApiError> {
        let DeleteLaunchTemplateRequest { dry_run, launch_template_id: id, launch_template_name: name } = r;
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        let shown = self.shown_template(cx, &template).await?;
        self.cloud.delete_launch_template(cx, &template, dry_run == Some(true)).await?;
        Ok(DeleteLaunchTemplateResult { launch_template: Some(shown) })
    }

    pub(crate) async fn delete_launch_template_versions(
        &self,
        cx: &OpContext,
        r: DeleteLaunchTemplateVersionsRequest,
    ) -> Result<DeleteLaunchTemplateVersionsResult, ApiError> {
        let DeleteLaunchTemplateVersionsRequest {
            dry_run,
            launch_template_id: id,
            launch_template_name: name,
            versions,
        } = r;
        let template = self.cloud.find_launch_template(cx, &TemplateRef { id, name }).await?;
        if versions.is_empty() {
            return Err(ApiError::missing_parameter("LaunchTemplateVersion"));
        }
        if versions.len() > VERSIONS_PER_CALL_MAX {
            return Err(Code::InvalidParameterValue
                .message(format!("At most {VERSIONS_PER_CALL_MAX} versions can be deleted in one request.")));
        }
        let mut numbers: Vec<u64> = Vec::with_capacity(versions.len());
        for text in &versions {
            let number = text.parse().ok().filter(|number| *number > 0 && i64::try_from(*number).is_ok());
            let number = number.ok_or_else(|| {
                ApiError::invalid_value("version", text, "A launch template version is a number from 1.")
            })?;
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        let removals = self.cloud.delete_launch_template_versions(&template, &numbers, dry_run == Some(true)).await?;
        let mut out = DeleteLaunchTemplateVersionsResult::default();
        let (template_id, template_name) = (Some(template.id.to_string()), Some(template.name));
        for (version, failure) in removals {
            match failure {
                None => out.successfully_deleted_launch_template_versions.push(
                    DeleteLaunchTemplateVersionsResponseSuccessItem {
                        launch_template_id: template_id.clone(),
                        launch_template_name: template_name.clone(),
                        version_number: number(version),
                    },
                ),
                Some((code, message)) => out.unsuccessfully_deleted_launch_template_versions.push(
                    DeleteLaunchTemplateVersionsResponseErrorItem {
                        launch_template_id: template_id.clone(),
                        launch_template_name: template_name.clone(),
                        response_error: Some(ResponseError { code: Some(code.to_owned()), message: Some(message) }),
                        version_number: number(version),
                    },
                ),
            }
        }
        Ok(out)
    }
}
