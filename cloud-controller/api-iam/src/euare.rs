//! What Eucalyptus' IAM ("Euare") has beyond AWS's: accounts, policies of accounts, and `DelegateAccount`, with which
//! the cloud's administrator acts on another account. These are not in the model the other requests are generated from.

use crate::IdentityApi;
use crate::parts::document;
use mallee_app::fail::OrFail as _;
use mallee_app::iam::accounts::NewAccount;
use mallee_app::iam::base::IAM_CHANGE;
use mallee_app::iam::inline;
use mallee_app::iam::on_principals::Holder;
use mallee_app::{Actor, OpContext};
use mallee_awswire::xml::XmlWriter;
use mallee_awswire::{ApiError, Code, Params};
use mallee_ec2_types::iam::SERVICE;
use mallee_store::{AccountRow, change_append};
use mallee_types::AccountId;
use secrecy::ExposeSecret as _;

/// The parameter with which every operation acts on another account: its name or its number.
pub(crate) const DELEGATE: &str = "DelegateAccount";
/// The operations that only Eucalyptus has.
pub(crate) const OPERATIONS: &[&str] = &[
    "CreateAccount",
    "DeleteAccount",
    "DeleteAccountPolicy",
    "GetAccountPolicy",
    "ListAccountPolicies",
    "ListAccounts",
    "PutAccountPolicy",
];
/// Accounts on a page when the request does not say how many, and at most.
const ACCOUNTS_MAX: u32 = 1_000;

/// Refuses parameters that the operation does not have.
fn only(params: &Params, names: &[&str]) -> Result<(), ApiError> {
    match params.iter().find(|(name, _)| !names.contains(name)) {
        Some((name, _)) => Err(ApiError::unknown_parameter(&mallee_awswire::texts::clip(name))),
        None => Ok(()),
    }
}

fn required<'a>(params: &'a Params, name: &str) -> Result<&'a str, ApiError> {
    params.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        let mut member = name.to_owned();
        if let Some(first) = member.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        Code::ValidationError.message(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

fn flag(params: &Params, name: &str) -> Result<bool, ApiError> {
    match params.get(name) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(ApiError::invalid_value(name, text, "Expected true or false.")),
    }
}

/// A reply in the envelope of the service; `result` writes what is in it, if anything.
fn reply(cx: &OpContext, action: &str, result: Option<&dyn Fn(&mut XmlWriter)>) -> String {
    let mut w = XmlWriter::document();
    let root = format!("{action}Response");
    w.open_ns(&root, &format!("{}{}{}", SERVICE.xmlns_base, SERVICE.api_version, SERVICE.xmlns_tail));
    if let Some(result) = result {
        let wrapper = format!("{action}Result");
        w.open(&wrapper);
        result(&mut w);
        w.close(&wrapper);
    }
    w.open("ResponseMetadata");
    w.text("RequestId", &cx.request_id);
    w.close("ResponseMetadata");
    w.close(&root);
    w.finish()
}

fn account(w: &mut XmlWriter, name: &str, row: &AccountRow) {
    w.open(name);
    w.text("AccountName", &row.name);
    w.text("AccountId", row.id.as_str());
    w.timestamp("CreateDate", mallee_runtime::clock::from_unix_ms(row.created_ms));
    w.close(name);
}

impl IdentityApi {
    /// With `DelegateAccount`, the call as made by the administrator of that account.
    ///
    /// # Errors
    /// `NoSuchEntity`; for all but the cloud's administrators also for accounts that there are.
    pub(crate) async fn delegated(
        &self,
        cx: &OpContext,
        params: &Params,
    ) -> Result<Option<(OpContext, Params)>, ApiError> {
        let Some(name) = params.get(DELEGATE) else { return Ok(None) };
        let account = self.cloud.find_account(cx, name).await?;
        let rest = params.without(DELEGATE);
        if account.id == *cx.account() {
            return Ok(Some((cx.clone(), rest)));
        }
        // What is audited and told stays the real caller's.
        let actor = Actor { arn: cx.actor.arn.clone(), ..Actor::root(account.id, false) };
        Ok(Some((OpContext { actor, ..cx.clone() }, rest)))
    }

    /// Answers what only Eucalyptus has; `None` for everything else.
    pub(crate) async fn euare_call(
        &self,
        cx: &OpContext,
        action: &str,
        params: &Params,
    ) -> Option<Result<String, ApiError>> {
        Some(match action {
            "CreateAccount" => self.create_account(cx, params).await,
            "DeleteAccount" => self.delete_account(cx, params).await,
            "ListAccounts" => self.list_accounts(cx, params).await,
            "PutAccountPolicy" | "GetAccountPolicy" | "DeleteAccountPolicy" | "ListAccountPolicies" => {
                self.account_policy(cx, action, params).await
            }
            _ => return None,
        })
    }

    async fn create_account(&self, cx: &OpContext, params: &Params) -> Result<String, ApiError> {
        only(params, &["AccountName"])?;
        let made = self.cloud.create_account(cx, required(params, "AccountName")?).await?;
        let NewAccount { account: row, admin, key, secret } = &made;
        Ok(reply(
            cx,
            "CreateAccount",
            Some(&|w| {
                account(w, "Account", row);
                w.open("AccessKey");
                w.text("UserName", &admin.name);
                w.text("AccessKeyId", &key.id);
                w.text("Status", "Active");
                w.text("SecretAccessKey", secret.expose_secret());
                w.close("AccessKey");
            }),
        ))
    }

    async fn delete_account(&self, cx: &OpContext, params: &Params) -> Result<String, ApiError> {
        only(params, &["AccountName", "Recursive"])?;
        let recursive = flag(params, "Recursive")?;
        self.cloud.delete_account(cx, required(params, "AccountName")?, recursive).await?;
        Ok(reply(cx, "DeleteAccount", None))
    }

    async fn list_accounts(&self, cx: &OpContext, params: &Params) -> Result<String, ApiError> {
        only(params, &["Marker", "MaxItems"])?;
        let bad = |name: &str| Code::ValidationError.message(format!("Invalid {name}"));
        let after = params.get("Marker").map(|m| m.parse::<AccountId>().map_err(|_| bad("Marker"))).transpose()?;
        let limit = match params.get("MaxItems").map(str::parse::<u32>) {
            None => ACCOUNTS_MAX,
            Some(Ok(n)) if (1..=ACCOUNTS_MAX).contains(&n) => n,
            Some(_) => return Err(bad("MaxItems")),
        };
        let mut rows = self.cloud.accounts(cx, after.as_ref(), limit + 1).await?;
        let shown = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > shown;
        rows.truncate(shown);
        Ok(reply(
            cx,
            "ListAccounts",
            Some(&|w| {
                w.open("Accounts");
                rows.iter().for_each(|row| account(w, "member", row));
                w.close("Accounts");
                w.display("IsTruncated", more);
                if let Some(last) = rows.last().filter(|_| more) {
                    w.text("Marker", last.id.as_str());
                }
            }),
        ))
    }

    /// The four operations on policies of accounts. Only the cloud's administrators change them.
    async fn account_policy(&self, cx: &OpContext, action: &str, params: &Params) -> Result<String, ApiError> {
        let (change, names): (bool, &[&str]) = match action {
            "PutAccountPolicy" => (true, &["AccountName", "PolicyDocument", "PolicyName"]),
            "DeleteAccountPolicy" => (true, &["AccountName", "PolicyName"]),
            "GetAccountPolicy" => (false, &["AccountName", "PolicyName"]),
            _ => (false, &["AccountName"]),
        };
        only(params, names)?;
        if change {
            self.cloud.require_cloud_admin(cx, action)?;
        }
        let row = self.cloud.find_account(cx, required(params, "AccountName")?).await?;
        let holder = Holder::account(&row.id, &row.name);
        if action == "ListAccountPolicies" {
            let found = inline::names(self.store(), &holder).await?;
            return Ok(reply(
                cx,
                action,
                Some(&|w| {
                    w.open("PolicyNames");
                    found.iter().for_each(|name| w.text("member", name));
                    w.close("PolicyNames");
                    w.text("IsTruncated", "false");
                }),
            ));
        }
        let name = required(params, "PolicyName")?;
        let fits = |c: u8| c.is_ascii_alphanumeric() || b"_+=,.@-".contains(&c);
        if name.len() > 128 || !name.bytes().all(fits) {
            return Err(Code::ValidationError.message(
                "The specified value for policyName is invalid. It must contain only alphanumeric characters and/or \
                 the following: +=,.@_-",
            ));
        }
        if !change {
            let json = inline::get(self.store(), &holder, name).await?;
            return Ok(reply(
                cx,
                action,
                Some(&|w| {
                    w.text("AccountName", &row.name);
                    w.text("PolicyName", name);
                    w.text("PolicyDocument", &document(&json));
                }),
            ));
        }
        let mut tx = self.store().write().await.or_fail()?;
        if action == "PutAccountPolicy" {
            inline::put(&mut tx, &holder, name, required(params, "PolicyDocument")?).await?;
        } else {
            inline::delete(&mut tx, &holder, name).await?;
        }
        change_append(&mut tx, IAM_CHANGE, &row.id, None);
        tx.commit().await.or_fail()?;
        Ok(reply(cx, action, None))
    }
}
