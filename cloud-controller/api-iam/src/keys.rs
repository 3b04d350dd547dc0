//! Access keys.

use crate::IdentityApi;
use crate::parts::{Slice, time};
use crate::wire::text;
use mallee_app::OpContext;
use mallee_awswire::{ApiError, Code};
use mallee_ec2_types::iam::{
    AccessKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyRequest, CreateAccessKeyResponse,
    DeleteAccessKeyRequest, GetAccessKeyLastUsedRequest, GetAccessKeyLastUsedResponse, ListAccessKeysRequest,
    ListAccessKeysResponse, UpdateAccessKeyRequest,
};

const fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}

impl IdentityApi {
    pub(crate) async fn create_access_key(
        &self,
        cx: &OpContext,
        r: CreateAccessKeyRequest,
    ) -> Result<CreateAccessKeyResponse, ApiError> {
        let CreateAccessKeyRequest { user_name } = r;
        let (user, key, secret) = self.cloud.create_access_key(cx, user_name.as_deref()).await?;
        Ok(CreateAccessKeyResponse {
            access_key: Some(AccessKey {
                access_key_id: Some(key.id),
                create_date: time(key.created_ms),
                secret_access_key: Some(secret),
                status: Some(status(key.active).into()),
                user_name: Some(user.name),
            }),
        })
    }

    pub(crate) async fn list_access_keys(
        &self,
        cx: &OpContext,
        r: ListAccessKeysRequest,
    ) -> Result<ListAccessKeysResponse, ApiError> {
        let ListAccessKeysRequest { marker, max_items, user_name } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let (user, keys) = self.cloud.access_keys(cx, user_name.as_deref()).await?;
        let cut = page.cut_all(keys, |key| key.id.clone());
        let one = |key: mallee_store::AccessKeyRow| AccessKeyMetadata {
            access_key_id: Some(key.id),
            create_date: time(key.created_ms),
            status: Some(status(key.active).into()),
            user_name: Some(user.name.clone()),
        };
        Ok(ListAccessKeysResponse {
            access_key_metadata: cut.items.into_iter().map(one).collect(),
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn update_access_key(&self, cx: &OpContext, r: UpdateAccessKeyRequest) -> Result<(), ApiError> {
        let UpdateAccessKeyRequest { access_key_id, status, user_name } = r;
        let active = match status.as_deref() {
            Some("Active") => true,
            Some("Inactive") => false,
            // `Expired` is of the model; it is a state that service-specific credentials come to by themselves.
            _ => {
                return Err(
                    Code::ValidationError.message("The status of an access key can be set to Active or Inactive.")
                );
            }
        };
        self.cloud.set_access_key_active(cx, user_name.as_deref(), &text(access_key_id), active).await
    }

    pub(crate) async fn delete_access_key(&self, cx: &OpContext, r: DeleteAccessKeyRequest) -> Result<(), ApiError> {
        let DeleteAccessKeyRequest { access_key_id, user_name } = r;
        self.cloud.delete_access_key(cx, user_name.as_deref(), &text(access_key_id)).await
    }

    pub(crate) async fn get_access_key_last_used(
        &self,
        cx: &OpContext,
        r: GetAccessKeyLastUsedRequest,
    ) -> Result<GetAccessKeyLastUsedResponse, ApiError> {
        let GetAccessKeyLastUsedRequest { access_key_id } = r;
        let used = self.cloud.access_key_last_used(cx, &text(access_key_id)).await?;
        let none = || "N/A".to_owned();
        let (when, region, service) = match used.last {
            Some(last) => (time(last.used_ms), last.region, last.service),
            None => (None, none(), none()),
        };
        Ok(GetAccessKeyLastUsedResponse {
            access_key_last_used: Some(AccessKeyLastUsed {
                last_used_date: when,
                region: Some(region),
                service_name: Some(service),
            }),
            user_name: Some(used.user.name),
        })
    }
}
