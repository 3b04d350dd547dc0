//! Who gets through, and who does not.

use crate::world::{ANYONE, DAY_MS, World, call, refused};
use mallee_pki::{
    Ca, ClientAuth, CredentialStore, Credentials, Identity, JoinToken, PkiError, Role, connect, connect_pinned,
    new_key_and_csr,
};
use mallee_runtime::Rng;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use x509_parser::prelude::FromDer as _;

#[tokio::test]
async fn both_ends_know_each_other() {
    let world = World::new("c-1");
    let served = world.serve(&world.store(Role::Cluster, "zone-a"), ClientAuth::Required, ANYONE).await;
    let node = world.store(Role::Node, "node-1");
    let channel = connect(&served.uri, &node, Role::Cluster, Some("zone-a")).await.unwrap();
    assert_eq!(call(channel, "").await.unwrap(), "mallee://c-1/node/node-1");
}

#[tokio::test]
async fn a_client_does_not_believe_a_server_of_another_ca() {
    // Cloud, role and name are right; only the CA is another.
    let (world, other) = (World::new("c-1"), World::new("c-1"));
    let served = world.serve(&world.store(Role::Cluster, "zone-a"), ClientAuth::Required, ANYONE).await;
    let why = refused(&served.uri, &other.store(Role::Node, "node-1"), Role::Cluster, None).await;
    assert!(why.contains("not from this cloud's CA"), "{why}");
    assert_eq!(served.accepted(), 0);
}

/// What a client hears that believes every server and shows `own`, or nothing.
async fn attack(address: SocketAddr, own: Option<CredentialStore>) -> std::io::Error {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match own {
        Some(store) => builder.with_client_cert_resolver(Arc::new(store)),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("x.invalid").unwrap();
    match tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_server_refuses_a_certificate_of_another_ca_and_none_at_all() {
    let (world, other) = (World::new("c-1"), World::new("c-1"));
    let served = world.serve(&world.store(Role::Cluster, "zone-a"), ClientAuth::Required, ANYONE).await;
    let why = attack(served.address, Some(other.store(Role::Node, "node-1"))).await.to_string();
    assert!(why.contains("alert"), "{why}");
    let why = attack(served.address, None).await.to_string();
    assert!(why.contains("CertificateRequired"), "{why}");
    // Where a certificate is optional, a wrong one is still worse than none.
    let open = world.serve(&world.store(Role::Cloud, "main"), ClientAuth::Optional, ANYONE).await;
    let why = attack(open.address, Some(other.store(Role::Node, "node-1"))).await.to_string();
    assert!(why.contains("alert"), "{why}");
    assert_eq!((served.accepted(), open.accepted()), (0, 0));
}

/// Believes every server: an attacker does not check.
#[derive(Debug)]
struct Gullible;

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_server_of_another_role_or_name_is_refused() {
    let world = World::new("c-1");
    // A node that listens where the cluster controller should.
    let served = world.serve(&world.store(Role::Node, "node-9"), ClientAuth::Required, ANYONE).await;
    let node = world.store(Role::Node, "node-1");
    for (role, name) in [(Role::Cluster, None), (Role::Node, Some("node-8"))] {
        let why = refused(&served.uri, &node, role, name).await;
        assert!(why.contains("node-9"), "the error names who answered: {why}");
    }
    connect(&served.uri, &node, Role::Node, Some("node-9")).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_refused_by_both_ends() {
    let world = World::new("c-1");
    let (old_server, old_node) = (world.store(Role::Cluster, "zone-a"), world.store(Role::Node, "node-1"));
    let old = world.serve(&old_server, ClientAuth::Required, ANYONE).await;
    world.clock.shift_ms(91 * DAY_MS);
    let new_node = world.store(Role::Node, "node-1");
    let why = refused(&old.uri, &new_node, Role::Cluster, None).await;
    assert!(why.to_lowercase().contains("expired"), "{why}");
    let new = world.serve(&world.store(Role::Cluster, "zone-a"), ClientAuth::Required, ANYONE).await;
    refused(&new.uri, &old_node, Role::Cluster, None).await;
    assert_eq!(new.accepted(), 0);
    let why = attack(new.address, Some(old_node)).await.to_string();
    assert!(why.to_lowercase().contains("expired"), "{why}");
    let channel = connect(&new.uri, &new_node, Role::Cluster, None).await.unwrap();
    call(channel, "").await.unwrap();
}

#[tokio::test]
async fn enrolment_trusts_the_hash_in_the_token_and_nothing_else() {
    let (world, other) = (World::new("c-1"), World::new("c-1"));
    let served = world.serve(&world.store(Role::Cloud, "main"), ClientAuth::Optional, ANYONE).await;
    let token = JoinToken::parse(&JoinToken::make(&Rng::seeded(1), world.ca.ca_sha256()).text()).unwrap();
    let channel = connect_pinned(&served.uri, token.ca_sha256()).await.unwrap();
    assert_eq!(call(channel, "").await.unwrap(), "");
    connect_pinned(&served.uri, other.ca.ca_sha256()).await.unwrap_err();
    // A node of the same cluster must not be able to collect tokens.
    let trap = world.serve(&world.store(Role::Node, "node-9"), ClientAuth::Optional, ANYONE).await;
    let why = connect_pinned(&trap.uri, world.ca.ca_sha256()).await.unwrap_err().to_string();
    assert!(why.contains("node-9"), "{why}");
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let world = World::new("c-1");
    let served = world.serve(&world.store(Role::Cluster, "zone-a"), ClientAuth::Required, ANYONE).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let node = world.store(Role::Node, "node-1");
    let reach = async { call(connect(&served.uri, &node, Role::Cluster, None).await.unwrap(), "").await };
    tokio::time::timeout(Duration::from_secs(5), reach).await.unwrap().unwrap();
}

#[test]
fn the_ca_signs_what_it_should_and_nothing_else() {
    let world = World::new("c-1");
    let node = world.identity(Role::Node, "node-1");
    let (key, csr) = new_key_and_csr().unwrap();
    let refused = |csr: &[u8], who: &Identity| matches!(world.ca.issue(csr, who), Err(PkiError::Request(_)));
    assert!(refused(&csr, &Identity::new("c-2", Role::Node, "node-1").unwrap()), "another cloud");
    assert!(refused(b"", &node) && refused(&vec![0; 100_000], &node));
    // Nothing that the request's key has signed can be changed. The wrapper around it is not signed (PKCS#10); where a
    // change there passes, the certified key is still the one that signed.
    let (rest, request) = x509_parser::certification_request::X509CertificationRequest::from_der(&csr).unwrap();
    let said = request.certification_request_info.raw;
    let from = csr.windows(said.len()).position(|part| part == said).unwrap();
    assert!(rest.is_empty());
    let key_of = |certificate: &[u8]| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
        parsed.public_key().raw.to_vec()
    };
    let genuine = key_of(&world.ca.issue(&csr, &node).unwrap());
    for at in 0..csr.len() {
        let mut damaged = csr.clone();
        damaged[at] ^= 1;
        if let Ok(certificate) = world.ca.issue(&damaged, &node) {
            assert!(!(from..from + said.len()).contains(&at), "byte {at}, which is signed, of {}", hex::encode(&csr));
            assert_eq!(key_of(&certificate), genuine, "byte {at} of {}", hex::encode(&csr));
        }
    }
    let certificate = world.ca.issue(&csr, &node).unwrap();
    let made = Credentials::new(key, &certificate, world.ca.certificate(), world.ca.ca_sha256(), &world.clock).unwrap();
    assert_eq!(made.identity(), &node);
    // A certificate for another key is not taken.
    let (other_key, _) = new_key_and_csr().unwrap();
    let mixed = Credentials::new(other_key, &certificate, world.ca.certificate(), world.ca.ca_sha256(), &world.clock);
    assert!(matches!(mixed, Err(PkiError::Certificate(_))));
}

#[test]
fn files_are_private_and_come_back() {
    let world = World::new("c-1");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let ca_dir = world.dir.path().join("ca");
    for entry in fs::read_dir(&ca_dir).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    let again = Ca::load_or_create(&ca_dir, "c-1", &world.clock).unwrap();
    assert_eq!(again.ca_sha256(), world.ca.ca_sha256());
    assert!(matches!(Ca::load_or_create(&ca_dir, "c-2", &world.clock), Err(PkiError::State(_))));
    fs::set_permissions(ca_dir.join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = Ca::load_or_create(&ca_dir, "c-1", &world.clock).unwrap_err();
    assert!(exposed.to_string().contains("chmod 600"), "{exposed}");

    let dir = world.dir.path().join("node");
    assert!(Credentials::load(&dir, &world.clock).unwrap().is_none());
    let store = world.store(Role::Node, "node-1");
    store.current().save(&dir).unwrap();
    let read = Credentials::load(&dir, &world.clock).unwrap().unwrap();
    assert_eq!((read.identity(), read.serial()), (&store.identity(), store.current().serial()));
    world.clock.shift_ms(91 * DAY_MS);
    let expired = Credentials::load(&dir, &world.clock).unwrap_err();
    assert!(expired.to_string().contains("join again"), "{expired}");
}
