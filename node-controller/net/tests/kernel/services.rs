//! DHCP, DNS and metadata as a guest sees them.

use crate::lab::*;
use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use mallee_proto::v1::{DhcpOptions, InstanceIdentity, PortView, PublicName, VpcView};

/// Runs a DHCP client once; returns what its script was told.
pub fn dhcp(lab: &Lab, guest: &str) -> String {
    let script = format!("/tmp/{}-udhcpc.sh", lab.prefix);
    let out = format!("/tmp/{}-lease", lab.prefix);
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nenv > {out}\nip addr add $ip/$mask dev eth0\nip link set eth0 mtu $mtu\n\
         ip route replace default via $router\n"
    );
    std::fs::write(&script, text).unwrap();
    ok(None, &format!("chmod +x {script}"));
    ok(
        Some(guest),
        &format!(
            "busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -O mtu -O staticroutes -O ntpsrv -O search -O 44 -O 46 -s {script}"
        ),
    );
    let lease = std::fs::read_to_string(&out).unwrap();
    let _ = std::fs::remove_file(script);
    let _ = std::fs::remove_file(out);
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_gets_its_address_and_all_options_by_dhcp() {
    let mut lab = Lab::new();
    let (a, b) = (port("a", 1, 11, &["sg-open"]), port("a", 0, 12, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()])]).await;
    let (ga, gb) = (lab.boot(&a).await, lab.launch(&b).await);
    let lease = dhcp(&lab, &ga);
    for line in [
        "ip=10.0.1.11",
        "mask=24",
        "router=10.0.1.1",
        "dns=10.0.0.2",
        "domain=zone1.internal",
        "hostname=ip-10-0-1-11",
        "mtu=1450",
        "serverid=10.0.1.1",
        "lease=3600",
        "staticroutes=169.254.169.254/32 10.0.1.1 0.0.0.0/0 10.0.1.1",
    ] {
        assert!(lease.lines().any(|l| l == line), "{line} is missing in\n{lease}");
    }
    assert!(ping(&ga, "10.0.0.12") && ping(&gb, "10.0.1.11"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_hears_the_options_of_its_vpc_and_new_ones_when_it_asks_again() {
    let mut lab = Lab::new();
    let (a, x) = (port("a", 0, 11, &["sg-open"]), port("bb", 0, 11, &["sg-open"]));
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut view = vpc("a", 100, std::slice::from_ref(&a));
    view.dhcp_options = Some(DhcpOptions {
        domain_name: "corp.example lab.example".to_owned(),
        domain_name_servers: texts(&["192.0.2.53", "AmazonProvidedDNS"]),
        ntp_servers: texts(&["192.0.2.1", "192.0.2.2"]),
        netbios_name_servers: texts(&["192.0.2.3"]),
        netbios_node_type: 2,
    });
    let usual = vpc("bb", 101, std::slice::from_ref(&x));
    lab.apply(vec![view.clone(), usual.clone()]).await;
    lab.instances.set(intent(&a, false));
    let (ga, gx) = (lab.boot(&a).await, lab.boot(&x).await);
    let says = |lease: &str, lines: &[&str]| {
        for line in lines {
            assert!(lease.lines().any(|l| l == *line), "{line} is missing in\n{lease}");
        }
    };
    let silent = |lease: &str, names: &[&str]| {
        for name in names {
            assert!(!lease.lines().any(|l| l.starts_with(&format!("{name}="))), "{name} is in\n{lease}");
        }
    };
    let lease = dhcp(&lab, &ga);
    says(
        &lease,
        &[
            "ip=10.0.0.11",
            "hostname=ip-10-0-0-11",
            // What this client makes of a space; the domains come with option 119.
            "domain=bad",
            "search=corp.example lab.example",
            "dns=192.0.2.53 10.0.0.2",
            "ntpsrv=192.0.2.1 192.0.2.2",
            "wins=192.0.2.3",
            "opt46=02",
        ],
    );
    let name = "ip-10-0-0-11.corp.example lab.example";
    assert_eq!(curl(&ga, &format!("{URL}/latest/meta-data/local-hostname")).1, name);
    // The resolver is where it always is, with the names it always has, whoever else is told of.
    for server in ["10.0.0.2", "169.254.169.253"] {
        assert!(nslookup(&ga, "ip-10-0-0-11.zone1.internal", server).contains("10.0.0.11"), "{server}");
    }
    // The VPC beside it has none of this.
    let other = dhcp(&lab, &gx);
    says(&other, &["dns=10.0.0.2", "domain=zone1.internal"]);
    silent(&other, &["search", "ntpsrv", "wins", "opt46"]);

    let again = async |lab: &mut Lab, set: Option<DhcpOptions>| {
        lab.apply(vec![VpcView { dhcp_options: set, ..view.clone() }, usual.clone()]).await;
        ok(Some(&ga), "ip addr flush dev eth0");
        dhcp(lab, &ga)
    };
    let one = DhcpOptions { domain_name: "corp.example".to_owned(), ..Default::default() };
    let lease = again(&mut lab, Some(one)).await;
    says(&lease, &["ip=10.0.0.11", "domain=corp.example"]);
    silent(&lease, &["dns", "search", "ntpsrv", "wins", "opt46"]);
    let none = DhcpOptions { domain_name_servers: texts(&["169.254.169.253"]), ..Default::default() };
    let lease = again(&mut lab, Some(none)).await;
    says(&lease, &["ip=10.0.0.11", "dns=169.254.169.253"]);
    silent(&lease, &["domain", "search", "ntpsrv", "wins", "opt46"]);
    assert_eq!(curl(&ga, &format!("{URL}/latest/meta-data/local-hostname")).1, "ip-10-0-0-11");
    says(&again(&mut lab, None).await, &["dns=10.0.0.2", "domain=zone1.internal"]);
}

pub fn curl(guest: &str, args: &str) -> (u16, String) {
    let out = ok(Some(guest), &format!("curl -s -m 3 -w '\\n%{{http_code}}' {args} || true"));
    let (body, code) = out.rsplit_once('\n').unwrap();
    (code.parse().unwrap(), body.to_owned())
}

const URL: &str = "http://169.254.169.254";

fn token(guest: &str) -> String {
    let (code, token) =
        curl(guest, &format!("-X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {URL}/latest/api/token"));
    assert_eq!(code, 200);
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_told_to_its_instance_only_and_by_token() {
    let mut lab = Lab::new();
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-open"]) };
    let (b, x) = (port("a", 0, 12, &["sg-open"]), port("bb", 0, 11, &["sg-open"]));
    lab.apply(vec![vpc("a", 100, &[a.clone(), b.clone()]), vpc("bb", 101, std::slice::from_ref(&x))]).await;
    let (ga, gb, gx) = (lab.launch(&a).await, lab.launch(&b).await, lab.launch(&x).await);
    assert_eq!(curl(&ga, URL).0, 503, "known port, unknown instance");
    for (port, v2) in [(&a, true), (&b, false), (&x, false)] {
        lab.instances.set(intent(port, v2));
    }
    assert_eq!(curl(&ga, &format!("{URL}/latest/meta-data/instance-id")).0, 401);
    let secret = token(&ga);
    let get = |path: &str| curl(&ga, &format!("-H 'X-aws-ec2-metadata-token: {secret}' {URL}{path}"));
    assert_eq!(get("/latest/meta-data/instance-id"), (200, "i-a-0-11".to_owned()));
    for (path, want) in [
        ("/latest/meta-data/public-keys/", "0=mine"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA test\n"),
        ("/latest/meta-data/local-ipv4", "10.0.0.11"),
        ("/latest/meta-data/public-ipv4", "203.0.113.5"),
        ("/latest/meta-data/local-hostname", "ip-10-0-0-11.zone1.internal"),
        ("/2009-04-04/meta-data/ami-id", "ami-1"),
        ("/latest/meta-data/placement/availability-zone", "region1a"),
        ("/latest/meta-data/security-groups", "default"),
        ("/latest/meta-data/tags/instance/", "Name"),
        ("/latest/meta-data/tags/instance/Name", "web one"),
        ("/latest/meta-data/network/interfaces/macs/", "02:aa:01:00:00:0b/"),
        ("/latest/meta-data/network/interfaces/macs/02:aa:01:00:00:0b/ipv4-associations/203.0.113.5", "10.0.0.11"),
        ("/latest/meta-data/network/interfaces/macs/02:aa:01:00:00:0b/subnet-ipv4-cidr-block", "10.0.0.0/24"),
        ("/latest", "dynamic\nmeta-data\nuser-data"),
    ] {
        assert_eq!(get(path), (200, want.to_owned()), "{path}");
    }
    assert!(get("/").1.lines().any(|l| l == "2021-03-23") && get("/").1.ends_with("latest"));
    for path in [
        "/latest/meta-data/iam/info",
        "/latest/meta-data/nothing",
        "/1999-01-01/meta-data",
        "/latest/dynamic/instance-identity/pkcs7",
    ] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    let identity: serde_json::Value =
        serde_json::from_str(&get("/latest/dynamic/instance-identity/document").1).unwrap();
    assert_eq!(
        (identity["instanceId"].as_str(), identity["pendingTime"].as_str()),
        (Some("i-a-0-11"), Some("2023-11-14T22:13:20Z"))
    );
    // Once the cloud has signed the document: as it came, and with its signatures.
    let identity = InstanceIdentity {
        document: "{\n  \"instanceId\": \"i-bb-0-11\"\n}".to_owned(),
        signature: vec![1; 60],
        pkcs7: vec![2; 60],
    };
    let mut signed = intent(&x, false);
    signed.spec.as_mut().unwrap().metadata.as_mut().unwrap().identity = Some(identity.clone());
    lab.instances.set(signed);
    let (one, two) = (["AQEB"; 20].concat(), ["AgIC"; 20].concat());
    let lines = |text: &str| format!("{}\n{}", &text[..64], &text[64..]);
    for (name, want) in [
        ("", "document\npkcs7\nrsa2048\nsignature".to_owned()),
        ("document", identity.document),
        ("signature", lines(&one)),
        ("pkcs7", lines(&two)),
        ("rsa2048", lines(&two)),
    ] {
        assert_eq!(curl(&gx, &format!("{URL}/latest/dynamic/instance-identity/{name}")), (200, want), "{name}");
    }
    let raw = sh(Some(&ga), &format!("curl -s -H 'X-aws-ec2-metadata-token: {secret}' {URL}/latest/user-data")).stdout;
    assert_eq!(raw, b"#!/bin/sh\necho \xff\x00 hi\n", "user data is bytes");
    // Version 1 where the options allow it; the same address in another VPC is another instance.
    assert_eq!(curl(&gb, &format!("{URL}/latest/meta-data/instance-id")).1, "i-a-0-12");
    assert_eq!(curl(&gx, &format!("{URL}/latest/meta-data/instance-id")).1, "i-bb-0-11");
    assert_eq!(
        curl(&gb, &format!("-H 'Host: i-a-0-11' -H 'X-Instance-ID: i-a-0-11' {URL}/latest/meta-data/instance-id")).1,
        "i-a-0-12"
    );
    // A token is good for its instance, for its time, and is not had through a proxy.
    assert_eq!(
        curl(&gb, &format!("-H 'X-aws-ec2-metadata-token: {secret}' {URL}/latest/meta-data/instance-id")).0,
        401
    );
    let put = |more: &str| curl(&ga, &format!("-X PUT {more} {URL}/latest/api/token")).0;
    assert_eq!(put(""), 400);
    for ttl in ["0", "21601", "-1", "x"] {
        assert_eq!(put(&format!("-H 'X-aws-ec2-metadata-token-ttl-seconds: {ttl}'")), 400, "{ttl}");
    }
    assert_eq!(put("-H 'X-aws-ec2-metadata-token-ttl-seconds: 21600'"), 200);
    assert_eq!(put("-H 'X-aws-ec2-metadata-token-ttl-seconds: 60' -H 'X-Forwarded-For: 10.0.0.12'"), 403);
    assert_eq!(curl(&ga, &format!("-X POST {URL}/latest/meta-data/")).0, 405);
    assert_eq!(curl(&ga, &format!("{URL}/latest/api/token")).0, 405);
    assert_eq!(curl(&ga, &format!("-H 'X-Long: {}' {URL}/latest", "a".repeat(20_000))).0, 431);
    lab.clock.shift_ms(61_000);
    assert_eq!(get("/latest/meta-data/instance-id").0, 401, "the token is over");
}

/// botocore of the tests' own environment, as a program in the guest has it.
const BOTOCORE: &str = "from botocore.credentials import InstanceMetadataProvider as P; \
    from botocore.utils import InstanceMetadataFetcher as F; \
    c = P(F(timeout=2, num_attempts=2)).load(); \
    f = c and c.get_frozen_credentials(); \
    print(f and (f.access_key, f.secret_key, f.token), c and c.method)";

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_in_the_guest_finds_the_credentials_of_its_role() {
    let mut lab = Lab::new();
    let a = port("a", 0, 11, &["sg-open"]);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = lab.launch(&a).await;
    let mut mine = intent(&a, true);
    let credentials = mallee_proto::v1::RoleCredentials {
        version: 1,
        profile_arn: "arn:aws:iam::000000000001:instance-profile/web".into(),
        profile_id: "AIPA1".into(),
        role_name: "web".into(),
        code: "Success".into(),
        access_key_id: "ASIAONE".into(),
        secret_access_key: "secret-one".into(),
        session_token: "token-one".into(),
        issued_ms: 1_700_000_000_000,
        // Further than this test runs.
        expires_ms: 4_000_000_000_000,
        ..Default::default()
    };
    mine.credentials = Some(credentials.clone());
    lab.instances.set(mine.clone());
    let path = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(curl(&ga, &format!("{URL}{path}")).0, 401, "not without a token of the metadata service");
    let secret = token(&ga);
    let get = |path: &str| curl(&ga, &format!("-H 'X-aws-ec2-metadata-token: {secret}' {URL}{path}"));
    assert_eq!(get(path), (200, "web".to_owned()));
    assert_eq!(get(&format!("{path}other")).0, 404);
    assert!(get("/latest/meta-data/iam/info").1.contains("\"InstanceProfileId\" : \"AIPA1\""));
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let sdk = || ok(Some(&ga), &format!("env -i {python} -c '{BOTOCORE}'"));
    assert_eq!(sdk().trim(), "('ASIAONE', 'secret-one', 'token-one') iam-role");
    // Rotated, then taken away.
    let next = mallee_proto::v1::RoleCredentials { version: 2, access_key_id: "ASIATWO".into(), ..credentials };
    mine.credentials = Some(next);
    lab.instances.set(mine.clone());
    assert!(sdk().contains("ASIATWO"));
    mine.credentials = Some(mallee_proto::v1::RoleCredentials { version: 3, ..Default::default() });
    lab.instances.set(mine);
    assert_eq!(get(path).0, 404);
    assert_eq!(sdk().trim(), "None None");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_travel_further_than_its_hop_limit() {
    let mut lab = Lab::new();
    let a = port("a", 0, 11, &["sg-open"]);
    lab.apply(vec![vpc("a", 100, std::slice::from_ref(&a))]).await;
    let ga = lab.launch(&a).await;
    // A container inside the guest, behind the guest's NAT.
    let inner = format!("{}-inner", lab.prefix);
    ok(None, &format!("ip netns add {inner}; ip -n {ga} link add c0 type veth peer name c1 netns {inner}"));
    ok(
        Some(&ga),
        "ip addr add 172.17.0.1/24 dev c0; ip link set c0 up; echo 1 > /proc/sys/net/ipv4/ip_forward; nft 'table ip n { chain p { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }'",
    );
    ok(Some(&inner), "ip addr add 172.17.0.2/24 dev c1; ip link set c1 up; ip route add default via 172.17.0.1");
    let put = format!("-m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {URL}/latest/api/token");
    let mut near = intent(&a, false);
    lab.instances.set(near.clone());
    assert_eq!(curl(&inner, &format!("{URL}/latest/meta-data/ami-id")).0, 200, "version 1 travels");
    assert_eq!(curl(&inner, &put).0, 0, "the token does not");
    assert_eq!(curl(&ga, &put).0, 200);
    near.spec.as_mut().unwrap().metadata.as_mut().unwrap().options.as_mut().unwrap().hop_limit = 2;
    lab.instances.set(near);
    assert_eq!(curl(&inner, &put).0, 200, "control: two hops");
}

pub fn nslookup(guest: &str, name: &str, server: &str) -> String {
    let out = sh(Some(guest), &format!("busybox timeout 8 busybox nslookup {name} {server}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    // The first lines name the server itself.
    text.split_once("\n\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_resolve_inside_and_outside() {
    let mut lab = Lab::new();
    lab.config.dns_upstreams = vec!["127.0.0.1:5353".parse().unwrap()];
    lab.restart();
    let (udp, tcp) = within(&lab.host, || {
        (std::net::UdpSocket::bind("127.0.0.1:5353").unwrap(), std::net::TcpListener::bind("127.0.0.1:5353").unwrap())
    });
    let respond = |query: &[u8]| {
        let mut message = Message::from_vec(query).unwrap();
        message.metadata.message_type = MessageType::Response;
        let name = message.queries[0].name.clone();
        message.answers.push(Record::from_rdata(name, 5, RData::A(A("198.51.100.77".parse().unwrap()))));
        message.to_vec().unwrap()
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&respond(&buffer[..len]), from).unwrap();
        }
    });
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in tcp.incoming().flatten() {
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).unwrap();
            let answer = respond(&query);
            stream.write_all(&[&u16::try_from(answer.len()).unwrap().to_be_bytes()[..], &answer].concat()).unwrap();
        }
    });
    let a = PortView { public_ip: "203.0.113.5".to_owned(), ..port("a", 0, 11, &["sg-open"]) };
    let b = PortView { hostname: "db".to_owned(), ..port("a", 0, 12, &[]) };
    let mut view = vpc("a", 100, &[a.clone(), b.clone()]);
    view.remotes = vec![remote("10.0.1.7", "192.0.2.9")];
    view.public_names = vec![PublicName { public_ip: "203.0.113.9".to_owned(), private_ip: "10.0.1.7".to_owned() }];
    lab.instances.set(intent(&a, true));
    lab.apply(vec![view.clone()]).await;
    let (_ga, gb) = (lab.launch(&a).await, lab.launch(&b).await);
    for server in ["10.0.0.2", "169.254.169.253"] {
        for (name, want) in [
            ("ip-10-0-0-11.zone1.internal", "10.0.0.11"),
            ("IP-10-0-1-7.zone1.internal", "10.0.1.7"),
            ("db.zone1.internal", "10.0.0.12"),
            ("10.0.0.12", "db.zone1.internal"),
            ("10.0.1.7", "ip-10-0-1-7.zone1.internal"),
            ("ec2-203-0-113-5.region1.example", "10.0.0.11"),
            ("ec2-203-0-113-9.zone1.internal", "10.0.1.7"),
            // Somebody else's in this cloud.
            ("ec2-203-0-113-10.zone1.internal", "203.0.113.10"),
            ("www.example.org", "198.51.100.77"),
        ] {
            let answer = nslookup(&gb, name, server);
            assert!(answer.contains(want), "{name} at {server}: {answer}");
        }
        let answer = nslookup(&gb, "ip-10-0-0-99.zone1.internal", server);
        assert!(!answer.contains("10.0.0.99\n") || answer.contains("NXDOMAIN"), "{answer}");
    }
    // By TCP, inside and outside.
    for (name, want) in [("db.zone1.internal.", "10.0.0.12"), ("www.example.org.", "198.51.100.77")] {
        let answer = within(&gb, || {
            use std::io::{Read as _, Write as _};
            let mut query = Message::query();
            query
                .queries
                .push(hickory_proto::op::Query::query(name.parse().unwrap(), hickory_proto::rr::RecordType::A));
            let query = query.to_vec().unwrap();
            let mut stream = std::net::TcpStream::connect("10.0.0.2:53").unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
            stream.write_all(&[&u16::try_from(query.len()).unwrap().to_be_bytes()[..], &query].concat()).unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut answer).unwrap();
            Message::from_vec(&answer).unwrap()
        });
        assert_eq!(answer.answers[0].data, RData::A(A(want.parse().unwrap())));
    }
    // Without public names the name is the world's to know; without a resolver nobody answers, until it is back.
    view.public_names_off = true;
    lab.apply(vec![view.clone()]).await;
    assert!(nslookup(&gb, "ec2-203-0-113-5.region1.example", "10.0.0.2").contains("198.51.100.77"));
    view.dns_off = true;
    lab.apply(vec![view.clone()]).await;
    for server in ["10.0.0.2", "169.254.169.253"] {
        assert_eq!(nslookup(&gb, "db.zone1.internal", server), "", "{server}");
    }
    view.dns_off = false;
    lab.apply(vec![view]).await;
    assert!(nslookup(&gb, "db.zone1.internal", "10.0.0.2").contains("10.0.0.12"));
}
