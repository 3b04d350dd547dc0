//! Private addresses besides the primary one: reached, told, and nobody else's to use. Every refusal has its control.

use crate::lab::*;
use mallee_node_core::network::NetworkEngine as _;
use mallee_proto::v1::group_rule::Peer;
use mallee_proto::v1::{PortAddress, PortView};

fn with(port: &PortView, addresses: &[(&str, &str)]) -> PortView {
    let address = |(private, public): &(&str, &str)| PortAddress {
        private_ip: (*private).to_owned(),
        public_ip: (*public).to_owned(),
        ..Default::default()
    };
    PortView { secondary: addresses.iter().map(address).collect(), ..port.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_address_is_its_ports_and_a_third_one_is_not() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 0, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    ok(Some(&ga), "ip addr add 10.0.0.50/32 dev eth0; ip addr add 10.0.0.51/32 dev eth0");
    let arp = |source: &str| {
        sh(Some(&ga), &format!("busybox arping -c 1 -w 1 -I eth0 -s {source} 10.0.0.1")).status.success()
    };
    assert!(delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"), "control: the primary address");
    assert!(!delivers(&ga, "10.0.0.50", &gb, "10.0.0.12") && !arp("10.0.0.50"), "before it is its own");
    assert!(!ping(&gb, "10.0.0.50"));
    lab.apply(vec![vpc("a", 100, &[with(&a, &[("10.0.0.50", "")]), b.clone()])]).await;
    assert!(delivers(&ga, "10.0.0.50", &gb, "10.0.0.12"), "now it is");
    assert!(arp("10.0.0.50"), "so it may be asked from");
    assert!(delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"), "so is the primary one");
    assert!(ping(&gb, "10.0.0.50") && ping(&gb, "10.0.0.11"));
    assert!(!delivers(&ga, "10.0.0.51", &gb, "10.0.0.12") && !arp("10.0.0.51"), "a third is not");
    assert!(!ping(&gb, "10.0.0.51"));
    assert!(!delivers(&gb, "10.0.0.12", &ga, "10.0.0.51"));
    // It moves to the neighbour, and is no longer the first one's.
    lab.apply(vec![vpc("a", 100, &[a.clone(), with(&b, &[("10.0.0.50", "")])])]).await;
    assert!(!delivers(&ga, "10.0.0.50", &gb, "10.0.0.12"));
    ok(Some(&ga), "ip addr del 10.0.0.50/32 dev eth0");
    ok(Some(&gb), "ip addr add 10.0.0.50/32 dev eth0");
    assert!(delivers(&gb, "10.0.0.50", &ga, "10.0.0.11") && ping(&ga, "10.0.0.50"));
    // An agent that starts anew goes on from there.
    lab.restart();
    lab.apply(vec![vpc("a", 100, &[a, with(&b, &[("10.0.0.50", "")])])]).await;
    assert!(ping(&ga, "10.0.0.50"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_address_is_a_member_of_its_groups() {
    let mut lab = Lab::new();
    let a = with(&port("a", 0, 11, &["sg-open"]), &[("10.0.0.50", "")]);
    let b = port("a", 0, 12, &["sg-x"]);
    let mut view = vpc("a", 100, &[a.clone(), b.clone()]);
    view.groups.push(group("sg-x", vec![rule(false, -1, -1, -1, Peer::GroupId("sg-open".to_owned()))]));
    view.members = vec![members("sg-open", &["10.0.0.11"])];
    let whole = {
        let mut whole = view.clone();
        whole.members = vec![members("sg-open", &["10.0.0.11", "10.0.0.50"])];
        whole
    };
    lab.apply(vec![view]).await;
    let (ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    ok(Some(&ga), "ip addr add 10.0.0.50/32 dev eth0");
    assert!(delivers(&ga, "10.0.0.11", &gb, "10.0.0.12"));
    assert!(!delivers(&ga, "10.0.0.50", &gb, "10.0.0.12"), "no member yet");
    lab.apply(vec![whole]).await;
    assert!(delivers(&ga, "10.0.0.50", &gb, "10.0.0.12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_private_address_has_its_own_public_one() {
    let mut lab = Lab::new();
    let base = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-open"]) };
    let a = with(&base, &[("10.0.0.50", "203.0.113.6"), ("10.0.0.51", "")]);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = lab.launch(&a).await;
    ok(Some(&ga), "ip addr add 10.0.0.50/32 dev eth0; ip addr add 10.0.0.51/32 dev eth0");
    assert!(delivers(&lab.host, "127.0.0.1", &lab.host, "127.0.0.1"), "control of the tool");
    assert!(ping(&lab.host, "203.0.113.5") && ping(&lab.host, "203.0.113.6"));
    // What leaves bears the public address of the private one it came from; one without any does not leave.
    ok(Some(&lab.host), "ip addr add 192.0.2.200/32 dev lo");
    lab.tcp_server(&lab.host, 8773);
    let from = |source: &str| {
        let source: std::net::SocketAddr = format!("{source}:0").parse().unwrap();
        within(&ga, || {
            use std::io::Read as _;
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&source.into()).unwrap();
            let to: std::net::SocketAddr = "192.0.2.200:8773".parse().unwrap();
            socket.connect_timeout(&to.into(), std::time::Duration::from_millis(700)).ok()?;
            let mut text = String::new();
            std::net::TcpStream::from(socket).read_to_string(&mut text).ok()?;
            Some(text)
        })
    };
    assert_eq!(from("10.0.0.11").as_deref(), Some("203.0.113.5"));
    assert_eq!(from("10.0.0.50").as_deref(), Some("203.0.113.6"));
    assert_eq!(from("10.0.0.51"), None);
    // One public address goes, the other stays.
    lab.apply(vec![vpc("a", 100, &[with(&base, &[("10.0.0.50", "")])])]).await;
    assert!(ping(&lab.host, "203.0.113.5") && !ping(&lab.host, "203.0.113.6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_lists_every_address_and_every_interface() {
    let mut lab = Lab::new();
    let first = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-open"]) };
    let first = with(&first, &[("10.0.0.50", "203.0.113.6"), ("10.0.0.51", "")]);
    let second = PortView { instance_id: first.instance_id.clone(), ..port("a", 1, 12, &["sg-open"]) };
    lab.apply(vec![vpc("a", 100, &[first.clone(), second.clone()])]).await;
    let (ga, gb) = (lab.launch(&first).await, lab.launch(&second).await);
    let mut intent_of = intent(&first, false);
    let spec = intent_of.spec.as_mut().unwrap();
    spec.ports[0].secondary = first.secondary.clone();
    let mut other = intent(&second, false).spec.unwrap().ports.remove(0);
    other.device_index = 1;
    other.group_names = vec!["web".to_owned()];
    spec.ports.push(other);
    lab.instances.set(intent_of);
    ok(Some(&ga), "ip addr add 10.0.0.50/32 dev eth0");
    let get = |guest: &str, args: &str, path: &str| {
        let line = format!("curl -s -m 3 {args} http://169.254.169.254/latest/meta-data/{path}");
        ok(Some(guest), &line)
    };
    let macs = "network/interfaces/macs";
    let (one, two) = (&first.mac, &second.mac);
    assert_eq!(get(&ga, "", &format!("{macs}/")), format!("{one}/\n{two}/"));
    assert_eq!(get(&ga, "", &format!("{macs}/{one}/local-ipv4s")), "10.0.0.11\n10.0.0.50\n10.0.0.51");
    assert_eq!(get(&ga, "", &format!("{macs}/{one}/public-ipv4s")), "203.0.113.5\n203.0.113.6");
    assert_eq!(get(&ga, "", &format!("{macs}/{one}/ipv4-associations/203.0.113.6")), "10.0.0.50");
    assert_eq!(get(&ga, "", &format!("{macs}/{two}/device-number")), "1");
    assert_eq!(get(&ga, "", &format!("{macs}/{two}/subnet-id")), second.subnet_id);
    assert_eq!(get(&ga, "", &format!("{macs}/{two}/security-groups")), "web");
    // Whichever address or interface it asks by, it is the same instance.
    assert_eq!(get(&ga, "--interface 10.0.0.50", "local-ipv4"), "10.0.0.11");
    assert_eq!(get(&gb, "", "local-ipv4"), "10.0.0.11");
    assert_eq!(get(&gb, "", "mac"), *one);
    let names = lab.names.vpc_ns("vpc-a");
    assert!(ok(Some(&names), "ip route show table main").contains("10.0.0.51 dev"));
    lab.engine().unplug(&second.interface_id).await.unwrap();
}
