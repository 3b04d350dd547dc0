//! The account: its alias, its summary, everything in it.

use crate::IdentityApi;
use crate::page::Page;
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
        let page = Page::new("ListAccountAliases", max_items, marker.as_deref())?;
        let cut = page.cut(self.cloud.account_alias(cx).await?.into_iter().collect(), Clone::clone);
        Ok(ListAccountAliasesResponse { account_aliases: cut.items, is_truncated: cut.truncated, marker: cut.marker })
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
