//! Images: registering what lies in Walrus, and letting go of it.
//!
//! An image's row is its own workflow: `pending` rows are imported, `deregistered` rows that still name content give
//! up their claim. The keeper works through both after every nudge and restart; each step may be repeated.

pub mod attributes;
mod keeper;
pub mod service;
mod watch;

pub use keeper::keep_images;
pub use service::{ImageService, RemoteImages, WalrusConnector};
pub(crate) use watch::Watched;
pub use watch::{WalrusState, watch_walrus};

use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::{self, Tag};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    ImageFilter, ImageRow, ImageState, StoreError, image_insert, image_list, image_permission_clear, image_update,
    tag_delete_of, tag_put,
};
use mallee_types::ImageId;

/// EC2's resource type for tags.
pub const TAG_KIND: &str = "image";
/// Images looked at when a name is searched.
const IMAGES_MAX: u32 = 10_000;
/// Longest description (EC2: 255).
const DESCRIPTION_CHARS_MAX: usize = 255;

/// What `RegisterImage` asks for.
#[derive(Debug, Clone)]
pub struct RegisterRequest {
    /// Unique in the account.
    pub name: String,
    /// For people.
    pub description: String,
    /// `bucket/key` in Walrus.
    pub location: String,
    /// `x86_64`.
    pub architecture: String,
    /// For example `/dev/vda`.
    pub root_device_name: String,
    /// For the image.
    pub tags: Vec<Tag>,
    /// Only check.
    pub dry_run: bool,
}

/// Splits `bucket/key`; `s3://` in front and a leading slash are forgiven.
///
/// # Errors
/// `InvalidParameterValue`.
fn split_location(location: &str) -> Result<(&str, &str), ApiError> {
    let plain = location.strip_prefix("s3://").unwrap_or(location).trim_start_matches('/');
    plain
        .split_once('/')
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| ApiError::invalid_value("ImageLocation", location, "It must name an object as bucket/key."))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if (3..=128).contains(&name.len()) && name.chars().all(ok) {
        Ok(())
    } else {
        Err(Code::InvalidAmiNameMalformed.error())
    }
}

impl Cloud {
    /// `RegisterImage`: the image is `pending` until its content has been checked and copied, then `available`, or
    /// `failed` with the reason.
    ///
    /// # Errors
    /// `InvalidAMIName.Duplicate`, a bad name, location, architecture or tag.
    pub async fn register_image(&self, cx: &OpContext, request: &RegisterRequest) -> Result<ImageId, ApiError> {
        check_name(&request.name)?;
        if request.description.chars().count() > DESCRIPTION_CHARS_MAX {
            return Err(Code::InvalidParameterValue.message("The description may have 255 characters at most"));
        }
        split_location(&request.location)?;
        if request.architecture != "x86_64" {
            return Err(Code::InvalidParameterValue.message(format!(
                "Value ({}) for parameter architecture is invalid. This cloud runs x86_64.",
                mallee_awswire::texts::clip(&request.architecture)
            )));
        }
        if !request.root_device_name.starts_with("/dev/") {
            return Err(ApiError::invalid_value(
                "RootDeviceName",
                &request.root_device_name,
                "It must begin with /dev/.",
            ));
        }
        tags::validate(&request.tags)?;
        let row = ImageRow {
            id: ImageId::from_random(self.rng().u128()),
            account_id: cx.account().clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            location: request.location.clone(),
            state: ImageState::Pending,
            state_reason: None,
            digest: None,
            format: None,
            size_bytes: None,
            virtual_size_bytes: None,
            architecture: request.architecture.clone(),
            root_device_name: request.root_device_name.clone(),
            is_public: false,
            created_ms: self.clock().now_ms(),
            deregistered_ms: None,
            disabled: false,
            deprecation_ms: None,
            protection: mallee_store::ImageProtection::Off,
            protected_until_ms: None,
        };
        if request.dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let allowance = self.ec2_allowance(cx, "ec2:RegisterImage", "image", &[]).await?;
        let mut tx = self.store().write().await.or_fail()?;
        allowance.take(&mut tx, &[(&quotas::IMAGES, 1)], &[row.id.to_string()]).await?;
        if let Err(error) = image_insert(&mut tx, &row).await {
            tx.rollback().await.or_fail()?;
            return Err(if error.is_conflict("images_account_id_name") {
                self.duplicate_name(cx, &request.name).await?
            } else {
                store_failure(error)
            });
        }
        tag_put(&mut tx, &tags::rows(cx.account(), TAG_KIND, row.id.as_str(), &request.tags)).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.image_nudge().wake();
        Ok(row.id)
    }

    async fn duplicate_name(&self, cx: &OpContext, name: &str) -> Result<ApiError, ApiError> {
        let other = self.image_by_name(cx, name).await?.map(|image| image.id.to_string()).unwrap_or_default();
        Ok(Code::InvalidAmiNameDuplicate.with(&[name, &other]))
    }

    /// The account's newest live image with this name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn image_by_name(&self, cx: &OpContext, name: &str) -> Result<Option<ImageRow>, ApiError> {
        let filter = ImageFilter { visible_to: Some(cx.account()), ..Default::default() };
        let images = image_list(self.store(), filter, IMAGES_MAX).await.or_fail()?;
        Ok(images.into_iter().filter(|image| image.name == name).max_by_key(|image| image.created_ms))
    }

    /// `DeregisterImage`. Instances made from it are not touched.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound`, also for an image of another account.
    pub async fn deregister_image(&self, cx: &OpContext, id: &str, dry_run: bool) -> Result<(), ApiError> {
        let mut row = self.own_image(cx, id).await?;
        let id = row.id.clone();
        attributes::deregistrable(&row, self.clock().now_ms())?;
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let from = row.state;
        row.state = ImageState::Deregistered;
        row.deregistered_ms = Some(self.clock().now_ms());
        let mut tx = self.store().write().await.or_fail()?;
        match image_update(&mut tx, from, &row).await {
            // Deregistered by another call, or just now imported: the caller asks again.
            Err(StoreError::NotFound { .. }) => return Err(Code::InvalidAmiIdNotFound.with(&[id.as_str()])),
            other => other.or_fail()?,
        }
        image_permission_clear(&mut tx, &id).await.or_fail()?;
        tag_delete_of(&mut tx, id.as_str()).await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.image_nudge().wake();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_and_names() {
        assert_eq!(split_location("images/a/b.qcow2").unwrap(), ("images", "a/b.qcow2"));
        assert_eq!(split_location("s3://images/x").unwrap(), ("images", "x"));
        for bad in ["", "images", "images/", "/x"] {
            assert!(split_location(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("ab").is_err() && check_name("tiny").is_ok() && check_name("a\nb").is_err());
    }
}
