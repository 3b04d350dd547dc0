//! Passwords of users, and the account's rules for them.

use crate::IdentityApi;
use crate::parts::time;
use mallee_app::OpContext;
use mallee_app::iam::logins::require_login;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    ChangePasswordRequest, CreateLoginProfileRequest, CreateLoginProfileResponse, DeleteAccountPasswordPolicyRequest,
    DeleteLoginProfileRequest, GetAccountPasswordPolicyRequest, GetAccountPasswordPolicyResponse,
    GetLoginProfileRequest, GetLoginProfileResponse, LoginProfile, PasswordPolicy, UpdateAccountPasswordPolicyRequest,
    UpdateLoginProfileRequest,
};
use mallee_store::{LoginProfileRow, PasswordRules, UserRow};

fn shown(user: UserRow, row: &LoginProfileRow) -> LoginProfile {
    LoginProfile {
        create_date: time(row.created_ms),
        password_reset_required: Some(row.reset_required),
        user_name: Some(user.name),
    }
}

fn number(given: Option<i32>) -> Option<u32> {
    given.and_then(|n| u32::try_from(n).ok())
}

fn wire(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

impl IdentityApi {
    pub(crate) async fn create_login_profile(
        &self,
        cx: &OpContext,
        r: CreateLoginProfileRequest,
    ) -> Result<CreateLoginProfileResponse, ApiError> {
        let CreateLoginProfileRequest { password, password_reset_required, user_name } = r;
        // AWS may leave it out for a root that assumed one; this cloud has no such call.
        let password = password.ok_or_else(|| ApiError::missing_parameter("Password"))?;
        let reset = password_reset_required == Some(true);
        let (user, row) = self.cloud.create_login_profile(cx, user_name.as_deref(), &password, reset).await?;
        Ok(CreateLoginProfileResponse { login_profile: Some(shown(user, &row)) })
    }

    pub(crate) async fn get_login_profile(
        &self,
        cx: &OpContext,
        r: GetLoginProfileRequest,
    ) -> Result<GetLoginProfileResponse, ApiError> {
        let GetLoginProfileRequest { user_name } = r;
        let user = self.cloud.user_or_self(cx, user_name.as_deref()).await?;
        let row = require_login(self.store(), &user).await?;
        Ok(GetLoginProfileResponse { login_profile: Some(shown(user, &row)) })
    }

    pub(crate) async fn update_login_profile(
        &self,
        cx: &OpContext,
        r: UpdateLoginProfileRequest,
    ) -> Result<(), ApiError> {
        let UpdateLoginProfileRequest { password, password_reset_required, user_name } = r;
        let name = user_name.unwrap_or_default();
        self.cloud.update_login_profile(cx, &name, password.as_ref(), password_reset_required).await
    }

    pub(crate) async fn delete_login_profile(
        &self,
        cx: &OpContext,
        r: DeleteLoginProfileRequest,
    ) -> Result<(), ApiError> {
        let DeleteLoginProfileRequest { user_name } = r;
        self.cloud.delete_login_profile(cx, user_name.as_deref()).await
    }

    pub(crate) async fn change_password(&self, cx: &OpContext, r: ChangePasswordRequest) -> Result<(), ApiError> {
        let ChangePasswordRequest { new_password, old_password } = r;
        self.cloud.change_password(cx, &old_password.unwrap_or_default(), &new_password.unwrap_or_default()).await
    }

    pub(crate) async fn update_account_password_policy(
        &self,
        cx: &OpContext,
        r: UpdateAccountPasswordPolicyRequest,
    ) -> Result<(), ApiError> {
        let UpdateAccountPasswordPolicyRequest {
            allow_users_to_change_password,
            hard_expiry,
            max_password_age,
            minimum_password_length,
            password_reuse_prevention,
            require_lowercase_characters,
            require_numbers,
            require_symbols,
            require_uppercase_characters,
        } = r;
        let usual = PasswordRules::default();
        let rules = PasswordRules {
            minimum_length: number(minimum_password_length).unwrap_or(usual.minimum_length),
            require_symbols: require_symbols.unwrap_or(usual.require_symbols),
            require_numbers: require_numbers.unwrap_or(usual.require_numbers),
            require_uppercase: require_uppercase_characters.unwrap_or(usual.require_uppercase),
            require_lowercase: require_lowercase_characters.unwrap_or(usual.require_lowercase),
            users_may_change: allow_users_to_change_password.unwrap_or(usual.users_may_change),
            max_age_days: number(max_password_age),
            reuse_prevention: number(password_reuse_prevention),
            hard_expiry: hard_expiry.unwrap_or(usual.hard_expiry),
        };
        self.cloud.set_password_rules(cx, &rules).await
    }

    pub(crate) async fn get_account_password_policy(
        &self,
        cx: &OpContext,
        r: GetAccountPasswordPolicyRequest,
    ) -> Result<GetAccountPasswordPolicyResponse, ApiError> {
        let GetAccountPasswordPolicyRequest {} = r;
        let rules = self.cloud.password_rules(cx).await?;
        let policy = PasswordPolicy {
            allow_users_to_change_password: Some(rules.users_may_change),
            expire_passwords: Some(rules.max_age_days.is_some()),
            hard_expiry: Some(rules.hard_expiry),
            max_password_age: rules.max_age_days.and_then(wire),
            minimum_password_length: wire(rules.minimum_length),
            password_reuse_prevention: rules.reuse_prevention.and_then(wire),
            require_lowercase_characters: Some(rules.require_lowercase),
            require_numbers: Some(rules.require_numbers),
            require_symbols: Some(rules.require_symbols),
            require_uppercase_characters: Some(rules.require_uppercase),
        };
        Ok(GetAccountPasswordPolicyResponse { password_policy: Some(policy) })
    }

    pub(crate) async fn delete_account_password_policy(
        &self,
        cx: &OpContext,
        r: DeleteAccountPasswordPolicyRequest,
    ) -> Result<(), ApiError> {
        let DeleteAccountPasswordPolicyRequest {} = r;
        self.cloud.delete_password_rules(cx).await
    }
}
