//! Two nodes on one underlay.

use crate::lab::*;
use mallee_proto::v1::group_rule::Peer;

pub fn underlay(one: &Lab, two: &Lab) {
    wire([one, two].map(|lab| (lab.host.as_str(), lab.config.vtep)));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_on_two_nodes_reach_each_other() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let (a, b, c) = (port("a", 0, 11, &["sg-x"]), port("a", 0, 12, &["sg-x"]), port("a", 1, 13, &["sg-open"]));
    let view = |ports: &[mallee_proto::v1::PortView], remotes: &[(&str, &str)]| {
        let mut view = vpc("a", 100, ports);
        let from = rule(false, -1, -1, -1, Peer::GroupId("sg-x".to_owned()));
        view.groups.push(group("sg-x", vec![all_out(), from]));
        view.members = vec![members("sg-x", &["10.0.0.11", "10.0.0.12"])];
        view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
        view
    };
    one.apply(vec![view(std::slice::from_ref(&a), &[("10.0.0.12", "192.0.2.2"), ("10.0.1.13", "192.0.2.2")])]).await;
    two.apply(vec![view(&[b.clone(), c.clone()], &[("10.0.0.11", "192.0.2.1")])]).await;
    let (ga, gb, gc) = (one.launch(&a).await, two.launch(&b).await, two.launch(&c).await);
    two.tcp_server(&gb, 80);
    assert!(ping(&ga, "10.0.0.12") && ping(&ga, "10.0.1.13") && ping(&gb, "10.0.0.11"));
    assert_eq!(connect(&ga, "10.0.0.12", 80).as_deref(), Some("10.0.0.11"), "same subnet, other node");
    assert!(!ping(&gc, "10.0.0.11"), "not a member");
    assert!(sh(Some(&ga), "busybox ping -c 1 -W 1 -s 1422 10.0.0.12").status.success(), "a full packet");
    // Another VPC with the same numbers, on the same two nodes.
    let (x, y) = (port("bb", 0, 11, &["sg-open"]), port("bb", 0, 12, &["sg-open"]));
    let other = |ports: &[mallee_proto::v1::PortView], ip: &str, at: &str| {
        let mut view = vpc("bb", 101, ports);
        view.remotes = vec![remote(ip, at)];
        view
    };
    let keep = view(std::slice::from_ref(&a), &[("10.0.0.12", "192.0.2.2"), ("10.0.1.13", "192.0.2.2")]);
    one.apply(vec![keep, other(std::slice::from_ref(&x), "10.0.0.12", "192.0.2.2")]).await;
    let keep = view(&[b.clone(), c.clone()], &[("10.0.0.11", "192.0.2.1")]);
    two.apply(vec![keep, other(std::slice::from_ref(&y), "10.0.0.11", "192.0.2.1")]).await;
    let (gx, gy) = (one.launch(&x).await, two.launch(&y).await);
    two.tcp_server(&gy, 81);
    assert!(connect(&gx, "10.0.0.12", 81).is_some() && connect(&gx, "10.0.0.12", 80).is_none());
    assert!(connect(&ga, "10.0.0.12", 80).is_some() && connect(&ga, "10.0.0.12", 81).is_none());
    // The instance moves from node two to node one; then nobody is left on two.
    let none: [(&str, &str); 0] = [];
    one.apply(vec![view(&[a.clone(), b.clone()], &none)]).await;
    two.apply(vec![]).await;
    let gb = one.launch(&b).await;
    assert!(ping(&ga, "10.0.0.12") && ping(&gb, "10.0.0.11"));
    let devices = ok(Some(&one.names.vpc_ns("vpc-a")), "ip -br link");
    assert!(!devices.contains("vx"), "no remotes, no overlay: {devices}");
}
