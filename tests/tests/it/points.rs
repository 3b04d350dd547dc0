//! Every fault point that a step of an instance's life passes: failed once and twice, delayed, and the whole cloud killed
//! at it, once and twice. The points are read from a run, so that a new one is covered the day it is written.

use crate::crew::each;
use mallee_runtime::FaultAction;
use mallee_tests::{Step, TestCloud};
use mallee_types::InstanceId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer than anything takes without faults, shorter than any timeout.
const DELAY: Duration = Duration::from_millis(60);

/// The shortest life that has the step, ended by terminate.
const fn path(step: Step) -> &'static [Step] {
    match step {
        Step::Launch | Step::Terminate => &[Step::Launch, Step::Terminate],
        Step::Reboot => &[Step::Launch, Step::Reboot, Step::Terminate],
        Step::Restart => &[Step::Launch, Step::Restart, Step::Terminate],
        Step::Stop => &[Step::Launch, Step::Stop, Step::Terminate],
        Step::Start => &[Step::Launch, Step::Stop, Step::Start, Step::Terminate],
    }
}

/// Lives the path, with `before` called just before the step in question and `after` once it has ended.
async fn live(cloud: &mut TestCloud, step: Step, before: impl FnOnce(&TestCloud), after: impl FnOnce(&TestCloud)) {
    let mut id: Option<InstanceId> = None;
    let (mut before, mut after) = (Some(before), Some(after));
    for next in path(step) {
        if *next == step
            && let Some(before) = before.take()
        {
            before(cloud);
        }
        cloud.step(*next, &mut id).await;
        if *next == step {
            cloud.sound().await;
            if let Some(after) = after.take() {
                after(cloud);
            }
        }
    }
    cloud.empty().await;
}

/// The points that the step passes: every known point strikes without doing harm, and says so.
async fn points_of(step: Step) -> BTreeSet<String> {
    let mut cloud = TestCloud::start().await;
    live(&mut cloud, step, |_| {}, |_| {}).await;
    let known = cloud.faults.passed();
    let (mut first, mut passed) = (0, BTreeSet::new());
    let arm = |cloud: &TestCloud| {
        first = cloud.faults.hit().len();
        for point in &known {
            cloud.faults.arm(point, FaultAction::Delay(Duration::ZERO), u32::MAX);
        }
    };
    let mut struck = Vec::new();
    live(&mut cloud, step, arm, |cloud| {
        struck = cloud.faults.hit();
        cloud.faults.clear();
    })
    .await;
    passed.extend(struck.into_iter().skip(first));
    println!("{step:?} passes {} points: {passed:?}", passed.len());
    passed
}

/// The step comes to its end whatever happens at any of its points, and leaves nothing behind.
async fn survives(step: Step, action: FaultAction, times: u32) {
    let points = points_of(step).await;
    each(points, async |cloud: &mut TestCloud, point: &String| {
        let struck = cloud.faults.hit().len();
        let arm = |cloud: &TestCloud| cloud.faults.arm(point, action, times);
        let check = |cloud: &TestCloud| {
            let struck = cloud.faults.hit().split_off(struck);
            assert!(struck.contains(point), "{step:?} passes {point} every time; struck: {struck:?}");
        };
        live(cloud, step, arm, check).await;
        cloud.faults.clear();
    })
    .await;
}

macro_rules! steps {
    ($($module:ident $step:expr;)*) => {
        $(mod $module {
            use super::*;
            #[tokio::test]
            async fn survives_a_failure_of_each_point() { survives($step, FaultAction::Fail, 1).await; }
            #[tokio::test]
            async fn survives_two_failures_of_each_point() { survives($step, FaultAction::Fail, 2).await; }
            #[tokio::test]
            async fn survives_a_delay_at_each_point() { survives($step, FaultAction::Delay(DELAY), 1).await; }
            #[tokio::test]
            async fn survives_death_at_each_point() { survives($step, FaultAction::Kill, 1).await; }
            #[tokio::test]
            async fn survives_two_deaths_at_each_point() { survives($step, FaultAction::Kill, 2).await; }
        })*
    };
}

steps! {
    launch Step::Launch;
    reboot Step::Reboot;
    restart Step::Restart;
    stop Step::Stop;
    start Step::Start;
    terminate Step::Terminate;
}
