//! A cloud without cluster controllers, and calls to its IAM.

use mallee_api_iam::IdentityApi;
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_awswire::xml_read::{Element, XmlLimits};
use mallee_awswire::{ApiError, Params};
use mallee_iam::Principal;
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::{UserRow, user_admin, user_by_name};
use mallee_types::AccountId;
use std::sync::Arc;

pub struct Fixture {
    pub cloud: Arc<Cloud>,
    pub api: IdentityApi,
    pub cx: OpContext,
    pub account: AccountId,
    _db: TestDb,
}

pub const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}"#;

impl Fixture {
    pub async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = test_support::cloud(&db, &store, config(), Faults::none());
        let access = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap();
        let admin = user_admin(&store, &access.account).await.unwrap().unwrap();
        let cx = context(&admin, true);
        Self { api: IdentityApi::new(cloud.clone()), cloud, cx, account: access.account, _db: db }
    }

    /// The calls of another user of the account.
    pub async fn as_user(&self, name: &str) -> OpContext {
        context(&user_by_name(self.cloud.store(), &self.account, name).await.unwrap().unwrap(), true)
    }

    pub async fn call_as(
        &self,
        cx: &OpContext,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Element, ApiError> {
        let common = [("Action", action), ("Version", "2010-05-08")];
        let params = Params::from_pairs(common.into_iter().chain(parameters.iter().copied())).unwrap();
        let xml = self.api.iam_call(cx, action, &params).await?;
        let root = Element::parse(xml.as_bytes(), XmlLimits::bytes(1 << 20)).unwrap();
        assert_eq!(root.name, format!("{action}Response"));
        Ok(root)
    }

    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, ApiError> {
        self.call_as(&self.cx, action, parameters).await
    }

    /// Does it.
    pub async fn ok(&self, action: &str, parameters: &[(&str, &str)]) {
        self.call(action, parameters).await.unwrap();
    }

    /// The texts of all elements of this name in the reply.
    pub async fn texts(&self, action: &str, parameters: &[(&str, &str)], element: &str) -> Vec<String> {
        texts(&self.call(action, parameters).await.unwrap(), element)
    }

    /// The text of the only element of this name.
    pub async fn text(&self, action: &str, parameters: &[(&str, &str)], element: &str) -> String {
        let mut found = self.texts(action, parameters, element).await;
        assert_eq!(found.len(), 1, "{element}: {found:?}");
        found.remove(0)
    }

    /// Code and text of the error.
    pub async fn error(&self, action: &str, parameters: &[(&str, &str)]) -> (&'static str, String) {
        let error = self.call(action, parameters).await.unwrap_err();
        (error.code().as_str(), error.message().to_owned())
    }

    pub fn arn(&self, rest: &str) -> String {
        format!("arn:aws:iam::{}:{rest}", self.account)
    }
}

/// A user's context.
pub fn context(user: &UserRow, is_admin: bool) -> OpContext {
    let principal = Principal::User {
        account: user.account_id.clone(),
        path: user.path.clone().into(),
        name: user.name.clone().into(),
        id: user.id.clone().into(),
    };
    let mut actor = Actor::new(principal, is_admin).unwrap();
    actor.is_account_admin = user.is_admin;
    OpContext::new(actor, "req-1")
}

pub fn texts(element: &Element, name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for child in &element.children {
        if child.name == name && child.children.is_empty() {
            out.push(child.text.clone());
        }
        out.extend(texts(child, name));
    }
    out
}
