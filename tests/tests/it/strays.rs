//! What is ours and named by nothing goes, after its grace; what is wanted stays (design §2.6); and what only the host has
//! wrong is found by the checker.

use mallee_app::check;
use mallee_cluster_controller::ClusterConfig;
use mallee_runtime::FaultAction;
use mallee_tests::{Setup, TestCloud};
use mallee_types::{InstanceId, InstanceState};
use std::time::Duration;
use tokio::time::Instant;

const GRACE: Duration = Duration::from_millis(4000);

fn setup() -> Setup {
    let grace = u64::try_from(GRACE.as_millis()).expect("a short time");
    Setup { cluster: ClusterConfig { sweep_grace_ms: grace, ..ClusterConfig::for_zone("") }, ..Setup::default() }
}

#[tokio::test]
async fn a_guest_that_nothing_names_goes_after_its_grace_and_no_other() {
    let mut cloud = TestCloud::with(setup()).await;
    let wanted = cloud.launch("wanted").await;
    cloud.until_state(&wanted, InstanceState::Running).await;
    let host = cloud.host_of(&wanted).await;
    let stray = InstanceId::from_random(77);
    let ours = |names: &[String]| {
        names.iter().filter(|name| name.contains(stray.as_str()) || name.contains("eni-stray")).count()
    };
    cloud.kill_node(host.name()).await;
    host.plant_stray(&stray, "eni-stray");
    cloud.start_node(host.name()).await;
    let began = Instant::now();
    let app = cloud.app();
    cloud
        .until("the checker names domain, disk and port", async |_| {
            let report = check::look_once(&app).await.map_err(|error| format!("{error:?}"))?;
            let about =
                |invariant| report.findings.iter().any(|f| f.invariant == invariant && f.problem.contains(host.name()));
            if about("I1") && about("I3") && about("I4") { Ok(()) } else { Err(format!("{:?}", report.findings)) }
        })
        .await;
    assert!(began.elapsed() < GRACE, "the machine is too slow for this test: {:?}", began.elapsed());
    assert_eq!(ours(&host.leftovers()), 3, "nothing goes before its grace: {:?}", host.leftovers());
    cloud
        .until("the stray is gone", async |_| match ours(&host.leftovers()) {
            0 => Ok(()),
            _ => Err(format!("{:?}", host.leftovers())),
        })
        .await;
    assert!(began.elapsed() >= GRACE, "the grace was not kept: {:?}", began.elapsed());
    assert_eq!(host.domain(&wanted).map(|domain| domain.boots), Some(1), "the other guest ran through it");
    cloud.sound().await;
    cloud.clear().await;
}

/// The network of a node is compared by its hash, and what is only on its way is no finding.
#[tokio::test]
async fn a_network_that_is_not_the_compiled_one_is_found() {
    let mut cloud = TestCloud::start().await;
    let id = cloud.launch("t").await;
    cloud.until_state(&id, InstanceState::Running).await;
    cloud.sound().await;
    let (app, host) = (cloud.app(), cloud.host_of(&id).await);
    assert_eq!(check::check(&app, false).await.expect("it answers").findings, []);
    // The node cannot take the next view to its end; the one before stays applied.
    cloud.faults.arm("node.view.apply", FaultAction::Fail, u32::MAX);
    let other = cloud.launch("other").await;
    let hosts: Vec<String> = cloud.hosts.iter().map(|host| host.name().to_owned()).collect();
    cloud
        .until("the checker tells it", async |_| {
            let report = check::check(&app, false).await.map_err(|error| format!("{error:?}"))?;
            let about = |f: &check::Finding| f.invariant == "I6" && hosts.contains(&f.subject);
            if report.findings.iter().any(about) { Ok(()) } else { Err(format!("{:?}", report.findings)) }
        })
        .await;
    assert_eq!(host.domain(&id).map(|domain| domain.boots), Some(1), "the guest that ran runs on");
    cloud.faults.clear();
    cloud.until_state(&other, InstanceState::Running).await;
    cloud.sound().await;
    assert_eq!(check::check(&app, false).await.expect("it answers").findings, []);
    cloud.clear().await;
}
