use crate::setup::{Lab, NODE, eventually, id, intent};
use mallee_node_core::DomainState;
use mallee_proto::v1::{DomainPhase as Phase, InstanceIntent, InstanceQuestion, RunIntent as Intent};
use mallee_proto::view;
use std::time::Duration;

async fn running(lab: &Lab, n: u32) {
    lab.cluster.want(intent(n, 1, Intent::Run));
    lab.phase(&id(n), 1, Phase::Running).await;
    // The last that is told of a launch.
    eventually("the guest was heard", || match lab.cluster.observed(&id(n)) {
        Some(seen) if seen.guest_heard => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

async fn resyncs(lab: &Lab, times: usize) {
    eventually("the report is complete", || {
        let seen = lab.cluster.with(|known| known.resyncs);
        if seen >= times { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_session_resumes_where_it_was_cut_and_a_new_run_tells_everything() {
    let mut lab = Lab::started().await;
    running(&lab, 1).await;
    running(&lab, 2).await;
    resyncs(&lab, 1).await;
    lab.cluster.with(|known| known.heard.clear());
    lab.cluster.hang_up();
    resyncs(&lab, 2).await;
    let heard = lab.cluster.with(|known| known.heard.clone());
    assert_eq!(heard, [], "what the cluster has is not told again");

    // What happens while nobody listens is told once, the newest only.
    lab.cluster.with(|known| {
        known.session = None;
        known.epoch = 0;
    });
    for _ in 0..3 {
        lab.host.crash_guest(&id(1).parse().unwrap());
        let one = id(1).parse().unwrap();
        eventually("it runs again", || if lab.host.running().contains(&one) { Ok(()) } else { Err(String::new()) })
            .await;
    }
    lab.cluster.with(|known| known.epoch = 1);
    resyncs(&lab, 3).await;
    lab.phase(&id(1), 1, Phase::Running).await;
    let told = lab.cluster.with(|known| known.heard.iter().filter(|o| o.id == id(2)).count());
    assert_eq!(told, 0, "the other instance did not change");

    lab.cluster.with(|known| known.heard.clear());
    lab.kill_and_start().await;
    resyncs(&lab, 4).await;
    let heard = lab.cluster.with(|known| known.heard.clone());
    for n in [1, 2] {
        let told: Vec<_> = heard.iter().filter(|o| o.id == id(n)).map(|o| (o.phase(), o.network_applied)).collect();
        assert_eq!(told, [(Phase::Running, true)], "a new run tells each instance, and nothing false");
    }
    let boots = lab.cluster.with(|known| known.hellos.iter().map(|h| h.boot.clone()).collect::<Vec<_>>());
    assert_eq!(boots.iter().collect::<std::collections::BTreeSet<_>>().len(), 2, "{boots:?}");
}

#[tokio::test]
async fn a_controller_of_an_older_epoch_is_refused_even_after_a_restart() {
    let mut lab = Lab::new();
    lab.cluster.with(|known| known.epoch = 7);
    lab.cluster.with(|known| known.view.epoch = 7);
    lab.start().await;
    running(&lab, 1).await;
    lab.cluster.with(|known| {
        known.epoch = 6;
        known.session = None;
        let stop = intent(1, 9, Intent::Stop);
        known.intents.insert(stop.id.clone(), stop);
    });
    for restart in [false, true] {
        if restart {
            lab.kill_and_start().await;
        }
        let dials = lab.cluster.with(|known| known.hellos.len());
        eventually("it has dialled again", || {
            let now = lab.cluster.with(|known| known.hellos.len());
            if now >= dials + 3 { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
        assert_eq!(lab.host.running().len(), 1, "an order of the past was followed");
        assert_eq!(lab.cluster.with(|known| known.hellos.last().unwrap().epoch), 7);
    }
    lab.cluster.with(|known| known.epoch = 8);
    lab.phase(&id(1), 9, Phase::Stopped).await;
}

#[tokio::test]
async fn a_new_epoch_is_welcomed_in_the_same_session_and_nothing_is_dropped() {
    let mut lab = Lab::started().await;
    running(&lab, 1).await;
    resyncs(&lab, 1).await;
    let sessions = lab.cluster.with(|known| {
        known.heard.clear();
        known.hellos.len()
    });
    for _ in 0..2 {
        lab.cluster.welcome_again(5);
    }
    running(&lab, 2).await;
    lab.cluster.with(|known| {
        assert_eq!(known.hellos.len(), sessions, "the session goes on");
        assert!(known.heard.iter().all(|o| o.id != id(1)), "nothing is told twice: {:?}", known.heard);
    });
    assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().boots, 1);
    lab.kill_and_start().await;
    resyncs(&lab, 2).await;
    assert_eq!(lab.cluster.with(|known| known.hellos.last().unwrap().epoch), 5, "the epoch is remembered");
    // The leader of before has nothing to say any more.
    let dials = lab.cluster.with(|known| known.hellos.len());
    lab.cluster.welcome_again(4);
    eventually("it dials again", || {
        let now = lab.cluster.with(|known| known.hellos.len());
        if now > dials { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_view_that_does_not_fit_is_asked_for_whole() {
    let lab = Lab::started().await;
    running(&lab, 1).await;
    let mut update = lab.cluster.with(|known| {
        known.view.generation += 5;
        view::whole(&known.view)
    });
    update.base_generation = update.generation - 1;
    lab.cluster.send_view(update);
    let wanted = lab.cluster.with(|known| (known.view.generation, view::hash(&known.view).to_vec()));
    eventually("the whole view is applied", || {
        let applied = lab.cluster.with(|known| known.applied.clone());
        let applied = applied.map(|a| (a.generation, a.hash));
        if applied.as_ref() == Some(&wanted) { Ok(()) } else { Err(format!("{applied:?}")) }
    })
    .await;
    assert_eq!(lab.cluster.with(|known| known.mismatches.clone()), [wanted.0]);
    let old =
        lab.cluster.with(|known| view::whole(&mallee_proto::v1::NodeView { generation: 2, ..known.view.clone() }));
    lab.cluster.send_view(old);
    running(&lab, 2).await;
    assert_eq!(lab.host.view().unwrap().generation, lab.cluster.with(|known| known.view.generation));
    assert_eq!(lab.cluster.with(|known| known.mismatches.len()), 1, "an old view is ignored, not complained of");
}

#[tokio::test]
async fn with_every_controller_down_guests_run_and_a_host_that_lost_power_restarts_them() {
    let mut lab = Lab::started().await;
    running(&lab, 1).await;
    running(&lab, 2).await;
    lab.cluster.want(intent(2, 2, Intent::Stop));
    lab.phase(&id(2), 2, Phase::Stopped).await;
    lab.stop().await;
    assert_eq!(lab.host.running().len(), 1, "the end of the node controller is not the end of its guests");
    // The cluster is away: every dial is refused as of an older epoch.
    lab.cluster.with(|known| known.epoch = 0);
    lab.host.reboot();
    assert!(lab.host.running().is_empty());
    lab.start().await;
    eventually("what should run runs, with its network", || {
        let (running, plugged) = (lab.host.running(), lab.host.plugged());
        let one: mallee_types::InstanceId = id(1).parse().unwrap();
        if running == [one] && plugged.len() == 1 { Ok(()) } else { Err(format!("{running:?} {plugged:?}")) }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.host.running().len(), 1, "what was stopped stays off");
}

#[tokio::test]
async fn hello_heartbeat_console_and_inventory_tell_the_truth() {
    let lab = Lab::started().await;
    running(&lab, 1).await;
    let hello = lab.cluster.with(|known| known.hellos[0].clone());
    assert_eq!(
        (hello.node_id.as_str(), hello.vtep.as_str(), hello.hypervisor.as_str()),
        (NODE, "192.0.2.1", "simulated")
    );
    assert_eq!(hello.capacity.unwrap().vcpus, 64);
    eventually("a heartbeat names the image", || {
        let beats = lab.cluster.with(|known| known.heartbeats.clone());
        if beats.iter().any(|b| b.cached_images == ["ab".repeat(32)]) { Ok(()) } else { Err(format!("{beats:?}")) }
    })
    .await;
    lab.cluster.ask_console(&id(1));
    lab.cluster.ask_console(&id(9));
    lab.cluster.ask_inventory();
    eventually("the answers are here", || {
        lab.cluster.with(|known| match (known.consoles.len(), known.inventories.len()) {
            (2, 1) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await;
    let (consoles, inventory) = lab.cluster.with(|known| (known.consoles.clone(), known.inventories[0].clone()));
    let good = consoles.iter().find(|c| c.error.is_none()).unwrap();
    let text = String::from_utf8(good.output.clone()).unwrap();
    assert!(text.contains("-----BEGIN SSH HOST KEY FINGERPRINTS-----") && text.contains("login:"), "{text}");
    let bad = consoles.iter().find_map(|c| c.error.clone()).unwrap();
    assert!(bad.message.contains(NODE) && bad.message.contains(&id(9)), "{bad:?}");
    let inventory = inventory.inventory.unwrap();
    assert_eq!(inventory.domains.len(), 1);
    assert!(inventory.domains[0].running);
    assert_eq!((inventory.disks, inventory.strays, inventory.ports.len()), (vec![id(1)], vec![], 1));
    assert_eq!(inventory.view_hash, lab.cluster.with(|known| view::hash(&known.view).to_vec()));
}

#[tokio::test]
async fn orders_for_others_and_old_orders_are_ignored() {
    let lab = Lab::started().await;
    running(&lab, 1).await;
    lab.cluster.want(InstanceIntent { node_id: "node-2".into(), ..intent(3, 1, Intent::Run) });
    lab.cluster.want(intent(1, 1, Intent::Terminate));
    lab.cluster.want(InstanceIntent { id: "../../etc".into(), ..intent(4, 1, Intent::Run) });
    running(&lab, 2).await;
    assert_eq!(lab.host.running().len(), 2);
    assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().state, DomainState::Running);
}

#[tokio::test]
async fn pictures_interrupts_and_what_is_heard_of_the_guest() {
    let lab = Lab::started().await;
    running(&lab, 1).await;
    eventually("the guest is heard", || match lab.cluster.observed(&id(1)) {
        Some(seen) if seen.guest_heard => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    for question in [InstanceQuestion::Screenshot, InstanceQuestion::Interrupt, InstanceQuestion::Unspecified] {
        lab.cluster.ask(&id(1), question);
    }
    lab.cluster.ask(&id(9), InstanceQuestion::Screenshot);
    eventually("the answers are here", || {
        lab.cluster.with(|known| if known.answers.len() == 4 { Ok(()) } else { Err(known.answers.len().to_string()) })
    })
    .await;
    let answers = lab.cluster.with(|known| known.answers.clone());
    let picture = answers.iter().find(|a| !a.data.is_empty()).unwrap();
    assert!(picture.media_type == "image/png" && picture.data.starts_with(b"\x89PNG"));
    let errors: Vec<String> = answers.iter().filter_map(|a| a.error.as_ref().map(|e| e.message.clone())).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|e| e.contains(NODE)), "{errors:?}");
    assert_eq!(lab.host.domain(&id(1).parse().unwrap()).unwrap().interrupts, 1);
}

#[tokio::test]
async fn a_view_larger_than_a_message_comes_in_parts_and_counts_when_it_is_whole() {
    let lab = Lab::started().await;
    running(&lab, 1).await;
    let before = lab.host.view().unwrap().generation;
    let parts = lab.cluster.with(|known| {
        let old = known.view.clone();
        let long = |n: u32| (format!("10.0.{n}"), "-".repeat(400));
        known.view.generation += 1;
        known.view.sections = vec![view::section_of("at/vpc-1", &(0..50_000).map(long).collect())];
        known.view.vpcs[0].sections = vec!["at/vpc-1".into()];
        view::split(view::diff(&old, &known.view))
    });
    assert!(parts.len() > 4, "{} parts", parts.len());
    for part in &parts[..parts.len() - 1] {
        lab.cluster.send_view(part.clone());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.host.view().unwrap().generation, before, "nothing of it is taken before the last");
    // The last never comes; what comes builds on it, so all of it is asked for, and comes in parts again.
    running(&lab, 2).await;
    assert_eq!(lab.cluster.with(|known| known.mismatches.len()), 1);
    let view = lab.host.view().unwrap();
    assert_eq!((view.vpcs[0].remotes.len(), view.vpcs[0].ports.len()), (50_000, 2));
}
