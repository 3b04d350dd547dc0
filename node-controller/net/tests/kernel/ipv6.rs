//! IPv6 inside a VPC: on one node and between two, what groups and network ACLs say of it, and that a VPC without it has none.

pub use crate::guest6::{add_address, connects6, listen6, ping6, ping6_once, set_address};
use crate::lab::*;
use crate::overlay::underlay;
use crate::world6::{lab6, routed, world6};
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{NetworkAclEntry, PortView, RouteTarget, VpcView};
use mallee_runtime::FaultAction;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::time::Duration;

/// As [`port`], with the address `2001:db8:0:<subnet>::<n>`.
pub fn port6(subnet: u8, n: u8, groups: &[&str]) -> PortView {
    PortView { ipv6_addresses: vec![address(subnet, n)], ..port("a", subnet, n, groups) }
}

pub fn address(subnet: u8, n: u8) -> String {
    let last = u16::from_str_radix(&n.to_string(), 16).unwrap();
    Ipv6Addr::new(0x2001, 0xdb8, 0, subnet.into(), 0, 0, 0, last).to_string()
}

pub fn cidr6(text: &str) -> Peer {
    Peer::Cidr(text.to_owned())
}

/// A VPC whose subnets have IPv6 too. The group `sg-open` lets both families through.
pub fn vpc6(ports: &[PortView]) -> VpcView {
    let mut view = vpc("a", 100, ports);
    view.ipv6_cidrs = vec!["2001:db8::/56".to_owned()];
    for (n, subnet) in view.subnets.iter_mut().enumerate() {
        subnet.ipv6_cidr = format!("2001:db8:0:{n}::/64");
    }
    view.groups[0].rules.extend([false, true].map(|egress| rule(egress, -1, -1, -1, cidr6("::/0"))));
    view
}

pub async fn launch6(lab: &mut Lab, port: &PortView) -> String {
    let guest = lab.launch(port).await;
    set_address(&guest, port);
    guest
}

/// Whether one datagram from this address gets there.
pub fn delivers6(sender: &str, source: &str, receiver: &str, to: &str) -> bool {
    let socket = within(receiver, || UdpSocket::bind("[::]:9999").unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    within(sender, || UdpSocket::bind(format!("[{source}]:0")).unwrap().send_to(b"x", format!("[{to}]:9999")).unwrap());
    socket.recv_from(&mut [0; 16]).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_one_node_reach_each_other_and_groups_decide() {
    let mut lab = Lab::new();
    let (a, b, c) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-web"]), port6(1, 13, &["sg-open"]));
    let view = |members_of_x: &[&str]| {
        let mut view = vpc6(&[a.clone(), b.clone(), c.clone()]);
        let from = |port, peer| rule(false, 6, port, port, peer);
        let rules = vec![
            from(80, cidr6("2001:db8:0:1::/64")),
            from(81, Peer::GroupId("sg-x".to_owned())),
            from(82, cidr("0.0.0.0/0")),
            from(83, cidr6("::/0")),
            rule(false, 58, 128, -1, cidr6("2001:db8::11/128")),
            rule(false, 1, -1, -1, cidr("0.0.0.0/0")),
        ];
        view.groups.push(group("sg-web", rules));
        view.members = vec![members("sg-x", members_of_x)];
        view
    };
    lab.apply(vec![view(&["10.0.0.11", "2001:db8::11"])]).await;
    let (ga, gb, gc) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await, launch6(&mut lab, &c).await);
    let _listeners: Vec<TcpListener> = (80..84).map(|port| listen6(&gb, port)).collect();
    assert!(ping6(&ga, "2001:db8:0:1::13") && ping6(&gc, "2001:db8::11"), "across subnets");
    assert!(ping6(&ga, "2001:db8::12"), "an echo from one address");
    assert!(!ping6_once(&gc, "2001:db8::12"), "of all ICMP it is IPv4's");
    assert!(connects6(&gc, "2001:db8::12", 80) && !connects6(&ga, "2001:db8::12", 80), "by block");
    assert!(connects6(&ga, "2001:db8::12", 81) && !connects6(&gc, "2001:db8::12", 81), "by group");
    assert!(!connects6(&ga, "2001:db8::12", 82), "all of IPv4 is nothing of IPv6");
    assert!(connects6(&ga, "2001:db8::12", 83) && !connects6(&ga, "10.0.0.12", 83), "nor the other way round");
    assert!(!connects6(&gb, "2001:db8::11", 80) && !ping6_once(&gb, "2001:db8::11"), "nothing lets it out");
    // An agent that looks at all of it again finds nothing to do.
    let ns = lab.names.vpc_ns("vpc-a");
    let mut monitor = std::process::Command::new("ip");
    let heard = std::env::temp_dir().join(format!("{}-monitor", lab.prefix));
    monitor.args(["-n", &ns, "monitor", "route", "neigh", "address", "link"]);
    let mut monitor = monitor.stdout(std::fs::File::create(&heard).unwrap()).spawn().unwrap();
    lab.restart();
    lab.apply(vec![view(&["10.0.0.11", "2001:db8::11"])]).await;
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let heard = std::fs::read_to_string(heard).unwrap();
    assert!(!heard.contains("2001:db8") && !heard.contains("fe80::1/"), "{heard}");
    // Members change.
    lab.apply(vec![view(&["2001:db8:0:1::13"])]).await;
    assert!(!connects6(&ga, "2001:db8::12", 81) && connects6(&gc, "2001:db8::12", 81));
    // The router, and what nobody has.
    assert!(ping6(&ga, "fe80::1%eth0"), "its router");
    assert!(!ping6_once(&ga, "2001:db8::99") && !ping6_once(&ga, "2001:db8:ffff::1"));
    assert!(sh(Some(&ga), "busybox ping -6 -c 1 -W 1 -s 1402 2001:db8:0:1::13").status.success(), "a full packet");
    assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_on_two_nodes_reach_each_other_and_one_moves() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let (a, b, c) = (port6(0, 11, &["sg-x"]), port6(0, 12, &["sg-x"]), port6(1, 13, &["sg-open"]));
    let view = |ports: &[PortView], remotes: &[(&str, &str)]| {
        let mut view = vpc6(ports);
        let from = rule(false, -1, -1, -1, Peer::GroupId("sg-x".to_owned()));
        view.groups.push(group("sg-x", vec![rule(true, -1, -1, -1, cidr6("::/0")), from]));
        view.members = vec![members("sg-x", &["10.0.0.11", "10.0.0.12", "2001:db8::11", "2001:db8::12"])];
        view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
        view
    };
    let there = |ips: &[&'static str]| ips.iter().map(|ip| (*ip, "192.0.2.2")).collect::<Vec<_>>();
    let far = there(&["10.0.0.12", "10.0.1.13", "2001:db8::12", "2001:db8:0:1::13"]);
    one.apply(vec![view(std::slice::from_ref(&a), &far)]).await;
    let back = [("10.0.0.11", "192.0.2.1"), ("2001:db8::11", "192.0.2.1")];
    two.apply(vec![view(&[b.clone(), c.clone()], &back)]).await;
    let (ga, gb, gc) = (launch6(&mut one, &a).await, launch6(&mut two, &b).await, launch6(&mut two, &c).await);
    assert!(ping6(&ga, "2001:db8::12") && ping6(&ga, "2001:db8:0:1::13") && ping6(&gb, "2001:db8::11"));
    assert!(!ping6_once(&gc, "2001:db8::11"), "not a member");
    assert!(sh(Some(&ga), "busybox ping -6 -c 1 -W 1 -s 1402 2001:db8::12").status.success(), "a full packet");
    // One moves to the other node; its addresses of both families do.
    two.apply(vec![view(std::slice::from_ref(&c), &[back[0], back[1], ("2001:db8::12", "192.0.2.1")])]).await;
    one.apply(vec![view(&[a.clone(), b.clone()], &there(&["10.0.1.13", "2001:db8:0:1::13"]))]).await;
    let gb = launch6(&mut one, &b).await;
    assert!(ping6(&ga, "2001:db8::12") && ping6(&gb, "2001:db8::11") && ping6(&gb, "2001:db8:0:1::13"));
    // The last of the other node goes, and nothing of it stays.
    two.apply(vec![]).await;
    one.apply(vec![view(&[a.clone(), b.clone()], &[])]).await;
    let ns = one.names.vpc_ns("vpc-a");
    assert!(!ping6_once(&ga, "2001:db8:0:1::13") && ping6(&ga, "2001:db8::12"));
    assert!(!ok(Some(&ns), "ip -6 route; ip -6 neigh; ip -br link").contains("vx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_acl_says_of_each_family_what_crosses_a_subnets_boundary() {
    let mut lab = Lab::new();
    let (a, b, c) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]), port6(1, 13, &["sg-open"]));
    let all6 = |egress, number, allow| NetworkAclEntry {
        cidr: "::/0".to_owned(),
        ..acl_entry(egress, number, allow, -1, -1, -1)
    };
    let all4 = [false, true].map(|egress| acl_entry(egress, 100, true, -1, -1, -1));
    let view = |entries: &[NetworkAclEntry]| guarded(vpc6(&[a.clone(), b.clone(), c.clone()]), entries);
    lab.apply(vec![view(&all4)]).await;
    let (ga, gb, gc) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await, launch6(&mut lab, &c).await);
    assert!(ping6(&ga, "2001:db8::12"), "within the subnet nothing is asked");
    assert!(ping(&gc, "10.0.0.11") && !ping6_once(&gc, "2001:db8::11"), "it speaks of IPv4 only");
    let [i, o] = all4.clone();
    lab.apply(vec![view(&[i.clone(), o.clone(), all6(false, 101, true), all6(true, 101, true)])]).await;
    assert!(ping6(&gc, "2001:db8::11") && ping6(&gb, "2001:db8:0:1::13"));
    // One way is not enough: nothing is remembered of a flow.
    lab.apply(vec![view(&[i.clone(), o.clone(), all6(false, 101, true)])]).await;
    assert!(!ping6_once(&gc, "2001:db8::11") && !ping6_once(&ga, "2001:db8:0:1::13"));
    let deny = NetworkAclEntry { cidr: "2001:db8:0:1::/64".to_owned(), ..all6(false, 90, false) };
    lab.apply(vec![view(&[i, o, deny, all6(false, 101, true), all6(true, 101, true)])]).await;
    assert!(!ping6_once(&gc, "2001:db8::11") && ping(&gc, "10.0.0.11"), "a lower number decides");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vpc_gets_ipv6_and_loses_it_and_one_without_has_none() {
    let mut lab = Lab::new();
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    let ports = [a.clone(), b.clone()];
    let six = vpc6(&ports);
    let bare = |port: &PortView| PortView { ipv6_addresses: vec![], ..port.clone() };
    let without = vpc("a", 100, &[bare(&a), bare(&b)]);
    lab.apply(vec![without.clone()]).await;
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    let ns = lab.names.vpc_ns("vpc-a");
    assert!(!ping6_once(&ga, "2001:db8::12") && ping(&ga, "10.0.0.12"));
    lab.udp_echo(&gb, 7);
    let pinger = Pinger::start(&ga, "10.0.0.12:7");
    for _ in 0..2 {
        lab.apply(vec![six.clone()]).await;
        assert!(ping6(&ga, "2001:db8::12") && ping6(&gb, "2001:db8::11") && ping(&ga, "10.0.0.12"));
        // One port without: it has nothing, the other keeps what it has.
        let some = VpcView { ports: vec![a.clone(), bare(&b)], ..six.clone() };
        lab.apply(vec![some]).await;
        assert!(!ping6_once(&ga, "2001:db8::12") && !ping6_once(&gb, "fe80::1%eth0") && ping6(&ga, "fe80::1%eth0"));
        assert!(ping(&ga, "10.0.0.12"));
        lab.apply(vec![without.clone()]).await;
        assert!(!ping6_once(&ga, "2001:db8::12") && ping(&ga, "10.0.0.12"));
        assert_eq!(ok(Some(&ns), "cat /proc/net/if_inet6; ip -6 route; ip -6 neigh"), "", "nothing is left");
    }
    let (sent, lost) = pinger.stop();
    assert!(sent > 100 && lost.is_empty(), "IPv4 goes on: of {sent} {lost:?} were lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_address_is_told_and_the_rest_stands() {
    let mut lab = Lab::new();
    let a = port6(0, 11, &["sg-open"]);
    for wrong in ["2001:db8::", "2001:db8:0:1::5", "2001:db8::11", "fe80::5", "10.0.0.77", "nonsense"] {
        let b = PortView { ipv6_addresses: vec![wrong.to_owned()], ..port("a", 0, 12, &["sg-open"]) };
        let view = lab.view(vec![vpc6(&[a.clone(), b.clone()])]);
        let applied = lab.engine().apply(view).await.unwrap();
        let told = applied.port_errors.get(&b.interface_id).map(String::as_str);
        assert_eq!(told, Some(&*format!("its IPv6 address {wrong:?} can not be its own")));
        assert_eq!(applied.port_errors.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_and_restarted_it_converges() {
    let mut lab = lab6("192.0.2.1");
    let world = world6(&lab);
    ok(Some(&lab.host), "ip addr add 192.0.2.1/32 dev lo");
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    let mut six = routed(vpc6(&[a.clone(), b.clone()]), &[("::/0", RouteTarget::Internet)], &[]);
    six.remotes = vec![remote("10.0.1.7", "192.0.2.9"), remote("2001:db8:0:1::7", "192.0.2.9")];
    let bare = |port: &PortView| PortView { ipv6_addresses: vec![], ..port.clone() };
    let without = vpc("a", 100, &[bare(&a), bare(&b)]);
    lab.apply(vec![six.clone()]).await;
    let points: Vec<String> = lab.faults.passed().into_iter().filter(|p| p.starts_with("net.apply.")).collect();
    let (ga, gb) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await);
    assert!(ping6(&ga, "2001:db8::12"));
    // Guests stay as they are; nothing disturbs them when the agent starts anew.
    lab.restart();
    assert!(ping6(&ga, "2001:db8::12"));
    let ns = lab.names.vpc_ns("vpc-a");
    for point in points {
        for (to, before) in [(&six, &without), (&without, &six)] {
            lab.apply(vec![before.clone()]).await;
            lab.restart();
            lab.faults.arm(&point, FaultAction::Kill, 1);
            let view = lab.view(vec![to.clone()]);
            tokio::select! {
                _ = lab.engine().apply(view) => {}
                () = lab.faults.killed() => {}
            }
            // A step that this way does not take is left behind.
            lab.faults.clear();
            lab.restart();
            lab.apply(vec![to.clone()]).await;
            let none = to.ipv6_cidrs.is_empty();
            assert!(ping(&ga, "10.0.0.12") && ping(&gb, "10.0.0.11"), "{point}");
            if none {
                assert!(!ping6_once(&ga, "2001:db8::12"), "{point}");
                assert_eq!(ok(Some(&ns), "cat /proc/net/if_inet6; ip -6 route; ip -6 neigh"), "", "{point}");
                assert_eq!(ok(Some(&lab.host), "ip -6 route show proto 188; nft list tables").trim(), "", "{point}");
            } else {
                assert!(ping6(&ga, "2001:db8::12") && ping6(&gb, "2001:db8::11"), "{point}");
                assert!(ping6(&world, "2001:db8::11") && ping6(&gb, "3fff::2"), "{point}");
            }
            assert_eq!(lab.engine().inventory().await.unwrap().strays, Vec::<String>::new());
        }
    }
}
