//! What a guest is told of IPv6: its router, by the kernel's own client, and its address by DHCPv6.

use crate::ipv6::{add_address, delivers6, port6, vpc6};
use crate::lab::*;
use dhcproto::v6::{DhcpOption, DhcpOptions, IANA, Message, MessageType, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _};
use mallee_proto::v1::PortView;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

/// The answer to a message that asks for addresses, from the guest's link-local address.
fn ask(guest: &str, kind: MessageType, server: Option<DhcpOption>) -> Option<Message> {
    within(guest, || {
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
        socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 546, 0, 0).into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut message = Message::new_with_id(kind, [1, 2, 3]);
        message.opts_mut().insert(DhcpOption::ClientId(vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 9]));
        message.opts_mut().insert(DhcpOption::IANA(IANA { id: 7, t1: 0, t2: 0, opts: DhcpOptions::new() }));
        server.into_iter().for_each(|server| message.opts_mut().insert(server));
        let to = SocketAddrV6::new("ff02::1:2".parse().unwrap(), 547, 0, index);
        socket.send_to(&message.to_vec().unwrap(), &to.into()).unwrap();
        let socket: std::net::UdpSocket = socket.into();
        let mut buffer = [0; 1500];
        let (len, from) = socket.recv_from(&mut buffer).ok()?;
        assert_eq!(from.ip().to_string(), "fe80::1");
        Message::decode(&mut Decoder::new(&buffer[..len])).ok()
    })
}

/// The addresses that an answer gives.
fn given(message: &Message) -> Vec<String> {
    let Some(DhcpOption::IANA(ia)) = message.opts().get(OptionCode::IANA) else { panic!("{message:?}") };
    assert_eq!(ia.id, 7);
    let address = |option: &DhcpOption| match option {
        DhcpOption::IAAddr(of) if of.valid_life > 0 => Some(of.addr.to_string()),
        _ => None,
    };
    let mut given: Vec<String> = ia.opts.iter().filter_map(address).collect();
    given.sort();
    given
}

/// Waits until the guest's kernel has a default route, and says what it is.
fn routed(guest: &str) -> String {
    let end = Instant::now() + Duration::from_secs(12);
    loop {
        let route = ok(Some(guest), "ip -6 route show default");
        if !route.is_empty() || Instant::now() > end {
            return route;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_hears_of_its_router_and_gets_its_addresses() {
    let mut lab = Lab::new();
    let a =
        PortView { ipv6_addresses: vec!["2001:db8::11".into(), "2001:db8::21".into()], ..port6(0, 11, &["sg-open"]) };
    let (b, c) = (port6(0, 12, &["sg-open"]), port("a", 0, 13, &["sg-open"]));
    lab.apply(vec![vpc6(&[a.clone(), b.clone(), c.clone()])]).await;
    let (ga, gb, gc) = (lab.boot(&a).await, lab.boot(&b).await, lab.boot(&c).await);
    // The kernel asks by itself as its device comes up.
    for guest in [&ga, &gb] {
        let route = routed(guest);
        assert!(route.contains("via fe80::1 dev eth0 proto ra"), "{route}");
        assert_eq!(ok(Some(guest), "cat /proc/sys/net/ipv6/conf/eth0/mtu"), "1450\n");
        let own = ok(Some(guest), "ip -6 addr show dev eth0 scope global");
        assert_eq!(own, "", "no address but by DHCP");
    }
    for (guest, addresses) in [(&ga, vec!["2001:db8::11", "2001:db8::21"]), (&gb, vec!["2001:db8::12"])] {
        let offer = ask(guest, MessageType::Solicit, None).unwrap();
        assert_eq!(offer.msg_type(), MessageType::Advertise);
        assert_eq!(given(&offer), addresses);
        let server = offer.opts().get(OptionCode::ServerId).cloned();
        let reply = ask(guest, MessageType::Request, server.clone()).unwrap();
        assert_eq!((reply.msg_type(), reply.xid()), (MessageType::Reply, [1, 2, 3]));
        assert_eq!(given(&reply), addresses);
        assert_eq!(given(&ask(guest, MessageType::Renew, server).unwrap()), addresses);
        let other = DhcpOption::ServerId(vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 8]);
        assert!(ask(guest, MessageType::Request, Some(other)).is_none(), "another server's");
        for ip in addresses {
            add_address(guest, ip);
        }
    }
    assert!(delivers6(&ga, "2001:db8::21", &gb, "2001:db8::12"), "by the router that was told");
    // A port without IPv6 is told nothing.
    assert!(ask(&gc, MessageType::Solicit, None).is_none());
    assert_eq!(ok(Some(&gc), "ip -6 route show default"), "");
    // A guest that runs when its port gets IPv6 hears of it without asking.
    ok(Some(&gc), "echo 0 > /proc/sys/net/ipv6/conf/eth0/router_solicitations");
    let more = PortView { ipv6_addresses: vec!["2001:db8::13".to_owned()], ..c.clone() };
    lab.apply(vec![vpc6(&[a.clone(), b.clone(), more])]).await;
    assert!(routed(&gc).contains("via fe80::1"));
    assert_eq!(given(&ask(&gc, MessageType::Solicit, None).unwrap()), ["2001:db8::13"]);
    // Another agent serves as the one before.
    lab.restart();
    lab.apply(vec![vpc6(&[a.clone(), b.clone(), c.clone()])]).await;
    let comes_back = || {
        ok(Some(&gb), "ip link set eth0 down; ip link set eth0 up");
        assert!(routed(&gb).contains("via fe80::1"));
        assert_eq!(given(&ask(&gb, MessageType::Solicit, None).unwrap()), ["2001:db8::12"]);
        add_address(&gb, "2001:db8::12");
        assert!(delivers6(&ga, "2001:db8::11", &gb, "2001:db8::12"));
    };
    comes_back();
    // So it is where IPv6 was off meanwhile.
    let bare = [&a, &b, &c].map(|port| PortView { ipv6_addresses: vec![], ..port.clone() });
    lab.apply(vec![vpc("a", 100, &bare)]).await;
    assert!(ask(&gb, MessageType::Solicit, None).is_none());
    lab.apply(vec![vpc6(&[a.clone(), b.clone(), c.clone()])]).await;
    comes_back();
}

/// As guests of NetworkManager and of Windows do (RFC 7217).
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_make_its_link_local_address_of_anything() {
    let mut lab = Lab::new();
    let (a, b) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]));
    lab.apply(vec![vpc6(&[a.clone(), b.clone()])]).await;
    let (ga, gb) = (lab.boot(&a).await, lab.boot(&b).await);
    let stable = "cd /proc/sys/net/ipv6/conf/eth0; echo 2001:db8:5ec::e7 > stable_secret; echo 2 > addr_gen_mode";
    ok(Some(&ga), &format!("ip link set eth0 down; {stable}; ip link set eth0 up"));
    assert!(routed(&ga).contains("via fe80::1"));
    let own = ok(Some(&ga), "ip -6 -br addr show dev eth0 scope link");
    assert!(own.contains("fe80::") && !own.contains("ff:fe"), "{own}");
    assert_eq!(given(&ask(&ga, MessageType::Solicit, None).unwrap()), ["2001:db8::11"]);
    add_address(&ga, "2001:db8::11");
    assert!(routed(&gb).contains("via fe80::1"));
    add_address(&gb, "2001:db8::12");
    assert!(delivers6(&ga, "2001:db8::11", &gb, "2001:db8::12"));
    // In the name that another's MAC makes it is told of its own addresses still.
    let other = mallee_net::model::Mac::parse(&b.mac).unwrap().link_local();
    ok(Some(&ga), &format!("ip -6 addr flush dev eth0 scope link; ip addr add {other}/64 dev eth0 nodad; sleep 0.1"));
    assert_eq!(given(&ask(&ga, MessageType::Solicit, None).unwrap()), ["2001:db8::11"]);
}
