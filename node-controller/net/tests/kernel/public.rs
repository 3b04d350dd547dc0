//! Public addresses: in, out, round and gone.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::PortView;

/// A network beyond the host, which knows only the host's own address.
pub fn world(lab: &Lab) -> String {
    let world = format!("{}-world", lab.prefix);
    ok(None, &format!("ip netns add {world}; ip -n {} link add w0 type veth peer name w1 netns {world}", lab.host));
    ok(Some(&lab.host), "ip addr add 198.51.100.1/24 dev w0; ip link set w0 up");
    ok(Some(&world), "ip link set lo up; ip addr add 198.51.100.2/24 dev w1; ip link set w1 up");
    world
}

fn public(n: u8, address: &str) -> PortView {
    PortView { public_ip: address.to_owned(), ..port("a", 0, n, &["sg-open"]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_and_the_world_meet_instances_by_public_address_only() {
    let mut lab = Lab::new();
    let world = world(&lab);
    let (a, b, c) = (public(11, "203.0.113.5"), public(12, "203.0.113.6"), port("a", 0, 13, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone(), c.clone()])]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    lab.tcp_server(&ga, 80);
    lab.tcp_server(&world, 80);
    lab.tcp_server(&lab.host, 8773);
    lab.tcp_server(&lab.host, 22);
    let host = lab.host.clone();
    assert_eq!(
        connect(&host, "203.0.113.5", 80).as_deref(),
        Some("192.0.0.2"),
        "the host, by the one address that rules can name"
    );
    assert!(ping(&host, "203.0.113.6") && !ping(&host, "203.0.113.7"), "an unused public address is nobody");
    assert_eq!(connect(&ga, "198.51.100.2", 80).as_deref(), Some("198.51.100.1"), "outbound, behind the host");
    assert!(connect(&gc, "198.51.100.2", 80).is_none(), "no public address, no internet");
    assert_eq!(connect(&gb, "203.0.113.5", 80).as_deref(), Some("203.0.113.6"), "hairpin, from public to public");
    assert_eq!(connect(&ga, "203.0.113.5", 80).as_deref(), Some("203.0.113.5"), "to itself");
    assert!(connect(&gc, "203.0.113.5", 80).is_none(), "no public address, no way to public addresses");
    assert!(connect(&ga, "198.51.100.1", 8773).is_some(), "the cloud's own API on the host");
    assert!(connect(&ga, "198.51.100.1", 22).is_none(), "nothing else on the host");
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    assert_eq!(connect(&world, "203.0.113.5", 80).as_deref(), Some("198.51.100.2"), "inbound, client's address kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn public_addresses_of_two_vpcs_reach_each_other_and_moving_one_moves_the_traffic() {
    let mut lab = Lab::new();
    let _world = world(&lab);
    let a = public(11, "203.0.113.5");
    let b = PortView { public_ip: "203.0.113.6".to_owned(), ..port("bb", 0, 11, &["sg-open"]) };
    let c = port("a", 0, 12, &["sg-open"]);
    lab.apply(vec![vpc("a", 100, &[a.clone(), c.clone()]), vpc("bb", 101, std::slice::from_ref(&b))]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    for (guest, n) in [(&ga, 80), (&gb, 80), (&gc, 81)] {
        lab.tcp_server(guest, n);
    }
    assert_eq!(connect(&gb, "203.0.113.5", 80).as_deref(), Some("203.0.113.6"), "same private address, other VPC");
    // The address moves to another instance of the VPC.
    let bare = PortView { public_ip: String::new(), ..a.clone() };
    let lucky = PortView { public_ip: "203.0.113.5".to_owned(), ..c.clone() };
    lab.apply(vec![vpc("a", 100, &[bare.clone(), lucky]), vpc("bb", 101, std::slice::from_ref(&b))]).await;
    assert!(connect(&gb, "203.0.113.5", 81).is_some() && connect(&gb, "203.0.113.5", 80).is_none());
    // The two swap addresses: an old flow does not go on under an address that is another's now.
    lab.udp_echo(&ga, 7);
    lab.udp_echo(&gc, 7);
    let swap = |first: &str, second: &str| {
        let set = |port: &PortView, ip: &str| PortView { public_ip: ip.to_owned(), ..port.clone() };
        vec![vpc("a", 100, &[set(&a, first), set(&c, second)]), vpc("bb", 101, std::slice::from_ref(&b))]
    };
    lab.apply(swap("203.0.113.5", "203.0.113.9")).await;
    let client = within(&lab.host, || std::net::UdpSocket::bind("0.0.0.0:0").unwrap());
    client.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let echo = |client: &std::net::UdpSocket| {
        client.send_to(b"x", "203.0.113.5:7").unwrap();
        client.recv_from(&mut [0; 4]).is_ok()
    };
    assert!(echo(&client));
    lab.apply(swap("203.0.113.9", "203.0.113.5")).await;
    assert!(!echo(&client), "the old flow");
    assert!(
        echo(&within(&lab.host, || {
            let fresh = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            fresh.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
            fresh
        })),
        "control: a new one"
    );
    // The last ones go; so does the whole edge.
    let unused = PortView { public_ip: String::new(), ..b.clone() };
    lab.apply(vec![vpc("a", 100, &[bare, c.clone()]), vpc("bb", 101, &[unused])]).await;
    assert!(!ping(&lab.host, "203.0.113.5"));
    assert!(!std::path::Path::new("/run/netns").join(lab.names.edge_ns()).exists());
    assert_eq!(ok(Some(&lab.host), "nft list tables; ip -br link show type veth | grep -v w0; true").trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_get_out_past_dockers_forward_drop() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&lab.host), "iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; iptables -P FORWARD DROP");
    let before = ok(Some(&lab.host), "iptables -S");
    let a = public(11, "203.0.113.5");
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = lab.launch(&a).await;
    lab.tcp_server(&world, 80);
    assert!(connect(&ga, "198.51.100.2", 80).is_some());
    lab.engine().destroy_all().await.unwrap();
    assert_eq!(ok(Some(&lab.host), "iptables -S"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_any_address_reaches_its_instances_and_nat_can_be_off() {
    let mut lab = Lab::new();
    lab.config.uplink_nat = false;
    ok(Some(&lab.host), "echo 0 > /proc/sys/net/ipv4/ip_forward");
    lab.restart();
    let a = public(11, "203.0.113.5");
    let outside = PortView { public_ip: "192.0.2.77".to_owned(), ..port("a", 0, 12, &["sg-open"]) };
    let view = lab.view(vec![vpc("a", 100, &[a.clone(), outside])]);
    let applied = lab.engine().apply(view).await.unwrap();
    assert!(applied.port_errors["eni-a-0-12"].contains("outside this node's public pool"));
    let _ga = lab.launch(&a).await;
    assert!(ping(&lab.host, "203.0.113.5"));
    assert_eq!(ok(Some(&lab.host), "cat /proc/sys/net/ipv4/ip_forward").trim(), "0");
    assert!(!ok(Some(&lab.host), "nft list ruleset").contains("masquerade"));
}
