//! An instance's life over HTTP, on both databases.

use mallee_runtime::FaultAction;
use mallee_tests::{Setup, Step, TestCloud};
use mallee_types::InstanceState;
use std::time::Duration;

async fn whole_life(mut cloud: TestCloud) {
    let mut id = None;
    for step in Step::ALL {
        cloud.step(step, &mut id).await;
        cloud.sound().await;
    }
    cloud.empty().await;
    let id = id.expect("it was launched");
    let reply = cloud.insist("DescribeInstances", &[("InstanceId.1", id.as_str())]).await;
    assert!(reply.all("name").contains(&"terminated"), "a terminated instance stays visible: {}", reply.0);
    assert_eq!(reply.first("privateIpAddress"), None, "and has no address any more");
    cloud.stop().await;
}

#[tokio::test]
async fn an_instance_lives_on_sqlite() {
    whole_life(TestCloud::start().await).await;
}

#[tokio::test]
async fn an_instance_lives_on_postgresql() {
    whole_life(TestCloud::with(Setup { postgres: true, ..Setup::default() }).await).await;
}

#[tokio::test]
async fn what_is_described_is_what_runs() {
    let mut cloud = TestCloud::start().await;
    let image = cloud.image().await;
    let params = [
        ("ImageId", image.as_str()),
        ("InstanceType", "t3.nano"),
        ("MinCount", "3"),
        ("MaxCount", "3"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.1.Value", "web"),
    ];
    let reply = cloud.insist("RunInstances", &params).await;
    let ids: Vec<String> = reply.all("instanceId").into_iter().map(str::to_owned).collect();
    assert_eq!(ids.len(), 3);
    for id in &ids {
        cloud.until_state(&id.parse().unwrap(), InstanceState::Running).await;
    }
    cloud.sound().await;
    let found = cloud.insist("DescribeInstances", &[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", "web")]).await;
    assert_eq!(found.all("instanceId").len(), 3);
    let addresses = found.all("privateIpAddress");
    assert!(!addresses.is_empty(), "{}", found.0);
    cloud.clear().await;
}

#[tokio::test]
async fn a_token_means_one_launch_and_one_only() {
    let mut cloud = TestCloud::start().await;
    let (first, again) = (cloud.launch("same").await, cloud.launch("same").await);
    assert_eq!(first, again, "the repeat gets the first one's instance");
    let image = cloud.image().await;
    let other = [
        ("ImageId", image.as_str()),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("ClientToken", "same"),
    ];
    let error = cloud.call("RunInstances", &other).await.expect_err("other parameters under the same token");
    assert_eq!(error.code(), "IdempotentParameterMismatch");
    assert_eq!(cloud.rows().await.len(), 1);
    cloud.clear().await;
    assert_eq!(cloud.launch("same").await, first, "even after it is gone: the token is remembered");
    cloud.empty().await;
}

#[tokio::test]
async fn what_does_not_fit_leaves_nothing() {
    let mut cloud = TestCloud::start().await;
    let image = cloud.image().await;
    let params = [("ImageId", image.as_str()), ("InstanceType", "m5.16xlarge"), ("MinCount", "40"), ("MaxCount", "40")];
    let error = cloud.call("RunInstances", &params).await.expect_err("two hosts have no such room");
    assert_eq!(error.code(), "InsufficientInstanceCapacity", "{error}");
    assert!(cloud.rows().await.is_empty());
    cloud.empty().await;
}

/// Every replica has an image keeper, and a start runs one of its own.
#[tokio::test]
async fn two_image_keepers_do_not_undo_each_other() {
    let mut cloud = TestCloud::start().await;
    // Both have imported before either has said so.
    cloud.faults.arm("cloud.image.imported", FaultAction::Delay(Duration::from_millis(100)), 2);
    let params = [("Name", "twice"), ("ImageLocation", "images/tiny.raw"), ("RootDeviceName", "/dev/vda")];
    let reply = cloud.insist("RegisterImage", &params).await;
    let id = reply.first("imageId").expect("an image").to_owned();
    let app = cloud.app();
    mallee_app::images::keep_images(&app).await.expect("the second keeper");
    cloud
        .until("the image is available", async |cloud| {
            let described = cloud.client().call("DescribeImages", &[("ImageId.1", &id)]).await;
            match described {
                Ok(reply) if reply.first("imageState") == Some("available") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    let struck = cloud.faults.hit().iter().filter(|hit| *hit == "cloud.image.imported").count();
    assert_eq!(struck, 2, "both keepers imported it");
    tokio::time::sleep(Duration::from_millis(150)).await;
    let passed = cloud.faults.passed();
    assert!(
        !passed.iter().any(|point| point.starts_with("walrus.image.release")),
        "its bytes were given up: {passed:?}"
    );
}
