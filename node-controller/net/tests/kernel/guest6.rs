//! IPv6 of guests: their addresses, and whom they reach.

use crate::lab::{ok, sh, within};
use mallee_proto::v1::PortView;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Gives a guest an address. It has it when its kernel has made a route of it, a moment after `ip` says so: until then it
/// drops what comes for it.
pub fn add_address(guest: &str, ip: &str) {
    ok(Some(guest), &format!("ip addr replace {ip}/128 dev eth0 nodad"));
    let has = || !ok(Some(guest), &format!("ip -6 route show table local {ip}")).is_empty();
    let soon = (0..300).any(|_| {
        has() || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }
    });
    assert!(soon, "{guest} has {ip}");
}

/// The guest's own IPv6 address, and the way by its router.
pub fn set_address(guest: &str, port: &PortView) {
    for ip in &port.ipv6_addresses {
        add_address(guest, ip);
    }
    ok(Some(guest), "ip -6 route replace default via fe80::1 dev eth0");
}

pub fn ping6(ns: &str, to: &str) -> bool {
    // The first packet may be too early: the guest's link-local address is being made sure of.
    (0..4).any(|_| ping6_once(ns, to))
}

/// One packet only, for what should not come through.
pub fn ping6_once(ns: &str, to: &str) -> bool {
    sh(Some(ns), &format!("busybox ping -6 -c 1 -W 1 {to}")).status.success()
}

/// A listener of a namespace; who connects waits in its queue.
pub fn listen6(ns: &str, port: u16) -> TcpListener {
    within(ns, || TcpListener::bind(format!("[::]:{port}")).unwrap())
}

pub fn connects6(ns: &str, to: &str, port: u16) -> bool {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    within(ns, || std::net::TcpStream::connect_timeout(&to, Duration::from_millis(900)).is_ok())
}
