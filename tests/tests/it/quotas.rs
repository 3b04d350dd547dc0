//! Two hundred calls at once at the edge of a quota: exactly the quota is made, on both databases, and what was refused
//! leaves nothing behind.

use futures::future::join_all;
use mallee_app::quotas::table::{self, Quota};
use mallee_store::account_list;
use mallee_tests::{CallError, Client, Setup, TestCloud};
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

/// A user whose own policy lets it have two instances, and what the cloud launches for it later.
async fn for_a_user(postgres: bool) {
    const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Limit","Action":"ec2:RunInstances","Resource":"*",
         "Condition":{"NumericLessThanEquals":{"ec2:quota-vminstancenumber":"2"}}}]}"#;
    let mut cloud = TestCloud::with(Setup { postgres, ..Setup::default() }).await;
    let image = cloud.image().await;
    let admin = cloud.client();
    let iam = async |action: &str, params: &[(&str, &str)]| {
        admin.ask("iam", "2010-05-08", action, params).await.expect("an administrator may")
    };
    iam("CreateUser", &[("UserName", "u")]).await;
    iam("PutUserPolicy", &[("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", POLICY)]).await;
    let key = iam("CreateAccessKey", &[("UserName", "u")]).await;
    let text = |name| key.first(name).expect("a key").to_owned();
    let user = Client::new(
        admin.address(),
        text("AccessKeyId"),
        text("SecretAccessKey").into(),
        cloud.app().config().region.clone(),
    );
    let template = [
        ("LaunchTemplateName", "web"),
        ("LaunchTemplateData.ImageId", image.as_str()),
        ("LaunchTemplateData.InstanceType", "t3.nano"),
    ];
    user.call("CreateLaunchTemplate", &template).await.expect("a template");
    let fleet = [
        ("Type", "instant"),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "web"),
        ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "$Latest"),
        ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
        ("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand"),
    ];
    for wanted in [None, None, Some("InstanceLimitExceeded")] {
        let reply = user.call("CreateFleet", &fleet).await.expect("a fleet, of what may be");
        assert_eq!(reply.first("errorCode"), wanted, "{}", reply.0);
    }
    assert_eq!(cloud.rows().await.len(), 2);
    let spot = [
        ("InstanceCount", "1"),
        ("LaunchSpecification.ImageId", image.as_str()),
        ("LaunchSpecification.InstanceType", "t3.nano"),
    ];
    let asked = user.call("RequestSpotInstances", &spot).await.expect("a request");
    let id = asked.first("spotInstanceRequestId").expect("an id").to_owned();
    cloud
        .until("the request waits for the quota", async |cloud| {
            let reply = cloud.client().call("DescribeSpotInstanceRequests", &[("SpotInstanceRequestId.1", &id)]).await;
            let reply = reply.map_err(|error| error.to_string())?;
            if reply.0.contains("<code>limit-exceeded</code>") { Ok(()) } else { Err(reply.0) }
        })
        .await;
    assert_eq!(cloud.rows().await.len(), 2);
    // The account has more to give than this user.
    let launch = [("ImageId", image.as_str()), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1")];
    cloud.insist("RunInstances", &launch).await;
    // Without the user's own policy the request is fulfilled: the quota was asked of the policies as they are now.
    admin
        .ask("iam", "2010-05-08", "DeleteUserPolicy", &[("UserName", "u"), ("PolicyName", "p")])
        .await
        .expect("an administrator may");
    cloud
        .until("the request is fulfilled", async |cloud| {
            let there = cloud.rows().await.len();
            if there == 4 { Ok(()) } else { Err(format!("{there} instances")) }
        })
        .await;
    cloud.clear().await;
}

#[tokio::test]
async fn a_users_own_quota_binds_what_is_launched_for_it_later() {
    for_a_user(false).await;
}

#[tokio::test]
async fn a_users_own_quota_binds_what_is_launched_for_it_later_on_postgresql() {
    for_a_user(true).await;
}
