//! The credentials of an instance's role, as its metadata service gives them: sessions of the role of its instance
//! profile, made with the association, rotated while it lasts, and told to the instance's node with its intent.
//!
//! They are pushed, not asked for: a node holds them on its disk and goes on serving them while everything above it is
//! away. A session lasts six hours and is replaced after three, so an outage of three hours is not noticed in a guest.

use super::apply::interfaces;
use crate::fail::{OrFail as _, store_failure};
use crate::sts::{NewSession, trusts};
use crate::{Cloud, load};
use mallee_awswire::ApiError;
use mallee_iam::{Context, Principal};
use mallee_proto::v1::RoleCredentials;
use mallee_store::{
    CREDENTIALS_DUE_MAX, CredentialsCode, InstanceCredentialsRow, InstanceRow, ProfileAssociationRow, RoleRow,
    SessionDoc, SessionKind, Store, StoreError, Tx, change_append, instance_credentials_due,
    instance_credentials_fetch, instance_credentials_list_of, instance_credentials_put, instance_credentials_secrets,
    instance_fetch, instance_profile_fetch, profile_association_list_of, role_fetch,
};
use mallee_types::{InstanceId, RunIntent};
use secrecy::ExposeSecret as _;
use std::collections::HashMap;

/// How long credentials last, in seconds (AWS: about six hours).
const LIFE_SECONDS: u32 = 6 * 3_600;
/// How long they are served before the next ones, in milliseconds: what is left bridges an outage.
const RENEW_AFTER_MS: i64 = 3 * 3_600_000;
/// How long until a role that could not be assumed is tried again, in milliseconds.
const RETRY_MS: i64 = 5 * 60_000;
/// Who assumes the roles of instances.
const SERVICE: &str = "ec2.amazonaws.com";

/// Whether the role's trust policy lets EC2 assume it.
fn is_trusted(role: &RoleRow, now_ms: i64) -> bool {
    let principal = Principal::Service { name: SERVICE.into() };
    let mut context = Context::of(&principal);
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    context.set("aws:CurrentTime", (now_ms / 1000).to_string());
    context.set("aws:SourceAccount", role.account_id.as_str());
    trusts(role, &principal, "sts:AssumeRole", &context)
}

fn found<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Cloud {
    /// Gives an instance fresh credentials of the role of this association's profile, or takes away what it has; in the
    /// transaction. The caller appends the change of the instance.
    pub(crate) async fn renew_credentials(
        &self,
        tx: &mut Tx,
        instance: &InstanceRow,
        association: Option<&ProfileAssociationRow>,
    ) -> Result<(), ApiError> {
        let now_ms = self.clock().now_ms();
        let mut row = InstanceCredentialsRow {
            instance_id: instance.id.clone(),
            version: 0,
            profile_id: String::new(),
            profile_arn: String::new(),
            role_name: None,
            code: CredentialsCode::Success,
            session_id: None,
            issued_ms: now_ms,
            expires_ms: 0,
            renew_ms: None,
            sealed: None,
        };
        let Some(association) = association.filter(|_| instance.intent != RunIntent::Terminate) else {
            return instance_credentials_put(tx, &row, None).await.or_fail();
        };
        row.profile_id.clone_from(&association.profile_id);
        row.profile_arn.clone_from(&association.profile_arn);
        let profile = found(instance_profile_fetch(&mut *tx, &association.profile_id).await).or_fail()?;
        let role = match profile.as_ref().and_then(|profile| profile.role_id.as_ref()) {
            Some(id) => found(role_fetch(&mut *tx, id).await).or_fail()?,
            None => None,
        };
        row.role_name = role.as_ref().map(|role| role.name.clone());
        let Some(role) = role else {
            if profile.is_none() {
                row.code = CredentialsCode::NoProfile;
            }
            return instance_credentials_put(tx, &row, None).await.or_fail();
        };
        if !is_trusted(&role, now_ms) {
            row.code = CredentialsCode::NotTrusted;
            row.renew_ms = Some(now_ms + RETRY_MS);
            return instance_credentials_put(tx, &row, None).await.or_fail();
        }
        let (region, account) = (&self.config().region, &instance.account_id);
        let interfaces = interfaces(tx, instance).await.or_fail()?;
        let first = interfaces.iter().find(|interface| interface.device_index == Some(0));
        let doc = SessionDoc {
            source_vpc: Some(instance.vpc_id.to_string()),
            source_private_ip: first.map(|interface| interface.private_ip.to_string()),
            source_instance: Some(format!("arn:aws:ec2:{region}:{account}:instance/{}", instance.id)),
            ..SessionDoc::default()
        };
        let new = NewSession {
            account: role.account_id.clone(),
            kind: SessionKind::Role,
            principal_id: role.id,
            name: instance.id.to_string(),
            seconds: LIFE_SECONDS,
            doc,
        };
        let issued = self.issue_in(tx, new).await.or_fail()?;
        row.session_id = Some(issued.access_key_id.clone());
        row.expires_ms = issued.expires_ms;
        row.renew_ms = Some(now_ms + RENEW_AFTER_MS);
        instance_credentials_put(tx, &row, Some((&issued.secret, &issued.token))).await.or_fail()
    }

    /// Renews the credentials of one instance if that is (still) due.
    async fn renew_one(&self, id: &InstanceId) -> Result<(), ApiError> {
        self.faults().point("cloud.credentials").await.or_fail()?;
        let mut tx = self.store().write().await.or_fail()?;
        // Two replicas may have found it.
        tx.lock(&format!("credentials {id}")).await.or_fail()?;
        let held = instance_credentials_fetch(&mut tx, id).await.or_fail()?;
        let now_ms = self.clock().now_ms();
        if held.and_then(|row| row.renew_ms).is_none_or(|due| due > now_ms) {
            return Ok(());
        }
        let Some(instance) = found(instance_fetch(&mut tx, id).await).or_fail()? else { return Ok(()) };
        let association = profile_association_list_of(&mut tx, std::slice::from_ref(id)).await.or_fail()?;
        self.renew_credentials(&mut tx, &instance, association.first()).await?;
        change_append(&mut tx, load::INSTANCE, id, Some(&instance.zone));
        self.faults().point("cloud.credentials.before-commit").await.or_fail()?;
        tx.commit().await.or_fail()?;
        self.faults().point("cloud.credentials.committed").await.or_fail()
    }
}

/// One pass of the background task: renews what is due. Idempotent; every replica may run it.
///
/// # Errors
/// What the database says; the next pass goes on.
pub async fn renew_due(cloud: &Cloud) -> Result<(), ApiError> {
    loop {
        let due = instance_credentials_due(cloud.store(), cloud.clock().now_ms()).await.map_err(store_failure)?;
        for id in &due {
            cloud.renew_one(id).await?;
        }
        if due.len() < CREDENTIALS_DUE_MAX as usize {
            return Ok(());
        }
    }
}

fn words(row: &InstanceCredentialsRow) -> (&'static str, String) {
    match row.code {
        CredentialsCode::Success => ("Success", String::new()),
        CredentialsCode::NoProfile => (
            "InstanceProfileNotFound",
            format!(
                "Instance Profile {} cannot be found. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.",
                row.profile_arn
            ),
        ),
        CredentialsCode::NotTrusted => (
            "AssumeRoleUnauthorizedAccess",
            format!(
                "EC2 cannot assume the role {}. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.",
                row.role_name.as_deref().unwrap_or_default()
            ),
        ),
    }
}

fn wire(store: &Store, row: &InstanceCredentialsRow) -> Result<RoleCredentials, StoreError> {
    let (code, message) = words(row);
    let secrets = instance_credentials_secrets(store, row)?;
    let (secret, token) = secrets.unwrap_or_default();
    Ok(RoleCredentials {
        version: row.version,
        profile_arn: row.profile_arn.clone(),
        profile_id: row.profile_id.clone(),
        role_name: row.role_name.clone().unwrap_or_default(),
        code: code.to_owned(),
        message,
        access_key_id: row.session_id.clone().unwrap_or_default(),
        secret_access_key: secret.expose_secret().to_owned(),
        session_token: token.expose_secret().to_owned(),
        issued_ms: row.issued_ms,
        expires_ms: row.expires_ms,
    })
}

/// What the nodes of these instances are told of their roles.
pub(crate) async fn wire_credentials(
    store: &Store,
    instances: &[InstanceId],
) -> Result<HashMap<InstanceId, RoleCredentials>, StoreError> {
    if instances.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = instance_credentials_list_of(store, instances).await?;
    rows.iter().map(|row| Ok((row.instance_id.clone(), wire(store, row)?))).collect()
}
