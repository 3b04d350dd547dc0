//! Certificates users sign with, and those of servers.

use crate::IdentityApi;
use crate::parts::{Slice, labels, tag_page, tags_of, time};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::certificates::{NewServerCertificate, find_server_certificate, server_certificate_arn};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    DeleteServerCertificateRequest, DeleteSigningCertificateRequest, GetServerCertificateRequest,
    GetServerCertificateResponse, ListServerCertificateTagsRequest, ListServerCertificateTagsResponse,
    ListServerCertificatesRequest, ListServerCertificatesResponse, ListSigningCertificatesRequest,
    ListSigningCertificatesResponse, ServerCertificate, ServerCertificateMetadata, SigningCertificate,
    TagServerCertificateRequest, UntagServerCertificateRequest, UpdateServerCertificateRequest,
    UpdateSigningCertificateRequest, UploadServerCertificateRequest, UploadServerCertificateResponse,
    UploadSigningCertificateRequest, UploadSigningCertificateResponse,
};
use mallee_store::{
    NamedFilter, ServerCertificateRow, SigningCertificateRow, server_certificate_list, signing_certificate_list,
};

/// The word of a switch.
pub(crate) fn status(active: bool) -> Option<String> {
    Some(if active { "Active" } else { "Inactive" }.to_owned())
}

fn signing(row: SigningCertificateRow, user: &str) -> SigningCertificate {
    SigningCertificate {
        certificate_body: Some(row.body),
        certificate_id: Some(row.id),
        status: status(row.active),
        upload_date: time(row.created_ms),
        user_name: Some(user.to_owned()),
    }
}

fn metadata(row: ServerCertificateRow) -> ServerCertificateMetadata {
    ServerCertificateMetadata {
        arn: Some(server_certificate_arn(&row)),
        expiration: time(row.expires_ms),
        path: Some(row.path),
        server_certificate_id: Some(row.id),
        server_certificate_name: Some(row.name),
        upload_date: time(row.created_ms),
    }
}

impl IdentityApi {
    pub(crate) async fn upload_signing_certificate(
        &self,
        cx: &OpContext,
        r: UploadSigningCertificateRequest,
    ) -> Result<UploadSigningCertificateResponse, ApiError> {
        let UploadSigningCertificateRequest { certificate_body, user_name } = r;
        let body = certificate_body.unwrap_or_default();
        let (user, row) = self.cloud.upload_signing_certificate(cx, user_name.as_deref(), body).await?;
        Ok(UploadSigningCertificateResponse { certificate: Some(signing(row, &user.name)) })
    }

    pub(crate) async fn list_signing_certificates(
        &self,
        cx: &OpContext,
        r: ListSigningCertificatesRequest,
    ) -> Result<ListSigningCertificatesResponse, ApiError> {
        let ListSigningCertificatesRequest { marker, max_items, user_name } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let user = self.cloud.user_or_self(cx, user_name.as_deref()).await?;
        let rows = signing_certificate_list(self.store(), &user.id).await.or_fail()?;
        let page = slice.cut_all(rows, |row| row.id.clone());
        Ok(ListSigningCertificatesResponse {
            certificates: page.items.into_iter().map(|row| signing(row, &user.name)).collect(),
            is_truncated: page.is_truncated,
            marker: page.marker,
        })
    }

    pub(crate) async fn update_signing_certificate(
        &self,
        cx: &OpContext,
        r: UpdateSigningCertificateRequest,
    ) -> Result<(), ApiError> {
        let UpdateSigningCertificateRequest { certificate_id, status, user_name } = r;
        let (id, active) = (certificate_id.unwrap_or_default(), status.as_deref() == Some("Active"));
        self.cloud.set_signing_certificate_active(cx, user_name.as_deref(), &id, active).await
    }

    pub(crate) async fn delete_signing_certificate(
        &self,
        cx: &OpContext,
        r: DeleteSigningCertificateRequest,
    ) -> Result<(), ApiError> {
        let DeleteSigningCertificateRequest { certificate_id, user_name } = r;
        self.cloud.delete_signing_certificate(cx, user_name.as_deref(), &certificate_id.unwrap_or_default()).await
    }

    pub(crate) async fn upload_server_certificate(
        &self,
        cx: &OpContext,
        r: UploadServerCertificateRequest,
    ) -> Result<UploadServerCertificateResponse, ApiError> {
        let UploadServerCertificateRequest {
            certificate_body,
            certificate_chain,
            path,
            private_key,
            server_certificate_name,
            tags,
        } = r;
        let new = NewServerCertificate {
            name: server_certificate_name.unwrap_or_default(),
            path,
            body: certificate_body.unwrap_or_default(),
            chain: certificate_chain,
            key: private_key.unwrap_or_default(),
            tags: labels(tags),
        };
        let row = self.cloud.upload_server_certificate(cx, new).await?;
        let tags = tags_of(self.store(), &row.id).await?;
        Ok(UploadServerCertificateResponse { server_certificate_metadata: Some(metadata(row)), tags })
    }

    pub(crate) async fn get_server_certificate(
        &self,
        cx: &OpContext,
        r: GetServerCertificateRequest,
    ) -> Result<GetServerCertificateResponse, ApiError> {
        let GetServerCertificateRequest { server_certificate_name } = r;
        let name = server_certificate_name.unwrap_or_default();
        let row = find_server_certificate(self.store(), cx.account(), &name).await?;
        let tags = tags_of(self.store(), &row.id).await?;
        Ok(GetServerCertificateResponse {
            server_certificate: Some(ServerCertificate {
                certificate_body: Some(row.body.clone()),
                certificate_chain: row.chain.clone(),
                server_certificate_metadata: Some(metadata(row)),
                tags,
            }),
        })
    }

    pub(crate) async fn list_server_certificates(
        &self,
        cx: &OpContext,
        r: ListServerCertificatesRequest,
    ) -> Result<ListServerCertificatesResponse, ApiError> {
        let ListServerCertificatesRequest { marker, max_items, path_prefix } = r;
        let slice = Slice::new(marker.as_deref(), max_items)?;
        let filter = NamedFilter { path_prefix: path_prefix.as_deref(), after: slice.after.as_deref() };
        let rows = server_certificate_list(self.store(), cx.account(), filter, slice.rows()).await.or_fail()?;
        let page = slice.cut(rows, |row| row.name.clone());
        Ok(ListServerCertificatesResponse {
            is_truncated: page.is_truncated,
            marker: page.marker,
            server_certificate_metadata_list: page.items.into_iter().map(metadata).collect(),
        })
    }

    pub(crate) async fn update_server_certificate(
        &self,
        cx: &OpContext,
        r: UpdateServerCertificateRequest,
    ) -> Result<(), ApiError> {
        let UpdateServerCertificateRequest { new_path, new_server_certificate_name, server_certificate_name } = r;
        let name = server_certificate_name.unwrap_or_default();
        self.cloud.rename_server_certificate(cx, &name, new_server_certificate_name, new_path).await
    }

    pub(crate) async fn delete_server_certificate(
        &self,
        cx: &OpContext,
        r: DeleteServerCertificateRequest,
    ) -> Result<(), ApiError> {
        let DeleteServerCertificateRequest { server_certificate_name } = r;
        self.cloud.delete_server_certificate(cx, &server_certificate_name.unwrap_or_default()).await
    }

    pub(crate) async fn tag_server_certificate(
        &self,
        cx: &OpContext,
        r: TagServerCertificateRequest,
    ) -> Result<(), ApiError> {
        let TagServerCertificateRequest { server_certificate_name, tags } = r;
        self.cloud.tag_server_certificate(cx, &server_certificate_name.unwrap_or_default(), &labels(tags)).await
    }

    pub(crate) async fn untag_server_certificate(
        &self,
        cx: &OpContext,
        r: UntagServerCertificateRequest,
    ) -> Result<(), ApiError> {
        let UntagServerCertificateRequest { server_certificate_name, tag_keys } = r;
        self.cloud.untag_server_certificate(cx, &server_certificate_name.unwrap_or_default(), &tag_keys).await
    }

    pub(crate) async fn list_server_certificate_tags(
        &self,
        cx: &OpContext,
        r: ListServerCertificateTagsRequest,
    ) -> Result<ListServerCertificateTagsResponse, ApiError> {
        let ListServerCertificateTagsRequest { marker, max_items, server_certificate_name } = r;
        let name = server_certificate_name.unwrap_or_default();
        let row = find_server_certificate(self.store(), cx.account(), &name).await?;
        let page = tag_page(self.store(), &row.id, marker.as_deref(), max_items).await?;
        Ok(ListServerCertificateTagsResponse { is_truncated: page.is_truncated, marker: page.marker, tags: page.items })
    }
}
