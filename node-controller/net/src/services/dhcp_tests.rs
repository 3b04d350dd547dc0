use super::super::samples;
use super::*;
use crate::dhcp::DhcpOptions;
use mallee_proto::v1::DhcpOptions as Wire;
use std::collections::BTreeMap;

/// What an offer of the VPC says, byte by byte, by option.
fn offered(dhcp: DhcpOptions) -> BTreeMap<u8, Vec<u8>> {
    let port = samples::port();
    let mut request = Message::default();
    request.set_opcode(Opcode::BootRequest).set_chaddr(&port.mac.0);
    request.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let vpc = Vpc { ports: [(port.device.clone(), port)].into(), dhcp, ..samples::vpc() };
    let bytes = reply(&vpc, &request).unwrap().message.to_vec().unwrap();
    // Behind the fixed part and the cookie: code, length, value, until the end.
    let mut found: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut rest = &bytes[240..];
    while rest[0] != 255 {
        let len = usize::from(rest[1]);
        found.entry(rest[0]).or_default().extend(&rest[2..2 + len]);
        rest = &rest[2 + len..];
    }
    found
}

fn set(wire: &Wire) -> DhcpOptions {
    let (options, wrong) = DhcpOptions::check(wire, "10.0.0.2".parse().unwrap());
    assert_eq!(wrong, Vec::<String>::new());
    options
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn guests_are_told_what_the_set_says() {
    let told = offered(set(&Wire {
        domain_name: "a.example b.example".into(),
        domain_name_servers: texts(&["192.0.2.53", "AmazonProvidedDNS"]),
        ntp_servers: texts(&["192.0.2.1", "192.0.2.2"]),
        netbios_name_servers: texts(&["192.0.2.3"]),
        netbios_node_type: 2,
    }));
    assert_eq!(told[&6], [192, 0, 2, 53, 10, 0, 0, 2]);
    assert_eq!(told[&12], b"ip-10-0-0-4");
    assert_eq!(told[&15], b"a.example b.example", "as AWS tells it");
    assert_eq!(told[&42], [192, 0, 2, 1, 192, 0, 2, 2]);
    assert_eq!(told[&44], [192, 0, 2, 3]);
    assert_eq!(told[&46], [2]);
    // RFC 3397; the second name ends by pointing into the first.
    assert_eq!(told[&119], b"\x01a\x07example\0\x01b\xc0\x02");
}

#[test]
fn what_the_set_does_not_say_is_not_told() {
    let usual = offered(samples::vpc().dhcp);
    assert_eq!((usual[&6].as_slice(), usual[&15].as_slice()), (&[10, 0, 0, 2][..], &b"local.compute.internal"[..]));
    let one = offered(set(&Wire { domain_name: "a.example".into(), ..Wire::default() }));
    assert_eq!(one[&15], b"a.example");
    let none = offered(set(&Wire { domain_name_servers: texts(&["169.254.169.253"]), ..Wire::default() }));
    assert_eq!(none[&6], [169, 254, 169, 253]);
    for (told, absent) in [(&usual, &[42, 44, 46, 119][..]), (&one, &[6, 119]), (&none, &[15, 42, 44, 46, 119])] {
        for code in absent {
            assert!(!told.contains_key(code), "{code} in {told:?}");
        }
        assert_eq!(told[&3], [10, 0, 0, 1], "the address and its routes are no option of a set");
    }
}

#[test]
fn a_set_that_makes_no_sense_is_told_and_left_out() {
    let wire = Wire {
        domain_name: "a..b".into(),
        domain_name_servers: texts(&["10.0.0.9", "x"]),
        ntp_servers: texts(&["fd00::1"]),
        ..Wire::default()
    };
    let (options, wrong) = DhcpOptions::check(&wire, "10.0.0.2".parse().unwrap());
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert_eq!(options, DhcpOptions { resolvers: vec!["10.0.0.9".parse().unwrap()], ..Default::default() });
}

/// Some options leave the library's reader with less than nothing to read, or are not what it expects.
#[test]
fn options_that_are_not_read_do_no_harm() {
    let port = samples::port();
    let vpc = Vpc { ports: [(port.device.clone(), port.clone())].into(), ..samples::vpc() };
    let mut request = Message::default();
    request.set_opcode(Opcode::BootRequest).set_chaddr(&port.mac.0);
    request.opts_mut().insert(DhcpOption::MessageType(MessageType::Request));
    request.opts_mut().insert(DhcpOption::RequestedIpAddress(port.ip));
    let bytes = request.to_vec().unwrap();
    let options = bytes[240..].strip_suffix(&[255]).unwrap();
    let answered = |bytes: &[u8]| {
        let message = read(bytes).and_then(|request| reply(&vpc, &request))?.message;
        message.opts().msg_type()
    };
    for odd in [
        &[][..],
        &[151, 0],
        &[81, 0],
        &[81, 2, 0, 0],
        &[152, 1, 0],
        &[0, 0, 121, 1, 200],
        &[53, 0],
        &[50, 0],
        &[54, 1, 9],
    ] {
        let before = [&bytes[..240], odd, options, &[255]].concat();
        let after = [&bytes[..240], options, odd, &[255]].concat();
        let endless = [&bytes[..240], options, odd].concat();
        let cut = [&bytes[..240], options, odd, &[61, 9, 1]].concat();
        for message in [before, after, endless, cut] {
            assert_eq!(answered(&message), Some(MessageType::Ack), "{odd:?}");
        }
    }
    for len in 0..240 {
        assert_eq!(answered(&bytes[..len]), None, "{len}");
    }
}
