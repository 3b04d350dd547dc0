//! Random operations under random faults, from a seed. In the end the invariants hold, and nothing is left.

use crate::mishap::{pick, strike};
use mallee_tests::{CallError, Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::Duration;

/// Schedules of one test; there are several tests, so that they run side by side.
const SEEDS: u64 = 10;
/// Operations of one schedule.
const OPERATIONS: usize = 20;
/// What a user may be told when a thing is not in the state for it; anything else is a mistake of ours.
fn is_honest(error: &CallError) -> bool {
    error.is_retriable() || matches!(error.code(), "IncorrectInstanceState" | "InsufficientInstanceCapacity")
}

/// One operation of a user, an operator or nature. What the user was told is in the returned text.
async fn operate(cloud: &mut TestCloud, points: &[String], image: &str, n: usize) -> String {
    let alive: Vec<InstanceId> = cloud.rows().await.into_iter().filter(|row| !row.released).map(|row| row.id).collect();
    let target = pick(cloud, &alive).cloned();
    let choice = cloud.rng.below(16);
    let action = match choice {
        0..=3 => "RunInstances",
        4 | 5 => "StopInstances",
        6 | 7 => "StartInstances",
        8 => "RebootInstances",
        9 => "TerminateInstances",
        _ => "",
    };
    if action == "RunInstances" {
        let token = format!("random-{n}");
        let zones = cloud.app().zones().to_vec();
        let zone = pick(cloud, &zones).expect("there are zones");
        let params = [
            ("Placement.AvailabilityZone", zone.as_str()),
            ("ImageId", image),
            ("InstanceType", "t3.nano"),
            ("MinCount", "1"),
            ("MaxCount", "2"),
            ("ClientToken", &token),
        ];
        return told(action, cloud.call(action, &params).await.map(drop));
    }
    if !action.is_empty() {
        let Some(id) = target else { return "nothing there".into() };
        return told(action, cloud.call(action, &[("InstanceId.1", id.as_str())]).await.map(drop));
    }
    strike(cloud, points, target).await
}

fn told(action: &str, outcome: Result<(), CallError>) -> String {
    match outcome {
        Ok(()) => format!("{action}: done"),
        Err(error) => {
            assert!(is_honest(&error), "{action}: {error}");
            format!("{action}: {error}")
        }
    }
}

async fn schedule(seed: u64) {
    // Every other cloud has two zones, which must agree on the network.
    let zones = 1 + u8::from(seed % 2 == 1);
    let mut cloud = TestCloud::with(Setup { seed, zones, nodes: 3, ..Setup::default() }).await;
    let image = cloud.image().await;
    // One life without faults shows the points.
    let id = cloud.launch("first").await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.clear().await;
    let points = cloud.faults.passed();
    for n in 0..OPERATIONS {
        let what = operate(&mut cloud, &points, &image, n).await;
        println!("seed {seed}, {n}: {what}");
        if cloud.rng.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(cloud.rng.below(20))).await;
        }
    }
    println!("seed {seed}: the faults end; struck: {:?}", cloud.faults.hit());
    cloud.faults.clear();
    cloud.hosts.iter().for_each(mallee_sim::SimHost::mend);
    cloud.sound().await;
    cloud.clear().await;
}

macro_rules! seeds {
    ($($name:ident $block:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            for seed in 0..SEEDS {
                schedule($block * SEEDS + seed).await;
            }
        })*
    };
}

seeds! {
    schedules_of_the_first_block 0;
    schedules_of_the_second_block 1;
    schedules_of_the_third_block 2;
}
