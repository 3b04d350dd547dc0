//! SSH public keys of users.

use crate::IdentityApi;
use crate::certificates::status;
use crate::parts::{Slice, time};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::ssh_keys::no_key;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::{
    DeleteSSHPublicKeyRequest, GetSSHPublicKeyRequest, GetSSHPublicKeyResponse, ListSSHPublicKeysRequest,
    ListSSHPublicKeysResponse, SSHPublicKey, SSHPublicKeyMetadata, UpdateSSHPublicKeyRequest,
    UploadSSHPublicKeyRequest, UploadSSHPublicKeyResponse,
};
use mallee_store::{SshPublicKeyRow, ssh_public_key_list};

fn shown(row: SshPublicKeyRow, user: String) -> SSHPublicKey {
    SSHPublicKey {
        fingerprint: Some(row.fingerprint),
        ssh_public_key_body: Some(row.body),
        ssh_public_key_id: Some(row.id),
        status: status(row.active),
        upload_date: time(row.created_ms),
        user_name: Some(user),
    }
}

impl IdentityApi {
    pub(crate) async fn upload_ssh_public_key(
        &self,
        cx: &OpContext,
        r: UploadSSHPublicKeyRequest,
    ) -> Result<UploadSSHPublicKeyResponse, ApiError> {
        let UploadSSHPublicKeyRequest { ssh_public_key_body, user_name } = r;
        let (name, body) = (user_name.unwrap_or_default(), ssh_public_key_body.unwrap_or_default());
        let (user, row) = self.cloud.upload_ssh_key(cx, &name, &body).await?;
        Ok(UploadSSHPublicKeyResponse { ssh_public_key: Some(shown(row, user.name)) })
    }

    pub(crate) async fn get_ssh_public_key(
        &self,
        cx: &OpContext,
        r: GetSSHPublicKeyRequest,
    ) -> Result<GetSSHPublicKeyResponse, ApiError> {
        let GetSSHPublicKeyRequest { encoding, ssh_public_key_id, user_name } = r;
        if encoding.as_deref() == Some("PEM") {
            return Err(
                Code::UnrecognizedPublicKeyEncoding.message("This cloud gives public keys in the encoding SSH only.")
            );
        }
        let user = self.cloud.user_or_self(cx, user_name.as_deref()).await?;
        let id = ssh_public_key_id.unwrap_or_default();
        let rows = ssh_public_key_list(self.store(), &user.id).await.or_fail()?;
        let row = rows.into_iter().find(|row| row.id == id).ok_or_else(|| no_key(&id))?;
        Ok(GetSSHPublicKeyResponse { ssh_public_key: Some(shown(row, user.name)) })
    }

    pub(crate) async fn list_ssh_public_keys(
        &self,
        cx: &OpContext,
        r: ListSSHPublicKeysRequest,
    ) -> Result<ListSSHPublicKeysResponse, ApiError> {
        let ListSSHPublicKeysRequest { marker, max_items, user_name } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let user = self.cloud.user_or_self(cx, user_name.as_deref()).await?;
        let rows = ssh_public_key_list(self.store(), &user.id).await.or_fail()?;
        let page = slice.cut_all(rows, |row| row.id.clone());
        let keys = page.items.into_iter().map(|row| SSHPublicKeyMetadata {
            ssh_public_key_id: Some(row.id),
            status: status(row.active),
            upload_date: time(row.created_ms),
            user_name: Some(user.name.clone()),
        });
        Ok(ListSSHPublicKeysResponse {
            is_truncated: page.is_truncated,
            marker: page.marker,
            ssh_public_keys: keys.collect(),
        })
    }

    pub(crate) async fn update_ssh_public_key(
        &self,
        cx: &OpContext,
        r: UpdateSSHPublicKeyRequest,
    ) -> Result<(), ApiError> {
        let UpdateSSHPublicKeyRequest { ssh_public_key_id, status, user_name } = r;
        let (name, id) = (user_name.unwrap_or_default(), ssh_public_key_id.unwrap_or_default());
        self.cloud.set_ssh_key_active(cx, &name, &id, status.as_deref() == Some("Active")).await
    }

    pub(crate) async fn delete_ssh_public_key(
        &self,
        cx: &OpContext,
        r: DeleteSSHPublicKeyRequest,
    ) -> Result<(), ApiError> {
        let DeleteSSHPublicKeyRequest { ssh_public_key_id, user_name } = r;
        let (name, id) = (user_name.unwrap_or_default(), ssh_public_key_id.unwrap_or_default());
        self.cloud.delete_ssh_key(cx, &name, &id).await
    }
}
