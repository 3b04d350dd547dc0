use super::*;
use mallee_proto::v1::{InstanceIdentity, InstanceSpec};

#[test]
fn listings_look_as_ec2_shows_them() {
    let mut d = Node::dir();
    d.put("ami-id", "ami-1");
    let mut key = Node::dir();
    key.put("openssh-key", "ssh-ed25519 AAAA\n");
    d.insert("public-keys/0", Some("0=mine"), key);
    assert_eq!(d.body(), b"ami-id\npublic-keys/");
    assert_eq!(d.at("public-keys/").map(Node::body), Some(b"0=mine".to_vec()));
    assert_eq!(d.at("public-keys").map(Node::body), Some(b"0=mine".to_vec()));
    assert_eq!(d.at("public-keys/0/").map(Node::body), Some(b"openssh-key".to_vec()));
    assert_eq!(d.at("ami-id/"), None);
    assert_eq!(d.at("ami-id/x"), None);
    assert_eq!(d.at("..//ami-id"), None);
}

#[test]
fn a_role_is_told_as_ec2_tells_it() {
    let seen = |c: &RoleCredentials, path: &str| {
        let mut d = Node::dir();
        role(&mut d, c);
        d.at(path).map(|node| String::from_utf8(node.body()).unwrap())
    };
    let json = |text: Option<String>| serde_json::from_str::<serde_json::Value>(&text.unwrap()).unwrap();
    let none = RoleCredentials { version: 3, ..RoleCredentials::default() };
    assert_eq!(seen(&none, "iam/info"), None, "a profile that was taken away leaves nothing");
    let bare = RoleCredentials {
        profile_arn: "arn:aws:iam::123456789012:instance-profile/p".into(),
        profile_id: "AIPA1".into(),
        code: "Success".into(),
        issued_ms: 1_700_000_000_500,
        ..none
    };
    let info = json(seen(&bare, "iam/info"));
    assert_eq!(info["InstanceProfileId"], "AIPA1");
    assert_eq!(info["LastUpdated"], "2023-11-14T22:13:20Z");
    assert_eq!(seen(&bare, "iam/security-credentials"), None);
    let full = RoleCredentials {
        role_name: "r".into(),
        access_key_id: "ASIA1".into(),
        secret_access_key: "s/+".into(),
        session_token: "t".into(),
        expires_ms: 1_700_021_600_000,
        ..bare
    };
    assert_eq!(seen(&full, "iam/security-credentials/").as_deref(), Some("r"));
    assert_eq!(
        seen(&full, "iam/security-credentials/r").unwrap(),
        "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2023-11-14T22:13:20Z\",\n  \"Type\" : \"AWS-HMAC\",\n  \
         \"AccessKeyId\" : \"ASIA1\",\n  \"SecretAccessKey\" : \"s/+\",\n  \"Token\" : \"t\",\n  \
         \"Expiration\" : \"2023-11-15T04:13:20Z\"\n}"
    );
    let refused = RoleCredentials {
        access_key_id: String::new(),
        code: "AssumeRoleUnauthorizedAccess".into(),
        message: "EC2 cannot assume the role r.".into(),
        ..full
    };
    let told = json(seen(&refused, "iam/security-credentials/r"));
    assert_eq!(told["Code"], "AssumeRoleUnauthorizedAccess");
    assert!(told.get("SecretAccessKey").is_none());
}

/// What instances with these metadata read at a path.
fn seen(metadata: &Metadata, path: &str) -> Option<Vec<u8>> {
    seen_in(metadata, false, None, path)
}

fn seen_in(
    metadata: &Metadata,
    public_names_off: bool,
    public_ip: Option<std::net::Ipv4Addr>,
    path: &str,
) -> Option<Vec<u8>> {
    let port = Port { public_ip, ..super::super::samples::port() };
    let vpc = Vpc { public_names_off, ..super::super::samples::vpc() };
    meta_data(&InstanceIntent::default(), metadata, &vpc, &port).at(path).map(Node::body)
}

#[test]
fn a_guest_hears_the_name_that_dhcp_gives_it() {
    let told = |domain: Option<&str>| {
        let mut vpc = super::super::samples::vpc();
        vpc.dhcp.domain_name = domain.map(str::to_owned);
        let m = Metadata { hostname: "ip-10-0-0-4.local.compute.internal".into(), ..Metadata::default() };
        let d = meta_data(&InstanceIntent::default(), &m, &vpc, &super::super::samples::port());
        let of = |path: &str| String::from_utf8(d.at(path).unwrap().body()).unwrap();
        assert_eq!(of("hostname"), of("local-hostname"));
        of("local-hostname")
    };
    assert_eq!(told(Some("local.compute.internal")), "ip-10-0-0-4.local.compute.internal");
    assert_eq!(told(Some("a.example b.example")), "ip-10-0-0-4.a.example b.example", "as AWS says it");
    assert_eq!(told(None), "ip-10-0-0-4");
}

#[test]
fn a_public_name_is_told_in_a_vpc_that_has_them() {
    let metadata = Metadata { public_hostname: "ec2-1".into(), ..Metadata::default() };
    let public = Some("203.0.113.1".parse().unwrap());
    assert_eq!(seen_in(&metadata, false, public, "public-hostname"), Some(b"ec2-1".to_vec()));
    assert_eq!(seen_in(&metadata, true, public, "public-hostname"), None);
    assert_eq!(seen_in(&metadata, true, public, "public-ipv4"), Some(b"203.0.113.1".to_vec()));
    assert_eq!(seen_in(&metadata, false, None, "public-hostname"), None, "only with the address");
}

#[test]
fn an_instance_sees_the_placement_group_it_is_in() {
    let member = Metadata { placement_group_name: "parts".into(), partition_number: 2, ..Metadata::default() };
    assert_eq!(seen(&member, "placement/group-name"), Some(b"parts".to_vec()));
    assert_eq!(seen(&member, "placement/partition-number"), Some(b"2".to_vec()));
    assert_eq!(seen(&Metadata::default(), "placement/group-name"), None);
    assert_eq!(seen(&Metadata::default(), "placement/partition-number"), None);
}

#[test]
fn a_spot_instance_finds_its_notice_once_it_is_given() {
    let told = |spot: Option<SpotLife>, path: &str| {
        seen(&Metadata { spot, ..Metadata::default() }, path).map(|body| String::from_utf8(body).unwrap())
    };
    assert_eq!(told(None, "instance-life-cycle").as_deref(), Some("on-demand"));
    let quiet = Some(SpotLife { stops: false, notice_ms: 0 });
    assert_eq!(told(quiet, "instance-life-cycle").as_deref(), Some("spot"));
    assert_eq!((told(quiet, "spot"), told(quiet, "spot/instance-action")), (None, None));
    let ends = Some(SpotLife { stops: false, notice_ms: 1_505_722_920_999 });
    let action = told(ends, "spot/instance-action").unwrap();
    assert_eq!(action, r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#);
    assert_eq!(told(ends, "spot/termination-time").as_deref(), Some("2017-09-18T08:22:00Z"));
    let stops = Some(SpotLife { stops: true, notice_ms: 1_505_722_920_000 });
    assert!(told(stops, "spot/instance-action").unwrap().contains("\"stop\""));
    assert_eq!(told(stops, "spot/termination-time"), None);
}

#[test]
fn an_instance_reads_the_maintenance_that_is_announced() {
    let told =
        |m: &Metadata, path: &str| String::from_utf8(seen(m, &format!("events/maintenance/{path}")).unwrap()).unwrap();
    let none = Metadata::default();
    assert_eq!((told(&none, "scheduled"), told(&none, "history")), ("[]".to_owned(), "[]".to_owned()));
    assert_eq!(seen(&none, "events"), Some(b"maintenance/".to_vec()));
    let active = MaintenanceEvent {
        id: "instance-event-0d59937288b749b32".into(),
        code: "system-reboot".into(),
        description: "a \"new\" kernel".into(),
        state: "active".into(),
        not_before_ms: 1_548_061_243_999,
        not_after_ms: 1_548_062_243_000,
    };
    let done = MaintenanceEvent { state: "completed".into(), not_after_ms: 0, ..active.clone() };
    let both = Metadata { events: vec![done, active], ..Metadata::default() };
    assert_eq!(
        told(&both, "scheduled"),
        "[ {\n  \"NotBefore\" : \"21 Jan 2019 09:00:43 GMT\",\n  \"Code\" : \"system-reboot\",\n  \
         \"Description\" : \"a \\\"new\\\" kernel\",\n  \"EventId\" : \"instance-event-0d59937288b749b32\",\n  \
         \"NotAfter\" : \"21 Jan 2019 09:17:23 GMT\",\n  \"State\" : \"active\"\n} ]"
    );
    let history: serde_json::Value = serde_json::from_str(&told(&both, "history")).unwrap();
    assert_eq!((history.as_array().unwrap().len(), &history[0]["State"]), (1, &"completed".into()));
    assert!(history[0].get("NotAfter").is_none());
}

#[test]
fn the_identity_document_is_served_as_it_was_signed() {
    let vpc = super::super::samples::vpc();
    let port = super::super::samples::port();
    let identity =
        InstanceIdentity { document: "{ \"as\": \"told\" }".into(), signature: vec![7; 256], pkcs7: vec![9; 900] };
    let intent = |identity: Option<InstanceIdentity>| {
        let metadata = Metadata { identity, region: "eu-1".into(), ..Metadata::default() };
        let spec = InstanceSpec { metadata: Some(metadata), ..InstanceSpec::default() };
        InstanceIntent { id: "i-1".into(), spec: Some(spec), ..InstanceIntent::default() }
    };
    let get = |intent: &InstanceIntent, name: &str| {
        let path = format!("dynamic/instance-identity/{name}");
        tree(intent, &vpc, &port).at(&path).map(|node| String::from_utf8(node.body()).unwrap())
    };
    let signed = intent(Some(identity.clone()));
    assert_eq!(get(&signed, "").as_deref(), Some("document\npkcs7\nrsa2048\nsignature"));
    assert_eq!(get(&signed, "document"), Some(identity.document));
    for (name, bytes) in [("signature", &identity.signature), ("pkcs7", &identity.pkcs7), ("rsa2048", &identity.pkcs7)]
    {
        let text = get(&signed, name).unwrap();
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(&BASE64.decode(text.replace('\n', "")).unwrap(), bytes, "{name}");
    }
    // A cloud that signs nothing: the node's own words, and no signature.
    let unsigned = intent(None);
    assert!(get(&unsigned, "document").unwrap().contains("\"instanceId\": \"i-1\""));
    assert_eq!(get(&unsigned, "").as_deref(), Some("document"));
    assert_eq!(get(&unsigned, "signature"), None);
}
