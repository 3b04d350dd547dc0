//! Two hundred calls at once at the edge of a quota: exactly the quota is made, on both databases, and what was refused
//! leaves nothing behind.

use futures::future::join_all;
use mallee_app::quotas::table::{self, Quota};
use mallee_store::account_list;
use mallee_tests::{CallError, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};

/// Calls at once.
const CALLS: usize = 200;
/// Virtual CPUs of a t3.nano.
const NANO_VCPUS: u64 = 2;

pub async fn set(cloud: &TestCloud, quota: &'static Quota, value: u64) {
    let app = cloud.app();
    let account = account_list(app.store()).await.unwrap().remove(0).id;
    app.set_quota(&account, quota, Some(value)).await.unwrap();
}

/// How many of the outcomes are good; every other one must be this refusal.
fn made<T>(outcomes: &[Result<T, CallError>], code: &str) -> usize {
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(refused.to_string().contains(code), "{refused}");
    }
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

async fn at_the_edge(postgres: bool) {
    let mut cloud = TestCloud::with(Setup { nodes: 16, postgres, ..Setup::default() }).await;
    let image = cloud.image().await;
    set(&cloud, &table::KEY_PAIRS, 11).await;
    set(&cloud, &table::VCPUS, 9 * NANO_VCPUS + 1).await;
    let client = cloud.client();
    let names: Vec<String> = (0..CALLS).map(|n| format!("k{n}")).collect();
    let keys =
        join_all(names.iter().map(async |name| {
            client.call("CreateKeyPair", &[("KeyName", name.as_str()), ("KeyType", "ed25519")]).await
        }));
    assert_eq!(made(&keys.await, "KeyPairLimitExceeded"), 11);

    let launch = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    let launches = join_all((0..CALLS).map(async |_| client.call("RunInstances", &launch).await)).await;
    assert_eq!(made(&launches, "VcpuLimitExceeded"), 9);
    let ids: Vec<InstanceId> = cloud.rows().await.into_iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 9);
    cloud.sound().await;

    // What is stopped takes no virtual CPU; of those that are started at once, so many start as may.
    for id in &ids {
        cloud.until_state(id, InstanceState::Running).await;
        cloud.insist("StopInstances", &[("InstanceId.1", id.as_str())]).await;
    }
    for id in &ids {
        cloud.until_state(id, InstanceState::Stopped).await;
    }
    set(&cloud, &table::VCPUS, 4 * NANO_VCPUS).await;
    let starts =
        join_all(ids.iter().map(async |id| client.call("StartInstances", &[("InstanceId.1", id.as_str())]).await));
    assert_eq!(made(&starts.await, "VcpuLimitExceeded"), 4);
    let rows = cloud.rows().await;
    assert_eq!(rows.iter().filter(|row| row.state == InstanceState::Stopped).count(), 5);
    cloud.sound().await;
    cloud.clear().await;
}

#[tokio::test]
async fn parallel_calls_make_exactly_the_quota() {
    at_the_edge(false).await;
}

#[tokio::test]
async fn parallel_calls_make_exactly_the_quota_on_postgresql() {
    at_the_edge(true).await;
}
