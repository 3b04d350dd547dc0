//! `mallee user`: users with the keys and names that they had elsewhere.

use mallee_app::iam::import::{Import, Imported, Names};
use mallee_app::{Cloud, OpContext};
use mallee_awswire::{ApiError, Code};
use secrecy::SecretString;
use serde_json::{Value, json};

/// Makes a user known. `owners_here` tells whether S3's names of accounts are in this database.
pub(super) async fn import(cloud: &Cloud, cx: &OpContext, body: &Value, owners_here: bool) -> Result<Value, ApiError> {
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let key = match (text("access_key_id"), text("secretAccessKey")) {
        (None, None) => None,
        (Some(id), Some(secret)) => Some((id, SecretString::from(secret))),
        (None, _) => return Err(ApiError::missing_parameter("access_key_id")),
        (_, None) => return Err(ApiError::missing_parameter("secretAccessKey")),
    };
    let account = text("account").ok_or_else(|| ApiError::missing_parameter("account"))?;
    let names = match (text("canonical_id"), text("display_name"), text("email")) {
        (None, None, None) => None,
        _ if !owners_here => {
            return Err(Code::UnsupportedOperation.message(
                "The object store is another process and has a database of its own; it gives these names itself.",
            ));
        }
        (None, _, _) => return Err(ApiError::missing_parameter("canonical_id")),
        (Some(canonical_id), name, email) => {
            Some(Names { canonical_id, display_name: name.unwrap_or_else(|| account.clone()), email })
        }
    };
    let import = Import { account, user: text("user"), key, names };
    let Imported { account, user } = cloud.import(cx, &import).await?;
    Ok(json!({ "account": account.id.as_str(), "account_name": account.name, "user": user.name, "user_id": user.id }))
}
