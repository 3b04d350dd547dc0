//! Many calls at once, and the cloud killed in the middle of them.

use futures::future::join_all;
use mallee_runtime::FaultAction;
use mallee_tests::{CallError, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::collections::BTreeSet;

/// Calls at once.
const LAUNCHES: usize = 100;

async fn run(client: &mallee_tests::Client, image: &str, token: &str) -> Result<InstanceId, CallError> {
    let params =
        [("ImageId", image), ("InstanceType", "t3.nano"), ("MinCount", "1"), ("MaxCount", "1"), ("ClientToken", token)];
    let reply = client.call("RunInstances", &params).await?;
    Ok(reply.first("instanceId").expect("an instance").parse().expect("an id"))
}

/// After how many acknowledgements the cloud is killed.
async fn storm(kill_after: usize, postgres: bool) {
    let mut cloud = TestCloud::with(Setup { nodes: 4, postgres, ..Setup::default() }).await;
    let image = cloud.image().await;
    let client = cloud.client();
    let acknowledged = std::cell::RefCell::new(Vec::new());
    let enough = tokio::sync::Notify::new();
    let calls = (0..LAUNCHES).map(async |n| {
        if let Ok(id) = run(&client, &image, &format!("storm-{n}")).await {
            acknowledged.borrow_mut().push((n, id));
            if acknowledged.borrow().len() >= kill_after {
                enough.notify_one();
            }
        }
    });
    tokio::select! {
        _ = join_all(calls) => {}
        () = enough.notified() => {}
    }
    cloud.kill().await;
    cloud.boot().await;
    // Every client repeats its call with its token, as an SDK does.
    let acknowledged = acknowledged.into_inner();
    assert!(acknowledged.len() >= kill_after, "{} were acknowledged", acknowledged.len());
    let client = cloud.client();
    let repeated = join_all((0..LAUNCHES).map(async |n| {
        let token = format!("storm-{n}");
        loop {
            match run(&client, &image, &token).await {
                Ok(id) => return id,
                Err(error) if error.is_retriable() => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                Err(error) => panic!("{token}: {error}"),
            }
        }
    }))
    .await;
    for (n, id) in &acknowledged {
        assert_eq!(repeated[*n], *id, "an acknowledged launch is the same launch for ever (I8)");
    }
    let different: BTreeSet<&InstanceId> = repeated.iter().collect();
    assert_eq!(different.len(), LAUNCHES, "each token has an instance of its own");
    cloud
        .until("all run", async |cloud| {
            let rows = cloud.rows().await;
            let up = rows.iter().filter(|row| row.state == InstanceState::Running).count();
            if up == LAUNCHES && rows.len() == LAUNCHES { Ok(()) } else { Err(format!("{up} of {} run", rows.len())) }
        })
        .await;
    cloud.sound().await;
    let image_fetches: u64 = cloud.hosts.iter().map(|host| host.calls("ensure")).sum();
    assert!(image_fetches >= 1, "the images were fetched");
    // All at once, with one call.
    let names: Vec<String> = (1..=LAUNCHES).map(|n| format!("InstanceId.{n}")).collect();
    let params: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(repeated.iter().map(AsRef::as_ref)).collect();
    cloud.insist("TerminateInstances", &params).await;
    cloud.empty().await;
}

#[tokio::test]
async fn a_death_at_the_beginning_of_a_hundred_launches() {
    storm(1, false).await;
}

#[tokio::test]
async fn a_death_in_the_middle_of_a_hundred_launches() {
    storm(40, false).await;
}

#[tokio::test]
async fn a_death_at_the_end_of_a_hundred_launches() {
    storm(95, false).await;
}

#[tokio::test]
async fn a_death_in_the_middle_of_a_hundred_launches_on_postgresql() {
    storm(40, true).await;
}

/// Several clients with one token, while the one that is ahead dies between placing and committing.
#[tokio::test]
async fn one_token_from_many_clients_is_one_reservation_whoever_dies() {
    let mut cloud = TestCloud::start().await;
    let image = cloud.image().await;
    for point in
        ["cloud.run.resolved", "cluster.place", "cluster.place.done", "cloud.run.before-commit", "cloud.run.committed"]
    {
        let token = cloud.rng.uuid();
        cloud.faults.arm(point, FaultAction::Kill, 1);
        let client = cloud.client();
        let together = join_all((0..5).map(|_| run(&client, &image, &token)));
        let (faults, mut got) = (cloud.faults.clone(), BTreeSet::new());
        tokio::select! {
            outcomes = together => got.extend(outcomes.into_iter().flatten()),
            () = faults.killed() => {
                cloud.kill().await;
                cloud.boot().await;
            }
        }
        assert!(faults.hit().iter().any(|hit| hit == point), "{point} was passed");
        got.insert(cloud.launch(&token).await);
        assert_eq!(got.len(), 1, "{point}: {got:?}");
        let mine: Vec<_> =
            cloud.rows().await.into_iter().filter(|row| row.client_token.as_ref() == Some(&token)).collect();
        assert_eq!(mine.len(), 1, "{point}: exactly one reservation of one instance");
        for id in got {
            cloud.until_state(&id, InstanceState::Running).await;
        }
        cloud.clear().await;
    }
}
