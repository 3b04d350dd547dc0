//! The account: its alias, its summary, everything in it.

use crate::IdentityApi;
use crate::parts::Slice;
use crate::wire::text;
use mallee_app::OpContext;
use mallee_awswire::ApiError;
use mallee_ec2_types::iam::{
    CreateAccountAliasRequest, DeleteAccountAliasRequest, GetAccountSummaryRequest, GetAccountSummaryResponse,
    ListAccountAliasesRequest, ListAccountAliasesResponse,
};

impl IdentityApi {
    pub(crate) async fn create_account_alias(
        &self,
        cx: &OpContext,
        r: CreateAccountAliasRequest,
    ) -> Result<(), ApiError> {
        let CreateAccountAliasRequest { account_alias } = r;
        self.cloud.create_account_alias(cx, &text(account_alias)).await
    }

    pub(crate) async fn delete_account_alias(
        &self,
        cx: &OpContext,
        r: DeleteAccountAliasRequest,
    ) -> Result<(), ApiError> {
        let DeleteAccountAliasRequest { account_alias } = r;
        self.cloud.delete_account_alias(cx, &text(account_alias)).await
    }

    pub(crate) async fn list_account_aliases(
        &self,
        cx: &OpContext,
        r: ListAccountAliasesRequest,
    ) -> Result<ListAccountAliasesResponse, ApiError> {
        let ListAccountAliasesRequest { marker, max_items } = r;
        let page = Slice::new(marker.as_deref(), max_items)?;
        let cut = page.cut_all(self.cloud.account_alias(cx).await?.into_iter().collect(), Clone::clone);
        Ok(ListAccountAliasesResponse {
            account_aliases: cut.items,
            is_truncated: cut.is_truncated,
            marker: cut.marker,
        })
    }

    pub(crate) async fn get_account_summary(
        &self,
        cx: &OpContext,
        r: GetAccountSummaryRequest,
    ) -> Result<GetAccountSummaryResponse, ApiError> {
        let GetAccountSummaryRequest {} = r;
        let map = self.cloud.account_summary(cx).await?;
        let entry = |(name, n): (&str, u64)| (name.to_owned(), i32::try_from(n).unwrap_or(i32::MAX));
        Ok(GetAccountSummaryResponse { summary_map: map.into_iter().map(entry).collect() })
    }
}
