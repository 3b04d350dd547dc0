use crate::setup::{Lab, eventually, id, intent};
use mallee_node_core::{DomainState, MetadataSource as _};
use mallee_proto::v1::{DomainPhase as Phase, InstanceIntent, RunIntent as Intent};
use mallee_sim::{Guest, SimFault};
use std::time::Duration;

#[tokio::test]
async fn a_life_from_launch_to_nothing() {
    let lab = Lab::started().await;
    let one = id(1);
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&one, 1, Phase::Running).await;
    let domain = lab.host.domain(&one.parse().unwrap()).unwrap();
    assert_eq!((domain.state, domain.vcpus, domain.memory_mib), (DomainState::Running, 1, 512));
    assert_eq!(lab.host.plugged().len(), 1);
    assert_eq!(lab.held.instance(&one).unwrap().generation, 1, "the metadata service knows it");

    lab.cluster.want(InstanceIntent { reboot_seq: 1, ..intent(1, 2, Intent::Run) });
    eventually("it has rebooted", || match lab.cluster.observed(&one) {
        Some(seen) if seen.reboot_seq == 1 && seen.generation == 2 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(lab.host.domain(&one.parse().unwrap()).unwrap().resets, 1);

    lab.cluster.want(intent(1, 3, Intent::Stop));
    lab.phase(&one, 3, Phase::Stopped).await;
    assert!(lab.host.plugged().is_empty());
    assert!(!lab.host.leftovers().is_empty(), "the disk stays");
    lab.cluster.want(InstanceIntent { reboot_seq: 1, ..intent(1, 4, Intent::Run) });
    lab.phase(&one, 4, Phase::Running).await;
    assert_eq!(lab.host.calls("ensure"), 1, "a second start downloads nothing");
    lab.cluster.want(intent(1, 5, Intent::Terminate));
    lab.phase(&one, 5, Phase::Absent).await;
    lab.clean().await;
    assert!(lab.held.instance(&one).is_none());
    lab.cluster.with(|known| {
        let seen: Vec<_> = known.heard.iter().map(|o| (o.generation, o.phase(), o.network_applied)).collect();
        let running_without = seen.iter().any(|(_, phase, net)| *phase == Phase::Running && !net);
        assert!(!running_without, "never running without its network: {seen:?}");
        // With what the guest was asked, and when it was first heard.
        assert!(seen.len() <= 18, "a life of five orders is few reports: {seen:?}");
    });
}

#[tokio::test]
async fn many_at_once_all_run_and_all_go() {
    let lab = Lab::started().await;
    for n in 0..100 {
        lab.cluster.want(intent(n, 1, Intent::Run));
    }
    for n in 0..100 {
        lab.phase(&id(n), 1, Phase::Running).await;
    }
    assert_eq!(lab.host.calls("ensure"), 1.max(lab.host.calls("ensure").min(100)));
    for n in 0..100 {
        lab.cluster.want(intent(n, 2, Intent::Terminate));
    }
    lab.clean().await;
}

#[tokio::test]
async fn a_guest_that_powers_itself_off_is_reported_and_left_off() {
    let lab = Lab::started().await;
    let one = id(1);
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&one, 1, Phase::Running).await;
    assert!(lab.host.power_off_guest(&one.parse().unwrap()));
    lab.phase(&one, 1, Phase::Stopped).await;
    let reason = lab.cluster.observed(&one).unwrap().reason.unwrap();
    assert_eq!(reason.code, "Client.InstanceInitiatedShutdown");
    lab.cluster.want(intent(1, 2, Intent::Stop));
    lab.phase(&one, 2, Phase::Stopped).await;
    lab.cluster.want(intent(1, 3, Intent::Run));
    lab.phase(&one, 3, Phase::Running).await;
}

#[tokio::test]
async fn a_killed_domain_comes_back_by_itself() {
    let lab = Lab::started().await;
    let one = id(1);
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&one, 1, Phase::Running).await;
    assert!(lab.host.crash_guest(&one.parse().unwrap()));
    eventually("it runs again, and says why", || match lab.cluster.observed(&one) {
        Some(o) if o.phase() == Phase::Running && o.network_applied && o.reason.is_some() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let guest = Guest { crashes_after: Some(Duration::from_millis(1)), ..Guest::default() };
    lab.host.set_guest(&one.parse().unwrap(), guest);
    lab.host.crash_guest(&one.parse().unwrap());
    lab.phase(&one, 1, Phase::Failed).await;
    assert!(lab.cluster.observed(&one).unwrap().reason.unwrap().message.contains("node-1"));
}

#[tokio::test]
async fn a_deaf_guest_is_stopped_and_terminated_all_the_same() {
    let lab = Lab::started().await;
    for (n, end, phase) in [(1, Intent::Stop, Phase::Stopped), (2, Intent::Terminate, Phase::Absent)] {
        let guest = Guest { ignores_shutdown: true, ..Guest::default() };
        lab.host.set_guest(&id(n).parse().unwrap(), guest);
        lab.cluster.want(intent(n, 1, Intent::Run));
        lab.phase(&id(n), 1, Phase::Running).await;
        lab.cluster.want(intent(n, 2, end));
        lab.phase(&id(n), 2, phase).await;
    }
}

#[tokio::test]
async fn launches_that_cannot_succeed_fail_with_cause_and_host() {
    let lab = Lab::started().await;
    lab.host.lose_image(&"ab".repeat(32));
    lab.cluster.want(intent(1, 1, Intent::Run));
    lab.phase(&id(1), 1, Phase::Failed).await;
    let text = lab.cluster.observed(&id(1)).unwrap().reason.unwrap().message;
    assert!(text.contains("node-1") && text.contains("does not exist in the image store"), "{text}");
    let mut huge = intent(2, 1, Intent::Run);
    let spec = huge.spec.as_mut().unwrap();
    spec.memory_mib = 1 << 30;
    spec.image.as_mut().unwrap().digest = "cd".repeat(32);
    lab.cluster.want(huge);
    lab.phase(&id(2), 1, Phase::Failed).await;
    assert_eq!(lab.cluster.observed(&id(2)).unwrap().reason.unwrap().code, "Server.InsufficientInstanceCapacity");
    for n in [1, 2] {
        lab.cluster.want(intent(n, 2, Intent::Terminate));
    }
    lab.clean().await;
}

#[tokio::test]
async fn every_driver_call_that_fails_hangs_or_loses_its_reply_is_overcome() {
    let methods = [
        "ensure",
        "prepare_disk",
        "create_tap",
        "start_paused",
        "plug",
        "resume",
        "domain",
        "apply",
        "shutdown",
        "unplug",
        "remove",
    ];
    for method in methods {
        for fault in [SimFault::Fail, SimFault::FailAfter, SimFault::Delay(Duration::from_millis(30)), SimFault::Hang] {
            if (method, &fault) == ("ensure", &SimFault::Hang) {
                continue; // Bounded by the launch's deadline: the next test.
            }
            let lab = Lab::started().await;
            lab.host.fault(method, fault.clone(), 2);
            lab.cluster.want(intent(1, 1, Intent::Run));
            lab.phase(&id(1), 1, Phase::Running).await;
            lab.host.fault(method, fault, 2);
            lab.cluster.want(intent(1, 2, Intent::Terminate));
            lab.clean().await;
        }
    }
}

#[tokio::test]
async fn an_image_that_never_comes_fails_the_launch_at_its_deadline_and_can_be_given_up_before() {
    let lab = Lab::started().await;
    lab.host.fault("ensure", SimFault::Hang, 2);
    lab.cluster.want(intent(1, 1, Intent::Run));
    eventually("the fetch is told", || match lab.cluster.observed(&id(1)) {
        Some(o) if o.activity == "fetching the image" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    lab.cluster.want(intent(1, 2, Intent::Terminate));
    lab.clean().await;
    lab.cluster.want(intent(2, 1, Intent::Run));
    lab.phase(&id(2), 1, Phase::Failed).await;
    let text = lab.cluster.observed(&id(2)).unwrap().reason.unwrap().message;
    assert!(text.contains("not launched within 5 s"), "{text}");
}

#[tokio::test]
async fn a_port_that_cannot_be_applied_keeps_the_instance_from_running_and_says_why() {
    let lab = Lab::started().await;
    let order = intent(1, 1, Intent::Run);
    let interface = order.spec.as_ref().unwrap().ports[0].interface_id.clone();
    lab.host.port_error(&interface, Some("no such table"));
    lab.cluster.want(order);
    eventually("the reason is told", || match lab.cluster.observed(&id(1)) {
        Some(o) if o.phase() == Phase::Preparing && o.activity.contains("no such table") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    lab.host.port_error(&interface, None);
    lab.phase(&id(1), 1, Phase::Running).await;
}

#[tokio::test]
async fn what_waits_for_another_host_holds_no_instance_up_and_is_told_until_it_came() {
    let lab = Lab::started().await;
    let order = intent(1, 1, Intent::Run);
    let interface = order.spec.as_ref().unwrap().ports[0].interface_id.clone();
    lab.host.port_wait(&interface, Some("another host answers for it"));
    lab.cluster.want(order);
    lab.phase(&id(1), 1, Phase::Running).await;
    let told =
        || lab.cluster.with(|known| known.applied.clone()).map(|applied| applied.port_errors).unwrap_or_default();
    eventually("what it waits for is told", || match told().get(&interface) {
        Some(why) if why == "another host answers for it" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // Nobody tells the node when the other host is gone: it looks again by itself.
    lab.host.port_wait(&interface, None);
    eventually("it came", || if told().is_empty() { Ok(()) } else { Err(format!("{:?}", told())) }).await;
}
