use super::*;
use crate::services::{ask6, samples};
use dhcproto::v6::IATA;
use dhcproto::{Decodable as _, Decoder};

const OWN: &str = "2001:db8::4";

fn vpc() -> Vpc {
    let mut vpc = samples::vpc();
    vpc.add(Port { ipv6: [OWN.parse().unwrap()].into(), ..samples::port() });
    vpc
}

fn answer(vpc: &Vpc, request: &Message) -> Option<Message> {
    reply(vpc, vpc.ports.values().next().unwrap(), request)
}

/// A message of a client that wants one address, and names these.
fn message(kind: MessageType, named: &[&str]) -> Message {
    let mut message = Message::new_with_id(kind, [1, 2, 3]);
    message.opts_mut().insert(DhcpOption::ClientId(vec![0, 3, 0, 1, 9]));
    let opts = named.iter().map(|ip| address(ip.parse().unwrap(), 60)).collect();
    message.opts_mut().insert(DhcpOption::IANA(IANA { id: 7, t1: 0, t2: 0, opts }));
    message
}

fn to_server(message: Message) -> Message {
    let mut message = message;
    message.opts_mut().insert(DhcpOption::ServerId(server_id()));
    message
}

/// As a guest's bytes come and go.
fn asked_for(message: &Message) -> Option<Message> {
    let request = ask6::read(&message.to_vec().unwrap())?;
    let answer = answer(&vpc(), &request)?;
    assert_eq!(answer.xid(), [1, 2, 3]);
    let own = Some(DhcpOption::ServerId(server_id()));
    assert_eq!(answer.opts().get(OptionCode::ServerId).cloned(), own);
    Some(Message::decode(&mut Decoder::new(&answer.to_vec().unwrap())).unwrap())
}

/// Addresses of an answer's first association, each with how long it holds.
fn given(answer: &Message) -> Vec<(String, u32)> {
    let Some(DhcpOption::IANA(ia)) = answer.opts().get(OptionCode::IANA) else { return Vec::new() };
    let of = |option: &DhcpOption| match option {
        DhcpOption::IAAddr(of) => Some((of.addr.to_string(), of.valid_life)),
        _ => None,
    };
    let mut given: Vec<_> = ia.opts.iter().filter_map(of).collect();
    given.sort();
    given
}

fn said(answer: &Message) -> Option<Status> {
    match answer.opts().get(OptionCode::StatusCode) {
        Some(DhcpOption::StatusCode(of)) => Some(of.status),
        _ => None,
    }
}

#[test]
fn a_lease_is_asked_for_kept_left_and_refused() {
    let own = (OWN.to_owned(), LEASE_SECONDS);
    for (message, kind) in [
        (message(MessageType::Solicit, &[]), MessageType::Advertise),
        (to_server(message(MessageType::Request, &[OWN])), MessageType::Reply),
        (to_server(message(MessageType::Renew, &[OWN])), MessageType::Reply),
        (message(MessageType::Rebind, &[OWN]), MessageType::Reply),
    ] {
        let answer = asked_for(&message).unwrap();
        assert_eq!((answer.msg_type(), given(&answer)), (kind, vec![own.clone()]));
    }
    // What it has no more ends.
    let answer = asked_for(&to_server(message(MessageType::Renew, &[OWN, "2001:db8::9"]))).unwrap();
    assert_eq!(given(&answer), [own, ("2001:db8::9".to_owned(), 0)]);
    for kind in [MessageType::Release, MessageType::Decline] {
        let answer = asked_for(&to_server(message(kind, &[OWN]))).unwrap();
        assert_eq!((answer.msg_type(), said(&answer)), (MessageType::Reply, Some(Status::Success)));
        assert_eq!(given(&answer), []);
    }
}

#[test]
fn a_client_that_comes_back_is_told_whether_its_addresses_are_here() {
    let confirm = |named: &[&str]| asked_for(&message(MessageType::Confirm, named)).and_then(|answer| said(&answer));
    assert_eq!(confirm(&[OWN]), Some(Status::Success));
    assert_eq!(confirm(&[OWN, "2001:db8::9"]), Some(Status::NotOnLink));
    assert_eq!(confirm(&[]), None, "of nothing nothing is said");
}

#[test]
fn who_asks_for_information_only_names_no_addresses() {
    let mut plain = Message::new_with_id(MessageType::InformationRequest, [1, 2, 3]);
    let answer = asked_for(&plain).unwrap();
    assert!(answer.opts().get(OptionCode::DomainSearchList).is_some() && given(&answer).is_empty());
    plain.opts_mut().insert(DhcpOption::IATA(IATA { id: 1, opts: DhcpOptions::new() }));
    assert!(asked_for(&plain).is_none());
    assert!(asked_for(&message(MessageType::InformationRequest, &[])).is_none());
}

#[test]
fn who_is_not_meant_or_does_not_say_who_it_is_gets_no_answer() {
    let mut other = message(MessageType::Request, &[]);
    assert!(asked_for(&other).is_none(), "nobody's");
    other.opts_mut().insert(DhcpOption::ServerId(vec![0, 3, 0, 1, 8]));
    assert!(asked_for(&other).is_none(), "another server's");
    for kind in [MessageType::Solicit, MessageType::Confirm, MessageType::Rebind] {
        assert!(asked_for(&to_server(message(kind, &[OWN]))).is_none(), "{kind:?}");
    }
    for kind in [MessageType::Advertise, MessageType::Reply, MessageType::RelayForw, MessageType::RelayRepl] {
        assert!(asked_for(&to_server(message(kind, &[OWN]))).is_none(), "{kind:?}");
    }
    let mut nameless = message(MessageType::Solicit, &[]);
    nameless.opts_mut().remove(OptionCode::ClientId);
    assert!(asked_for(&nameless).is_none());
    let request = message(MessageType::Solicit, &[]);
    assert!(reply(&vpc(), &samples::port(), &request).is_none(), "of a port without IPv6");
}

/// Options of no interest may say what they like; the library's reader is left by some of these with less than nothing to read.
#[test]
fn what_is_not_looked_at_does_no_harm() {
    let solicit = message(MessageType::Solicit, &[]).to_vec().unwrap();
    for option in [&[0, 13, 0, 0][..], &[0, 13, 0, 1, 9], &[0, 16, 0, 1, 9], &[0, 17, 0, 3, 9, 9, 9], &[0, 11, 0, 1, 9]]
    {
        let bytes = [&solicit[..], option].concat();
        let request = ask6::read(&bytes).unwrap();
        assert_eq!(answer(&vpc(), &request).unwrap().msg_type(), MessageType::Advertise, "{option:?}");
    }
    // Many, and nested ones.
    let many = [&solicit[..], &[0, 6, 0, 0].repeat(MAX_MESSAGE / 4)].concat();
    assert!(ask6::read(&many).is_none());
    let mut nested = Vec::new();
    while nested.len() < MAX_MESSAGE {
        let len = u16::try_from(nested.len() + 12).unwrap().to_be_bytes();
        nested = [&[0, 3][..], &len, &[0; 12], &nested].concat();
    }
    assert!(ask6::read(&[&solicit[..], &nested].concat()).is_some());
    // A name that is too long to be one.
    let long = [&solicit[..4], &[0, 1, 0, 200], &[7; 200]].concat();
    assert!(ask6::read(&long).is_none());
}

/// Whatever bytes come, an answer is one that can be sent, or none.
#[test]
fn any_bytes_are_answered_or_not() {
    let seeds = [
        message(MessageType::Solicit, &[OWN]),
        to_server(message(MessageType::Renew, &[OWN, "2001:db8::9"])),
        message(MessageType::Confirm, &[OWN]),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % 65_536).unwrap() % below
    };
    let (vpc, mut answered) = (vpc(), 0);
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].to_vec().unwrap();
        for _ in 0..next(4) {
            let at = next(bytes.len());
            bytes[at] = u8::try_from(next(256)).unwrap();
        }
        bytes.truncate(bytes.len() - next(bytes.len()) * (next(4) / 3));
        let Some(answer) = ask6::read(&bytes).and_then(|request| answer(&vpc, &request)) else { continue };
        answered += 1;
        assert!(answer.to_vec().unwrap().len() <= bytes.len() + 256);
    }
    assert!(answered > 1000, "{answered}");
}
