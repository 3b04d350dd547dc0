//! The instance profile of an instance: which it has, and giving it another.

use crate::fail::{OrFail as _, store_failure};
use crate::iam::instance_profiles::profile_arn;
use crate::{Cloud, OpContext, load};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, InstanceProfileRow, InstanceRow, ProfileAssociationRow, StoreError, Tx, change_append, instance_fetch,
    instance_profile_by_name, profile_association_delete, profile_association_fetch, profile_association_insert,
};
use mallee_types::{AccountId, InstanceId, ProfileAssociationId, RunIntent};

/// A profile as a request names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProfileRef {
    /// By name…
    pub name: Option<String>,
    /// … or by ARN.
    pub arn: Option<String>,
}

impl ProfileRef {
    /// The profile of the account that is meant. It must have a role.
    ///
    /// # Errors
    /// `InvalidParameterCombination` for name and ARN, `MissingParameter` for neither, `InvalidParameterValue` for
    /// what does not exist or has no role.
    pub async fn find<'a>(
        &self,
        exec: impl Into<Exec<'a>>,
        account: &AccountId,
    ) -> Result<InstanceProfileRow, ApiError> {
        let (name, given, parameter, what) = match (&self.name, &self.arn) {
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
                ));
            }
            (None, None) => return Err(ApiError::missing_parameter("IamInstanceProfile.Name")),
            (Some(name), None) => (name.as_str(), name, "iamInstanceProfile.name", "name"),
            (None, Some(arn)) => (arn.rsplit('/').next().unwrap_or_default(), arn, "iamInstanceProfile.arn", "ARN"),
        };
        let found = instance_profile_by_name(exec, account, name).await.or_fail()?;
        let found = found.filter(|row| self.arn.as_ref().is_none_or(|arn| *arn == profile_arn(row)));
        let found = found.ok_or_else(|| {
            ApiError::invalid_value(
                parameter,
                &mallee_awswire::texts::clip(given),
                &format!("Invalid IAM Instance Profile {what}"),
            )
        })?;
        if found.role_id.is_none() {
            return Err(Code::InvalidParameterValue
                .message(format!("IAM Instance Profile \"{}\" has no associated IAM Roles", profile_arn(&found))));
        }
        Ok(found)
    }
}

impl Cloud {
    /// Gives an instance a profile, in the transaction.
    pub(crate) async fn give_profile(
        &self,
        tx: &mut Tx,
        instance: &InstanceRow,
        profile: &InstanceProfileRow,
    ) -> Result<ProfileAssociationRow, ApiError> {
        let row = ProfileAssociationRow {
            id: ProfileAssociationId::from_random(self.rng().u128()),
            account_id: instance.account_id.clone(),
            instance_id: instance.id.clone(),
            profile_id: profile.id.clone(),
            profile_arn: profile_arn(profile),
            created_ms: self.clock().now_ms(),
        };
        profile_association_insert(tx, &row).await.map_err(|error| {
            if error.is_conflict("profile_associations_instance_id") {
                Code::IncorrectState.message(format!("There is an existing association for instance {}", instance.id))
            } else {
                store_failure(error)
            }
        })?;
        change_append(tx, load::INSTANCE, &instance.id, Some(&instance.zone));
        Ok(row)
    }

    /// `AssociateIamInstanceProfile`.
    ///
    /// # Errors
    /// `InvalidInstanceID.NotFound`, `IncorrectInstanceState`, `IncorrectState` when it has one, and those of
    /// [`ProfileRef::find`].
    pub async fn associate_profile(
        &self,
        cx: &OpContext,
        instance: &InstanceId,
        profile: &ProfileRef,
    ) -> Result<ProfileAssociationRow, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let instance = living_instance(&mut tx, cx.account(), instance).await?;
        let profile = profile.find(&mut tx, cx.account()).await?;
        let made = self.give_profile(&mut tx, &instance, &profile).await?;
        tx.commit().await.or_fail()?;
        Ok(made)
    }

    /// `DisassociateIamInstanceProfile`. The association that was.
    ///
    /// # Errors
    /// `NoSuchAssociation`.
    pub async fn disassociate_profile(&self, cx: &OpContext, id: &str) -> Result<ProfileAssociationRow, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let (row, _) = take_away(&mut tx, cx.account(), id).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `ReplaceIamInstanceProfileAssociation`. The new association.
    ///
    /// # Errors
    /// `NoSuchAssociation`, and those of [`ProfileRef::find`].
    pub async fn replace_profile(
        &self,
        cx: &OpContext,
        id: &str,
        profile: &ProfileRef,
    ) -> Result<ProfileAssociationRow, ApiError> {
        let mut tx = self.store().write().await.or_fail()?;
        let (_, instance) = take_away(&mut tx, cx.account(), id).await?;
        let profile = profile.find(&mut tx, cx.account()).await?;
        let made = self.give_profile(&mut tx, &instance, &profile).await?;
        tx.commit().await.or_fail()?;
        Ok(made)
    }
}

async fn living_instance(tx: &mut Tx, account: &AccountId, id: &InstanceId) -> Result<InstanceRow, ApiError> {
    let missing = || ApiError::not_found(Code::InvalidInstanceIdNotFound, &[id.as_str()]);
    let row = match instance_fetch(tx, id).await {
        Err(StoreError::NotFound { .. }) => return Err(missing()),
        other => other.or_fail()?,
    };
    if row.account_id != *account {
        return Err(missing());
    }
    if row.intent == RunIntent::Terminate {
        return Err(Code::IncorrectInstanceState
            .message(format!("The instance '{id}' is not in the 'running' or 'stopped' states.")));
    }
    Ok(row)
}

async fn take_away(
    tx: &mut Tx,
    account: &AccountId,
    id: &str,
) -> Result<(ProfileAssociationRow, InstanceRow), ApiError> {
    let missing = || {
        Code::NoSuchAssociation
            .message(format!("An invalid association-id of '{}' was given", mallee_awswire::texts::clip(id)))
    };
    let id: ProfileAssociationId = id.parse().map_err(|_| missing())?;
    let row = profile_association_fetch(&mut *tx, account, &id).await.or_fail()?.ok_or_else(missing)?;
    let instance = living_instance(tx, account, &row.instance_id).await?;
    profile_association_delete(tx, &id).await.or_fail()?;
    change_append(tx, load::INSTANCE, &instance.id, Some(&instance.zone));
    Ok((row, instance))
}
