//! The cap on connections of one port: whatever changes in its VPC, and whoever restarts.

use crate::lab::*;
use mallee_proto::v1::VpcView;
use std::net::UdpSocket;

/// As in the rules.
const CAP: u16 = 20_000;

/// Sends a datagram to each of these ports: a flow each.
fn open_flows(from: &str, to: &str, ports: std::ops::Range<u16>) {
    let socket = within(from, || UdpSocket::bind(("0.0.0.0", 7)).unwrap());
    for port in ports {
        // What the sender's own queue does not take is sent again.
        while socket.send_to(b"x", (to, port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    // The last are on their way.
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// How many datagrams came to a guest that counts them and never answers.
fn counted(guest: &str) -> u64 {
    let text = ok(Some(guest), "nft list chain inet count in");
    let (_, rest) = text.split_once("packets ").unwrap();
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_over_every_swap_and_a_restart() {
    let mut lab = Lab::new();
    let (a, b, c) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]), port("a", 0, 13, &["sg-open"]));
    let view = |n: i32, with_a: bool| -> VpcView {
        let ports = if with_a { vec![a.clone(), b.clone(), c.clone()] } else { vec![b.clone(), c.clone()] };
        let mut view = vpc("a", 100, &ports);
        view.groups.push(group("sg-other", vec![rule(false, 6, n, n, cidr("10.0.0.0/24"))]));
        view
    };
    lab.apply(vec![view(1, true)]).await;
    let (ga, gb, gc) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&c).await);
    let ns = lab.names.vpc_ns("vpc-a");
    ok(Some(&ns), "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600");
    let count = "table inet count { chain in { type filter hook input priority filter; udp sport 7 counter drop; }; }";
    ok(Some(&gb), &format!("nft '{count}'"));
    lab.udp_echo(&gc, 9);
    let known = Pinger::start(&ga, "10.0.0.13:9");
    // Its flow is known before there are too many.
    std::thread::sleep(std::time::Duration::from_millis(100));
    open_flows(&ga, "10.0.0.12", 1..CAP + 1001);
    // One of the port's flows is to the other guest, and a datagram for DHCP servers (67) goes nowhere.
    let cap = u64::from(CAP) - 1;
    assert_eq!(counted(&gb), cap, "so many flows, and no more");
    for n in 2..7 {
        lab.apply(vec![view(n, true)]).await;
        let from = CAP + 1000 * u16::try_from(n).unwrap();
        open_flows(&ga, "10.0.0.12", from..from + 100);
        assert_eq!(counted(&gb), cap, "after {} swaps", n - 1);
    }
    lab.restart();
    lab.apply(vec![view(7, true)]).await;
    open_flows(&ga, "10.0.0.12", 40_000..40_100);
    assert_eq!(counted(&gb), cap, "after a restart of the agent");
    let other = Pinger::start(&gb, "10.0.0.13:9");
    std::thread::sleep(std::time::Duration::from_millis(100));
    for (pinger, what) in [(known, "a flow that is known goes on"), (other, "another port has its own count")] {
        let (sent, lost) = pinger.stop();
        assert!(sent > 10 && lost.is_empty(), "{what}: {lost:?} of {sent}");
    }
    // Of a port that is gone nothing is kept, or one day there would be no room to count.
    let set = || ok(Some(&ns), &format!("nft list set inet vpc conns{CAP}"));
    let (da, db) = (lab.names.tap(&a.interface_id), lab.names.tap(&b.interface_id));
    assert!(set().contains(&da) && set().contains(&db), "{}", set());
    lab.apply(vec![view(7, false)]).await;
    assert!(!set().contains(&da) && set().contains(&db), "{}", set());
}
