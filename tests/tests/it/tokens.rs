//! Client tokens outlive what they made: the same call is never made twice within a day of its end.

use mallee_tests::{Client, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};

const HOUR: i64 = 3_600_000;

fn client(cloud: &TestCloud) -> Client {
    cloud.client().with_clock(cloud.clock.clone())
}

/// RunInstances with this token.
async fn launch(cloud: &TestCloud, image: &str, token: &str) -> Result<String, String> {
    let params =
        [("ImageId", image), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1"), ("ClientToken", token)];
    let reply = client(cloud).call("RunInstances", &params).await.map_err(|error| error.code().to_owned())?;
    Ok(format!("{} {}", reply.first("instanceId").unwrap_or_default(), reply.first("name").unwrap_or_default()))
}

async fn outlives(setup: Setup) {
    let mut cloud = TestCloud::with(setup).await;
    let image = cloud.image().await;
    let made = launch(&cloud, &image, "once").await.expect("a launch");
    let id: InstanceId = made.split(' ').next().unwrap_or_default().parse().expect("an id");
    cloud.until_state(&id, InstanceState::Running).await;

    // A token that is days old, of an instance that runs.
    cloud.clock.shift_ms(50 * HOUR);
    cloud.purge().await;
    assert_eq!(launch(&cloud, &image, "once").await, Ok(format!("{id} running")));
    client(&cloud).call("TerminateInstances", &[("InstanceId.1", id.as_str())]).await.expect("it is told");
    cloud.until_state(&id, InstanceState::Terminated).await;
    assert_eq!(launch(&cloud, &image, "once").await, Ok(format!("{id} terminated")));

    // The instance is forgotten, the token is not; neither when the clock says that it was used days ago.
    for hours in [2, 23, 23] {
        cloud.clock.shift_ms(hours * HOUR);
        cloud.purge().await;
        assert!(cloud.rows().await.is_empty());
        assert_eq!(launch(&cloud, &image, "once").await, Err("IdempotentInstanceTerminated".to_owned()));
    }
    cloud.clock.shift_ms(26 * HOUR);
    cloud.purge().await;
    let again = launch(&cloud, &image, "once").await.expect("two days after");
    assert!(!again.starts_with(id.as_str()), "{again}");
}

#[tokio::test]
async fn a_token_outlives_its_instance() {
    outlives(Setup::default()).await;
}

#[tokio::test]
async fn a_token_outlives_its_instance_on_postgresql() {
    outlives(Setup { postgres: true, ..Setup::default() }).await;
}
