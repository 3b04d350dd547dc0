//! OpenID Connect providers.

use crate::IdentityApi;
use crate::parts::{labels, tag_page, tags_of, time};
use mallee_app::OpContext;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::oidc::{find_provider, provider_arn};
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    AddClientIDToOpenIDConnectProviderRequest, CreateOpenIDConnectProviderRequest, CreateOpenIDConnectProviderResponse,
    DeleteOpenIDConnectProviderRequest, GetOpenIDConnectProviderRequest, GetOpenIDConnectProviderResponse,
    ListOpenIDConnectProviderTagsRequest, ListOpenIDConnectProviderTagsResponse, ListOpenIDConnectProvidersRequest,
    ListOpenIDConnectProvidersResponse, OpenIDConnectProviderListEntry, RemoveClientIDFromOpenIDConnectProviderRequest,
    TagOpenIDConnectProviderRequest, UntagOpenIDConnectProviderRequest, UpdateOpenIDConnectProviderThumbprintRequest,
};
use mallee_store::oidc_provider_list;

impl IdentityApi {
    pub(crate) async fn create_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: CreateOpenIDConnectProviderRequest,
    ) -> Result<CreateOpenIDConnectProviderResponse, ApiError> {
        let CreateOpenIDConnectProviderRequest { client_id_list, tags, thumbprint_list, url } = r;
        let url = url.unwrap_or_default();
        let row = self.cloud.create_oidc_provider(cx, &url, client_id_list, thumbprint_list, &labels(tags)).await?;
        let arn = provider_arn(&row);
        let tags = tags_of(self.store(), &arn).await?;
        Ok(CreateOpenIDConnectProviderResponse { open_id_connect_provider_arn: Some(arn), tags })
    }

    pub(crate) async fn get_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: GetOpenIDConnectProviderRequest,
    ) -> Result<GetOpenIDConnectProviderResponse, ApiError> {
        let GetOpenIDConnectProviderRequest { open_id_connect_provider_arn } = r;
        let row = find_provider(self.store(), cx.account(), &open_id_connect_provider_arn.unwrap_or_default()).await?;
        let tags = tags_of(self.store(), &provider_arn(&row)).await?;
        Ok(GetOpenIDConnectProviderResponse {
            client_id_list: row.client_ids.0,
            create_date: time(row.created_ms),
            tags,
            thumbprint_list: row.thumbprints.0,
            url: Some(row.url),
        })
    }

    pub(crate) async fn list_open_id_connect_providers(
        &self,
        cx: &OpContext,
        r: ListOpenIDConnectProvidersRequest,
    ) -> Result<ListOpenIDConnectProvidersResponse, ApiError> {
        let ListOpenIDConnectProvidersRequest {} = r;
        let rows = oidc_provider_list(self.store(), cx.account()).await.or_fail()?;
        let entries = rows.iter().map(|row| OpenIDConnectProviderListEntry { arn: Some(provider_arn(row)) });
        Ok(ListOpenIDConnectProvidersResponse { open_id_connect_provider_list: entries.collect() })
    }

    pub(crate) async fn delete_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: DeleteOpenIDConnectProviderRequest,
    ) -> Result<(), ApiError> {
        let DeleteOpenIDConnectProviderRequest { open_id_connect_provider_arn } = r;
        self.cloud.delete_oidc_provider(cx, &open_id_connect_provider_arn.unwrap_or_default()).await
    }

    pub(crate) async fn add_client_id_to_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: AddClientIDToOpenIDConnectProviderRequest,
    ) -> Result<(), ApiError> {
        let AddClientIDToOpenIDConnectProviderRequest { client_id, open_id_connect_provider_arn } = r;
        let arn = open_id_connect_provider_arn.unwrap_or_default();
        self.cloud.add_oidc_client(cx, &arn, client_id.unwrap_or_default()).await
    }

    pub(crate) async fn remove_client_id_from_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: RemoveClientIDFromOpenIDConnectProviderRequest,
    ) -> Result<(), ApiError> {
        let RemoveClientIDFromOpenIDConnectProviderRequest { client_id, open_id_connect_provider_arn } = r;
        let arn = open_id_connect_provider_arn.unwrap_or_default();
        self.cloud.remove_oidc_client(cx, &arn, &client_id.unwrap_or_default()).await
    }

    pub(crate) async fn update_open_id_connect_provider_thumbprint(
        &self,
        cx: &OpContext,
        r: UpdateOpenIDConnectProviderThumbprintRequest,
    ) -> Result<(), ApiError> {
        let UpdateOpenIDConnectProviderThumbprintRequest { open_id_connect_provider_arn, thumbprint_list } = r;
        let arn = open_id_connect_provider_arn.unwrap_or_default();
        self.cloud.set_oidc_thumbprints(cx, &arn, thumbprint_list).await
    }

    pub(crate) async fn tag_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: TagOpenIDConnectProviderRequest,
    ) -> Result<(), ApiError> {
        let TagOpenIDConnectProviderRequest { open_id_connect_provider_arn, tags } = r;
        let arn = open_id_connect_provider_arn.unwrap_or_default();
        self.cloud.tag_oidc_provider(cx, &arn, &labels(tags)).await
    }

    pub(crate) async fn untag_open_id_connect_provider(
        &self,
        cx: &OpContext,
        r: UntagOpenIDConnectProviderRequest,
    ) -> Result<(), ApiError> {
        let UntagOpenIDConnectProviderRequest { open_id_connect_provider_arn, tag_keys } = r;
        let arn = open_id_connect_provider_arn.unwrap_or_default();
        self.cloud.untag_oidc_provider(cx, &arn, &tag_keys).await
    }

    pub(crate) async fn list_open_id_connect_provider_tags(
        &self,
        cx: &OpContext,
        r: ListOpenIDConnectProviderTagsRequest,
    ) -> Result<ListOpenIDConnectProviderTagsResponse, ApiError> {
        let ListOpenIDConnectProviderTagsRequest { marker, max_items, open_id_connect_provider_arn } = r;
        let row = find_provider(self.store(), cx.account(), &open_id_connect_provider_arn.unwrap_or_default()).await?;
        let page = tag_page(self.store(), &provider_arn(&row), marker.as_deref(), max_items).await?;
        Ok(ListOpenIDConnectProviderTagsResponse {
            is_truncated: page.is_truncated,
            marker: page.marker,
            tags: page.items,
        })
    }
}
