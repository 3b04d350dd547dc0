//! Flow logs: what is counted is what was sent.

use crate::lab::*;
use crate::public::world;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{Flow, FlowWindow, PortView};
use mallee_runtime::FaultAction;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const TCP: u32 = 6;
const UDP: u32 = 17;

fn logged(subnet: u8, host: u8, groups: &[&str]) -> PortView {
    PortView { flow_log: true, ..port("a", subnet, host, groups) }
}

/// Packets and bytes of one way through an interface, from port to port.
fn sum(windows: &[FlowWindow], interface: &str, which: impl Fn(&Flow) -> bool) -> (u64, u64) {
    let of = windows.iter().filter(|window| window.interface_id == interface);
    of.flat_map(|window| &window.flows)
        .filter(|flow| which(flow))
        .fold((0, 0), |(packets, bytes), flow| (packets + flow.packets, bytes + flow.bytes))
}

fn send(from: &str, to: (&str, u16), count: usize) {
    let socket = within(from, || UdpSocket::bind(("0.0.0.0", 5000)).unwrap());
    for _ in 0..count {
        // Nobody may be there, and say so.
        drop(socket.send_to(&[7; 100], to));
        std::thread::sleep(Duration::from_millis(2));
    }
}

async fn turn(lab: &Lab) -> Vec<FlowWindow> {
    std::thread::sleep(Duration::from_millis(30));
    lab.engine().flows(lab.clock.now_ms()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_sent_are_packets_recorded_by_whom_they_were_let_through() {
    let mut lab = Lab::new();
    let (a, b, c) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]), logged(1, 13, &["sg-shut"]));
    let quiet = port("a", 1, 14, &["sg-open"]);
    let view = || vpc("a", 100, &[a.clone(), b.clone(), c.clone(), quiet.clone()]);
    lab.apply(vec![view()]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    let (gc, _) = (lab.launch(&c).await, lab.launch(&quiet).await);
    lab.tcp_server(&gb, 80);
    assert!(connect(&ga, "10.0.1.12", 80).is_some());
    let to_web = |f: &Flow| f.destination_port == 80 && f.accepted;
    let first = turn(&lab).await;
    assert!(sum(&first, &a.interface_id, to_web).0 > 2, "counted from the beginning: {first:?}");
    send(&ga, ("10.0.1.12", 9), 20);
    send(&ga, ("10.0.1.13", 9), 7);
    send(&ga, ("10.0.1.14", 9), 3);
    send(&gc, ("10.0.0.11", 9), 5);
    assert!(connect(&ga, "10.0.1.12", 80).is_some());
    assert!(ping(&ga, "10.0.1.12"));
    let windows = turn(&lab).await;
    let ids: Vec<&str> = windows.iter().map(|window| window.interface_id.as_str()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(windows.iter().all(|w| !w.lost && w.vpc_id == "vpc-a" && w.end_s >= w.start_s));
    let way = |ingress: bool, accepted: bool, host: [u8; 4]| {
        let to = u32::from(Ipv4Addr::from(host));
        move |f: &Flow| {
            f.protocol == UDP
                && f.destination_port == 9
                && f.destination == to
                && (f.ingress, f.accepted) == (ingress, accepted)
        }
    };
    let (ia, ib, ic) = (&a.interface_id, &b.interface_id, &c.interface_id);
    assert_eq!(sum(&windows, ia, way(false, true, [10, 0, 1, 12])), (20, 20 * 128));
    assert_eq!(sum(&windows, ib, way(true, true, [10, 0, 1, 12])), (20, 20 * 128));
    assert_eq!(sum(&windows, ia, way(false, true, [10, 0, 1, 13])), (7, 7 * 128), "its own side lets it go");
    assert_eq!(sum(&windows, ic, way(true, false, [10, 0, 1, 13])), (7, 7 * 128), "the other rejects it");
    assert_eq!(sum(&windows, ic, way(true, true, [10, 0, 1, 13])), (0, 0));
    assert_eq!(sum(&windows, ia, way(false, true, [10, 0, 1, 14])).0, 3);
    assert_eq!(sum(&windows, ic, |f: &Flow| f.source_port == 5000 && !f.ingress).0, 5, "{windows:?}");
    assert_eq!(sum(&windows, ib, |f: &Flow| f.ingress && !f.accepted), (0, 0));
    // A connection: its first packet has SYN, its answer SYN and ACK, and both end it.
    let flags = |ingress: bool| -> Vec<u32> {
        let flows = windows.iter().filter(|w| w.interface_id == *ib).flat_map(|w| &w.flows);
        flows.filter(|f| f.protocol == TCP && f.ingress == ingress && f.accepted).map(|f| f.tcp_flags).collect()
    };
    assert!(flags(true).iter().all(|flags| flags & 2 == 2 && flags & 16 == 0), "{:?}", flags(true));
    assert!(flags(false).iter().all(|flags| flags & 18 == 18), "{:?}", flags(false));
    assert!(sum(&windows, ib, |f: &Flow| f.protocol == 1 && f.ingress && f.accepted).0 >= 1, "pings too");
    // No traffic: a window without flows. Nothing is told twice.
    let silent = turn(&lab).await;
    assert_eq!(silent.len(), 3);
    assert!(silent.iter().all(|window| window.flows.is_empty()), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_acl_stops_is_rejected_on_its_own_side() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    let view = || vpc("a", 100, &[a.clone(), b.clone()]);
    let all = |egress: bool| acl_entry(egress, 100, true, -1, -1, -1);
    let deny = |egress: bool| [acl_entry(egress, 10, false, 17, 9, 9), all(false), all(true)];
    for egress in [true, false] {
        lab.apply(vec![guarded(view(), &deny(egress))]).await;
        if lab.guests.is_empty() {
            lab.launch(&a).await;
            lab.launch(&b).await;
        }
        let (ga, gb) = (lab.guests[0].clone(), lab.guests[1].clone());
        turn(&lab).await;
        send(&ga, ("10.0.1.12", 9), 6);
        send(&gb, ("10.0.0.11", 9), 4);
        let windows = turn(&lab).await;
        let count = |port: &PortView, ingress: bool, accepted: bool| {
            sum(&windows, &port.interface_id, |f| {
                f.destination_port == 9 && (f.ingress, f.accepted) == (ingress, accepted)
            })
            .0
        };
        // Only the first subnet is guarded.
        assert_eq!(count(&a, false, true), if egress { 0 } else { 6 }, "{windows:?}");
        assert_eq!(count(&a, false, false), if egress { 6 } else { 0 });
        assert_eq!(count(&b, true, true), if egress { 0 } else { 6 });
        assert_eq!(count(&b, false, true), 4);
        assert_eq!(count(&a, true, true), if egress { 4 } else { 0 });
        assert_eq!(count(&a, true, false), if egress { 0 } else { 4 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_end_under_load_lose_nothing_and_reject_nothing() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    let view = || vpc("a", 100, &[a.clone(), b.clone()]);
    lab.apply(vec![view()]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    lab.udp_echo(&gb, 7);
    turn(&lab).await;
    let pinger = Pinger::start(&ga, "10.0.1.12:7");
    let mut windows = Vec::new();
    for n in 0..12 {
        windows.extend(turn(&lab).await);
        // New rules do not touch what is counted, nor does a new agent.
        lab.apply(vec![view()]).await;
        if n % 4 == 3 {
            lab.restart();
            lab.apply(vec![view()]).await;
        }
    }
    let (sent, lost) = pinger.stop();
    windows.extend(turn(&lab).await);
    assert!(lost.is_empty() && sent > 100, "{sent} {lost:?}");
    let there = |f: &Flow| f.protocol == UDP && f.destination_port == 7;
    let back = |f: &Flow| f.protocol == UDP && f.source_port == 7;
    for (interface, ingress) in [(&a.interface_id, false), (&b.interface_id, true)] {
        assert_eq!(sum(&windows, interface, |f| there(f) && f.ingress == ingress && f.accepted).0, u64::from(sent));
        assert_eq!(sum(&windows, interface, |f| back(f) && f.ingress != ingress && f.accepted).0, u64::from(sent));
        assert_eq!(sum(&windows, interface, |f| !f.accepted), (0, 0), "{windows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_is_recorded_by_private_addresses_and_a_removed_vpc_says_its_last() {
    let mut lab = Lab::new();
    let world = world(&lab);
    ok(Some(&world), "ip route add 203.0.113.0/24 via 198.51.100.1");
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..logged(0, 11, &["sg-shut"]) };
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    lab.launch(&a).await;
    turn(&lab).await;
    send(&world, ("203.0.113.5", 9), 6);
    lab.apply(vec![]).await;
    let windows = turn(&lab).await;
    let own = u32::from(Ipv4Addr::new(10, 0, 0, 11));
    let rejected = |f: &Flow| f.ingress && !f.accepted && f.destination == own && f.destination_port == 9;
    assert_eq!(sum(&windows, &a.interface_id, rejected).0, 6, "{windows:?}");
    assert!(turn(&lab).await.is_empty(), "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_flows_than_are_counted_are_told_as_lost() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, _) = (lab.launch(&a).await, lab.launch(&b).await);
    turn(&lab).await;
    let socket = within(&ga, || UdpSocket::bind("0.0.0.0:0").unwrap());
    for port in 1..5000u16 {
        drop(socket.send_to(&[7; 10], ("10.0.1.12", port)));
    }
    let windows = turn(&lab).await;
    assert!(windows.iter().any(|window| window.interface_id == a.interface_id && window.lost));
    assert!(turn(&lab).await.iter().all(|window| !window.lost), "and the next window is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_is_counted_from_its_first_packet_to_its_last() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&b))]).await;
    lab.launch(&b).await;
    turn(&lab).await;
    // It comes while a window is open, sends, and is gone before that ends.
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let ga = lab.launch(&a).await;
    send(&ga, ("10.0.1.12", 9), 6);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&b))]).await;
    let windows = turn(&lab).await;
    let sent = |f: &Flow| f.destination_port == 9;
    assert_eq!(sum(&windows, &a.interface_id, sent).0, 6, "{windows:?}");
    assert_eq!(sum(&windows, &b.interface_id, sent).0, 6, "and by the other, once");
    // A new agent adds nothing to what is counted already.
    lab.restart();
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let ga = lab.launch(&a).await;
    send(&ga, ("10.0.1.12", 9), 4);
    lab.restart();
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let windows = turn(&lab).await;
    assert_eq!((sum(&windows, &a.interface_id, sent).0, sum(&windows, &b.interface_id, sent).0), (4, 4), "{windows:?}");
    // The first of its VPC on the node, too.
    let of_bb = |n: u8| PortView {
        interface_id: format!("eni-bb-{n}"),
        subnet_id: "subnet-bb-0".to_owned(),
        ..logged(0, n, &["sg-open"])
    };
    let (c, d) = (of_bb(13), of_bb(14));
    lab.apply(vec![vpc("bb", 101, &[c.clone(), d.clone()])]).await;
    let (gc, _) = (lab.launch(&c).await, lab.launch(&d).await);
    send(&gc, ("10.0.0.14", 9), 3);
    let windows = turn(&lab).await;
    assert_eq!(sum(&windows, &c.interface_id, sent).0, 3, "{windows:?}");
}

/// What cannot be read is told as lost, and does not stay: another table comes every minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_cannot_be_read_is_lost_and_goes() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, _) = (lab.launch(&a).await, lab.launch(&b).await);
    turn(&lab).await;
    let ns = lab.names.vpc_ns("vpc-a");
    let tables = || ok(Some(&ns), "nft list tables | grep -c flow_").trim().to_owned();
    let tap = lab.names.tap(&a.interface_id);
    ok(
        Some(&ns),
        &format!(
            "nft add table inet flow_5_1; nft add chain inet flow_5_1 outs_{tap}; nft add chain inet flow_5_1 first; \
             nft 'add set inet flow_5_1 outsw_{tap} {{ type ifname; elements = {{ \"eth0\" }} }}'"
        ),
    );
    assert_eq!(tables(), "2");
    send(&ga, ("10.0.1.12", 9), 6);
    let windows = turn(&lab).await;
    assert_eq!(tables(), "1");
    assert!(windows.iter().any(|w| w.interface_id == a.interface_id && w.lost && w.start_s == 0), "{windows:?}");
    assert_eq!(sum(&windows, &a.interface_id, |f: &Flow| f.destination_port == 9).0, 6, "and the next one is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_comes_and_goes_within_a_window_is_recorded() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    lab.launch(&a).await;
    turn(&lab).await;
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let gb = lab.launch(&b).await;
    send(&gb, ("10.0.0.11", 9), 6);
    lab.engine().unplug(&b.interface_id).await.unwrap();
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let windows = turn(&lab).await;
    let sent = |f: &Flow| f.destination_port == 9 && f.accepted && !f.ingress;
    assert_eq!(sum(&windows, &b.interface_id, sent).0, 6, "{windows:?}");
    let later = turn(&lab).await;
    assert!(later.iter().all(|window| window.interface_id == a.interface_id), "{later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_tells_the_last_of_a_vpc_that_it_has_not_seen() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, _) = (lab.launch(&a).await, lab.launch(&b).await);
    turn(&lab).await;
    send(&ga, ("10.0.1.12", 9), 6);
    lab.restart();
    lab.apply(vec![]).await;
    let windows = turn(&lab).await;
    assert_eq!(sum(&windows, &a.interface_id, |f| f.destination_port == 9 && !f.ingress).0, 6, "{windows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_cannot_be_read_are_told_as_lost_and_do_not_pile_up() {
    let mut lab = Lab::new();
    let (a, b) = (logged(0, 11, &["sg-open"]), logged(1, 12, &["sg-open"]));
    let view = || vpc("a", 100, &[a.clone(), b.clone()]);
    lab.apply(vec![view()]).await;
    let (ga, _) = (lab.launch(&a).await, lab.launch(&b).await);
    turn(&lab).await;
    let mut lost = 0;
    for _ in 0..3 {
        lab.faults.arm("net.flows.read", FaultAction::Fail, 1);
        send(&ga, ("10.0.1.12", 9), 2);
        lost += turn(&lab).await.iter().filter(|w| w.interface_id == a.interface_id && w.lost).count();
    }
    assert_eq!(lost, 3);
    let tables = nft_tables(&lab);
    assert!(tables <= 2, "{tables}");
    send(&ga, ("10.0.1.12", 9), 4);
    let windows = turn(&lab).await;
    assert!(windows.iter().all(|window| !window.lost));
    assert_eq!(sum(&windows, &a.interface_id, |f| f.destination_port == 9 && !f.ingress).0, 4, "{windows:?}");
    // What others left behind, and cannot be told, goes: the oldest first.
    for n in 1..6 {
        let ns = lab.names.vpc_ns("vpc-a");
        ok(Some(&ns), &format!("nft add table inet flow_{n}_0"));
        ok(Some(&ns), &format!("nft add chain inet flow_{n}_0 first"));
    }
    turn(&lab).await;
    assert_eq!(nft_tables(&lab), 1);
}

fn nft_tables(lab: &Lab) -> usize {
    ok(Some(&lab.names.vpc_ns("vpc-a")), "nft list tables").lines().filter(|line| line.contains(" flow_")).count()
}
