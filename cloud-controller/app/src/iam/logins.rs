//! Users' passwords, and an account's rules for them.

use super::{password, users};
use crate::fail::{OrFail as _, store_failure};
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, Json, LoginProfileRow, PasswordRules, Tx, UserRow, login_profile_delete, login_profile_fetch,
    login_profile_insert, login_profile_update, mfa_device_list, password_rules_delete, password_rules_fetch,
    password_rules_put, signing_certificate_list, ssh_public_key_list,
};
use secrecy::SecretString;

/// Earlier passwords that are remembered: as many as a rule may name.
const EARLIER_MAX: usize = 24;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What a user who is deleted must not have any more: password, certificates, SSH keys, MFA devices.
///
/// # Errors
/// `DeleteConflict`.
pub(crate) async fn refuse_delete(tx: &mut Tx, user: &UserRow) -> Result<(), ApiError> {
    let conflict = |what| Err(Code::DeleteConflict.message(format!("Cannot delete entity, must {what} first.")));
    if login_profile_fetch(&mut *tx, &user.id).await.or_fail()?.is_some() {
        return conflict("delete login profile");
    }
    if !signing_certificate_list(&mut *tx, &user.id).await.or_fail()?.is_empty() {
        return conflict("delete signing certificates");
    }
    if !ssh_public_key_list(&mut *tx, &user.id).await.or_fail()?.is_empty() {
        return conflict("delete SSH public keys");
    }
    if !mfa_device_list(tx, &user.account_id, Some(&user.id), None, None, 1).await.or_fail()?.is_empty() {
        return conflict("delete MFA device");
    }
    Ok(())
}

fn no_login(user: &UserRow) -> ApiError {
    Code::NoSuchEntity.message(format!("Login Profile for User {} cannot be found.", user.name))
}

/// The rules that hold in an account which has set none (IAM: eight characters of three kinds; users may change
/// theirs where they are allowed to).
#[must_use]
pub fn usual_rules() -> PasswordRules {
    PasswordRules { minimum_length: 8, users_may_change: true, ..PasswordRules::default() }
}

/// Whether a password has run out by its account's rules.
#[must_use]
pub fn has_run_out(rules: &PasswordRules, login: &LoginProfileRow, now_ms: i64) -> bool {
    rules.max_age_days.is_some_and(|days| now_ms >= login.changed_ms + i64::from(days) * DAY_MS)
}

/// A user's password as it is.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn require_login<'a>(exec: impl Into<Exec<'a>>, user: &UserRow) -> Result<LoginProfileRow, ApiError> {
    login_profile_fetch(exec, &user.id).await.or_fail()?.ok_or_else(|| no_login(user))
}

impl Cloud {
    async fn rules(&self, cx: &OpContext) -> Result<PasswordRules, ApiError> {
        Ok(password_rules_fetch(self.store(), cx.account()).await.or_fail()?.unwrap_or_else(usual_rules))
    }

    /// The login profile with another password, by the rules. Hashes, hence outside any transaction.
    async fn with_password(
        &self,
        rules: &PasswordRules,
        mut login: LoginProfileRow,
        new: &SecretString,
    ) -> Result<LoginProfileRow, ApiError> {
        password::check(rules, new)?;
        let prevented = rules.reuse_prevention.unwrap_or_default() as usize;
        let known: Vec<String> =
            std::iter::once(&login.password_hash).chain(&login.earlier_hashes.0).take(prevented).cloned().collect();
        if !known.is_empty() && password::is_any(new, known).await? {
            return Err(
                Code::PasswordPolicyViolation.message("Policy constraint violation with password reuse prevention")
            );
        }
        let hash = password::hash(self.rng(), new).await?;
        let before = std::mem::replace(&mut login.password_hash, hash);
        login.earlier_hashes.0.insert(0, before);
        login.earlier_hashes.0.truncate(EARLIER_MAX);
        login.changed_ms = self.clock().now_ms();
        Ok(login)
    }

    /// Writes a changed login profile if it is still the one that was read.
    async fn keep_login(&self, mut tx: Tx, before: &LoginProfileRow, after: &LoginProfileRow) -> Result<(), ApiError> {
        let there = login_profile_fetch(&mut tx, &before.user_id).await.or_fail()?;
        if there.as_ref() != Some(before) {
            return Err(Code::EntityTemporarilyUnmodifiable.message(
                "Login Profile cannot be modified while another change of it is in progress. Please try again.",
            ));
        }
        login_profile_update(&mut tx, after).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `CreateLoginProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `EntityAlreadyExists`, `PasswordPolicyViolation`.
    pub async fn create_login_profile(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        new: &SecretString,
        reset_required: bool,
    ) -> Result<(UserRow, LoginProfileRow), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        password::check(&self.rules(cx).await?, new)?;
        let now_ms = self.clock().now_ms();
        let row = LoginProfileRow {
            user_id: user.id.clone(),
            account_id: user.account_id.clone(),
            password_hash: password::hash(self.rng(), new).await?,
            reset_required,
            created_ms: now_ms,
            changed_ms: now_ms,
            last_used_ms: None,
            earlier_hashes: Json(Vec::new()),
        };
        let mut tx = self.iam_write(cx).await?;
        // The user may have gone while the hash was made.
        users::find(&mut tx, cx.account(), &user.name).await?;
        login_profile_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("login_profiles_user_id") {
                Code::EntityAlreadyExists.message(format!("Login Profile for user {} already exists.", user.name))
            } else {
                store_failure(error)
            }
        })?;
        tx.commit().await.or_fail()?;
        Ok((user, row))
    }

    /// `UpdateLoginProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `PasswordPolicyViolation`.
    pub async fn update_login_profile(
        &self,
        cx: &OpContext,
        name: &str,
        new: Option<&SecretString>,
        reset_required: Option<bool>,
    ) -> Result<(), ApiError> {
        let user = users::find(self.store(), cx.account(), name).await?;
        let before = require_login(self.store(), &user).await?;
        let mut after = match new {
            None => before.clone(),
            Some(new) => self.with_password(&self.rules(cx).await?, before.clone(), new).await?,
        };
        after.reset_required = reset_required.unwrap_or(after.reset_required);
        self.keep_login(self.iam_write(cx).await?, &before, &after).await
    }

    /// `DeleteLoginProfile`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_login_profile(&self, cx: &OpContext, name: Option<&str>) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        if !login_profile_delete(&mut tx, &user.id).await.or_fail()? {
            return Err(no_login(&user));
        }
        tx.commit().await.or_fail()
    }

    /// `ChangePassword`: of the caller.
    ///
    /// # Errors
    /// `AccessDenied` when the old one is wrong or users may not, `NoSuchEntity`, `PasswordPolicyViolation`.
    pub async fn change_password(
        &self,
        cx: &OpContext,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<(), ApiError> {
        let user = self.own_user(cx).await?;
        let rules = self.rules(cx).await?;
        if !rules.users_may_change && !cx.actor.is_account_admin {
            return Err(Code::AccessDenied.message(format!(
                "User: {} is not authorized to perform: iam:ChangePassword because the account's password policy does not allow it",
                cx.actor.arn
            )));
        }
        let before = require_login(self.store(), &user).await?;
        if rules.hard_expiry && has_run_out(&rules, &before, self.clock().now_ms()) {
            return Err(
                Code::AccessDenied.message("The password has expired. An administrator has to set another one.")
            );
        }
        if !password::is_any(old, vec![before.password_hash.clone()]).await? {
            return Err(Code::AccessDenied.message("The old password was incorrect."));
        }
        let mut after = self.with_password(&rules, before.clone(), new).await?;
        after.reset_required = false;
        self.keep_login(self.iam_write(cx).await?, &before, &after).await
    }

    /// `UpdateAccountPasswordPolicy`: sets all the rules; those not given get their defaults.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_password_rules(&self, cx: &OpContext, rules: &PasswordRules) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        password_rules_put(&mut tx, cx.account(), rules).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `GetAccountPasswordPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity` while the account has none.
    pub async fn password_rules(&self, cx: &OpContext) -> Result<PasswordRules, ApiError> {
        password_rules_fetch(self.store(), cx.account()).await.or_fail()?.ok_or_else(|| no_rules(cx))
    }

    /// `DeleteAccountPasswordPolicy`.
    ///
    /// # Errors
    /// `NoSuchEntity` while the account has none.
    pub async fn delete_password_rules(&self, cx: &OpContext) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        if !password_rules_delete(&mut tx, cx.account()).await.or_fail()? {
            return Err(no_rules(cx));
        }
        tx.commit().await.or_fail()
    }
}

fn no_rules(cx: &OpContext) -> ApiError {
    Code::NoSuchEntity.message(format!("The Password Policy with domain name {} cannot be found.", cx.account()))
}
