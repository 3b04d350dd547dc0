//! Fragments: a guest puts nothing of its own into what another sends, and what is sent in pieces arrives whole.

use crate::ipv6::{launch6, port6, set_address, vpc6};
use crate::lab::*;
use crate::overlay::underlay;
use crate::packets::{send_raw, v4, v6, with_sum};
use mallee_proto::v1::PortView;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

const FIRST: &[u8] = b"AAAAAAAA";
const LAST: &[u8] = b"BBBBBBBB";

/// A datagram to port 9999 in two pieces, as the one who has this address sends them, the second one first: the whole is then
/// judged as of the first, though another may have put the second there before.
fn pieces6(source: &str, to: &str, id: u32) -> [Vec<u8>; 2] {
    let (source, to): (Ipv6Addr, Ipv6Addr) = (source.parse().unwrap(), to.parse().unwrap());
    let whole = [&[4, 87, 39, 15, 0, 24, 0, 0][..], FIRST, LAST].concat();
    let whole = with_sum(source, to, 17, 6, &whole);
    let piece = |start: u16, more: u16, part: &[u8]| {
        let head = [&[17, 0][..], &(start | more).to_be_bytes(), &id.to_be_bytes()].concat();
        v6(source, to, 44, 64, &[&head, part].concat())
    };
    [piece(16, 0, &whole[16..]), piece(0, 1, &whole[..16])]
}

fn pieces4(source: &str, to: &str, id: u16) -> [Vec<u8>; 2] {
    let (source, to): (Ipv4Addr, Ipv4Addr) = (source.parse().unwrap(), to.parse().unwrap());
    let whole = [&[4, 87, 39, 15, 0, 24, 0, 0][..], FIRST, LAST].concat();
    let more = 0x2000;
    [v4(source, to, id, 2, &whole[16..]), v4(source, to, id, more, &whole[..16])]
}

/// What comes of two pieces, each sent by one of these guests.
fn comes(senders: [&str; 2], pieces: &[Vec<u8>; 2], receiver: &str, to: &str) -> Option<Vec<u8>> {
    let socket = within(receiver, || UdpSocket::bind("[::]:9999").unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    for (sender, piece) in senders.iter().zip(pieces) {
        send_raw(sender, to, piece);
    }
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer).ok()?;
    Some(buffer[..len].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_puts_no_piece_into_what_another_sends() {
    let mut lab = Lab::new();
    let (a, b, c) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]), port6(1, 13, &["sg-open"]));
    let view = |unchecked: bool| {
        let a = PortView { source_dest_check: !unchecked, ..a.clone() };
        vec![vpc6(&[a, b.clone(), c.clone()])]
    };
    lab.apply(view(false)).await;
    let (ga, gb, gc) = (launch6(&mut lab, &a).await, launch6(&mut lab, &b).await, launch6(&mut lab, &c).await);
    let mut id = 0;
    let mut six = |senders: [&str; 2]| {
        id += 1;
        comes(senders, &pieces6("2001:db8::12", "2001:db8:0:1::13", id), &gc, "2001:db8:0:1::13")
    };
    let mut id = 0;
    let mut four = |senders: [&str; 2]| {
        id += 1;
        comes(senders, &pieces4("10.0.0.12", "10.0.1.13", id), &gc, "10.0.1.13")
    };
    let whole = Some([FIRST, LAST].concat());
    assert_eq!((six([&gb, &gb]), four([&gb, &gb])), (whole.clone(), whole.clone()), "its own pieces");
    for senders in [[&*ga, &*gb], [&*gb, &*ga], [&*ga, &*ga]] {
        assert_eq!((six(senders), four(senders)), (None, None), "{senders:?}");
    }
    // With the source check off it may speak for others, IPv4; there is nothing of the kind for IPv6.
    lab.apply(view(true)).await;
    assert_eq!((six([&ga, &gb]), four([&ga, &gb])), (None, whole.clone()));
    lab.apply(view(false)).await;
    assert_eq!((six([&ga, &gb]), four([&ga, &gb])), (None, None));
    // The control: without the rule it does.
    ok(Some(&lab.names.vpc_ns("vpc-a")), "nft flush chain inet vpc pieces");
    assert_eq!((six([&ga, &gb]), four([&ga, &gb])), (whole.clone(), whole), "control");
}

/// Of a datagram that as a packet is two bytes longer than the network's: more, and the pair of devices between guest and
/// router (instead of a tap) would swallow it.
const TOO_LONG: usize = 1404;

/// Whether a datagram so long gets there.
fn long(sender: &str, source: &str, receiver: &str, to: &str, len: usize) -> bool {
    let socket = within(receiver, || UdpSocket::bind("[::]:9999").unwrap());
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let from = within(sender, || UdpSocket::bind(format!("[{source}]:0")).unwrap());
    let mut buffer = [0; 9000];
    from.send_to(&vec![7; len], format!("[{to}]:9999")).is_ok() && socket.recv(&mut buffer).is_ok_and(|got| got == len)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_told_and_then_comes_in_pieces() {
    let (mut one, mut two) = (Lab::with_vtep("192.0.2.1"), Lab::with_vtep("192.0.2.2"));
    underlay(&one, &two);
    let (a, b, c) = (port6(0, 11, &["sg-open"]), port6(0, 12, &["sg-open"]), port6(1, 13, &["sg-open"]));
    let mut view = vpc6(&[a.clone(), b.clone()]);
    view.remotes = vec![remote("10.0.1.13", "192.0.2.2"), remote("2001:db8:0:1::13", "192.0.2.2")];
    one.apply(vec![view]).await;
    let mut view = vpc6(std::slice::from_ref(&c));
    view.remotes =
        ["10.0.0.11", "2001:db8::11", "10.0.0.12", "2001:db8::12"].map(|ip| remote(ip, "192.0.2.1")).to_vec();
    two.apply(vec![view]).await;
    let (ga, gb, gc) = (launch6(&mut one, &a).await, launch6(&mut one, &b).await, launch6(&mut two, &c).await);
    // A guest that does not believe its router how long packets may be.
    ok(
        Some(&ga),
        "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra; ip link set eth0 mtu 1500; ip -6 route flush proto ra",
    );
    set_address(&ga, &a);
    for (guest, to) in [(&gb, "2001:db8::12"), (&gc, "2001:db8:0:1::13")] {
        assert!(long(&ga, "2001:db8::11", guest, to, 10), "{to}");
        let way = || ok(Some(&ga), &format!("ip -6 route get {to}"));
        assert!(!way().contains("mtu"), "it does not know yet: {}", way());
        assert!(!long(&ga, "2001:db8::11", guest, to, TOO_LONG), "{to}");
        assert!(way().contains("mtu 1450"), "its router told it: {}", way());
        assert!(long(&ga, "2001:db8::11", guest, to, TOO_LONG) && long(&ga, "2001:db8::11", guest, to, 5000), "{to}");
    }
}
