//! How daemons join a cloud and what they may ask afterwards, over TLS on the loopback, on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

use mallee_cloud_controller::directory::DirectoryService;
use mallee_cloud_controller::enrol::{ControlPlane, EnrolmentService};
use mallee_cloud_controller::tokens::JoinTokens;
use mallee_pki::{
    Ca, ClientAuth, CredentialStore, Credentials, Identity, JoinToken, NewKey, Role, TlsIncoming, connect,
    connect_pinned, new_key_and_csr, pending_key_and_csr,
};
use mallee_proto::v1::directory_client::DirectoryClient;
use mallee_proto::v1::enrolment_client::EnrolmentClient;
use mallee_proto::v1::{
    AnnounceRequest, Endpoint, EnrolReply, EnrolRequest, LocateRequest, RenewRequest, ResolveKeyReply,
    ResolveKeyRequest,
};
use mallee_proto::{Kind, WireError};
use mallee_runtime::{Clock, Shutdown};
use mallee_store::test_support::TestDb;
use mallee_store::{
    AccessKeyRow, AccountRow, Store, UserRow, access_key_insert, account_insert, setting_delete, store_test_suite,
    user_insert,
};
use mallee_types::ZoneName;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Channel;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

struct World {
    uri: String,
    ca: Arc<Ca>,
    clock: Clock,
    store: Store,
    tokens: JoinTokens,
    shutdown: Shutdown,
    // The database file goes with it.
    _db: TestDb,
    _dir: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

impl World {
    /// A cloud controller's control port, and an issuer of tokens for it.
    async fn new(db: TestDb) -> Self {
        let (dir, store, clock, shutdown) =
            (tempfile::tempdir().unwrap(), db.open().await, db.clock.clone(), Shutdown::new());
        let zones: Vec<ZoneName> = ["zone-a", "zone-b"].iter().map(|zone| zone.parse().unwrap()).collect();
        let ca = Arc::new(Ca::load_or_create(&dir.path().join("ca"), "c-1", &clock).unwrap());
        let own = ca.credentials(&Identity::new("c-1", Role::Cloud, "cloud-1").unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let tokens = JoinTokens::new(store.clone(), clock.clone(), db.rng.clone(), zones.clone(), ca.ca_sha256());
        let control = ControlPlane::new(store.clone(), clock.clone(), ca.clone(), zones, uri.clone());
        let incoming =
            TlsIncoming::new(listener, CredentialStore::new(own, &clock), ClientAuth::Optional, &shutdown).unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(EnrolmentService::server(&control))
            .add_service(DirectoryService::server(&control, None, None));
        tokio::spawn(server.serve_with_incoming(incoming));
        Self { uri, ca, clock, store, tokens, shutdown, _db: db, _dir: dir }
    }

    async fn token(&self, wish: Value) -> String {
        self.tokens.issue(&wish).await.unwrap()["token"].as_str().unwrap().to_owned()
    }

    async fn enrol(&self, token: &str, name: &str) -> Result<(NewKey, EnrolReply), WireError> {
        let (key, csr) = new_key_and_csr().unwrap();
        self.enrol_with(token, name, csr).await.map(|reply| (key, reply))
    }

    async fn enrol_with(&self, token: &str, name: &str, csr: Vec<u8>) -> Result<EnrolReply, WireError> {
        let channel = connect_pinned(&self.uri, self.ca.ca_sha256()).await.unwrap();
        let request = EnrolRequest { token: token.to_owned(), csr, name: name.to_owned() };
        Ok(EnrolmentClient::new(channel).enrol(request).await.map_err(WireError::from)?.into_inner())
    }

    /// The credentials of a daemon that joins with a token of this wish.
    async fn join(&self, wish: Value, name: &str) -> CredentialStore {
        let token = self.token(wish).await;
        let (key, reply) = self.enrol(&token, name).await.unwrap();
        let pin = JoinToken::parse(&token).unwrap().ca_sha256();
        let made = Credentials::new(key, &reply.certificate, &reply.ca_certificate, pin, &self.clock).unwrap();
        CredentialStore::new(made, &self.clock)
    }

    async fn directory(&self, store: &CredentialStore) -> DirectoryClient<Channel> {
        DirectoryClient::new(connect(&self.uri, store, Role::Cloud, None).await.unwrap())
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T, WireError>) -> Kind {
    result.unwrap_err().kind
}

fn announce(role: &str, zone: &str, uri: &str) -> AnnounceRequest {
    AnnounceRequest { endpoint: Some(Endpoint { role: role.to_owned(), zone: zone.to_owned(), uri: uri.to_owned() }) }
}

async fn a_token_works_once_and_names_its_bearer(db: TestDb) {
    let world = World::new(db).await;
    let token = world.token(json!({ "role": "node", "zone": "zone-b" })).await;
    let (key, reply) = world.enrol(&token, "node-1").await.unwrap();
    assert_eq!(reply.identity, "mallee://c-1/node/node-1");
    assert_eq!(reply.endpoints.iter().map(|e| e.uri.as_str()).collect::<Vec<_>>(), [world.uri.as_str()]);
    let made =
        Credentials::new(key, &reply.certificate, &reply.ca_certificate, world.ca.ca_sha256(), &world.clock).unwrap();
    assert_eq!(made.identity().to_string(), reply.identity);
    let again = world.enrol(&token, "node-2").await.unwrap_err();
    assert_eq!(again.kind, Kind::Forbidden);
    assert!(again.message.contains("used already"), "{again}");

    // Of many that try one token at once, one gets in.
    let token = world.token(json!({})).await;
    let tries = (0..8).map(|n| {
        let (world, token) = (&world, &token);
        async move { world.enrol(token, &format!("racer-{n}")).await.is_ok() }
    });
    let winners = futures::future::join_all(tries).await.into_iter().filter(|won| *won).count();
    assert_eq!(winners, 1);
}

async fn a_reply_that_was_lost_costs_no_token(db: TestDb) {
    let world = World::new(db).await;
    for (wish, name) in [(json!({}), "node-1"), (json!({ "name": "node-2" }), ""), (json!({ "role": "cluster" }), "")] {
        let token = world.token(wish).await;
        let dir = tempfile::tempdir().unwrap();
        let (_, csr) = pending_key_and_csr(dir.path()).unwrap();
        // Granted, and never heard of.
        let first = world.enrol_with(&token, name, csr).await.unwrap();
        // The daemon starts again: another request of the same key.
        let (key, csr) = pending_key_and_csr(dir.path()).unwrap();
        let reply = world.enrol_with(&token, name, csr).await.unwrap();
        assert_eq!((&reply.identity, &reply.zone), (&first.identity, &first.zone));
        let pin = world.ca.ca_sha256();
        let made = Credentials::new(key, &reply.certificate, &reply.ca_certificate, pin, &world.clock).unwrap();
        made.save(dir.path()).unwrap();
        // Once it has its certificate the key is used up: the next request would be of another.
        let (_, csr) = pending_key_and_csr(dir.path()).unwrap();
        let stranger = world.enrol_with(&token, name, csr).await.unwrap_err();
        assert_eq!(stranger.kind, Kind::Forbidden, "{stranger}");
        assert!(stranger.message.contains("used already"), "{stranger}");
    }
    // The same key, another name: that would be a second daemon.
    let token = world.token(json!({})).await;
    let (_, csr) = new_key_and_csr().unwrap();
    world.enrol_with(&token, "node-3", csr.clone()).await.unwrap();
    assert_eq!(kind(world.enrol_with(&token, "node-4", csr.clone()).await), Kind::Forbidden);
    // Two at once of one daemon are one.
    let both = world.token(json!({})).await;
    let (_, csr_5) = new_key_and_csr().unwrap();
    let tries = (0..4).map(|_| world.enrol_with(&both, "node-5", csr_5.clone()));
    assert!(futures::future::join_all(tries).await.iter().all(Result::is_ok));
    // Turned out, or the token's time over: no more.
    let mut tx = world.store.write().await.unwrap();
    assert!(setting_delete(&mut tx, "member/node/node-5").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(kind(world.enrol_with(&both, "node-5", csr_5).await), Kind::Forbidden);
    world.clock.shift_ms(HOUR_MS);
    assert_eq!(kind(world.enrol_with(&token, "node-3", csr).await), Kind::Forbidden);
}

async fn bad_tokens_and_requests_are_refused_and_cost_nothing(db: TestDb) {
    let world = World::new(db).await;
    let token = world.token(json!({ "ttl_seconds": 3600 })).await;
    // The secret of one token with the id of another, and one changed character of the secret.
    let other = world.token(json!({})).await;
    let (mut mixed, ours): (Vec<&str>, Vec<&str>) = (token.split('.').collect(), other.split('.').collect());
    mixed[2] = ours[2];
    let tampered = world.enrol(&mixed.join("."), "node-1").await.unwrap_err();
    let unknown = world.enrol(&token.replace(mixed[1], "0011223344556677"), "node-1").await.unwrap_err();
    assert_eq!((tampered.kind, unknown.kind), (Kind::Forbidden, Kind::Forbidden));
    assert_eq!(tampered.message, unknown.message, "an id that exists must look like one that does not");
    // Another CA's hash, so another cloud's token.
    let foreign = token.replace(mixed[3], &"ab".repeat(32));
    assert_eq!(kind(world.enrol(&foreign, "node-1").await), Kind::Forbidden);
    assert_eq!(kind(world.enrol("nonsense", "node-1").await), Kind::Invalid);
    for name in ["", "Node-1", "node_1", "../x", &"n".repeat(64)] {
        assert_eq!(kind(world.enrol(&token, name).await), Kind::Invalid, "{name}");
    }
    assert_eq!(kind(world.enrol_with(&token, "node-1", vec![1, 2, 3]).await), Kind::Invalid);
    // After all that it is still good …
    world.enrol(&token, "node-1").await.unwrap();
    // … and another one is not, once its hour is over.
    let late = world.token(json!({ "ttl_seconds": 3600 })).await;
    world.clock.shift_ms(HOUR_MS);
    let expired = world.enrol(&late, "node-2").await.unwrap_err();
    assert_eq!(expired.kind, Kind::Forbidden);
    assert!(expired.message.contains("expired"), "{expired}");
}

async fn nobody_takes_the_name_of_another(db: TestDb) {
    let world = World::new(db).await;
    world.join(json!({}), "node-1").await;
    let token = world.token(json!({})).await;
    let taken = world.enrol(&token, "node-1").await.unwrap_err();
    assert_eq!(taken.kind, Kind::Conflict);
    world.enrol(&token, "node-2").await.expect("the refusal did not use the token up");
    // A token made for a name may: that is how a host is installed anew. What its bearer wishes does not count.
    let fixed = world.join(json!({ "name": "node-1" }), "node-9").await;
    assert_eq!(fixed.identity().to_string(), "mallee://c-1/node/node-1");
    // A cluster controller is its zone.
    let cluster = world.join(json!({ "role": "cluster", "zone": "zone-b" }), "zone-a").await;
    assert_eq!(cluster.identity().to_string(), "mallee://c-1/cluster/zone-b");
}

async fn daemons_renew_for_themselves_while_they_are_members(db: TestDb) {
    let world = World::new(db).await;
    let node = world.join(json!({}), "node-1").await;
    world.clock.shift_ms(61 * DAY_MS);
    let mut directory = world.directory(&node).await;
    let (key, csr) = new_key_and_csr().unwrap();
    let reply = directory.renew(RenewRequest { csr: csr.clone() }).await.unwrap().into_inner();
    let fresh =
        Credentials::new(key, &reply.certificate, &reply.ca_certificate, world.ca.ca_sha256(), &world.clock).unwrap();
    assert_eq!(fresh.identity(), &node.identity());
    assert_ne!(fresh.serial(), node.current().serial());
    assert!(fresh.not_after() > node.current().not_after());
    assert_eq!(directory.renew(RenewRequest { csr: vec![0; 10] }).await.unwrap_err().code(), Code::InvalidArgument);

    // As the cloud, which needs nobody for it, and as one who never joined.
    let store = |role, id| {
        let identity = Identity::new("c-1", role, id).unwrap();
        CredentialStore::new(world.ca.credentials(&identity).unwrap(), &world.clock)
    };
    let mut cloud = world.directory(&store(Role::Cloud, "cloud-2")).await;
    assert_eq!(cloud.renew(RenewRequest { csr: csr.clone() }).await.unwrap_err().code(), Code::PermissionDenied);
    let mut stranger = world.directory(&store(Role::Node, "node-7")).await;
    assert_eq!(stranger.renew(RenewRequest { csr: csr.clone() }).await.unwrap_err().code(), Code::PermissionDenied);

    // Turned out.
    let mut tx = world.store.write().await.unwrap();
    assert!(setting_delete(&mut tx, "member/node/node-1").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(directory.renew(RenewRequest { csr }).await.unwrap_err().code(), Code::PermissionDenied);
}

async fn without_a_certificate_the_directory_says_nothing(db: TestDb) {
    let world = World::new(db).await;
    let mut nobody = DirectoryClient::new(connect_pinned(&world.uri, world.ca.ca_sha256()).await.unwrap());
    let (_, csr) = new_key_and_csr().unwrap();
    assert_eq!(nobody.renew(RenewRequest { csr }).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.locate(LocateRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.announce(announce("walrus", "", "http://h:1")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.resolve_key(ResolveKeyRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
}

async fn daemons_announce_themselves_only(db: TestDb) {
    let world = World::new(db).await;
    let cluster = world.join(json!({ "role": "cluster", "zone": "zone-a" }), "").await;
    let walrus = world.join(json!({ "role": "walrus" }), "").await;
    let node = world.join(json!({}), "node-1").await;
    let (mut as_cluster, mut as_walrus, mut as_node) =
        (world.directory(&cluster).await, world.directory(&walrus).await, world.directory(&node).await);
    let denied = [
        as_cluster.announce(announce("cluster", "zone-b", "https://h:1")).await,
        as_cluster.announce(announce("walrus", "", "https://h:1")).await,
        as_walrus.announce(announce("cluster", "zone-a", "https://h:1")).await,
        as_node.announce(announce("node", "", "https://h:1")).await,
    ];
    for (n, result) in denied.into_iter().enumerate() {
        assert_eq!(result.unwrap_err().code(), Code::PermissionDenied, "{n}");
    }
    for uri in [
        "",
        "h:1",
        "https://h",
        "ftp://h:1",
        "https://h:1/x",
        "https://h:1/",
        "https://u@h:1",
        "https://0.0.0.0:1",
        "https://[::]:1",
        "https://h:0",
    ] {
        let error = as_cluster.announce(announce("cluster", "zone-a", uri)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{uri}");
    }
    for uri in ["https://old:1", "https://10.0.0.7:8774"] {
        as_cluster.announce(announce("cluster", "zone-a", uri)).await.unwrap();
    }
    as_walrus.announce(announce("walrus", "", "https://[fd00::1]:8775")).await.unwrap();
    let endpoints = as_node.locate(LocateRequest {}).await.unwrap().into_inner().endpoints;
    let found: Vec<_> = endpoints.iter().map(|e| (e.role.as_str(), e.zone.as_str(), e.uri.as_str())).collect();
    let all = [
        ("cloud", "", world.uri.as_str()),
        ("cluster", "zone-a", "https://10.0.0.7:8774"),
        ("walrus", "", "https://[fd00::1]:8775"),
    ];
    assert_eq!(found, all);
    // A node of the other zone does not hear of this zone's cluster controller.
    let token = world.token(json!({ "zone": "zone-b" })).await;
    let (_, reply) = world.enrol(&token, "node-2").await.unwrap();
    assert_eq!(reply.endpoints.iter().map(|e| e.role.as_str()).collect::<Vec<_>>(), ["cloud", "walrus"]);
}

async fn only_walrus_gets_signing_keys_and_only_its_own(db: TestDb) {
    let world = World::new(db).await;
    let (account_id, created_ms) = ("123456789012".parse::<mallee_types::AccountId>().unwrap(), 0);
    let mut tx = world.store.write().await.unwrap();
    account_insert(&mut tx, &AccountRow { id: account_id.clone(), name: "a".into(), created_ms }).await.unwrap();
    let user = UserRow {
        id: "AIDA1".into(),
        account_id: account_id.clone(),
        name: "u".into(),
        path: "/".into(),
        created_ms,
        is_admin: false,
    };
    user_insert(&mut tx, &user).await.unwrap();
    for (id, active) in [("AKIA1", true), ("AKIA2", false)] {
        let key =
            AccessKeyRow { id: id.into(), user_id: "AIDA1".into(), account_id: account_id.clone(), active, created_ms };
        access_key_insert(&mut tx, &key, &"wJalrXUtnFEMI".to_owned().into()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let today = world.clock.now().date();
    let date = |days: i64| {
        let day = today + time::Duration::days(days);
        format!("{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
    };
    let ask = |key: &str, date: String, service: &str| ResolveKeyRequest {
        access_key_id: key.into(),
        date,
        region: "local".into(),
        service: service.into(),
        ..ResolveKeyRequest::default()
    };
    let walrus = world.join(json!({ "role": "walrus" }), "").await;
    let mut as_walrus = world.directory(&walrus).await;
    let reply = as_walrus.resolve_key(ask("AKIA1", date(0), "s3")).await.unwrap().into_inner();
    let wanted = mallee_awswire::sigv4::derive_signing_key(&"wJalrXUtnFEMI".to_owned().into(), &date(0), "local", "s3");
    assert!(reply.found && reply.signing_key == secrecy::ExposeSecret::expose_secret(&wanted).as_slice());
    assert_eq!(
        (reply.account_id.as_str(), reply.principal_arn.as_str()),
        ("123456789012", "arn:aws:iam::123456789012:user/u")
    );
    for key in ["AKIA2", "AKIA3"] {
        let reply = as_walrus.resolve_key(ask(key, date(0), "s3")).await.unwrap().into_inner();
        assert_eq!(reply, ResolveKeyReply::default(), "{key}");
    }
    as_walrus.resolve_key(ask("AKIA1", date(-7), "s3")).await.expect("a presigned request of a week ago");
    for (asked, code) in [
        (ask("AKIA1", date(0), "ec2"), Code::PermissionDenied),
        (ask("AKIA1", date(30), "s3"), Code::InvalidArgument),
        (ask("AKIA1", date(-30), "s3"), Code::InvalidArgument),
        (ask("AKIA1", "today".into(), "s3"), Code::InvalidArgument),
        (ask("", date(0), "s3"), Code::InvalidArgument),
    ] {
        assert_eq!(as_walrus.resolve_key(asked.clone()).await.unwrap_err().code(), code, "{asked:?}");
    }
    // Signature version 2 is off here; switched on, it is still S3's alone.
    let old = |service: &str| ResolveKeyRequest {
        sigv2_string_to_sign: "GET".into(),
        sigv2_signature: vec![0; 20],
        ..ask("AKIA1", String::new(), service)
    };
    let reply = as_walrus.resolve_key(old("s3")).await.unwrap().into_inner();
    assert!(!reply.found && reply.signing_key.is_empty());
    assert_eq!(reply.refusal(), mallee_proto::v1::KeyRefusal::Sigv2Off);
    assert_eq!(as_walrus.resolve_key(old("iam")).await.unwrap_err().code(), Code::PermissionDenied);
    for (wish, name) in [(json!({}), "node-1"), (json!({ "role": "cluster" }), "")] {
        let other = world.join(wish, name).await;
        let error = world.directory(&other).await.resolve_key(ask("AKIA1", date(0), "s3")).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
    }
}

store_test_suite!(
    a_token_works_once_and_names_its_bearer,
    a_reply_that_was_lost_costs_no_token,
    bad_tokens_and_requests_are_refused_and_cost_nothing,
    nobody_takes_the_name_of_another,
    daemons_renew_for_themselves_while_they_are_members,
    without_a_certificate_the_directory_says_nothing,
    daemons_announce_themselves_only,
    only_walrus_gets_signing_keys_and_only_its_own,
);
