//! Ports, subnets, isolation, life and death of what is made.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;

#[tokio::test(flavor = "multi_thread")]
async fn instances_reach_each_other_within_and_across_subnets() {
    let mut lab = Lab::new();
    let (a, b, c) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]), port("a", 1, 13, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone(), c.clone()])]).await;
    let (ga, gb, _gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    lab.tcp_server(&gb, 80);
    assert!(ping(&ga, "10.0.0.12") && ping(&ga, "10.0.1.13") && ping(&ga, "10.0.0.1"));
    assert_eq!(connect(&ga, "10.0.0.12", 80).as_deref(), Some("10.0.0.11"));
    assert!(!ping(&ga, "10.0.0.77"), "nobody has this address");
    assert!(!ping(&ga, "10.0.9.1"), "nobody has this subnet");
    let inventory = lab.engine().inventory().await.unwrap();
    assert_eq!(inventory.ports, ["eni-a-0-11", "eni-a-0-12", "eni-a-1-13"]);
    assert_eq!(inventory.strays, Vec::<String>::new());
    // A full-size packet passes, a larger one is told so.
    assert!(sh(Some(&ga), "busybox ping -c 1 -W 1 -s 1422 10.0.1.13").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_addresses_in_two_vpcs_do_not_meet() {
    let mut lab = Lab::new();
    let (a1, a2) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let (b1, b2) = (port("bb", 0, 11, &["sg-open"]), port("bb", 0, 13, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a1.clone(), a2.clone()]), vpc("bb", 101, &[b1.clone(), b2.clone()])]).await;
    let (ga1, ga2) = (lab.launch(&a1).await, lab.launch(&a2).await);
    let (gb1, gb2) = (lab.launch(&b1).await, lab.launch(&b2).await);
    lab.tcp_server(&ga1, 80);
    lab.tcp_server(&gb1, 81);
    assert!(connect(&ga2, "10.0.0.11", 80).is_some() && connect(&ga2, "10.0.0.11", 81).is_none());
    assert!(connect(&gb2, "10.0.0.11", 81).is_some() && connect(&gb2, "10.0.0.11", 80).is_none());
    assert!(!ping(&ga2, "10.0.0.13") && !ping(&gb2, "10.0.0.12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_view_changes_cut_no_flow() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-ref"]), port("a", 0, 12, &["sg-ref"]));
    let make = |n: usize, ports: &[mallee_proto::v1::PortView]| {
        let mut view = vpc("a", 100, ports);
        let from = rule(false, -1, -1, -1, mallee_proto::v1::group_rule::Peer::GroupId("sg-ref".to_owned()));
        let extra = rule(false, 6, 1000 + i32::try_from(n).unwrap(), 60_000, cidr("0.0.0.0/0"));
        view.groups = vec![group("sg-ref", vec![all_out(), from, extra])];
        view.members = vec![members("sg-ref", &["10.0.0.11", "10.0.0.12", &format!("10.0.1.{}", n + 1)])];
        view.remotes = vec![remote(&format!("10.0.1.{}", n + 1), "192.0.2.9")];
        view
    };
    let ports = vec![a.clone(), b.clone()];
    lab.apply(vec![make(0, &ports)]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    lab.udp_echo(&gb, 7);
    let pinger = Pinger::start(&ga, "10.0.0.12:7");
    let ns = lab.names.vpc_ns("vpc-a");
    let hooks = || {
        ok(
            Some(&ns),
            "nft -a list chains | grep 'chain.*handle'; nft -a list ruleset | grep -A1 'chain raw\\|chain leave\\|chain enter\\|chain input' | grep handle",
        )
    };
    let before = hooks();
    for n in 1..=50 {
        let mut ports = ports.clone();
        if n % 2 == 0 {
            ports.push(port("a", 1, 200, &["sg-ref"]));
        }
        lab.apply(vec![make(n, &ports)]).await;
    }
    let (sent, lost) = pinger.stop();
    assert_eq!(
        hooks().lines().filter(|l| l.contains("raw")).collect::<Vec<_>>(),
        before.lines().filter(|l| l.contains("raw")).collect::<Vec<_>>(),
        "the hooks were never taken away"
    );
    assert!(before.contains("chain raw"), "{before}");
    assert!(sent > 200, "only {sent} packets sent");
    assert_eq!(lost, Vec::<u32>::new(), "of {sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_finds_everything_again_and_the_guest_notices_nothing() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let views = vec![vpc("a", 100, &[a.clone(), b.clone()])];
    lab.apply(views.clone()).await;
    let (ga, _gb) = (lab.launch(&a).await, lab.launch(&b).await);
    lab.engine = None;
    assert!(ping(&ga, "10.0.0.12"), "nothing of ours is in the path");
    lab.restart();
    assert_eq!(lab.engine().inventory().await.unwrap().ports.len(), 2);
    lab.apply(views).await;
    lab.engine().plug(&a).await.unwrap();
    assert!(ping(&ga, "10.0.0.12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_broke_is_mended_and_what_is_unnamed_goes() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, _gb) = (lab.launch(&a).await, lab.launch(&b).await);
    let ns = lab.names.vpc_ns("vpc-a");
    ok(Some(&ns), "nft flush ruleset; ip addr flush dev lo; ip route flush table main; ip link set lo down");
    assert!(!ping(&ga, "10.0.0.12"));
    lab.restart();
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    assert!(ping(&ga, "10.0.0.12"));
    // One port goes: its tap goes with it.
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    assert_eq!(lab.engine().inventory().await.unwrap().ports, ["eni-a-0-11"]);
    assert!(!ping(&ga, "10.0.0.12"));
    lab.engine().unplug(&a.interface_id).await.unwrap();
    lab.engine().unplug(&a.interface_id).await.unwrap();
    assert!(lab.engine().inventory().await.unwrap().ports.is_empty());
    // The VPC goes.
    lab.apply(vec![]).await;
    assert!(!std::path::Path::new("/run/netns").join(&ns).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_clear() {
    let mut lab = Lab::new();
    let a = port("a", 0, 11, &["sg-open"]);
    let error = lab.engine().create_tap(&a).await.unwrap_err();
    assert_eq!(error.to_string(), "port eni-a-0-11: the applied view does not name it");
    let mut bad = port("a", 0, 12, &["sg-open"]);
    bad.private_ip = "10.9.9.9".to_owned();
    let view = lab.view(vec![vpc("a", 100, &[a.clone(), bad])]);
    let applied = lab.engine().apply(view.clone()).await.unwrap();
    assert_eq!(applied.port_errors["eni-a-0-12"], "10.9.9.9 is not an address for instances of 10.0.0.0/24");
    let error = lab.engine().plug(&a).await.unwrap_err();
    assert!(error.to_string().contains("is gone, make it anew"), "{error}");
    let old = mallee_proto::v1::NodeView { epoch: 0, generation: 99, ..Default::default() };
    let old = std::sync::Arc::new(old);
    assert!(lab.engine().apply(old).await.unwrap_err().to_string().contains("is older than"));
}

#[tokio::test(flavor = "multi_thread")]
async fn taps_are_made_where_the_hypervisor_finds_them() {
    let mut lab = Lab::new();
    lab.config.port_kind = mallee_net::PortKind::Tap;
    lab.restart();
    let a = port("a", 0, 11, &["sg-open"]);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let tap = lab.engine().create_tap(&a).await.unwrap();
    assert_eq!(lab.engine().create_tap(&a).await.unwrap(), tap, "a stale tap is replaced");
    assert!(ok(Some(&lab.host), "ip -d link show").contains("tun type tap"));
    lab.engine().plug(&a).await.unwrap();
    lab.engine().plug(&a).await.unwrap();
    assert!(!ok(Some(&lab.host), "ip link show").contains(&tap));
    let there =
        ok(Some(&lab.names.vpc_ns("vpc-a")), &format!("ip link show {tap}; ip route; ip neigh show nud permanent"));
    for part in ["02:00:00:00:00:01", "mtu 1450", "10.0.0.11 dev", "02:aa:01:00:00:0b"] {
        assert!(there.contains(part), "{part} in {there}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destroy_all_leaves_nothing_of_ours_and_all_of_others() {
    let mut lab = Lab::new();
    let mut a = port("a", 0, 11, &["sg-open"]);
    a.public_ip = "203.0.113.5".to_owned();
    let b = port("a", 0, 12, &["sg-open"]);
    let mut view = vpc("a", 100, &[a.clone(), b.clone()]);
    view.remotes = vec![remote("10.0.1.7", "192.0.2.9")];
    let before = ok(Some(&lab.host), "ip -br link; ip route; nft list ruleset");
    ok(Some(&lab.host), "ip link add other type veth peer name mtother; nft add table ip foreign");
    let stranger = format!("{}-stranger", lab.prefix);
    ok(None, &format!("ip netns add {stranger}"));
    lab.apply(vec![view]).await;
    lab.launch(&a).await;
    lab.engine().create_tap(&b).await.unwrap();
    lab.engine().destroy_all().await.unwrap();
    lab.engine().destroy_all().await.unwrap();
    assert!(ok(Some(&lab.host), "ip -br link; nft list tables").contains("mtother"), "not ours");
    assert!(std::path::Path::new("/run/netns").join(&stranger).exists(), "not ours");
    ok(Some(&lab.host), "ip link del other; nft delete table ip foreign");
    assert_eq!(ok(Some(&lab.host), "ip -br link; ip route; nft list ruleset"), before);
    for ns in [lab.names.vpc_ns("vpc-a"), lab.names.edge_ns()] {
        assert!(!std::path::Path::new("/run/netns").join(ns).exists());
    }
}
