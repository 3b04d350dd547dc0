//! Network ACLs: what crosses the boundary of a subnet, both ways, packet by packet.

use crate::lab::*;
use crate::overlay::underlay;
use crate::public::world;
use crate::services::{curl, dhcp, nslookup};
use mallee_proto::v1::{NetworkAclEntry, PortView, VpcView};
use std::net::UdpSocket;
use std::time::Duration;

const ICMP: i32 = 1;
const TCP: i32 = 6;
const UDP: i32 = 17;
const WORLD: &str = "198.51.100.2";

/// Everything, one way.
fn all(egress: bool, number: u32) -> NetworkAclEntry {
    acl_entry(egress, number, true, -1, -1, -1)
}

fn of(cidr: &str, entry: NetworkAclEntry) -> NetworkAclEntry {
    NetworkAclEntry { cidr: cidr.to_owned(), ..entry }
}

/// One guest in the guarded subnet, one beside it in the same, and one in the other subnet; their groups let everything
/// through.
fn ports() -> [PortView; 3] {
    [port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]), port("a", 1, 13, &["sg-open"])]
}

fn plain() -> VpcView {
    vpc("a", 100, &ports())
}

async fn guests(lab: &mut Lab) -> [String; 3] {
    let [a, b, c] = ports();
    [lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await]
}

/// Whether a datagram of so many bytes comes back from an echo server.
fn echoes(from: &str, to: &str, bytes: usize) -> bool {
    let socket = within(from, || UdpSocket::bind("0.0.0.0:0").unwrap());
    echoes_again(&socket, to, bytes)
}

fn echoes_again(socket: &UdpSocket, to: &str, bytes: usize) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(&vec![7; bytes], (to, 7)).unwrap();
    let mut answer = vec![0; 65536];
    socket.recv(&mut answer).is_ok_and(|len| len == bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_acl_denies_does_not_enter_its_subnet_and_the_lowest_number_decides() {
    let mut lab = Lab::new();
    lab.apply(vec![plain()]).await;
    let [ga, gb, gc] = guests(&mut lab).await;
    for port in [80, 81] {
        lab.tcp_server(&ga, port);
    }
    let reaches = |port| connect(&gc, "10.0.0.11", port).is_some();
    assert!(reaches(80) && reaches(81) && ping(&gc, "10.0.0.11"));
    let deny = |number| acl_entry(false, number, false, TCP, 81, 81);
    lab.apply(vec![guarded(plain(), &[deny(10), all(false, 100), all(true, 100)])]).await;
    assert!(reaches(80) && !reaches(81) && ping(&gc, "10.0.0.11"));
    assert!(connect(&gb, "10.0.0.11", 81).is_some(), "within the subnet nothing is asked");
    lab.apply(vec![guarded(plain(), &[deny(200), all(false, 100), all(true, 100)])]).await;
    assert!(reaches(80) && reaches(81), "allowed before it could be denied");
    let only_other = of("10.0.2.0/24", acl_entry(false, 10, false, TCP, 81, 81));
    lab.apply(vec![guarded(plain(), &[only_other, all(false, 100), all(true, 100)])]).await;
    assert!(reaches(81), "denied to others");
    let only_this = of("10.0.1.13/32", acl_entry(false, 10, false, -1, -1, -1));
    lab.apply(vec![guarded(plain(), &[only_this, all(false, 100), all(true, 100)])]).await;
    assert!(!reaches(80) && !ping(&gc, "10.0.0.11") && !ping(&ga, "10.0.1.13"), "nor do its answers enter");
    // Types of ICMP are told apart: an echo is answered, other subnets are not asked.
    let echo = [acl_entry(false, 10, true, ICMP, 8, -1), all(true, 100)];
    lab.apply(vec![guarded(plain(), &echo)]).await;
    assert!(ping(&gc, "10.0.0.11") && !ping(&ga, "10.0.1.13"), "requests come in, replies do not");
    // What was stopped is counted, and a VPC that has no ACL any more has no trace of one.
    let rules = || ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list table inet vpc");
    let before = rules();
    let last = before.split("chain ai_acl_1").nth(1).unwrap();
    assert!(last.contains("counter packets") && !last.lines().nth(2).unwrap().contains("packets 0 "), "{before}");
    lab.apply(vec![plain()]).await;
    assert!(reaches(81) && ping(&ga, "10.0.1.13"));
    let after = ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list table inet vpc");
    assert!(before.contains("acl_") && !after.contains("acl_"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_need_leave_of_their_own_and_known_flows_too() {
    let mut lab = Lab::new();
    lab.apply(vec![plain()]).await;
    let [ga, _, gc] = guests(&mut lab).await;
    lab.tcp_server(&ga, 80);
    lab.udp_echo(&ga, 7);
    let reaches = || connect(&gc, "10.0.0.11", 80).is_some();
    let web = acl_entry(false, 100, true, TCP, 80, 80);
    lab.apply(vec![guarded(plain(), &[web.clone(), acl_entry(true, 100, true, TCP, 1, 1023)])]).await;
    assert!(!reaches(), "the answer goes to an ephemeral port");
    lab.apply(vec![guarded(plain(), &[web.clone(), acl_entry(true, 100, true, TCP, 1024, 65535)])]).await;
    assert!(reaches());
    // A flow that conntrack knows for long.
    let echo = [acl_entry(false, 50, true, UDP, 7, 7), acl_entry(true, 50, true, UDP, 1024, 65535)];
    lab.apply(vec![guarded(plain(), &[&echo[..], std::slice::from_ref(&web)].concat())]).await;
    let socket = within(&gc, || UdpSocket::bind("0.0.0.0:0").unwrap());
    assert!(echoes_again(&socket, "10.0.0.11", 9) && echoes_again(&socket, "10.0.0.11", 9));
    lab.apply(vec![guarded(plain(), std::slice::from_ref(&web))]).await;
    assert!(!echoes_again(&socket, "10.0.0.11", 9), "established, and stopped all the same");
    lab.apply(vec![guarded(plain(), &echo)]).await;
    assert!(echoes_again(&socket, "10.0.0.11", 9), "and it goes on");
    // A fragment says no port: it goes where its datagram goes.
    assert!(echoes(&gc, "10.0.0.11", 2000), "whole datagrams are judged");
    let other = [acl_entry(false, 50, true, UDP, 8, 8), acl_entry(true, 50, true, UDP, 1024, 65535)];
    lab.apply(vec![guarded(plain(), &other)]).await;
    assert!(!echoes(&gc, "10.0.0.11", 2000));
    assert!(!delivers(&gc, "10.0.1.13", &ga, "10.0.0.11"), "nor do later fragments pass for what they are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acl_that_denies_everything_stops_neither_neighbours_nor_services() {
    let mut lab = Lab::new();
    let [a, b, c] = ports();
    lab.apply(vec![guarded(plain(), &[])]).await;
    let (ga, gb, gc) = (lab.boot(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    let lease = dhcp(&lab, &ga);
    assert!(lease.lines().any(|line| line == "ip=10.0.0.11"), "{lease}");
    assert!(ping(&ga, "10.0.0.12") && ping(&gb, "10.0.0.11"), "the same subnet");
    assert!(!ping(&ga, "10.0.1.13") && !ping(&gc, "10.0.0.11"), "another");
    assert!(ping(&ga, "10.0.0.1") && ping(&gc, "10.0.1.1"), "the router of a subnet is in it");
    lab.instances.set(intent(&a, false));
    let metadata = curl(&ga, "http://169.254.169.254/latest/meta-data/instance-id");
    assert_eq!(metadata, (200, "i-a-0-11".to_owned()));
    for server in ["10.0.0.2", "169.254.169.253"] {
        let answer = nslookup(&ga, "ip-10-0-1-13.zone1.internal", server);
        assert!(answer.contains("10.0.1.13"), "{server}: {answer}");
    }
    // The services of the other subnet are those of the VPC: there is one router.
    lab.apply(vec![plain()]).await;
    assert!(ping(&ga, "10.0.1.13") && ping(&gc, "10.0.0.11"), "it was the ACL");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_asks_the_acl_of_its_own_end() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let [a, b, c] = ports();
    let view = |ports: &[PortView], remotes: &[(&str, &str)]| {
        let mut view = vpc("a", 100, ports);
        view.remotes = remotes.iter().map(|(ip, at)| remote(ip, at)).collect();
        view
    };
    // The guarded subnet is on both nodes, the other one on the second alone.
    let first = || view(std::slice::from_ref(&a), &[("10.0.0.12", "192.0.2.2"), ("10.0.1.13", "192.0.2.2")]);
    let second = || view(&[b.clone(), c.clone()], &[("10.0.0.11", "192.0.2.1")]);
    one.apply(vec![first()]).await;
    two.apply(vec![second()]).await;
    let (ga, gb, gc) = (one.launch(&a).await, two.launch(&b).await, two.launch(&c).await);
    for (lab, guest) in [(&one, &ga), (&two, &gb), (&two, &gc)] {
        for port in [80, 81] {
            lab.tcp_server(guest, port);
        }
    }
    assert!(connect(&ga, "10.0.1.13", 81).is_some() && connect(&gc, "10.0.0.11", 81).is_some());
    let deny = |egress| [acl_entry(egress, 10, false, TCP, 81, 81), all(true, 100), all(false, 100)];
    for egress in [true, false] {
        one.apply(vec![guarded(first(), &deny(egress))]).await;
        two.apply(vec![guarded(second(), &deny(egress))]).await;
        assert!(connect(&ga, "10.0.1.13", 80).is_some() && connect(&gc, "10.0.0.11", 80).is_some());
        assert_eq!(connect(&ga, "10.0.1.13", 81).is_none(), egress, "at the sender's node");
        assert_eq!(connect(&gc, "10.0.0.11", 81).is_none(), !egress, "at the receiver's node");
        assert!(
            connect(&ga, "10.0.0.12", 81).is_some() && connect(&gb, "10.0.0.11", 81).is_some(),
            "one subnet, two nodes"
        );
    }
    // A node that is told of none asks none, whatever the other one does.
    one.apply(vec![first()]).await;
    two.apply(vec![guarded(second(), &[])]).await;
    assert!(ping(&ga, "10.0.1.13") && ping(&ga, "10.0.0.12") && !ping(&gb, "10.0.1.13"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_is_judged_by_the_addresses_that_the_instance_sees() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    let public = |n: usize, ip: &str| PortView { public_ip: ip.to_owned(), ..ports()[n].clone() };
    let (a, b) = (public(0, "203.0.113.5"), public(1, "203.0.113.6"));
    let view = || vpc("a", 100, &[a.clone(), b.clone()]);
    lab.apply(vec![view()]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    for guest in [&ga, &gb, &world] {
        lab.tcp_server(guest, 80);
    }
    let enters = || connect(&world, "203.0.113.5", 80).is_some();
    let leaves = || connect(&ga, WORLD, 80).is_some();
    assert!(enters() && leaves());
    let world_web = of("198.51.100.0/24", acl_entry(false, 10, true, TCP, 80, 80));
    let answers = of("198.51.100.0/24", acl_entry(true, 10, true, TCP, 1024, 65535));
    lab.apply(vec![guarded(view(), &[world_web.clone(), answers.clone()])]).await;
    assert!(enters() && !leaves(), "from the world's own address, and back to it");
    let out = of("198.51.100.0/24", acl_entry(true, 10, true, TCP, 80, 80));
    let back = of("198.51.100.0/24", acl_entry(false, 10, true, TCP, 1024, 65535));
    lab.apply(vec![guarded(view(), &[out, back])]).await;
    assert!(!enters() && leaves());
    lab.apply(vec![guarded(view(), &[world_web])]).await;
    assert!(!enters(), "without a way back");
    // Public to public is by way of the world, even within a subnet; private to private is not.
    lab.apply(vec![guarded(view(), &[])]).await;
    assert!(!enters() && !leaves() && connect(&ga, "10.0.0.12", 80).is_some());
    assert!(connect(&ga, "203.0.113.6", 80).is_none());
    lab.apply(vec![guarded(view(), &[all(false, 1), all(true, 1)])]).await;
    assert!(enters() && leaves() && connect(&ga, "203.0.113.6", 80).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_an_acl_cut_nothing_that_stays_allowed() {
    let mut lab = Lab::new();
    lab.apply(vec![plain()]).await;
    let [ga, _, gc] = guests(&mut lab).await;
    lab.udp_echo(&ga, 7);
    let pinger = Pinger::start(&gc, "10.0.0.11:7");
    for n in 1..=40u32 {
        let port = i32::try_from(1000 + n).unwrap();
        let entries = [
            acl_entry(false, 1 + n % 7, false, TCP, port, port),
            acl_entry(false, 100, true, UDP, 7, 7),
            acl_entry(true, 100 + n, true, UDP, 1024, 65535),
        ];
        // Now and then there is none, or another one.
        let mut view = if n % 5 == 0 { plain() } else { guarded(plain(), &entries) };
        if n % 3 == 0 {
            for acl in &mut view.network_acls {
                acl.id = format!("acl-{n}");
                view.subnets[0].network_acl.clone_from(&acl.id);
            }
        }
        lab.apply(vec![view]).await;
    }
    let (sent, lost) = pinger.stop();
    assert!(sent > 200, "only {sent} packets sent");
    assert_eq!(lost, Vec::<u32>::new(), "of {sent}");
    // What a restarted agent finds is what it would make.
    let closed = || guarded(plain(), &[all(true, 1)]);
    lab.apply(vec![closed()]).await;
    lab.restart();
    lab.apply(vec![closed()]).await;
    assert!(!echoes(&gc, "10.0.0.11", 9) && ping(&ga, "10.0.0.12"));
    lab.apply(vec![plain()]).await;
    assert!(echoes(&gc, "10.0.0.11", 9));
}
