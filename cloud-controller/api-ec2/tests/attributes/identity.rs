//! The key that signs identity documents: one for the cloud, whichever replica makes it, and told with every instance.

use crate::fixture::Fixture;
use mallee_app::instances::identity::ensure_key;
use mallee_app::load::Snapshot;
use mallee_app::{Cloud, test_support};
use mallee_proto::v1::intent_change::Object;
use mallee_proto::v1::{InstanceIdentity, InstanceIntent};
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_store::*;
use mallee_types::*;
use std::sync::Arc;

mallee_store::store_test_suite!(
    one_key_signs_for_the_whole_cloud_and_every_instance_hears_of_it,
    of_a_damaged_key_no_instance_is_kept_from_its_node
);

/// What a cluster is told of the one instance.
async fn told(cloud: &Cloud) -> InstanceIntent {
    let mut pages = Snapshot::new("zone-a".parse().unwrap());
    let mut found = None;
    while let Some(objects) = pages.next(cloud.store(), cloud.identity_key()).await.unwrap() {
        for object in objects {
            if let Object::Instance(intent) = object {
                found = Some(intent);
            }
        }
    }
    found.unwrap()
}

fn document(intent: &InstanceIntent) -> Option<InstanceIdentity> {
    intent.spec.as_ref()?.metadata.as_ref()?.identity.clone()
}

/// As a user does it with what a guest hands over.
fn verified(certificate: &str, identity: &InstanceIdentity) {
    let folder =
        std::env::temp_dir().join(format!("mallee-identity-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("certificate"), certificate).unwrap();
    std::fs::write(folder.join("pkcs7"), &identity.pkcs7).unwrap();
    let line = "smime -verify -in pkcs7 -inform DER -certfile certificate -noverify";
    let output = std::process::Command::new("openssl").args(line.split(' ')).current_dir(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, identity.document.as_bytes());
}

async fn one_key_signs_for_the_whole_cloud_and_every_instance_hears_of_it(db: TestDb) {
    let f = Fixture::on(db).await;
    let replica = async || -> Arc<Cloud> {
        test_support::cloud(&f.db, &f.db.open().await, test_support::config(), Faults::default())
    };
    let others = [replica().await, replica().await];
    let id = f.instance(1, InstanceState::Running).await;
    let before = told(&f.cloud).await;
    assert!(document(&before).is_none() && f.cloud.identity_certificate().await.unwrap().is_none());
    let (_, newest) = changes_bounds(&f.store).await.unwrap();
    let (first, second) = tokio::join!(ensure_key(&others[0]), ensure_key(&others[1]));
    first.and(second).unwrap();
    ensure_key(&f.cloud).await.unwrap();
    // Once: the same instance, in a new generation.
    let changes = changes_since(&f.store, newest, 9).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let after = told(&f.cloud).await;
    assert_eq!(after.generation, before.generation + 1);
    let identity = document(&after).unwrap();
    let said: serde_json::Value = serde_json::from_str(&identity.document).unwrap();
    assert_eq!(said["instanceId"], id.as_str());
    let certificate = f.cloud.identity_certificate().await.unwrap();
    assert!(certificate.as_ref().unwrap().starts_with("-----BEGIN CERTIFICATE-----\n"));
    verified(certificate.as_ref().unwrap(), &identity);
    for other in &others {
        assert_eq!(other.identity_certificate().await.unwrap(), certificate);
        assert_eq!(document(&told(other).await), Some(identity.clone()), "the same signature of every replica");
    }
    // It is not in the database as it is.
    for (_, value) in setting_list(&f.store).await.unwrap() {
        assert!(!value.contains("PRIVATE KEY") && !value.contains("LS0tLS1CRUdJTiBSU0Eg"), "{value}");
    }
}

/// What was sealed by another seal key, too.
async fn of_a_damaged_key_no_instance_is_kept_from_its_node(db: TestDb) {
    let f = Fixture::on(db).await;
    let id = f.instance(1, InstanceState::Running).await;
    for damaged in ["AAAA", "not even base64"] {
        let mut tx = f.store.write().await.unwrap();
        setting_put(&mut tx, "instance_identity_key", damaged).await.unwrap();
        tx.commit().await.unwrap();
        let told = told(&f.cloud).await;
        assert_eq!((told.id.as_str(), document(&told)), (id.as_str(), None), "{damaged}");
        assert!(f.cloud.identity_certificate().await.is_err(), "{damaged}");
    }
}
