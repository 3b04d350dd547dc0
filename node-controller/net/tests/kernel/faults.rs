//! An apply that stops dead anywhere leaves nothing that the next one cannot put right.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{PortView, VpcView};
use mallee_runtime::FaultAction;

fn views() -> (PortView, PortView, Vec<VpcView>) {
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-open"]) };
    let b = PortView { routed_to: true, ..port("a", 0, 12, &["sg-open"]) };
    let mut view = vpc("a", 100, &[a.clone(), b.clone()]);
    view.remotes = vec![remote("10.0.1.7", "192.0.2.9")];
    (a, b, vec![view])
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_the_next_apply_converges() {
    let mut lab = Lab::new();
    ok(Some(&lab.host), "ip addr add 192.0.2.1/32 dev lo");
    let (a, b, vpcs) = views();
    lab.apply(vpcs.clone()).await;
    let points: Vec<String> = lab.faults.passed().into_iter().filter(|p| p.starts_with("net.apply.")).collect();
    assert!(points.len() >= 8, "{points:?}");
    for point in points {
        for action in [FaultAction::Kill, FaultAction::Fail] {
            lab.engine().destroy_all().await.unwrap();
            lab.restart();
            lab.faults.arm(&point, action, 1);
            let view = lab.view(vpcs.clone());
            let failed = tokio::select! {
                applied = lab.engine().apply(view) => applied.map_or(true, |a| !a.port_errors.is_empty()),
                () = lab.faults.killed() => true,
            };
            assert!(failed, "{point} {action:?} goes unnoticed");
            if action == FaultAction::Kill {
                lab.restart();
            }
            lab.apply(vpcs.clone()).await;
            let first = lab.guests.len();
            let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
            assert!(
                ping(&ga, "10.0.0.12") && ping(&gb, "10.0.0.11") && ping(&lab.host, "203.0.113.5"),
                "{point} {action:?}"
            );
            assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
            for guest in lab.guests.split_off(first) {
                ok(None, &format!("ip netns delete {guest}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_vpc_goes_it_is_gone_after_the_next() {
    let mut lab = Lab::new();
    let (_, _, vpcs) = views();
    lab.apply(vpcs).await;
    lab.faults.arm("net.apply.remove", FaultAction::Kill, 1);
    let view = lab.view(vec![]);
    tokio::select! {
        applied = lab.engine().apply(view) => panic!("{applied:?}"),
        () = lab.faults.killed() => {}
    }
    lab.restart();
    let strays = lab.engine().inventory().await.unwrap().strays;
    assert_eq!(strays.len(), 2, "the VPC's namespace and the edge: {strays:?}");
    lab.apply(vec![]).await;
    assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
}
