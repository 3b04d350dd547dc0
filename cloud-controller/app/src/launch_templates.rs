//! Launch templates: made, versioned, pointed at, removed. What a version says is a text here; its reader is the API.

use crate::fail::{OrFail as _, store_failure};
use crate::ids::parse_id;
use crate::once::{Once, record};
use crate::quotas::{table as quotas, within};
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::texts::clip;
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    LaunchTemplateRow, LaunchTemplateVersionFilter, LaunchTemplateVersionRow, client_token_renew_of,
    launch_template_default_set, launch_template_delete, launch_template_insert, launch_template_list,
    launch_template_next_version, launch_template_version_count, launch_template_version_delete,
    launch_template_version_insert, launch_template_version_latest, launch_template_version_list, tag_delete_of,
    tag_put,
};
use mallee_types::LaunchTemplateId;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "launch-template";
/// The operation of client tokens.
const CREATE: &str = "CreateLaunchTemplate";
/// Longest description of a version, in characters (EC2: 255).
const DESCRIPTION_CHARS_MAX: usize = 255;
/// Names have 3 to 128 characters (EC2).
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=128;

/// How a request names a template: by id or by name, never both.
#[derive(Debug, Clone, Default)]
pub struct TemplateRef {
    /// `lt-…`.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// Which version a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRef {
    /// `$Latest`.
    Latest,
    /// `$Default`.
    Default,
    /// By number.
    Number(u64),
}

impl VersionRef {
    /// Reads `$Latest`, `$Default` or a number.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "$Latest" => Ok(Self::Latest),
            "$Default" => Ok(Self::Default),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err(ApiError::invalid_value(
                    "version",
                    &clip(number),
                    "A launch template version is a number from 1, $Latest or $Default.",
                )),
            },
        }
    }
}

/// A template that is to be made.
#[derive(Debug)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// Of its first version.
    pub description: Option<String>,
    /// What its first version says.
    pub data: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What one version's removal came to: the code and the words, if it failed.
pub type VersionRemoval = (u64, Option<(&'static str, String)>);

fn check_name(name: &str) -> Result<(), ApiError> {
    let ok =
        NAME_CHARS.contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-()./_".contains(&b));
    if ok { Ok(()) } else { Err(Code::InvalidLaunchTemplateNameMalformedException.error()) }
}

fn check_description(description: Option<&str>) -> Result<(), ApiError> {
    match description {
        Some(text) if text.chars().count() > DESCRIPTION_CHARS_MAX => Err(Code::InvalidParameterValue
            .message(format!("VersionDescription is limited to {DESCRIPTION_CHARS_MAX} characters"))),
        _ => Ok(()),
    }
}

fn version_not_found(id: &LaunchTemplateId, version: &str) -> ApiError {
    Code::InvalidLaunchTemplateIdVersionNotFound.with(&[version, id.as_str()])
}

impl Cloud {
    /// The account's template that a request names.
    ///
    /// # Errors
    /// EC2's for none or both of id and name, for an id that is none, and for a template that is not there.
    pub async fn find_launch_template(
        &self,
        cx: &OpContext,
        reference: &TemplateRef,
    ) -> Result<LaunchTemplateRow, ApiError> {
        let found = match (&reference.id, &reference.name) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter LaunchTemplateName cannot be used with the parameter LaunchTemplateId",
                ));
            }
            (None, None) => return Err(ApiError::missing_parameter("LaunchTemplateId or LaunchTemplateName")),
            (Some(text), None) => {
                let ids = [parse_id(text, Code::InvalidLaunchTemplateIdMalformed)?];
                launch_template_list(self.store(), cx.account(), Some(&ids), None, None, 1).await
            }
            (None, Some(name)) => {
                let names = std::slice::from_ref(name);
                launch_template_list(self.store(), cx.account(), None, Some(names), None, 1).await
            }
        };
        found.or_fail()?.pop().ok_or_else(|| match (&reference.id, &reference.name) {
            (Some(id), _) => Code::InvalidLaunchTemplateIdNotFound.with(&[&clip(id)]),
            (None, name) => {
                Code::InvalidLaunchTemplateNameNotFoundException.with(&[&clip(name.as_deref().unwrap_or_default())])
            }
        })
    }

    /// A version of a template; none named is the default one.
    ///
    /// # Errors
    /// `InvalidLaunchTemplateId.VersionNotFound`.
    pub async fn launch_template_version(
        &self,
        template: &LaunchTemplateRow,
        wanted: Option<&str>,
    ) -> Result<LaunchTemplateVersionRow, ApiError> {
        let number = match wanted.filter(|text| !text.is_empty()).map(VersionRef::parse).transpose()? {
            Some(VersionRef::Latest) => None,
            Some(VersionRef::Default) | None => Some(template.default_version),
            Some(VersionRef::Number(number)) => Some(number),
        };
        let filter =
            LaunchTemplateVersionFilter { versions: number.as_ref().map(std::slice::from_ref), ..Default::default() };
        let found = launch_template_version_list(self.store(), &template.id, filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| version_not_found(&template.id, wanted.unwrap_or("$Default")))
    }

    /// `CreateLaunchTemplate`, with its version 1.
    ///
    /// # Errors
    /// EC2's for the name, the tags, the token, and too many.
    pub async fn create_launch_template(
        &self,
        cx: &OpContext,
        new: NewTemplate,
        once: &Once,
        dry_run: bool,
    ) -> Result<LaunchTemplateRow, ApiError> {
        const OPERATION: &str = CREATE;
        check_name(&new.name)?;
        check_description(new.description.as_deref())?;
        tags::validate(&new.tags)?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:CreateLaunchTemplate", "launch-template", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            drop(tx);
            return self.find_launch_template(cx, &TemplateRef { id: Some(before), name: None }).await;
        }
        let now_ms = self.clock().now_ms();
        let row = LaunchTemplateRow {
            id: LaunchTemplateId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            name: new.name,
            created_by: cx.actor.arn.to_string(),
            created_ms: now_ms,
            default_version: 1,
            last_version: 1,
        };
        allowance.take(&mut tx, &[(&quotas::LAUNCH_TEMPLATES, 1)], &[row.id.to_string()]).await?;
        launch_template_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("launch_templates_account_id_name") {
                Code::InvalidLaunchTemplateNameAlreadyExistsException.error()
            } else {
                store_failure(error)
            }
        })?;
        let version = LaunchTemplateVersionRow {
            template_id: row.id.clone(),
            version: 1,
            description: new.description,
            created_by: row.created_by.clone(),
            created_ms: now_ms,
            data: new.data,
        };
        launch_template_version_insert(&mut tx, &version).await.or_fail()?;
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &new.tags)).await.or_fail()?;
        record(&mut tx, cx, OPERATION, once, row.id.as_str()).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `CreateLaunchTemplateVersion`.
    ///
    /// # Errors
    /// EC2's for a template that is gone, the token, and too many.
    pub async fn create_launch_template_version(
        &self,
        cx: &OpContext,
        template: &LaunchTemplateRow,
        description: Option<String>,
        data: String,
        once: &Once,
        dry_run: bool,
    ) -> Result<LaunchTemplateVersionRow, ApiError> {
        const OPERATION: &str = "CreateLaunchTemplateVersion";
        check_description(description.as_deref())?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if let Some(before) = self.claim(&mut tx, cx, OPERATION, once).await? {
            drop(tx);
            let number = before.rsplit(' ').next().unwrap_or_default();
            return self.launch_template_version(template, Some(number)).await;
        }
        let number = launch_template_next_version(&mut tx, cx.account(), &template.id).await.or_fail()?;
        let number = number.ok_or_else(|| Code::InvalidLaunchTemplateIdNotFound.with(&[template.id.as_str()]))?;
        let have = launch_template_version_count(&mut tx, &template.id).await.or_fail()?;
        within(&mut tx, cx.account(), &quotas::TEMPLATE_VERSIONS, usize::try_from(have + 1).unwrap_or(usize::MAX))
            .await?;
        let row = LaunchTemplateVersionRow {
            template_id: template.id.clone(),
            version: number,
            description,
            created_by: cx.actor.arn.to_string(),
            created_ms: self.clock().now_ms(),
            data,
        };
        launch_template_version_insert(&mut tx, &row).await.or_fail()?;
        record(&mut tx, cx, OPERATION, once, &format!("{} {number}", template.id)).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `ModifyLaunchTemplate`: which version is the default one.
    ///
    /// # Errors
    /// EC2's for a version or template that is not there, and the token.
    pub async fn set_default_launch_template_version(
        &self,
        cx: &OpContext,
        template: &LaunchTemplateRow,
        wanted: &str,
        once: &Once,
        dry_run: bool,
    ) -> Result<LaunchTemplateRow, ApiError> {
        const OPERATION: &str = "ModifyLaunchTemplate";
        let version = self.launch_template_version(template, Some(wanted)).await?.version;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        if self.claim(&mut tx, cx, OPERATION, once).await?.is_none() {
            if !launch_template_default_set(&mut tx, cx.account(), &template.id, version).await.or_fail()? {
                return Err(version_not_found(&template.id, wanted));
            }
            record(&mut tx, cx, OPERATION, once, template.id.as_str()).await?;
        }
        tx.commit().await.or_fail()?;
        self.find_launch_template(cx, &TemplateRef { id: Some(template.id.to_string()), name: None }).await
    }

    /// `DeleteLaunchTemplate`, with all its versions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_launch_template(
        &self,
        cx: &OpContext,
        template: &LaunchTemplateRow,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        client_token_renew_of(&mut tx, cx.account(), CREATE, template.id.as_str()).await.or_fail()?;
        launch_template_delete(&mut tx, cx.account(), &template.id).await.or_fail()?;
        tag_delete_of(&mut tx, template.id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `DeleteLaunchTemplateVersions`: each by itself; the default version stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_launch_template_versions(
        &self,
        template: &LaunchTemplateRow,
        versions: &[u64],
        dry_run: bool,
    ) -> Result<Vec<VersionRemoval>, ApiError> {
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        let mut removals = Vec::with_capacity(versions.len());
        for version in versions {
            let failure = if *version == template.default_version {
                let text =
                    format!("The default version {version} of launch template {} cannot be deleted", template.id);
                Some(("unexpectedError", text))
            } else if launch_template_version_delete(&mut tx, &template.id, *version).await.or_fail()? {
                None
            } else {
                let error = version_not_found(&template.id, &version.to_string());
                Some(("launchTemplateVersionDoesNotExist", error.message().to_owned()))
            };
            removals.push((*version, failure));
        }
        tx.commit().await.or_fail()?;
        Ok(removals)
    }

    /// The number of a template's highest version.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn latest_launch_template_version(&self, template: &LaunchTemplateRow) -> Result<u64, ApiError> {
        let latest = launch_template_version_latest(self.store(), &template.id).await.or_fail()?;
        Ok(latest.unwrap_or(template.default_version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_ec2s() {
        assert!(check_name("web-(1)./_").is_ok());
        for name in ["ab", "a b c", "a,b", &"x".repeat(129)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(VersionRef::parse("$Latest").unwrap(), VersionRef::Latest);
        assert_eq!(VersionRef::parse("17").unwrap(), VersionRef::Number(17));
        for text in ["0", "-1", "latest", "$latest", ""] {
            assert!(VersionRef::parse(text).is_err(), "{text}");
        }
    }
}
