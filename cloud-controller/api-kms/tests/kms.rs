//! KMS over a database: what time does to keys, what rotation keeps, who of which account may, and what is in the files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use mallee_api_kms::{Keys, KmsApi, keep_keys};
use mallee_app::test_support::{self, config};
use mallee_app::{Actor, Cloud, OpContext};
use mallee_awswire::Code;
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::{AccountRow, account_insert};
use mallee_types::AccountId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const OTHER: &str = "111122223333";

struct World {
    cloud: Arc<Cloud>,
    api: KmsApi,
    root: OpContext,
    other: OpContext,
    db: TestDb,
}

impl World {
    async fn new(db: TestDb) -> Self {
        let store = db.open().await;
        let cloud = test_support::cloud(&db, &store, config(), Faults::none());
        let account = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap().account;
        let other: AccountId = OTHER.parse().unwrap();
        let mut tx = store.write().await.unwrap();
        let row = AccountRow { id: other.clone(), name: "other".to_owned(), created_ms: 0 };
        account_insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        let context = |account| OpContext::new(Actor::root(account, false), "req-1");
        Self { api: KmsApi::new(cloud.clone()), cloud, root: context(account), other: context(other), db }
    }

    async fn call_as(&self, cx: &OpContext, action: &str, body: Value) -> Result<Value, Code> {
        let reply = self.api.call(cx, action, body.to_string().as_bytes()).await.map_err(|error| error.code())?;
        Ok(if reply.is_empty() { Value::Null } else { serde_json::from_str(&reply).unwrap() })
    }

    async fn call(&self, action: &str, body: Value) -> Result<Value, Code> {
        self.call_as(&self.root, action, body).await
    }

    async fn ok(&self, action: &str, body: Value) -> Value {
        self.call(action, body).await.unwrap_or_else(|code| panic!("{action}: {code:?}"))
    }

    async fn key(&self) -> (String, String) {
        let made = self.ok("CreateKey", json!({})).await;
        let text = |name: &str| made["KeyMetadata"][name].as_str().unwrap().to_owned();
        (text("KeyId"), text("Arn"))
    }

    async fn sealed(&self, key: &str) -> Value {
        let body = json!({ "KeyId": key, "Plaintext": "c2VjcmV0", "EncryptionContext": { "app": "x" } });
        self.ok("Encrypt", body).await["CiphertextBlob"].clone()
    }

    async fn open(&self, sealed: &Value) -> Result<Value, Code> {
        self.call("Decrypt", json!({ "CiphertextBlob": sealed, "EncryptionContext": { "app": "x" } })).await
    }

    async fn wait_days(&self, days: i64) {
        self.db.clock.shift_ms(days * DAY_MS);
        keep_keys(&self.cloud).await.unwrap();
    }
}

async fn a_key_goes_when_its_time_has_come(db: TestDb) {
    let world = World::new(db).await;
    let (key, _) = world.key().await;
    let sealed = world.sealed(&key).await;
    world.ok("CreateAlias", json!({ "AliasName": "alias/a", "TargetKeyId": key })).await;
    for days in [6, 31] {
        let body = json!({ "KeyId": key, "PendingWindowInDays": days });
        assert_eq!(world.call("ScheduleKeyDeletion", body).await, Err(Code::ValidationException));
    }
    world.ok("ScheduleKeyDeletion", json!({ "KeyId": key, "PendingWindowInDays": 7 })).await;
    assert_eq!(world.open(&sealed).await, Err(Code::KMSInvalidStateException));
    assert_eq!(world.call("EnableKey", json!({ "KeyId": key })).await, Err(Code::KMSInvalidStateException));
    // Taken back, it is there, and switched off.
    world.wait_days(6).await;
    world.ok("CancelKeyDeletion", json!({ "KeyId": key })).await;
    assert_eq!(world.open(&sealed).await, Err(Code::DisabledException));
    assert_eq!(world.call("CancelKeyDeletion", json!({ "KeyId": key })).await, Err(Code::KMSInvalidStateException));
    world.ok("EnableKey", json!({ "KeyId": key })).await;
    world.wait_days(10).await;
    assert_eq!(world.open(&sealed).await.unwrap()["Plaintext"], "c2VjcmV0");
    // Not taken back, nothing of it is left.
    world.ok("ScheduleKeyDeletion", json!({ "KeyId": key, "PendingWindowInDays": 7 })).await;
    world.db.clock.shift_ms(7 * DAY_MS);
    assert_eq!(world.call("CancelKeyDeletion", json!({ "KeyId": key })).await, Err(Code::NotFoundException));
    world.wait_days(0).await;
    assert_eq!(world.open(&sealed).await, Err(Code::AccessDenied));
    for name in [key.as_str(), "alias/a"] {
        assert_eq!(world.call("DescribeKey", json!({ "KeyId": name })).await, Err(Code::NotFoundException), "{name}");
    }
    assert!(mallee_store::kms_material_list(world.cloud.store(), &key).await.unwrap().is_empty());
}

async fn what_was_encrypted_before_a_rotation_opens_after_it(db: TestDb) {
    let world = World::new(db).await;
    let (key, _) = world.key().await;
    let mut sealed = vec![world.sealed(&key).await];
    world.ok("RotateKeyOnDemand", json!({ "KeyId": key })).await;
    sealed.push(world.sealed(&key).await);
    world.ok("EnableKeyRotation", json!({ "KeyId": key, "RotationPeriodInDays": 90 })).await;
    let status = world.ok("GetKeyRotationStatus", json!({ "KeyId": key })).await;
    assert_eq!((&status["KeyRotationEnabled"], &status["RotationPeriodInDays"]), (&json!(true), &json!(90)));
    world.wait_days(89).await;
    let rotations = async || {
        let list = world.ok("ListKeyRotations", json!({ "KeyId": key })).await;
        let kinds =
            list["Rotations"].as_array().unwrap().iter().map(|r| r["RotationType"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(rotations().await, ["ON_DEMAND"]);
    world.wait_days(1).await;
    assert_eq!(rotations().await, ["ON_DEMAND", "AUTOMATIC"]);
    sealed.push(world.sealed(&key).await);
    // A year that nobody looked is made up by one rotation.
    world.wait_days(365).await;
    world.wait_days(0).await;
    assert_eq!(rotations().await.len(), 3);
    sealed.push(world.sealed(&key).await);
    let mut materials = std::collections::BTreeSet::new();
    for one in &sealed {
        let opened = world.open(one).await.unwrap();
        assert_eq!(opened["Plaintext"], "c2VjcmV0");
        materials.insert(opened["KeyMaterialId"].to_string());
    }
    assert_eq!(materials.len(), 4);
    world.ok("DisableKeyRotation", json!({ "KeyId": key })).await;
    world.wait_days(365).await;
    assert_eq!(rotations().await.len(), 3);
}

async fn other_accounts_are_let_in_by_the_key_policy_only(db: TestDb) {
    let world = World::new(db).await;
    let (key, arn) = world.key().await;
    let encrypt = |key: &str| json!({ "KeyId": key, "Plaintext": "c2VjcmV0" });
    let as_other = async |action: &str, body: Value| world.call_as(&world.other, action, body).await;
    // By its id it is not there; by its ARN it is as one that is not there.
    assert_eq!(as_other("Encrypt", encrypt(&key)).await, Err(Code::NotFoundException));
    assert_eq!(as_other("Encrypt", encrypt(&arn)).await, Err(Code::AccessDenied));
    let absent = arn.replace(&key, "12345678-90ab-cdef-1234-567890abcdef");
    assert_eq!(as_other("Encrypt", encrypt(&absent)).await, Err(Code::AccessDenied));
    let sealed = world.sealed(&key).await;
    let open = json!({ "CiphertextBlob": sealed, "EncryptionContext": { "app": "x" } });
    assert_eq!(as_other("Decrypt", open.clone()).await, Err(Code::AccessDenied));
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{}:root", world.root.account()) },
          "Action": "kms:*", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{OTHER}:root") },
          "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*",
          "Condition": { "StringEquals": { "kms:EncryptionContext:app": "x" } } },
    ] });
    world.ok("PutKeyPolicy", json!({ "KeyId": key, "Policy": policy.to_string() })).await;
    assert_eq!(as_other("Encrypt", encrypt(&arn)).await, Err(Code::AccessDenied), "without the context");
    assert_eq!(as_other("Decrypt", open.clone()).await.unwrap()["Plaintext"], "c2VjcmV0");
    // What only the owner's account may, no policy gives away.
    assert_eq!(as_other("DisableKey", json!({ "KeyId": arn })).await, Err(Code::NotFoundException));
    // Nobody locks himself out without meaning it.
    let mut shut = policy.clone();
    shut["Statement"].as_array_mut().unwrap().remove(0);
    let body = json!({ "KeyId": key, "Policy": shut.to_string() });
    assert_eq!(world.call("PutKeyPolicy", body.clone()).await, Err(Code::MalformedPolicyDocumentException));
    let mut meant = body;
    meant["BypassPolicyLockoutSafetyCheck"] = json!(true);
    world.ok("PutKeyPolicy", meant).await;
    // The root too needs the key's policy.
    assert_eq!(world.open(&sealed).await, Err(Code::AccessDenied));
    assert_eq!(as_other("Decrypt", open).await.unwrap()["Plaintext"], "c2VjcmV0");
}

async fn a_service_has_its_own_key(db: TestDb) {
    let world = World::new(db).await;
    let keys = Keys::new(world.cloud.clone(), "s3");
    let context: BTreeMap<String, String> = [("aws:s3:arn".to_owned(), "arn:aws:s3:::b/k".to_owned())].into();
    let data = keys.generate(&world.root, None, &context).await.unwrap();
    assert_eq!(*keys.open(&world.root, &data.sealed, &context).await.unwrap(), *data.plain);
    assert!(keys.open(&world.root, &data.sealed, &BTreeMap::new()).await.is_err());
    assert_eq!(keys.open(&world.other, &data.sealed, &context).await.unwrap_err().code(), Code::AccessDenied);
    let again = keys.generate(&world.root, None, &context).await.unwrap();
    assert_eq!(again.key_arn, data.key_arn, "made once");
    let shown = world.ok("DescribeKey", json!({ "KeyId": "alias/aws/s3" })).await;
    assert_eq!(shown["KeyMetadata"]["KeyManager"], "AWS");
    assert_eq!(shown["KeyMetadata"]["Arn"], data.key_arn.as_str());
    // Not even the root uses it itself, or takes it away.
    let encrypt = json!({ "KeyId": "alias/aws/s3", "Plaintext": "c2VjcmV0" });
    assert_eq!(world.call("Encrypt", encrypt).await, Err(Code::AccessDenied));
    let go = json!({ "KeyId": shown["KeyMetadata"]["KeyId"] });
    assert_eq!(world.call("ScheduleKeyDeletion", go).await, Err(Code::AccessDenied));
    let alias = json!({ "AliasName": "alias/aws/s3", "TargetKeyId": world.key().await.0 });
    assert_eq!(world.call("UpdateAlias", alias).await, Err(Code::InvalidAliasNameException));
    // Another account has another.
    let other = keys.generate(&world.other, None, &context).await.unwrap();
    assert_ne!(other.key_arn, data.key_arn);
}

mallee_store::store_test_suite!(
    a_key_goes_when_its_time_has_come,
    what_was_encrypted_before_a_rotation_opens_after_it,
    other_accounts_are_let_in_by_the_key_policy_only,
    a_service_has_its_own_key,
);

/// A copy of the database alone opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn no_material_is_in_the_files() {
    let world = World::new(TestDb::sqlite().await).await;
    let (key, _) = world.key().await;
    let sealed = world.sealed(&key).await;
    let secret = mallee_store::kms_material_secret(world.cloud.store(), &key, 1).await.unwrap().unwrap();
    let text = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    let raw = hex::decode(&text).unwrap();
    let path = world.db.url.strip_prefix("sqlite:").unwrap();
    for file in [path.to_owned(), format!("{path}-wal")] {
        let bytes = std::fs::read(file).unwrap_or_default();
        for canary in [text.as_bytes(), raw.as_slice()] {
            assert!(!bytes.windows(canary.len()).any(|w| w == canary));
        }
    }
    assert_eq!(world.open(&sealed).await.unwrap()["Plaintext"], "c2VjcmV0");
}
