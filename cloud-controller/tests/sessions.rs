//! Temporary credentials from STS to the verifier, over a real database.

#![allow(clippy::unwrap_used, reason = "a test fails where something is not as it should be")]

use mallee_app::sts::assume::{AssumeRole, Assumed};
use mallee_app::sts::{Issued, SecondFactor, SessionPolicies, SessionTags, message};
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_awswire::ApiError;
use mallee_awswire::sigv4::{CredentialSource as _, KeyError, KeyQuery, ResolvedKey};
use mallee_cloud_controller::identity::StoreCredentials;
use mallee_iam::Principal;
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::{RoleRow, UserRow, role_delete, role_insert, user_delete, user_insert};
use mallee_types::AccountId;
use secrecy::ExposeSecret as _;
use std::sync::Arc;

struct World {
    cloud: Arc<Cloud>,
    keys: StoreCredentials,
    account: AccountId,
    db: TestDb,
}

const USER: &str = "AIDAAAAAAAAAAAAAAAAAA";

impl World {
    async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = test_support::cloud(&db, &store, config(), Faults::none());
        let account = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap().account;
        let mut tx = store.write().await.unwrap();
        let user = UserRow {
            id: USER.into(),
            account_id: account.clone(),
            name: "alice".into(),
            path: "/".into(),
            created_ms: 1,
            is_admin: false,
        };
        user_insert(&mut tx, &user).await.unwrap();
        tx.commit().await.unwrap();
        Self { keys: StoreCredentials::new(store), cloud, account, db }
    }

    fn alice(&self) -> OpContext {
        let principal =
            Principal::User { account: self.account.clone(), path: "/".into(), name: "alice".into(), id: USER.into() };
        OpContext::new(Actor::new(principal, false).unwrap(), "r")
    }

    /// A role that trusts what stands in `principal`, under what stands in `condition`.
    async fn role(&self, name: &str, principal: &str, actions: &str, condition: &str) -> String {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":{actions}{condition}}}}}"#
        );
        let row = RoleRow {
            id: format!("AROA{name:A>17}"),
            account_id: self.account.clone(),
            name: name.into(),
            path: "/p/".into(),
            description: None,
            trust,
            max_session_seconds: 7_200,
            created_ms: 1,
            last_used_ms: None,
            last_used_region: None,
        };
        let mut tx = self.cloud.store().write().await.unwrap();
        role_insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        format!("arn:aws:iam::{}:role/p/{name}", self.account)
    }

    async fn trusting_alice(&self) -> String {
        let alice = format!("arn:aws:iam::{}:user/alice", self.account);
        self.role("R1", &alice, r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#, "").await
    }

    async fn assume(&self, cx: &OpContext, asked: AssumeRole) -> Result<Assumed, ApiError> {
        self.cloud.assume_role(cx, AssumeRole { session_name: "s1".into(), ..asked }).await
    }

    async fn key(&self, id: &str, token: Option<&str>) -> Result<ResolvedKey<Actor>, KeyError> {
        let query =
            KeyQuery { access_key_id: id, session_token: token, date: "20260101", region: "eu-1", service: "ec2" };
        self.keys.signing_key(query).await
    }

    async fn holder(&self, issued: &Issued) -> Actor {
        self.key(&issued.access_key_id, Some(issued.token.expose_secret())).await.unwrap().principal
    }
}

fn role(arn: &str) -> AssumeRole {
    AssumeRole { role_arn: arn.into(), ..AssumeRole::default() }
}

#[tokio::test]
async fn a_session_wants_its_token_and_ends_with_its_role() {
    let w = World::new().await;
    let arn = w.trusting_alice().await;
    let assumed = w.assume(&w.alice(), role(&arn)).await.unwrap();
    let (id, token) = (assumed.issued.access_key_id.as_str(), assumed.issued.token.expose_secret());
    let key = w.key(id, Some(token)).await.unwrap();
    assert_eq!(&*key.principal.arn, format!("arn:aws:sts::{}:assumed-role/R1/s1", w.account));
    assert_eq!(key.expires_at.unwrap().unix_timestamp() * 1000, assumed.issued.expires_ms / 1000 * 1000);
    assert_eq!(w.key(id, None).await.unwrap_err(), KeyError::InvalidToken);
    assert_eq!(w.key(id, Some("x")).await.unwrap_err(), KeyError::InvalidToken);
    let other = w.assume(&w.alice(), role(&arn)).await.unwrap();
    assert_eq!(w.key(id, Some(other.issued.token.expose_secret())).await.unwrap_err(), KeyError::InvalidToken);
    assert_eq!(w.key("ASIAAAAAAAAAAAAAAAAA", Some(token)).await.unwrap_err(), KeyError::Unknown);
    let mut tx = w.cloud.store().write().await.unwrap();
    role_delete(&mut tx, &format!("AROA{:A>17}", "R1")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(w.key(id, Some(token)).await.unwrap_err(), KeyError::Unknown);
}

#[tokio::test]
async fn the_trust_policy_decides() {
    let w = World::new().await;
    let cx = w.alice();
    let account = w.account.to_string();
    let refused = |error: ApiError, action: &str, arn: &str| {
        let text = format!(
            "User: arn:aws:iam::{account}:user/alice is not authorized to perform: {action} on resource: {arn}"
        );
        assert_eq!((error.code().as_str(), error.message()), ("AccessDenied", text.as_str()));
    };
    let absent = format!("arn:aws:iam::{account}:role/p/none");
    refused(w.assume(&cx, role(&absent)).await.unwrap_err(), "sts:AssumeRole", &absent);
    // Trust in the account is no right of its own; the administrator has it, alice has not.
    let by_account = w.role("R2", &account, r#""sts:AssumeRole""#, "").await;
    refused(w.assume(&cx, role(&by_account)).await.unwrap_err(), "sts:AssumeRole", &by_account);
    let mut admin = w.alice();
    admin.actor.is_account_admin = true;
    assert!(w.assume(&admin, role(&by_account)).await.is_ok());
    let alice = format!("arn:aws:iam::{account}:user/alice");
    let shared = r#","Condition":{"StringEquals":{"sts:ExternalId":"secret"}}"#;
    let external = w.role("R3", &alice, r#""sts:AssumeRole""#, shared).await;
    refused(w.assume(&cx, role(&external)).await.unwrap_err(), "sts:AssumeRole", &external);
    let with = AssumeRole { external_id: Some("secret".into()), ..role(&external) };
    assert!(w.assume(&cx, with.clone()).await.is_ok());
    let tags = SessionTags { tags: vec![("team".into(), "red".into())], transitive: vec![] };
    refused(w.assume(&cx, AssumeRole { tags, ..with.clone() }).await.unwrap_err(), "sts:TagSession", &external);
    let named = AssumeRole { source_identity: Some("me".into()), ..with };
    refused(w.assume(&cx, named).await.unwrap_err(), "sts:SetSourceIdentity", &external);
    let root = OpContext::new(Actor::root(w.account.clone(), false), "r");
    let error = w.assume(&root, role(&by_account)).await.unwrap_err();
    assert_eq!(error.message(), "Roles may not be assumed by root accounts.");
}

#[tokio::test]
async fn policies_tags_and_identity_go_with_the_session() {
    let w = World::new().await;
    let arn = w.trusting_alice().await;
    let inline = r#"{"Statement":{"Effect":"Allow","Action":"ec2:Describe*","Resource":"*"}}"#;
    let asked = AssumeRole {
        policies: SessionPolicies { inline: Some(inline.into()), arns: vec![] },
        tags: SessionTags {
            tags: vec![("team".into(), "red".into()), ("x".into(), "y".into())],
            transitive: vec!["team".into()],
        },
        source_identity: Some("alice".into()),
        ..role(&arn)
    };
    let assumed = w.assume(&w.alice(), asked.clone()).await.unwrap();
    assert!(assumed.packed_percent.is_some_and(|percent| (1..=100).contains(&percent)));
    let holder = w.holder(&assumed.issued).await;
    let session = holder.session.clone().unwrap();
    assert_eq!(session.policies.as_ref().unwrap().len(), 1);
    assert_eq!(session.source_identity.as_deref(), Some("alice"));

    // In a chain: one hour, transitive tags and the identity go on, and cannot be changed. The session policy does not
    // let the session assume anything that trusts the role only.
    let by_role = w.role("R4", &arn, r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#, "").await;
    let limited = OpContext::new(holder, "r");
    assert_eq!(w.assume(&limited, role(&by_role)).await.unwrap_err().code().as_str(), "AccessDenied");
    let free =
        w.assume(&w.alice(), AssumeRole { policies: SessionPolicies::default(), ..asked.clone() }).await.unwrap();
    let free = OpContext::new(w.holder(&free.issued).await, "r");
    let long = AssumeRole { seconds: Some(7_200), ..role(&by_role) };
    assert!(w.assume(&free, long).await.unwrap_err().message().contains("1 hour session limit"));
    let changed = SessionTags { tags: vec![("Team".into(), "blue".into())], transitive: vec![] };
    assert!(
        w.assume(&free, AssumeRole { tags: changed, ..role(&by_role) })
            .await
            .unwrap_err()
            .message()
            .contains("conflicts")
    );
    let somebody = AssumeRole { source_identity: Some("bob".into()), ..role(&by_role) };
    assert_eq!(w.assume(&free, somebody).await.unwrap_err().code().as_str(), "AccessDenied");
    let chained = w.assume(&free, role(&by_role)).await.unwrap();
    let last = w.holder(&chained.issued).await;
    let last = last.session.as_ref().unwrap();
    assert_eq!(last.tags, [("team".to_owned(), "red".to_owned())]);
    assert_eq!(last.source_identity.as_deref(), Some("alice"));

    let broken = SessionPolicies { inline: Some("{".into()), arns: vec![] };
    let error = w.assume(&w.alice(), AssumeRole { policies: broken, ..role(&arn) }).await.unwrap_err();
    assert_eq!(error.code().as_str(), "MalformedPolicyDocument");
    let long = AssumeRole { seconds: Some(7_201), ..role(&arn) };
    assert!(w.assume(&w.alice(), long).await.unwrap_err().message().contains("MaxSessionDuration"));
    let foreign = SessionPolicies { inline: None, arns: vec!["arn:aws:iam::999999999999:policy/x".into()] };
    let error = w.assume(&w.alice(), AssumeRole { policies: foreign, ..role(&arn) }).await.unwrap_err();
    assert_eq!(error.code().as_str(), "ValidationError");
}

#[tokio::test]
async fn sessions_of_users_and_of_whom_they_name() {
    let w = World::new().await;
    let own = w.cloud.get_session_token(&w.alice(), Some(900), &SecondFactor::default()).await.unwrap();
    let holder = w.holder(&own).await;
    assert_eq!(&*holder.arn, format!("arn:aws:iam::{}:user/alice", w.account));
    assert!(holder.session.as_ref().unwrap().policies.is_none());
    let again = OpContext::new(holder, "r");
    let error = w.cloud.get_session_token(&again, None, &SecondFactor::default()).await.unwrap_err();
    assert_eq!(error.message(), "Cannot call GetSessionToken with session credentials");
    let federated =
        w.cloud.get_federation_token(&again, "fred".into(), None, SessionPolicies::default(), SessionTags::default());
    assert!(federated.await.unwrap_err().message().contains("GetFederationToken with session credentials"));
}

#[tokio::test]
async fn a_federated_session_without_policies_may_nothing_and_ends_with_its_user() {
    let w = World::new().await;
    let federation = w
        .cloud
        .get_federation_token(&w.alice(), "fred".into(), None, SessionPolicies::default(), SessionTags::default())
        .await
        .unwrap();
    let holder = w.holder(&federation.issued).await;
    assert_eq!(&*holder.arn, format!("arn:aws:sts::{}:federated-user/fred", w.account));
    assert_eq!(holder.session.as_ref().unwrap().policies.as_ref().map(Vec::len), Some(0));
    assert_eq!(w.cloud.access_key_account(&federation.issued.access_key_id).await.unwrap(), w.account);
    assert!(w.cloud.access_key_account("AKIANONE").await.is_err());
    let mut tx = w.cloud.store().write().await.unwrap();
    user_delete(&mut tx, USER).await.unwrap();
    tx.commit().await.unwrap();
    let token = federation.issued.token.expose_secret();
    assert_eq!(w.key(&federation.issued.access_key_id, Some(token)).await.unwrap_err(), KeyError::Unknown);
}

#[tokio::test]
async fn a_session_that_lasts_is_not_purged() {
    let w = World::new().await;
    let own = w.cloud.get_session_token(&w.alice(), Some(900), &SecondFactor::default()).await.unwrap();
    mallee_app::sts::purge_sessions(&w.cloud).await.unwrap();
    let key = w.key(&own.access_key_id, Some(own.token.expose_secret())).await.unwrap();
    // A second may have begun between the two looks at the clock.
    let lasts = key.expires_at.unwrap().unix_timestamp() - w.db.clock.now_ms() / 1000;
    assert!((899..=900).contains(&lasts), "{lasts}");
}

#[tokio::test]
async fn an_authorization_message_is_for_its_account() {
    let w = World::new().await;
    let encoded = message::encode(w.cloud.store(), &w.account, r#"{"allowed":false}"#).unwrap();
    assert_eq!(w.cloud.decode_authorization_message(&w.alice(), &encoded).unwrap(), r#"{"allowed":false}"#);
    let stranger = OpContext::new(Actor::root("999999999999".parse().unwrap(), false), "r");
    let error = w.cloud.decode_authorization_message(&stranger, &encoded).unwrap_err();
    assert_eq!(error.code().as_str(), "InvalidAuthorizationMessageException");
}
