//! A second factor given with a call of STS.

use crate::fail::OrFail as _;
use crate::iam::mfa_devices::take_code;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::Principal;

/// A device's serial number and the code that it shows.
#[derive(Debug, Clone, Default)]
pub struct SecondFactor {
    /// ARN of a virtual device.
    pub serial: Option<String>,
    /// Six digits.
    pub code: Option<String>,
}

impl Cloud {
    /// Proves that this device of the caller's shows this code, which is spent: for services that ask for a factor besides
    /// STS.
    ///
    /// # Errors
    /// `AccessDenied` for a code or device that is not the caller's.
    pub async fn prove_factor(&self, cx: &OpContext, serial: &str, code: &str) -> Result<(), ApiError> {
        let factor = SecondFactor { serial: Some(serial.to_owned()), code: Some(code.to_owned()) };
        self.prove(cx, &factor).await.map(drop)
    }

    /// Proves the factor, if one is given: when that was. The code is spent, whatever becomes of the call.
    ///
    /// # Errors
    /// `ValidationError` for one half of it, `AccessDenied` for a code or device that is not the caller's.
    pub(super) async fn prove(&self, cx: &OpContext, factor: &SecondFactor) -> Result<Option<i64>, ApiError> {
        let (serial, code) = match (&factor.serial, &factor.code) {
            (None, None) => return Ok(None),
            (Some(serial), Some(code)) => (serial, code),
            _ => {
                let text = "MultiFactorAuthentication requires both SerialNumber and TokenCode.";
                return Err(Code::ValidationError.message(text));
            }
        };
        let not_theirs = || {
            Code::AccessDenied.message(
                "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.",
            )
        };
        if cx.actor.session.is_some() {
            return Err(not_theirs());
        }
        if !matches!(cx.actor.principal, Principal::User { .. } | Principal::Root { .. }) {
            return Err(not_theirs());
        }
        // The root of an account has devices under the name of its administrator.
        let user = match self.own_user(cx).await {
            Err(error) if error.code() == Code::ValidationError => return Err(not_theirs()),
            other => other?,
        };
        let holder = user.id.to_string();
        let mut tx = self.store().write().await.or_fail()?;
        if !self.guesses().take(&holder, self.clock().now_ms()) {
            return Err(Code::AccessDenied.message(
                "MultiFactorAuthentication failed: too many codes were wrong. Please try again in a few minutes.",
            ));
        }
        if !take_code(&mut tx, &user, serial, code).await? {
            return Err(
                Code::AccessDenied.message("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
            );
        }
        let now_ms = self.clock().now_ms();
        tx.commit().await.or_fail()?;
        self.guesses().forget(&holder);
        Ok(Some(now_ms))
    }
}
