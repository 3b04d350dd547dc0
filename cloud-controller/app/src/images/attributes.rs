//! What an image's owner may change about it: who may start it, what it says, whether it is offered at all.

use crate::fail::OrFail as _;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    ImageFilter, ImageProtection, ImageRow, ImageState, StoreError, image_list, image_permission_clear,
    image_permission_delete, image_permission_list, image_permission_put, image_update,
};
use mallee_types::{AccountId, ImageId};

/// Accounts that one image may be shared with (EC2's quota is 1,000).
pub const LAUNCH_PERMISSIONS_MAX: usize = 1000;
/// Longest description (EC2: 255).
const DESCRIPTION_CHARS_MAX: usize = 255;
/// A day: how long an image stays protected after its protection with cooldown is taken away.
const COOLDOWN_MS: i64 = 24 * 3600 * 1000;
/// Deprecation times are whole minutes, as on EC2.
const MINUTE_MS: i64 = 60_000;
/// The latest deprecation, from now (EC2: 10 years).
const DEPRECATION_MS_MAX: i64 = 10 * 366 * 24 * 3600 * 1000;

/// One thing about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageChange {
    /// For people.
    Description(String),
    /// Who besides the owner may start it: accounts added and removed, and whether everyone may (`None`: as before).
    LaunchPermission {
        /// May from now on.
        add: Vec<AccountId>,
        /// May no more.
        remove: Vec<AccountId>,
        /// Everyone.
        public: Option<bool>,
    },
    /// Nobody but the owner may start it.
    ResetLaunchPermission,
    /// Nobody at all may start it; who it was shared with does not see it any more, also not when it is enabled again.
    Disable,
    /// The owner may start it again.
    Enable,
    /// It is deprecated from this time on (milliseconds since 1970), or never.
    Deprecation(Option<i64>),
    /// It cannot be deregistered; with a cooldown also not in the day after this ends.
    Protect {
        /// With a cooldown.
        cooldown: bool,
    },
    /// It can be deregistered, if need be after the cooldown.
    Unprotect,
}

fn must_be_available(row: &ImageRow) -> Result<(), ApiError> {
    if row.state == ImageState::Available {
        Ok(())
    } else {
        Err(Code::InvalidAmiIdUnavailable.with(&[row.id.as_str()]))
    }
}

/// When a deprecation that was asked for takes effect.
fn deprecation(at_ms: i64, now_ms: i64) -> Result<i64, ApiError> {
    let invalid = |why: &'static str| Code::InvalidParameterValue.message(why);
    if at_ms <= now_ms {
        return Err(invalid("DeprecateAt must be a time in the future"));
    }
    if at_ms - now_ms > DEPRECATION_MS_MAX {
        return Err(invalid("DeprecateAt must not be later than 10 years from now"));
    }
    Ok((at_ms + MINUTE_MS / 2) / MINUTE_MS * MINUTE_MS)
}

/// Why an image may not be deregistered now.
///
/// # Errors
/// `OperationNotPermitted`.
pub(super) fn deregistrable(row: &ImageRow, now_ms: i64) -> Result<(), ApiError> {
    let cooling = row.protected_until_ms.is_some_and(|until| now_ms < until);
    if row.protection == ImageProtection::Off && !cooling {
        return Ok(());
    }
    Err(Code::OperationNotPermitted.message(format!(
        "The AMI '{}' cannot be deregistered because it is protected. Disable its deregistration protection and try again{}.",
        row.id,
        if cooling { ", once the cooldown period is over" } else { "" }
    )))
}

impl Cloud {
    /// The account's own image of this id.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound`, also for one of another account.
    pub async fn own_image(&self, cx: &OpContext, id: &str) -> Result<ImageRow, ApiError> {
        let id: ImageId = crate::ids::parse_id(id, Code::InvalidAmiIdMalformed)?;
        let owners = [cx.account().clone()];
        let filter = ImageFilter { ids: Some(std::slice::from_ref(&id)), owners: Some(&owners), ..Default::default() };
        let found = image_list(self.store(), filter, 1).await.or_fail()?.pop();
        found.ok_or_else(|| Code::InvalidAmiIdNotFound.with(&[id.as_str()]))
    }

    /// The accounts an image is shared with, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn image_users(&self, id: &ImageId) -> Result<Vec<AccountId>, ApiError> {
        let most = u32::try_from(LAUNCH_PERMISSIONS_MAX).unwrap_or(u32::MAX);
        let rows = image_permission_list(self.store(), Some(std::slice::from_ref(id)), None, most).await.or_fail()?;
        Ok(rows.into_iter().map(|row| row.account_id).collect())
    }

    /// Changes one thing about an image of the account; the image afterwards.
    ///
    /// # Errors
    /// `InvalidAMIID.NotFound` and `.Unavailable`, a time or text that cannot be, too many accounts.
    pub async fn modify_image(
        &self,
        cx: &OpContext,
        id: &str,
        change: &ImageChange,
        dry_run: bool,
    ) -> Result<ImageRow, ApiError> {
        let mut row = self.own_image(cx, id).await?;
        let from = row.state;
        let now_ms = self.clock().now_ms();
        match change {
            ImageChange::Description(text) => {
                if text.chars().count() > DESCRIPTION_CHARS_MAX {
                    return Err(Code::InvalidParameterValue.message("The description may have 255 characters at most"));
                }
                row.description.clone_from(text);
            }
            ImageChange::LaunchPermission { public, .. } => {
                if row.disabled {
                    return Err(Code::InvalidAmiIdUnavailable
                        .message(format!("The image ID '{}' is disabled: it cannot be shared", row.id)));
                }
                row.is_public = public.unwrap_or(row.is_public);
            }
            ImageChange::ResetLaunchPermission => row.is_public = false,
            ImageChange::Disable => {
                must_be_available(&row)?;
                row.disabled = true;
                row.is_public = false;
            }
            ImageChange::Enable => {
                must_be_available(&row)?;
                row.disabled = false;
            }
            ImageChange::Deprecation(at) => {
                row.deprecation_ms = at.map(|at_ms| deprecation(at_ms, now_ms)).transpose()?;
            }
            ImageChange::Protect { cooldown } => {
                row.protection = if *cooldown { ImageProtection::Cooldown } else { ImageProtection::On };
                row.protected_until_ms = None;
            }
            ImageChange::Unprotect => {
                if row.protection == ImageProtection::Cooldown {
                    row.protected_until_ms = Some(now_ms + COOLDOWN_MS);
                }
                row.protection = ImageProtection::Off;
            }
        }
        if dry_run {
            return Err(Code::DryRunOperation.error());
        }
        let mut tx = self.store().write().await.or_fail()?;
        match image_update(&mut tx, from, &row).await {
            Err(StoreError::NotFound { .. }) => return Err(Code::InvalidAmiIdNotFound.with(&[row.id.as_str()])),
            other => other.or_fail()?,
        }
        match change {
            ImageChange::LaunchPermission { add, remove, .. } => {
                for account in remove {
                    image_permission_delete(&mut tx, &row.id, account).await.or_fail()?;
                }
                image_permission_put(&mut tx, &row.id, add).await.or_fail()?;
                let one_more = u32::try_from(LAUNCH_PERMISSIONS_MAX + 1).unwrap_or(u32::MAX);
                let images = Some(std::slice::from_ref(&row.id));
                let users = image_permission_list(&mut tx, images, None, one_more).await.or_fail()?;
                if users.len() > LAUNCH_PERMISSIONS_MAX {
                    return Err(Code::RequestResourceCountExceeded.with(&[&LAUNCH_PERMISSIONS_MAX.to_string()]));
                }
            }
            ImageChange::ResetLaunchPermission | ImageChange::Disable => {
                image_permission_clear(&mut tx, &row.id).await.or_fail()?;
            }
            ImageChange::Description(_)
            | ImageChange::Enable
            | ImageChange::Deprecation(_)
            | ImageChange::Protect { .. }
            | ImageChange::Unprotect => {}
        }
        tx.commit().await.or_fail()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecations_are_whole_minutes_in_the_future() {
        let now = 1_700_000_000_000;
        assert_eq!(deprecation(now + 90_000, now).unwrap() % MINUTE_MS, 0);
        assert!(deprecation(now, now).is_err());
        assert!(deprecation(now + DEPRECATION_MS_MAX + 1, now).is_err());
    }
}
