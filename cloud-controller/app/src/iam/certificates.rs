//! Certificates: those users sign with, and those of servers.

use super::base::{arn, path, quota};
use super::{labels, x509};
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, ServerCertificateRow, SigningCertificateRow, UserRow, iam_tag_delete, iam_tag_delete_of,
    server_certificate_by_name, server_certificate_delete, server_certificate_insert, server_certificate_rename,
    signing_certificate_active_set, signing_certificate_delete, signing_certificate_insert, signing_certificate_list,
};
use mallee_types::AccountId;
use secrecy::SecretString;

/// Signing certificates of a user (AWS: 2).
const SIGNING_MAX: u64 = 2;

/// A server's certificate as a request gives it.
#[derive(Debug, Clone)]
pub struct NewServerCertificate {
    /// Unique in the account.
    pub name: String,
    /// `/` if not given.
    pub path: Option<String>,
    /// PEM.
    pub body: String,
    /// PEM of the certificates above it.
    pub chain: Option<String>,
    /// PEM of its private key.
    pub key: SecretString,
    /// Tags.
    pub tags: Vec<Tag>,
}

/// A server certificate's ARN.
#[must_use]
pub fn server_certificate_arn(row: &ServerCertificateRow) -> String {
    arn(&row.account_id, "server-certificate", &row.path, &row.name)
}

/// The account's server certificate of this name.
///
/// # Errors
/// `NoSuchEntity`.
pub async fn find_server_certificate<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    name: &str,
) -> Result<ServerCertificateRow, ApiError> {
    let found = server_certificate_by_name(exec, account, name).await.or_fail()?;
    found.ok_or_else(|| Code::NoSuchEntity.message(format!("The Server Certificate with name {name} cannot be found.")))
}

fn no_certificate(id: &str) -> ApiError {
    Code::NoSuchEntity.message(format!("The Certificate with id {id} cannot be found."))
}

fn server_certificate_taken(error: mallee_store::StoreError, name: &str) -> ApiError {
    if error.is_conflict("server_certificates_account_id_name") {
        Code::EntityAlreadyExists.message(format!("The Server Certificate with name {name} already exists."))
    } else {
        store_failure(error)
    }
}

impl Cloud {
    /// `UploadSigningCertificate`; without a name: for the caller.
    ///
    /// # Errors
    /// `NoSuchEntity`, `MalformedCertificate`, `InvalidCertificate`, `DuplicateCertificate`, `LimitExceeded`.
    pub async fn upload_signing_certificate(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        body: String,
    ) -> Result<(UserRow, SigningCertificateRow), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let read = x509::certificate(&body)?;
        let now_ms = self.clock().now_ms();
        if now_ms >= read.expires_ms {
            return Err(Code::InvalidCertificate.message("The certificate has expired."));
        }
        let row = SigningCertificateRow {
            id: format!("{:032X}", self.rng().u128()),
            user_id: user.id.clone(),
            account_id: user.account_id.clone(),
            body,
            digest: read.digest,
            active: true,
            created_ms: now_ms,
        };
        let mut tx = self.iam_write(cx).await?;
        let have = signing_certificate_list(&mut tx, &user.id).await.or_fail()?;
        quota("CertificatesPerUser", have.len() as u64, SIGNING_MAX)?;
        signing_certificate_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("signing_certificates_user_id_digest") {
                Code::DuplicateCertificate.message("The certificate has already been uploaded.")
            } else {
                store_failure(error)
            }
        })?;
        tx.commit().await.or_fail()?;
        Ok((user, row))
    }

    /// `UpdateSigningCertificate`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn set_signing_certificate_active(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        id: &str,
        active: bool,
    ) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        if !signing_certificate_active_set(&mut tx, &user.id, id, active).await.or_fail()? {
            return Err(no_certificate(id));
        }
        tx.commit().await.or_fail()
    }

    /// `DeleteSigningCertificate`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_signing_certificate(
        &self,
        cx: &OpContext,
        name: Option<&str>,
        id: &str,
    ) -> Result<(), ApiError> {
        let user = self.user_or_self(cx, name).await?;
        let mut tx = self.iam_write(cx).await?;
        if !signing_certificate_delete(&mut tx, &user.id, id).await.or_fail()? {
            return Err(no_certificate(id));
        }
        tx.commit().await.or_fail()
    }

    /// `UploadServerCertificate`.
    ///
    /// # Errors
    /// `MalformedCertificate`, `KeyPairMismatch`, `EntityAlreadyExists`, `LimitExceeded`, bad tags or path.
    pub async fn upload_server_certificate(
        &self,
        cx: &OpContext,
        new: NewServerCertificate,
    ) -> Result<ServerCertificateRow, ApiError> {
        let NewServerCertificate { name, path: given, body, chain, key, tags } = new;
        let read = x509::certificate(&body)?;
        x509::check_key(&read, &key)?;
        if let Some(chain) = &chain {
            x509::check_chain(chain)?;
        }
        let row = ServerCertificateRow {
            id: self.unique_id("ASCA"),
            account_id: cx.account().clone(),
            name,
            path: path(given)?,
            body,
            chain,
            expires_ms: read.expires_ms,
            created_ms: self.clock().now_ms(),
        };
        let allowance = self
            .iam_allowance(
                cx,
                "iam:UploadServerCertificate",
                "server-certificate",
                &format!("{}{}", row.path, row.name),
            )
            .await?;
        let mut tx = self.iam_write(cx).await?;
        allowance.take(&mut tx, &[(&quotas::SERVER_CERTIFICATES, 1)], std::slice::from_ref(&row.id)).await?;
        server_certificate_insert(&mut tx, &row, &key).await.map_err(|e| server_certificate_taken(e, &row.name))?;
        labels::put(&mut tx, cx.account(), &row.id, &tags).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    /// `UpdateServerCertificate`: another name or path.
    ///
    /// # Errors
    /// `NoSuchEntity`, `EntityAlreadyExists`, `ValidationError`.
    pub async fn rename_server_certificate(
        &self,
        cx: &OpContext,
        name: &str,
        new_name: Option<String>,
        new_path: Option<String>,
    ) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find_server_certificate(&mut tx, cx.account(), name).await?;
        let new_name = new_name.unwrap_or(row.name);
        let new_path = if new_path.is_some() { path(new_path)? } else { row.path };
        let renamed = server_certificate_rename(&mut tx, &row.id, &new_name, &new_path).await;
        renamed.map_err(|error| server_certificate_taken(error, &new_name))?;
        tx.commit().await.or_fail()
    }

    /// `DeleteServerCertificate`, with its key.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_server_certificate(&self, cx: &OpContext, name: &str) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find_server_certificate(&mut tx, cx.account(), name).await?;
        iam_tag_delete_of(&mut tx, &row.id).await.or_fail()?;
        server_certificate_delete(&mut tx, &row.id).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `TagServerCertificate`.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of [`labels::put`].
    pub async fn tag_server_certificate(&self, cx: &OpContext, name: &str, tags: &[Tag]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find_server_certificate(&mut tx, cx.account(), name).await?;
        labels::put(&mut tx, cx.account(), &row.id, tags).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagServerCertificate`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_server_certificate(&self, cx: &OpContext, name: &str, keys: &[String]) -> Result<(), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find_server_certificate(&mut tx, cx.account(), name).await?;
        iam_tag_delete(&mut tx, &row.id, keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}
