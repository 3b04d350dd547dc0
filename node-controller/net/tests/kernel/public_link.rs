//! Public addresses of several hosts on one network: each host answers for those of its own instances.

use crate::lab::*;
use mallee_net::{KernelNetwork, NetConfig};
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::PortView;
use mallee_runtime::FaultAction;
use std::time::{Duration, Instant};

/// The addresses of instances; the network has others, too.
const PUBLIC: &str = "203.0.113.128/25";

/// Two hosts and a stranger (returned) on one network, 203.0.113.0/24: .1, .2 and .9.
fn segment(hosts: [&mut Lab; 2]) -> String {
    let stranger = format!("{}-seg", hosts[0].prefix);
    ok(None, &format!("ip netns add {stranger}"));
    ok(
        Some(&stranger),
        "ip link set lo up; ip link add br0 type bridge; ip addr add 203.0.113.9/24 dev br0; ip link set br0 up",
    );
    for (n, lab) in hosts.into_iter().enumerate() {
        ok(None, &format!("ip -n {} link add s0 type veth peer name p{n} netns {stranger}", lab.host));
        ok(Some(&stranger), &format!("ip link set p{n} master br0 up"));
        ok(Some(&lab.host), &format!("ip addr add 203.0.113.{}/24 dev s0; ip link set s0 up", n + 1));
        lab.config.public_pool = vec![PUBLIC.parse().unwrap()];
        lab.config.public_link = Some("s0".to_owned());
        lab.restart();
    }
    stranger
}

fn public(n: u8, address: &str) -> PortView {
    PortView { public_ip: address.to_owned(), ..port("a", 0, n, &["sg-open"]) }
}

fn mac(lab: &Lab) -> String {
    ok(Some(&lab.host), "ip -br link show s0 | awk '{print $3}'").trim().to_owned()
}

/// Whom the stranger takes the address to be at, as it knows by now.
fn known(stranger: &str, address: &str) -> String {
    let line = ok(Some(stranger), &format!("ip neigh show {address} dev br0"));
    let mut words = line.split_whitespace();
    words.by_ref().find(|word| *word == "lladdr");
    words.next().unwrap_or_default().to_owned()
}

fn two() -> (Lab, Lab, String) {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    let stranger = segment([&mut one, &mut two]);
    (one, two, stranger)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_answers_for_its_own_instances() {
    let (mut one, mut two, stranger) = two();
    let (a, b) = (public(11, "203.0.113.200"), public(12, "203.0.113.201"));
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    two.apply(vec![vpc("a", 100, std::slice::from_ref(&b))]).await;
    let (ga, gb) = (one.launch(&a).await, two.launch(&b).await);
    one.tcp_server(&ga, 80);
    two.tcp_server(&gb, 80);
    one.tcp_server(&stranger, 80);

    let asked = Instant::now();
    assert_eq!(connect(&stranger, "203.0.113.200", 80).as_deref(), Some("203.0.113.9"), "in, from the segment");
    assert!(
        asked.elapsed() < Duration::from_millis(500),
        "the host does not wait before it answers: {:?}",
        asked.elapsed()
    );
    assert!(ping(&stranger, "203.0.113.201"));
    assert_eq!(known(&stranger, "203.0.113.200"), mac(&one));
    assert_eq!(known(&stranger, "203.0.113.201"), mac(&two));
    assert!(!ping(&stranger, "203.0.113.202"), "nobody's");
    assert_eq!(known(&stranger, "203.0.113.202"), "", "and nobody answers for it");
    assert_eq!(connect(&ga, "203.0.113.9", 80).as_deref(), Some("203.0.113.200"), "out, under its own address");
    assert_eq!(connect(&ga, "203.0.113.201", 80).as_deref(), Some("203.0.113.200"), "from host to host");
    assert_eq!(connect(&gb, "203.0.113.200", 80).as_deref(), Some("203.0.113.201"), "and back");
    assert_eq!(connect(&two.host, "203.0.113.200", 80).as_deref(), Some("203.0.113.2"), "from the other host");
    assert_eq!(connect(&one.host, "203.0.113.200", 80).as_deref(), Some("192.0.0.2"), "from its own host, as ever");
    assert!(!ok(Some(&one.host), "nft list ruleset").contains("masquerade"));

    // The cable is pulled and put back.
    ok(Some(&stranger), "ip link set p0 down; sleep 0.2; ip link set p0 up; ip neigh flush dev br0");
    assert!(ping(&stranger, "203.0.113.200"));

    // A new agent finds all as it was left, and disturbs nothing.
    one.restart();
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    assert!(ping(&stranger, "203.0.113.200"));

    // The last one goes, and with it everything.
    let bare = PortView { public_ip: String::new(), ..a.clone() };
    one.apply(vec![vpc("a", 100, &[bare])]).await;
    ok(Some(&stranger), "ip neigh flush dev br0");
    assert!(!ping(&stranger, "203.0.113.200") && ping(&stranger, "203.0.113.201"));
    assert_eq!(ok(Some(&one.host), "ip neigh show proxy; ip route show proto 188").trim(), "");
    two.engine().destroy_all().await.unwrap();
    assert_eq!(ok(Some(&two.host), "ip neigh show proxy; ip route show proto 188; nft list tables").trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_moves_to_another_host_is_found_there_at_once() {
    let (mut one, mut two, stranger) = two();
    let (a, b) = (public(11, "203.0.113.200"), public(12, ""));
    let keep = public(13, "203.0.113.210");
    one.apply(vec![vpc("a", 100, &[a.clone(), keep.clone()])]).await;
    two.apply(vec![vpc("a", 100, std::slice::from_ref(&b))]).await;
    let (ga, gb) = (one.launch(&a).await, two.launch(&b).await);
    one.tcp_server(&ga, 81);
    two.tcp_server(&gb, 82);
    assert!(connect(&stranger, "203.0.113.200", 81).is_some());

    let bare = PortView { public_ip: String::new(), ..a.clone() };
    let lucky = PortView { public_ip: "203.0.113.200".to_owned(), ..b.clone() };
    one.apply(vec![vpc("a", 100, &[bare, keep])]).await;
    two.apply(vec![vpc("a", 100, &[lucky])]).await;
    assert_eq!(known(&stranger, "203.0.113.200"), mac(&two), "it was announced");
    assert!(connect(&stranger, "203.0.113.200", 82).is_some());
    assert!(connect(&stranger, "203.0.113.200", 81).is_none());
    // Whoever answers wrongly meanwhile is set right by the second announcement.
    ok(Some(&stranger), &format!("ip neigh replace 203.0.113.200 lladdr {} dev br0 nud stale", mac(&one)));
    let deadline = Instant::now() + Duration::from_secs(5);
    while known(&stranger, "203.0.113.200") != mac(&two) {
        assert!(Instant::now() < deadline, "it was not announced again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let held = |lab: &Lab| ok(Some(&lab.host), "ip neigh show proxy; ip route show proto 188");
    assert!(!held(&one).contains("203.0.113.200") && held(&one).contains("203.0.113.210"));
    assert!(held(&two).contains("203.0.113.200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_never_answers_on_two_hosts() {
    let (mut one, mut two, stranger) = two();
    let (a, b) = (public(11, "203.0.113.200"), public(12, "203.0.113.200"));
    let other = public(13, "203.0.113.201");
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = one.launch(&a).await;
    one.tcp_server(&ga, 81);
    assert!(connect(&stranger, "203.0.113.200", 81).is_some());

    // The first host is away from its controllers, and was never told that the address went elsewhere.
    let now = vec![vpc("a", 100, &[b.clone(), other.clone()])];
    let view = two.view(now.clone());
    let applied = two.engine().apply(view).await.unwrap();
    let why = format!("public address 203.0.113.200: another host ({}) answers for it on s0", mac(&one));
    assert!(applied.waiting[&b.interface_id].starts_with(&why), "{applied:?}");
    assert_eq!((applied.waiting.len(), applied.port_errors.len()), (1, 0), "{applied:?}");
    let gb = two.launch(&b).await;
    two.launch(&other).await;
    two.tcp_server(&gb, 82);
    let held = |lab: &Lab| ok(Some(&lab.host), "ip neigh show proxy; ip route show proto 188");
    assert!(!held(&two).contains("203.0.113.200") && held(&two).contains("203.0.113.201"));
    ok(Some(&stranger), "ip neigh flush dev br0");
    assert!(connect(&stranger, "203.0.113.200", 81).is_some(), "the first one goes on as it was told");
    assert_eq!(known(&stranger, "203.0.113.200"), mac(&one));
    assert!(ping(&stranger, "203.0.113.201"), "what nobody else has is not held up");

    // Started again it finds the same. Once the first host is gone, the next look of the second takes the address.
    two.restart();
    let view = two.view(now.clone());
    let applied = two.engine().apply(view).await.unwrap();
    assert!(applied.waiting.contains_key(&b.interface_id), "{applied:?}");
    ok(Some(&stranger), "ip link set p0 down");
    let view = two.view(now);
    let applied = two.engine().apply(view).await.unwrap();
    assert_eq!((applied.waiting.len(), applied.port_errors.len()), (0, 0), "{applied:?}");
    assert!(connect(&stranger, "203.0.113.200", 82).is_some(), "it was announced");
    assert_eq!(known(&stranger, "203.0.113.200"), mac(&two));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_ends_whatever_else_fails_and_begins_only_when_its_way_stands() {
    let (mut one, _two, stranger) = two();
    let a = public(11, "203.0.113.200");
    let bare = PortView { public_ip: String::new(), ..a.clone() };
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    one.launch(&a).await;
    assert!(ping(&stranger, "203.0.113.200"));
    // Something else of the same view cannot be removed.
    one.faults.arm("net.apply.remove", FaultAction::Fail, 1);
    let view = one.view(vec![vpc("a", 100, &[bare])]);
    one.engine().apply(view).await.unwrap_err();
    assert_eq!(ok(Some(&one.host), "ip neigh show proxy; ip route show proto 188").trim(), "", "it answers no more");
    // Its VPC cannot be applied: nobody is told that the address is here.
    one.faults.arm("net.apply.rules", FaultAction::Fail, 1);
    let view = one.view(vec![vpc("a", 100, &[a.clone(), public(14, "")])]);
    let applied = one.engine().apply(view).await.unwrap();
    assert!(applied.port_errors.contains_key(&a.interface_id), "{applied:?}");
    assert_eq!(ok(Some(&one.host), "ip neigh show proxy").trim(), "");
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    assert!(ping(&stranger, "203.0.113.200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lets_go_at_the_same_moment_holds_nothing_up() {
    let (mut one, mut two, stranger) = two();
    let (a, b) = (public(11, "203.0.113.200"), public(12, "203.0.113.200"));
    let bare = PortView { public_ip: String::new(), ..a.clone() };
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    one.launch(&a).await;
    let (leave, take) = (one.view(vec![vpc("a", 100, &[bare])]), two.view(vec![vpc("a", 100, &[b])]));
    let (left, taken) = tokio::join!(one.engine().apply(leave), two.engine().apply(take));
    assert_eq!((left.unwrap(), taken.unwrap()), Default::default());
    assert_eq!(ok(Some(&two.host), "ip neigh show proxy").trim(), "203.0.113.200 dev s0 proxy");
    ok(Some(&stranger), "ip neigh flush dev br0");
    assert!(!ok(Some(&one.host), "ip neigh show proxy").contains("203.0.113.200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_link_that_is_given_up_or_missing_answers_for_nothing() {
    let (mut one, _two, stranger) = two();
    let a = public(11, "203.0.113.200");
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    one.launch(&a).await;
    assert!(ping(&stranger, "203.0.113.200"));
    // The operator takes the option away: the pool is the host's own again.
    one.config.public_link = None;
    one.restart();
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    ok(Some(&stranger), "ip neigh flush dev br0");
    assert!(!ping(&stranger, "203.0.113.200") && ping(&one.host, "203.0.113.200"));
    assert_eq!(ok(Some(&one.host), "ip neigh show proxy").trim(), "");
    // And back.
    one.config.public_link = Some("s0".to_owned());
    one.restart();
    one.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    assert!(ping(&stranger, "203.0.113.200"));
    assert!(!ok(Some(&one.host), "ip route show proto 188").contains(PUBLIC), "the rest is others'");

    let missing = NetConfig { public_link: Some("nope0".to_owned()), ..one.config.clone() };
    let refused = KernelNetwork::new(missing, one.instances.clone()).unwrap_err().to_string();
    assert!(refused.contains("this host has no network interface nope0"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_the_next_apply_answers_for_what_is_here_and_for_nothing_else() {
    let (mut one, _two, stranger) = two();
    let a = public(11, "203.0.113.200");
    let bare = PortView { public_ip: String::new(), ..a.clone() };
    let (with, without) = (vec![vpc("a", 100, std::slice::from_ref(&a))], vec![vpc("a", 100, &[bare])]);
    one.apply(without.clone()).await;
    one.launch(&a).await;
    for point in ["withdraw", "withdrawn", "edge", "public", "offer"] {
        for (vpcs, here) in [(&with, true), (&without, false)] {
            one.faults.arm(&format!("net.apply.{point}"), FaultAction::Kill, 1);
            let view = one.view(vpcs.clone());
            tokio::select! {
                // What takes an address away passes fewer steps.
                applied = one.engine().apply(view) => assert!(!here, "{point} goes unnoticed: {applied:?}"),
                () = one.faults.killed() => {}
            }
            one.faults.clear();
            one.restart();
            one.apply(vpcs.clone()).await;
            ok(Some(&stranger), "ip neigh flush dev br0");
            assert_eq!(ping(&stranger, "203.0.113.200"), here, "{point}");
            let proxies = ok(Some(&one.host), "ip neigh show proxy; ip route show proto 188");
            assert_eq!(proxies.contains("203.0.113.200"), here, "{point}: {proxies}");
        }
    }
}
