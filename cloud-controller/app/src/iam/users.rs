//! Users.

use super::on_principals::Holder;
use super::{base, boundary, labels, logins};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_iam::Principal;
use mallee_store::{
    Exec, PrincipalKind, StoreError, Tx, UserRow, access_key_list, creators_forget, iam_attachment_count,
    iam_boundary_fetch, iam_group_count_of_user, iam_inline_list_of, iam_principal_forget, iam_tag_delete,
    iam_tag_delete_of, iam_tag_list, user_admin, user_by_name, user_delete, user_fetch, user_insert, user_update,
};
use mallee_types::AccountId;

/// A user as GetUser shows it.
#[derive(Debug, Clone)]
pub struct UserView {
    /// The user. An account's root has the account's number as its id, and no name.
    pub user: UserRow,
    /// Its tags, by key.
    pub tags: Vec<(String, String)>,
    /// ARN of its permissions boundary.
    pub boundary: Option<String>,
}

/// A user's ARN.
#[must_use]
pub fn arn(user: &UserRow) -> String {
    if user.id == user.account_id.as_str() {
        return format!("arn:aws:iam::{}:root", user.account_id);
    }
    base::arn(&user.account_id, "user", &user.path, &user.name)
}

/// The account's user of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn find<'a>(exec: impl Into<Exec<'a>>, account: &AccountId, name: &str) -> Result<UserRow, ApiError> {
    let found = user_by_name(exec, account, name).await.or_fail()?;
    found.ok_or_else(|| ApiError::no_such_entity("user", name))
}

fn taken(error: StoreError, name: &str) -> ApiError {
    if error.is_conflict("users_account_id_name") {
        ApiError::entity_already_exists("User", name)
    } else {
        store_failure(error)
    }
}

fn conflict(must: &'static str) -> ApiError {
    Code::DeleteConflict.message(format!("Cannot delete entity, must {must} first."))
}

/// What keeps a user from being deleted, in the order in which AWS's console removes it.
async fn check_delete(tx: &mut Tx, user: &UserRow) -> Result<(), ApiError> {
    if user.is_admin {
        return Err(Code::DeleteConflict.message("Cannot delete entity, it is the administrator of its account."));
    }
    if !access_key_list(&mut *tx, &user.id).await.or_fail()?.is_empty() {
        return Err(conflict("delete access keys"));
    }
    logins::refuse_delete(&mut *tx, user).await?;
    if !iam_inline_list_of(&mut *tx, PrincipalKind::User, std::slice::from_ref(&user.id)).await.or_fail()?.is_empty() {
        return Err(conflict("delete policies"));
    }
    if iam_attachment_count(&mut *tx, PrincipalKind::User, &user.id).await.or_fail()? > 0 {
        return Err(conflict("detach all policies"));
    }
    if iam_group_count_of_user(&mut *tx, &user.id).await.or_fail()? > 0 {
        return Err(conflict("remove users from group"));
    }
    Ok(())
}

impl Cloud {
    /// `CreateUser`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `LimitExceeded`, `NoSuchEntity` for the boundary, a bad path or bad tags.
    pub async fn create_iam_user(
        &self,
        cx: &OpContext,
        name: &str,
        path: Option<String>,
        boundary_arn: Option<&str>,
        new_tags: Vec<(String, String)>,
    ) -> Result<UserView, ApiError> {
        let path = base::path(path)?;
        let allowance = self.iam_allowance(cx, "iam:CreateUser", "user", &format!("{path}{name}")).await?;
        let mut tx = self.iam_write(cx).await?;
        let user = UserRow {
            id: self.unique_id("AIDA"),
            account_id: cx.account().clone(),
            name: name.to_owned(),
            path,
            created_ms: self.clock().now_ms(),
            is_admin: false,
        };
        allowance.take(&mut tx, &[(&quotas::USERS, 1)], std::slice::from_ref(&user.id)).await?;
        user_insert(&mut tx, &user).await.map_err(|error| taken(error, name))?;
        labels::put(&mut tx, cx.account(), &user.id, &new_tags).await?;
        if let Some(arn) = boundary_arn {
            boundary::put(&mut tx, &Holder::user(&user), arn).await?;
        }
        tx.commit().await.or_fail()?;
        Ok(UserView { user, tags: new_tags, boundary: boundary_arn.map(str::to_owned) })
    }

    /// The user that a call without a name is about: the caller itself. Acting for another account, the
    /// administrator of that.
    ///
    /// # Errors
    /// `ValidationError` where the caller is no user.
    pub async fn own_user(&self, cx: &OpContext) -> Result<UserRow, ApiError> {
        let user = match &cx.actor.principal {
            Principal::User { account, id, .. } if account == cx.account() => {
                user_fetch(self.store(), id).await.map(Some)
            }
            Principal::Root { account } if account == cx.account() => user_admin(self.store(), account).await,
            _ => Ok(None),
        };
        match user {
            Ok(Some(user)) => Ok(user),
            Ok(None) | Err(StoreError::NotFound { .. }) => {
                Err(Code::ValidationError.message("Must specify userName when calling with non-User credentials"))
            }
            Err(error) => Err(store_failure(error)),
        }
    }

    /// The named user, or the caller.
    ///
    /// # Errors
    /// `NoSuchEntity`; as [`Cloud::own_user`].
    pub async fn user_or_self(&self, cx: &OpContext, name: Option<&str>) -> Result<UserRow, ApiError> {
        match name {
            Some(name) => find(self.store(), cx.account(), name).await,
            None => self.own_user(cx).await,
        }
    }

    /// `GetUser`.
    ///
    /// # Errors
    /// As [`Cloud::user_or_self`].
    pub async fn iam_user(&self, cx: &OpContext, name: Option<&str>) -> Result<UserView, ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let tags = iam_tag_list(self.store(), &user.id).await.or_fail()?;
        let boundary = iam_boundary_fetch(self.store(), PrincipalKind::User, &user.id).await.or_fail()?;
        Ok(UserView {
            user,
            tags: tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            boundary: boundary.map(|row| row.policy_arn),
        })
    }

    /// `UpdateUser`: another name, another path.
    ///
    /// # Errors
    /// `NoSuchEntity`, `EntityAlreadyExists`, a bad path.
    pub async fn update_iam_user(
        &self,
        cx: &OpContext,
        name: &str,
        new_name: Option<&str>,
        new_path: Option<String>,
    ) -> Result<(), ApiError> {
        let new_path = new_path.map(|path| base::path(Some(path))).transpose()?;
        let mut tx = self.iam_write(cx).await?;
        let user = find(&mut tx, cx.account(), name).await?;
        let to = new_name.unwrap_or(&user.name);
        let path = new_path.as_deref().unwrap_or(&user.path);
        user_update(&mut tx, &user.id, to, path).await.map_err(|error| taken(error, to))?;
        tx.commit().await.or_fail()
    }

    /// `DeleteUser`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `DeleteConflict`.
    pub async fn delete_iam_user(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = find(&mut tx, cx.account(), name).await?;
        check_delete(&mut tx, &user).await?;
        iam_principal_forget(&mut tx, PrincipalKind::User, &user.id).await.or_fail()?;
        iam_tag_delete_of(&mut tx, &user.id).await.or_fail()?;
        creators_forget(&mut tx, &user.id).await.or_fail()?;
        user_delete(&mut tx, &user.id).await.map_err(|error| match error {
            StoreError::InUse => conflict("remove referenced objects"),
            other => store_failure(other),
        })?;
        tx.commit().await.or_fail()
    }

    /// `TagUser`.
    ///
    /// # Errors
    /// `NoSuchEntity`, bad tags, `LimitExceeded`.
    pub async fn tag_iam_user(&self, cx: &OpContext, name: &str, more: &[(String, String)]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = find(&mut tx, cx.account(), name).await?;
        labels::put(&mut tx, cx.account(), &user.id, more).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagUser`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_iam_user(&self, cx: &OpContext, name: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let user = find(&mut tx, cx.account(), name).await?;
        iam_tag_delete(&mut tx, &user.id, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
