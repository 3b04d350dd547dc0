//! Orders that come twice, late and in any order (R4): whatever came before, the list of the next session decides, and no
//! guest that was not to stop ever does.

use crate::setup::{Lab, eventually, id, intent};
use mallee_proto::v1::cluster_to_node::Message as Order;
use mallee_proto::v1::{
    DomainPhase as Phase, ForgetInstance, InstanceIntent, NodeView, PortView, RunIntent as Intent, VpcView,
};
use mallee_proto::view;
use mallee_runtime::Rng;
use std::time::Duration;

const SEEDS: u64 = 12;
/// An order is delivered this often at most.
const COPIES_MAX: u64 = 3;

/// What a cluster says in the life of four instances: 1 runs all along, 2 is stopped and started, 3 is terminated, 4 is
/// rebooted.
fn script() -> Vec<InstanceIntent> {
    vec![
        intent(2, 1, Intent::Run),
        intent(3, 1, Intent::Run),
        intent(4, 1, Intent::Run),
        intent(2, 2, Intent::Stop),
        InstanceIntent { reboot_seq: 1, ..intent(4, 2, Intent::Run) },
        intent(3, 2, Intent::Terminate),
        intent(2, 3, Intent::Run),
    ]
}

/// The whole view in which the first `told` orders of the script are followed.
fn view_after(told: &[InstanceIntent], base: &NodeView, generation: u64) -> NodeView {
    let mut view = base.clone();
    view.generation = generation;
    let vpc: &mut VpcView = &mut view.vpcs[0];
    for order in told {
        vpc.ports.retain(|port| port.instance_id != order.id);
        if order.run_intent() == Some(mallee_types::RunIntent::Run) {
            vpc.ports.extend(order.spec.iter().flat_map(|spec| &spec.ports).map(|port| PortView {
                interface_id: port.interface_id.clone(),
                instance_id: order.id.clone(),
                incarnation: order.incarnation,
                mac: port.mac.clone(),
                private_ip: port.private_ip.clone(),
                ..PortView::default()
            }));
        }
    }
    view::canonicalise(&mut view);
    view
}

async fn one(seed: u64) {
    let lab = Lab::started().await;
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&id(1), 1, Phase::Running).await;
    let base = lab.cluster.with(|known| known.view.clone());
    let script = script();
    let mut orders = Vec::new();
    for (n, order) in script.iter().enumerate() {
        let view = view_after(&script[..=n], &base, base.generation + 1 + n as u64);
        orders.push(Order::View(view::whole(&view)));
        orders.push(Order::Instance(order.clone()));
    }
    orders.push(Order::Forget(ForgetInstance { id: id(3), generation: 2 }));
    let rng = Rng::seeded(seed);
    let copies = |order: &Order| vec![order.clone(); 1 + usize::try_from(rng.below(COPIES_MAX)).unwrap()];
    let mut deck: Vec<Order> = orders.iter().flat_map(copies).collect();
    for at in (1..deck.len()).rev() {
        deck.swap(at, usize::try_from(rng.below(at as u64 + 1)).unwrap());
    }
    for order in deck {
        lab.cluster.send_order(order);
        tokio::time::sleep(Duration::from_millis(rng.below(4))).await;
        assert!(lab.host.running().contains(&id(1).parse().unwrap()), "seed {seed}: a bystander stopped");
    }
    // What the cluster wants, told once more in order, by a new session.
    lab.cluster.with(|known| {
        known.view = view_after(&script, &base, base.generation + 100);
        known.intents.remove(&id(3));
        for order in script.iter().filter(|order| order.id != id(3)) {
            known.intents.insert(order.id.clone(), order.clone());
        }
    });
    lab.cluster.hang_up();
    lab.phase(&id(2), 3, Phase::Running).await;
    lab.phase(&id(4), 2, Phase::Running).await;
    eventually(&format!("seed {seed}: nothing is left of what was terminated"), || {
        let left: Vec<_> = lab.host.leftovers().into_iter().filter(|name| name.ends_with(&id(3))).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let resets = lab.host.domain(&id(4).parse().unwrap()).unwrap().resets;
    assert!(resets <= 1, "seed {seed}: one reboot was asked for, {resets} were done");
    assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().boots, 1, "seed {seed}");
    eventually(&format!("seed {seed}: three ports are plugged"), || {
        let plugged = lab.host.plugged();
        if plugged.len() == 3 { Ok(()) } else { Err(format!("{plugged:?}")) }
    })
    .await;
}

#[tokio::test]
async fn orders_twice_late_and_in_any_order_lead_to_the_same_end() {
    futures::future::join_all((0..SEEDS).map(one)).await;
}
