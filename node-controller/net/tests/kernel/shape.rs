//! Limits of bandwidth and of connections: what passes, measured.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::{PortView, VpcView};
use mallee_runtime::FaultAction;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// In kbit/s.
const LIMIT: u64 = 50_000;
/// How long is measured.
const SPAN: Duration = Duration::from_secs(2);

fn limited(port: &PortView, bandwidth_kbps: u64) -> PortView {
    PortView { bandwidth_kbps, ..port.clone() }
}

/// Mbit/s that arrive of what one guest sends another as fast as it can, by TCP.
fn tcp_rate(from: &str, to: &str, address: &str) -> f64 {
    let listener = within(to, || TcpListener::bind(("0.0.0.0", 0)).unwrap());
    let at = (address.to_owned(), listener.local_addr().unwrap().port());
    let mut out = within(from, || TcpStream::connect(at).unwrap());
    let (mut into, _) = listener.accept().unwrap();
    let sender = std::thread::spawn(move || {
        let chunk = [0; 32 << 10];
        while out.write_all(&chunk).is_ok() {}
    });
    let mut buffer = vec![0; 64 << 10];
    // What is let through at once at the start is not the rate.
    let rate = measure(|| into.read(&mut buffer).unwrap());
    drop(into);
    sender.join().unwrap();
    rate
}

/// As [`tcp_rate`], by datagrams: what is too much is dropped.
fn udp_rate(from: &str, to: &str, address: &str) -> f64 {
    let receiver = within(to, || UdpSocket::bind(("0.0.0.0", 0)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let at = (address.to_owned(), receiver.local_addr().unwrap().port());
    let socket = within(from, || UdpSocket::bind(("0.0.0.0", 0)).unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Some 200 Mbit/s: four times the limit, and leaves the machine to others.
                for _ in 0..20 {
                    let _ = socket.send_to(&[0; 1250], (at.0.as_str(), at.1));
                }
                std::thread::sleep(Duration::from_micros(900));
            }
        });
        let mut buffer = [0; 2048];
        let rate = measure(|| receiver.recv(&mut buffer).unwrap());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        rate
    })
}

fn measure(mut receive: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    while start.elapsed() < SPAN / 4 {
        receive();
    }
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        bytes += receive();
    }
    bytes as f64 * 8.0 / 1e6 / start.elapsed().as_secs_f64()
}

fn is_about(rate: f64, kbps: u64) -> bool {
    let wanted = kbps as f64 / 1000.0;
    // Headers are counted by the limit, and not by who measures.
    (wanted * 0.9..wanted * 1.1).contains(&rate)
}

/// What there is of limits in a VPC's namespace: queues, devices, and what leads to them.
fn left(lab: &Lab) -> String {
    let ns = lab.names.vpc_ns("vpc-a");
    ok(
        Some(&ns),
        "tc qdisc show | grep -v 'noqueue\\|pfifo_fast\\|clsact'; ip -o link show type ifb; \
         for port in $(tc qdisc show | awk '/clsact/ {print $5}'); do tc filter show dev $port ingress; tc filter show dev $port egress; done; true",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_both_ways_and_without_it_the_port_is_as_before() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let view = |kbps| vpc("a", 100, &[limited(&a, kbps), b.clone()]);
    lab.apply(vec![view(LIMIT)]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    let (ip_a, ip_b) = (a.private_ip.as_str(), b.private_ip.as_str());
    for (what, rate) in [
        ("TCP from it", tcp_rate(&ga, &gb, ip_b)),
        ("TCP to it", tcp_rate(&gb, &ga, ip_a)),
        ("UDP from it", udp_rate(&ga, &gb, ip_b)),
        ("UDP to it", udp_rate(&gb, &ga, ip_a)),
    ] {
        assert!(is_about(rate, LIMIT), "{what}: {rate} Mbit/s");
    }
    // Limits change, come and go; nothing is lost.
    lab.udp_echo(&gb, 9);
    let pinger = Pinger::start(&ga, "10.0.0.12:9");
    for kbps in [2 * LIMIT, 5_000, 0, LIMIT, 0, 2 * LIMIT, 0, 5_000, 0, LIMIT, 0, 2 * LIMIT] {
        lab.apply(vec![view(kbps)]).await;
        std::thread::sleep(Duration::from_millis(100));
    }
    let (sent, lost) = pinger.stop();
    assert!(sent > 100 && lost.is_empty(), "{lost:?} of {sent}");
    // So they do with a connection that sends as fast as it may.
    let listener = within(&gb, || TcpListener::bind(("0.0.0.0", 7)).unwrap());
    let mut out = within(&ga, || TcpStream::connect((ip_b, 7)).unwrap());
    let (mut into, _) = listener.accept().unwrap();
    into.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let sender = std::thread::spawn(move || while out.write_all(&[7; 32 << 10]).is_ok() {});
    let reader = std::thread::spawn(move || {
        let (start, mut buffer) = (Instant::now(), vec![0; 64 << 10]);
        while start.elapsed() < Duration::from_secs(3) {
            let read = into.read(&mut buffer).unwrap();
            assert!(read > 0 && buffer[..read].iter().all(|byte| *byte == 7), "the connection is cut");
        }
    });
    for kbps in [LIMIT, 0, 5_000, 0, 2 * LIMIT] {
        lab.apply(vec![view(kbps)]).await;
        std::thread::sleep(Duration::from_millis(300));
    }
    reader.join().unwrap();
    sender.join().unwrap();
    let rates = (tcp_rate(&ga, &gb, ip_b), tcp_rate(&gb, &ga, ip_a));
    assert!(is_about(rates.0, 2 * LIMIT) && is_about(rates.1, 2 * LIMIT), "{rates:?} Mbit/s");
    // An agent that starts anew finds it done.
    let before = left(&lab);
    lab.restart();
    lab.apply(vec![view(2 * LIMIT)]).await;
    assert_eq!(left(&lab), before);
    lab.apply(vec![view(0)]).await;
    assert_eq!(left(&lab), "", "nothing is left");
    for (what, rate) in [
        ("TCP from it", tcp_rate(&ga, &gb, ip_b)),
        ("TCP to it", tcp_rate(&gb, &ga, ip_a)),
        ("UDP from it", udp_rate(&ga, &gb, ip_b)),
        ("UDP to it", udp_rate(&gb, &ga, ip_a)),
    ] {
        assert!(rate > 1.5 * LIMIT as f64 / 1000.0, "control, {what}: {rate} Mbit/s");
    }
    // Its limit goes with the port, and comes with one of the same name.
    lab.apply(vec![view(LIMIT)]).await;
    lab.engine().unplug(&a.interface_id).await.unwrap();
    ok(None, &format!("ip netns delete {ga}"));
    let ga = lab.launch(&a).await;
    let rate = tcp_rate(&ga, &gb, ip_b);
    assert!(is_about(rate, LIMIT), "of a new port: {rate} Mbit/s");
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&b))]).await;
    assert_eq!(left(&lab), "", "nothing is left of a port that is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_limits_change_the_next_apply_converges() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let view = |kbps| vpc("a", 100, &[limited(&a, kbps), b.clone()]);
    lab.apply(vec![view(LIMIT)]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    lab.apply(vec![view(0)]).await;
    assert_eq!(left(&lab), "");
    for step in ["unlimited", "limits", "limited"] {
        // To a limit, to another one and back again unsaid, to none.
        for (from, to) in [(0, LIMIT), (LIMIT, 5_000), (LIMIT, 0)] {
            lab.apply(vec![view(from)]).await;
            let before = left(&lab);
            lab.faults.arm(&format!("net.apply.{step}"), FaultAction::Kill, 1);
            let wanted = lab.view(vec![view(to)]);
            tokio::select! {
                _ = lab.engine().apply(wanted) => panic!("{step} goes unnoticed"),
                () = lab.faults.killed() => {}
            }
            lab.restart();
            lab.apply(vec![view(from)]).await;
            assert_eq!(left(&lab).lines().count(), before.lines().count(), "{step}, {from} to {to}");
            lab.apply(vec![view(to)]).await;
            assert!(ping(&ga, "10.0.0.12"), "{step}, {from} to {to}");
            assert_eq!(left(&lab).is_empty(), to == 0, "{step}, {from} to {to}: {}", left(&lab));
        }
    }
    lab.apply(vec![view(LIMIT)]).await;
    // Killed with its tool in the middle of a step: one of the two ways is left.
    let tap = lab.names.tap(&a.interface_id);
    let [first, _] = lab.names.shapers(&tap);
    let cut = format!("ip link set {first} alias unsure && tc filter del dev {tap} ingress");
    ok(Some(&lab.names.vpc_ns("vpc-a")), &cut);
    lab.restart();
    lab.apply(vec![view(LIMIT)]).await;
    let rates = (tcp_rate(&ga, &gb, "10.0.0.12"), tcp_rate(&gb, &ga, "10.0.0.11"));
    assert!(is_about(rates.0, LIMIT) && is_about(rates.1, LIMIT), "{rates:?} Mbit/s");
}

/// Opens flows of its own, one by one, and says how many of them are answered.
fn flows(from: &str, to: &str, many: u16) -> usize {
    let open = |_| {
        let socket = within(from, || UdpSocket::bind("0.0.0.0:0").unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.send_to(b"x", to).unwrap();
        let answered = socket.recv(&mut [0; 8]).is_ok();
        (socket, answered)
    };
    (0..many).map(open).filter(|(_, answered)| *answered).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flow_more_than_a_port_may_have_is_refused_whatever_changes() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    let view = |n: i32, flows_max: u32| -> VpcView {
        let mut view = vpc("a", 100, &[PortView { flows_max, ..a.clone() }, b.clone()]);
        view.groups.push(group("sg-other", vec![rule(false, 6, n, n, cidr("10.0.0.0/24"))]));
        view
    };
    lab.apply(vec![view(1, 20)]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    ok(Some(&lab.names.vpc_ns("vpc-a")), "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600");
    lab.udp_echo(&gb, 9);
    lab.udp_echo(&ga, 9);
    assert_eq!(flows(&ga, "10.0.0.12:9", 21), 20, "the 21st is refused");
    for n in 2..7 {
        lab.apply(vec![view(n, 20)]).await;
        assert_eq!(flows(&ga, "10.0.0.12:9", 3), 0, "after {} swaps", n - 1);
    }
    assert_eq!(flows(&gb, "10.0.0.11:9", 30), 30, "control: a port without a figure, and the way to the one with it");
    lab.apply(vec![view(7, 0)]).await;
    assert_eq!(flows(&ga, "10.0.0.12:9", 30), 30, "control: its figure is gone");
    let sets = ok(Some(&lab.names.vpc_ns("vpc-a")), "nft -t list sets");
    assert!(sets.contains("conns20000") && !sets.contains("conns20 "), "{sets}");
}
