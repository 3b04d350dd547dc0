//! OpenID Connect providers.

use super::base::quota;
use super::labels;
use crate::fail::{OrFail as _, store_failure};
use crate::quotas::table as quotas;
use crate::tags::Tag;
use crate::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use mallee_store::{
    Exec, Json, OidcProviderRow, Tx, creators_forget, iam_tag_delete, iam_tag_delete_of, oidc_creator,
    oidc_provider_delete, oidc_provider_fetch, oidc_provider_insert, oidc_provider_update,
};
use mallee_types::AccountId;

/// Audiences of one provider (AWS: 100).
const CLIENT_IDS_MAX: u64 = 100;
/// Thumbprints of one provider (AWS: 5).
const THUMBPRINTS_MAX: usize = 5;
const CLIENT_ID_CHARS_MAX: usize = 255;
/// Hex digits of a SHA-1.
const THUMBPRINT_CHARS: usize = 40;

/// A provider's ARN.
#[must_use]
pub fn provider_arn(row: &OidcProviderRow) -> String {
    format!("arn:aws:iam::{}:oidc-provider/{}", row.account_id, row.url)
}

/// The account's provider of this ARN.
///
/// # Errors
/// `NoSuchEntity`, `InvalidInput` for what is no provider's ARN.
pub async fn find_provider<'a>(
    exec: impl Into<Exec<'a>>,
    account: &AccountId,
    arn: &str,
) -> Result<OidcProviderRow, ApiError> {
    let missing = || Code::NoSuchEntity.message(format!("OpenIDConnect Provider not found for arn {arn}"));
    let rest = arn.strip_prefix("arn:aws:iam::").ok_or_else(|| Code::InvalidInput.message("Invalid ARN."))?;
    let url = rest.strip_prefix(account.as_str()).and_then(|rest| rest.strip_prefix(":oidc-provider/"));
    let url = url.ok_or_else(missing)?;
    oidc_provider_fetch(exec, account, url).await.or_fail()?.ok_or_else(missing)
}

/// The URL without its scheme and a slash at its end.
fn plain_url(url: &str) -> Result<String, ApiError> {
    let bad = || Code::ValidationError.message("Invalid Open ID Connect Provider URL");
    let rest = url.strip_prefix("https://").ok_or_else(bad)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:%".contains(&b);
    if rest.is_empty() || rest.starts_with('/') || rest.starts_with(':') || !rest.bytes().all(good) {
        return Err(bad());
    }
    Ok(rest.to_owned())
}

fn check_client_ids(ids: &[String]) -> Result<(), ApiError> {
    if ids.iter().any(|id| id.is_empty() || id.chars().count() > CLIENT_ID_CHARS_MAX) {
        return Err(Code::InvalidInput.message("A client ID has 1 to 255 characters."));
    }
    quota("ClientIdsPerOpenIdConnectProvider", (ids.len() as u64).saturating_sub(1), CLIENT_IDS_MAX)
}

fn check_thumbprints(list: &[String]) -> Result<(), ApiError> {
    if list.len() > THUMBPRINTS_MAX {
        return Err(Code::InvalidInput.message("Thumbprint list must contain fewer than 5 entries."));
    }
    if list.iter().any(|t| t.len() != THUMBPRINT_CHARS || !t.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(Code::InvalidInput.message("A thumbprint is the SHA-1 of a certificate: 40 hexadecimal digits."));
    }
    Ok(())
}

impl Cloud {
    /// `CreateOpenIDConnectProvider`.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, `InvalidInput`, `LimitExceeded`, `ValidationError`.
    pub async fn create_oidc_provider(
        &self,
        cx: &OpContext,
        url: &str,
        mut client_ids: Vec<String>,
        thumbprints: Vec<String>,
        tags: &[Tag],
    ) -> Result<OidcProviderRow, ApiError> {
        check_client_ids(&client_ids)?;
        check_thumbprints(&thumbprints)?;
        client_ids.sort();
        client_ids.dedup();
        let row = OidcProviderRow {
            account_id: cx.account().clone(),
            url: plain_url(url)?,
            client_ids: Json(client_ids),
            thumbprints: Json(thumbprints),
            created_ms: self.clock().now_ms(),
        };
        let allowance = self.iam_allowance(cx, "iam:CreateOpenIDConnectProvider", "oidc-provider", &row.url).await?;
        let mut tx = self.iam_write(cx).await?;
        allowance.take(&mut tx, &[(&quotas::OIDC_PROVIDERS, 1)], &[oidc_creator(cx.account(), &row.url)]).await?;
        oidc_provider_insert(&mut tx, &row).await.map_err(|error| {
            if error.is_conflict("oidc_providers_account_id_url") {
                Code::EntityAlreadyExists.message(format!("Provider with url https://{} already exists.", row.url))
            } else {
                store_failure(error)
            }
        })?;
        labels::put(&mut tx, cx.account(), &provider_arn(&row), tags).await?;
        tx.commit().await.or_fail()?;
        Ok(row)
    }

    async fn change_oidc_provider(
        &self,
        cx: &OpContext,
        arn: &str,
        change: impl FnOnce(&mut OidcProviderRow) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let (mut tx, mut row) = self.oidc_provider_to_change(cx, arn).await?;
        change(&mut row)?;
        oidc_provider_update(&mut tx, &row).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    async fn oidc_provider_to_change(&self, cx: &OpContext, arn: &str) -> Result<(Tx, OidcProviderRow), ApiError> {
        let mut tx = self.iam_write(cx).await?;
        let row = find_provider(&mut tx, cx.account(), arn).await?;
        Ok((tx, row))
    }

    /// `AddClientIDToOpenIDConnectProvider`; one that is there stays.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidInput`, `LimitExceeded`.
    pub async fn add_oidc_client(&self, cx: &OpContext, arn: &str, client: String) -> Result<(), ApiError> {
        let change = |row: &mut OidcProviderRow| {
            if !row.client_ids.0.contains(&client) {
                row.client_ids.0.push(client);
                row.client_ids.0.sort();
            }
            check_client_ids(&row.client_ids.0)
        };
        self.change_oidc_provider(cx, arn, change).await
    }

    /// `RemoveClientIDFromOpenIDConnectProvider`; one that is not there is no error, as on AWS.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn remove_oidc_client(&self, cx: &OpContext, arn: &str, client: &str) -> Result<(), ApiError> {
        let change = |row: &mut OidcProviderRow| {
            row.client_ids.0.retain(|id| id != client);
            Ok(())
        };
        self.change_oidc_provider(cx, arn, change).await
    }

    /// `UpdateOpenIDConnectProviderThumbprint`.
    ///
    /// # Errors
    /// `NoSuchEntity`, `InvalidInput`.
    pub async fn set_oidc_thumbprints(&self, cx: &OpContext, arn: &str, list: Vec<String>) -> Result<(), ApiError> {
        let change = |row: &mut OidcProviderRow| {
            check_thumbprints(&list)?;
            row.thumbprints = Json(list);
            Ok(())
        };
        self.change_oidc_provider(cx, arn, change).await
    }

    /// `DeleteOpenIDConnectProvider`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn delete_oidc_provider(&self, cx: &OpContext, arn: &str) -> Result<(), ApiError> {
        let (mut tx, row) = self.oidc_provider_to_change(cx, arn).await?;
        iam_tag_delete_of(&mut tx, &provider_arn(&row)).await.or_fail()?;
        oidc_provider_delete(&mut tx, cx.account(), &row.url).await.or_fail()?;
        creators_forget(&mut tx, &oidc_creator(cx.account(), &row.url)).await.or_fail()?;
        tx.commit().await.or_fail()
    }

    /// `TagOpenIDConnectProvider`.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of [`labels::put`].
    pub async fn tag_oidc_provider(&self, cx: &OpContext, arn: &str, tags: &[Tag]) -> Result<(), ApiError> {
        let (mut tx, row) = self.oidc_provider_to_change(cx, arn).await?;
        labels::put(&mut tx, cx.account(), &provider_arn(&row), tags).await?;
        tx.commit().await.or_fail()
    }

    /// `UntagOpenIDConnectProvider`.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn untag_oidc_provider(&self, cx: &OpContext, arn: &str, keys: &[String]) -> Result<(), ApiError> {
        let (mut tx, row) = self.oidc_provider_to_change(cx, arn).await?;
        iam_tag_delete(&mut tx, &provider_arn(&row), keys).await.or_fail()?;
        tx.commit().await.or_fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_thumbprints_are_checked() {
        assert_eq!(plain_url("https://id.example.org/realm/").unwrap(), "id.example.org/realm");
        for bad in ["http://a", "a", "https://", "https:///x", "https://a?b=c", "https://a b"] {
            assert!(plain_url(bad).is_err(), "{bad}");
        }
        let good = "0123456789abcdef0123456789ABCDEF01234567".to_owned();
        assert!(check_thumbprints(&vec![good.clone(); 5]).is_ok());
        assert!(check_thumbprints(&vec![good; 6]).is_err());
        assert!(check_thumbprints(&["zz".to_owned()]).is_err());
        assert!(check_client_ids(&vec!["c".to_owned(); 100]).is_ok());
        assert!(check_client_ids(&vec!["c".to_owned(); 101]).is_err());
    }
}
