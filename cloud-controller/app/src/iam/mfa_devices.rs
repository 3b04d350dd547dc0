//! Virtual MFA devices.

use super::base::{arn, path, quota};
use super::{labels, qr, totp, users};
use crate::fail::{OrFail as _, store_failure};
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    MfaDeviceRow, Tx, UserRow, iam_tag_delete, iam_tag_delete_of, mfa_device_delete, mfa_device_fetch,
    mfa_device_insert, mfa_device_list, mfa_device_seed, mfa_device_update,
};
use mallee_types::AccountId;
use secrecy::{ExposeSecret as _, SecretString};

/// Devices of one user (AWS: 8).
const PER_USER_MAX: u64 = 8;
/// Devices of an account that are enabled for nobody.
const UNASSIGNED_MAX: u64 = 1000;

/// A device that was just made: the only time its seed is shown.
#[derive(Debug)]
pub struct NewDevice {
    /// The device.
    pub row: MfaDeviceRow,
    /// Its seed, base32.
    pub seed: SecretString,
    /// The same as a QR code, PNG.
    pub picture: Vec<u8>,
}

fn no_device(serial: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("VirtualMFADevice with serial number {serial} doesn't exist."))
}

/// The account's device of this serial number.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn require_device(tx: &mut Tx, account: &AccountId, serial: &str) -> Result<MfaDeviceRow, ApiError> {
    mfa_device_fetch(tx, account, serial).await.or_fail()?.ok_or_else(|| no_device(serial))
}

/// Whether `code` is one of an enabled device's now; its step is noted, so that it is taken once. For sessions and
/// sign-in with a second factor: in the transaction that lets the user in.
///
/// # Errors
/// What the database says.
pub async fn take_code(tx: &mut Tx, user: &UserRow, serial: &str, code: &str) -> Result<bool, ApiError> {
    tx.lock(&format!("mfa {serial}")).await.or_fail()?;
    let Some(mut row) = mfa_device_fetch(&mut *tx, &user.account_id, serial).await.or_fail()? else {
        return Ok(false);
    };
    if row.user_id.as_ref() != Some(&user.id) {
        return Ok(false);
    }
    let store = tx.store().clone();
    let seed = mfa_device_seed(&mut *tx, &store, serial).await.or_fail()?;
    let now = totp::step(tx.now_ms());
    let Some(step) = totp::find_one(&seed, code, now + row.clock_steps, row.last_step) else {
        return Ok(false);
    };
    row.clock_steps = step - now;
    row.last_step = step;
    mfa_device_update(tx, &row).await.or_fail()?;
    Ok(true)
}

impl Cloud {
    /// `CreateVirtualMFADevice`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `LimitExceeded`, `InvalidInput`, `ValidationError`.
    pub async fn create_mfa_device(
        &self,
        cx: &OpContext,
        name: &str,
        given_path: Option<String>,
        tags: &[Tag],
    ) -> Result<NewDevice, ApiError> {
        let serial = arn(cx.account(), "mfa", &path(given_path)?, name);
        let mut random = zeroize::Zeroizing::new([0u8; totp::SEED_BYTES]);
        self.rng().fill(&mut *random);
        let seed = SecretString::from(totp::base32(&*random));
        let account = cx.account();
        let uri = format!("otpauth://totp/{name}@{account}?secret={}&issuer=Mallee", seed.expose_secret());
        let picture = qr::png(&uri).ok_or_else(|| Code::InvalidInput.message("The device's name is too long."))?;
        let row = MfaDeviceRow {
            serial,
            account_id: account.clone(),
            user_id: None,
            enabled_ms: None,
            clock_steps: 0,
            last_step: 0,
            created_ms: self.clock().now_ms(),
        };
        let mut tx = self.iam_write(cx).await?;
        let limit = u32::try_from(UNASSIGNED_MAX).unwrap_or(u32::MAX);
        let free = mfa_device_list(&mut tx, account, None, Some(false), None, limit).await.or_fail()?.len();
        quota("UnassignedMFADevicesPerAccount", free as u64, UNASSIGNED_MAX)?;
        mfa_device_insert(&mut tx, &row, &seed).await.map_err(|error| {
            if error.is_conflict("mfa_devices_serial") {
                Code::EntityAlreadyExists.message("MFADevice entity at the same path and name already exists.")
            } else {
                store_failure(error)
            }
        })?;
        labels::put(&mut tx, account, &row.serial, tags).await?;
        tx.commit().await.or_fail()?;
        Ok(NewDevice { row, seed, picture })
    }

    /// Finds two codes that follow each other, and notes the device's clock by them.
    async fn set_clock(&self, tx: &mut Tx, row: &mut MfaDeviceRow, codes: (&str, &str)) -> Result<(), ApiError> {
        let seed = mfa_device_seed(&mut *tx, self.store(), &row.serial).await.or_fail()?;
        let now = totp::step(self.clock().now_ms());
        let step = totp::find_two(&seed, codes.0, codes.1, now, totp::WIDE_STEPS).filter(|step| *step > row.last_step);
        let step = step
            .ok_or_else(|| Code::InvalidAuthenticationCode.message("Authentication code for device is not valid."))?;
        // The second code may be of a step that our clock only just has reached.
        row.clock_steps = step - now;
        row.last_step = step;
        mfa_device_update(tx, row).await.or_fail()
    }

    /// `EnableMFADevice`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `EntityAlreadyExists` for a device that is enabled, `InvalidAuthenticationCode`,
    /// `LimitExceeded`.
    pub async fn enable_mfa_device(
        &self,
        cx: &OpContext,
        user: &str,
        serial: &str,
        codes: (&str, &str),
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = users::find(&mut tx, cx.account(), user).await?;
        let mut row = require_device(&mut tx, cx.account(), serial).await?;
        if row.user_id.is_some() {
            return Err(Code::EntityAlreadyExists.message("MFA Device is already in use."));
        }
        let have = mfa_device_list(&mut tx, cx.account(), Some(&user.id), None, None, 100).await.or_fail()?.len();
        quota("MFADevicesPerUser", have as u64, PER_USER_MAX)?;
        row.user_id = Some(user.id);
        row.enabled_ms = Some(self.clock().now_ms());
        self.set_clock(&mut tx, &mut row, codes).await?;
        tx.commit().await.or_fail()
    }

    async fn device_of(
        &self,
        tx: &mut Tx,
        cx: &OpContext,
        user: &UserRow,
        serial: &str,
    ) -> Result<MfaDeviceRow, ApiError> {
        let row = mfa_device_fetch(tx, cx.account(), serial).await.or_fail()?;
        row.filter(|row| row.user_id.as_ref() == Some(&user.id)).ok_or_else(|| {
            Code::NoSuchEntity
                .message(format!("MFA Device with serial number {serial} is not enabled for user {}.", user.name))
        })
    }

    /// `ResyncMFADevice`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidAuthenticationCode`.
    pub async fn resync_mfa_device(
        &self,
        cx: &OpContext,
        user: &str,
        serial: &str,
        codes: (&str, &str),
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = users::find(&mut tx, cx.account(), user).await?;
        let mut row = self.device_of(&mut tx, cx, &user, serial).await?;
        self.set_clock(&mut tx, &mut row, codes).await?;
        tx.commit().await.or_fail()
    }

    /// `DeactivateMFADevice`; without a user: of the caller.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn deactivate_mfa_device(
        &self,
        cx: &OpContext,
        user: Option<&str>,
        serial: &str,
    ) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, user).await?;
        let mut tx = self.iam_write(cx).await?;
        let mut row = self.device_of(&mut tx, cx, &user, serial).await?;
        row.user_id = None;
        row.enabled_ms = None;
        mfa_device_update(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `DeleteVirtualMFADevice`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict` while it is enabled.
    pub async fn delete_mfa_device(&self, cx: &OpContext, serial: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_device(&mut tx, cx.account(), serial).await?;
        if row.user_id.is_some() {
            return Err(Code::DeleteConflict.message("MFA VirtualDevice in use. Must deactivate first."));
        }
        iam_tag_delete_of(&mut tx, serial).await.or_fail()?;
        mfa_device_delete(&mut tx, serial).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `TagMFADevice`.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of [`labels::put`].
    pub async fn tag_mfa_device(&self, cx: &OpContext, serial: &str, tags: &[Tag]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_device(&mut tx, cx.account(), serial).await?;
        labels::put(&mut tx, cx.account(), &row.serial, tags).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagMFADevice`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_mfa_device(&self, cx: &OpContext, serial: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = require_device(&mut tx, cx.account(), serial).await?;
        iam_tag_delete(&mut tx, &row.serial, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
