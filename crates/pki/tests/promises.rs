//! What operators and long calls are promised: one clear line for each refusal, calls in flight that outlive a
//! rotation, the new serial on every new connection, and a port that shuts down.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

use mallee_pki::{Ca, ClientAuth, CredentialStore, Identity, Role, TlsIncoming, connect, connect_pinned};
use mallee_proto::v1::enrolment_client::EnrolmentClient;
use mallee_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use mallee_proto::v1::{EnrolReply, EnrolRequest};
use mallee_runtime::{Clock, Shutdown};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Answers calls that name someone when it is told to, others at once.
#[derive(Debug, Clone, Default)]
struct Slow {
    entered: Arc<Notify>,
    go: Arc<Notify>,
}

#[tonic::async_trait]
impl Enrolment for Slow {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        if !request.get_ref().name.is_empty() {
            self.entered.notify_one();
            self.go.notified().await;
        }
        Ok(Response::new(EnrolReply { identity: "done".to_owned(), ..EnrolReply::default() }))
    }
}

fn ca(clock: &Clock) -> (TempDir, Ca) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::load_or_create(&dir.path().join("ca"), "c-1", clock).unwrap();
    (dir, ca)
}

fn store(ca: &Ca, role: Role, id: &str, clock: &Clock) -> CredentialStore {
    CredentialStore::new(ca.credentials(&Identity::new("c-1", role, id).unwrap()).unwrap(), clock)
}

async fn serve(own: &CredentialStore, service: Slow, shutdown: &Shutdown) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TlsIncoming::new(listener, own.clone(), ClientAuth::Required, shutdown).unwrap();
    let server = tonic::transport::Server::builder().add_service(EnrolmentServer::new(service));
    tokio::spawn(server.serve_with_incoming(incoming));
    address.to_string()
}

/// Believes every server: it only looks at what it shows.
#[derive(Debug)]
struct Onlooker;

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The serial number that a new connection to `address` is shown.
async fn serial_shown(address: &str) -> String {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("x.invalid").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, parsed) = x509_parser::parse_x509_certificate(&shown).unwrap();
    hex::encode(parsed.raw_serial())
}

#[tokio::test]
async fn a_call_in_flight_outlives_the_rotation_and_new_connections_show_the_new_serial() {
    let (clock, shutdown, slow) = (Clock::system(), Shutdown::new(), Slow::default());
    let (_dir, ca) = ca(&clock);
    let (server, node) = (store(&ca, Role::Cluster, "zone-a", &clock), store(&ca, Role::Node, "node-1", &clock));
    let address = serve(&server, slow.clone(), &shutdown).await;
    let first = server.current().serial().to_owned();
    assert_eq!(serial_shown(&address).await, first);

    let channel = connect(&format!("https://{address}"), &node, Role::Cluster, None).await.unwrap();
    let mut client = EnrolmentClient::new(channel);
    let call =
        tokio::spawn(
            async move { client.enrol(EnrolRequest { name: "wait".to_owned(), ..EnrolRequest::default() }).await },
        );
    slow.entered.notified().await;
    clock.shift_ms(61 * DAY_MS);
    server.swap(ca.credentials(&server.identity()).unwrap()).unwrap();
    // The certificates of the open connection end while it is in use.
    clock.shift_ms(30 * DAY_MS);
    let second = server.current().serial().to_owned();
    assert_ne!(first, second);
    assert_eq!(serial_shown(&address).await, second);
    assert!(!call.is_finished());
    slow.go.notify_one();
    assert_eq!(call.await.unwrap().unwrap().into_inner().identity, "done");
    shutdown.stop();
}

#[tokio::test]
async fn every_refusal_is_one_line_that_names_the_address_and_the_cause() {
    let (clock, shutdown) = (Clock::system(), Shutdown::new());
    let ((_dir, ca), (_other_dir, other)) = (ca(&clock), ca(&clock));
    let own = store(&ca, Role::Cloud, "cloud-1", &clock);
    let address = serve(&own, Slow::default(), &shutdown).await;
    let uri = format!("https://{address}");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = format!("https://{}", silent.local_addr().unwrap());
    // Before the clock moves: who enrols judges by the host's.
    let bare = connect_pinned(&uri, ca.ca_sha256()).await;
    let mistaken = connect_pinned(&uri, other.ca_sha256()).await;
    // A node whose certificate is over by the server's clock, but was made when its own clock, and the CA's, said so.
    let expired = store(&ca, Role::Node, "node-1", &clock);
    clock.shift_ms(91 * DAY_MS);
    own.swap(ca.credentials(&own.identity()).unwrap()).unwrap();
    let node = store(&ca, Role::Node, "node-1", &clock);
    let stranger = store(&other, Role::Node, "node-1", &clock);
    for (result, wanted) in [
        (bare, "the server wants a certificate of its cloud"),
        (mistaken, "not of the cloud that made this join token"),
        (connect(&uri, &stranger, Role::Cloud, None).await, "not from this cloud's CA"),
        (connect(&uri, &node, Role::Walrus, None).await, "the server is mallee://c-1/cloud/cloud-1, not the walrus"),
        (connect(&uri, &node, Role::Cloud, Some("cloud-2")).await, "not the cloud cloud-2 that was expected"),
        (connect(&uri, &expired, Role::Cloud, None).await, "refused our certificate: it has expired"),
        (connect(&format!("https://{gone}"), &node, Role::Cloud, None).await, "refused"),
        (connect(&mute, &node, Role::Cloud, None).await, "no answer within 5 s"),
        (connect("https://127.0.0.1", &node, Role::Cloud, None).await, "https://HOST:PORT"),
        (connect(&format!("http://{address}"), &node, Role::Cloud, None).await, "https://HOST:PORT"),
    ] {
        let text = result.unwrap_err().to_string();
        assert!(
            text.starts_with("cannot connect to http") && text.contains(wanted) && !text.contains('\n'),
            "{wanted}: {text}"
        );
    }
    connect(&uri, &node, Role::Cloud, Some("cloud-1")).await.unwrap();
    shutdown.stop();
}

#[tokio::test]
async fn a_port_that_stops_takes_nobody_any_more() {
    let (clock, shutdown) = (Clock::system(), Shutdown::new());
    let (_dir, ca) = ca(&clock);
    let address = serve(&store(&ca, Role::Cluster, "zone-a", &clock), Slow::default(), &shutdown).await;
    let (uri, node) = (format!("https://{address}"), store(&ca, Role::Node, "node-1", &clock));
    connect(&uri, &node, Role::Cluster, None).await.unwrap();
    shutdown.stop();
    let refused = async {
        while connect(&uri, &node, Role::Cluster, None).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the port closes");
}
