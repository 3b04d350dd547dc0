//! A CA, daemons with credentials of it, and a server that answers who called.

use mallee_pki::{
    Ca, ClientAuth, CredentialStore, GuardLayer, Identity, Role, Rule, TlsConn, TlsIncoming, authorise_self, connect,
    peer_identity,
};
use mallee_proto::v1::enrolment_client::EnrolmentClient;
use mallee_proto::v1::enrolment_server::{Enrolment, EnrolmentServer};
use mallee_proto::v1::{EnrolReply, EnrolRequest};
use mallee_runtime::{Clock, Shutdown};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

pub const DAY_MS: i64 = 24 * 3600 * 1000;
pub const ANYONE: &[Rule] = &[("mallee.v1.Enrolment", mallee_pki::Allow::Anyone)];

/// Answers with the caller; a caller that names someone must be that node.
#[derive(Debug)]
pub struct Mirror;

#[tonic::async_trait]
impl Enrolment for Mirror {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let claimed = &request.get_ref().name;
        if !claimed.is_empty() {
            authorise_self(request.extensions(), Role::Node, claimed)?;
        }
        let identity = peer_identity(request.extensions()).map(ToString::to_string).unwrap_or_default();
        Ok(Response::new(EnrolReply { identity, ..EnrolReply::default() }))
    }
}

pub async fn call(channel: Channel, claimed: &str) -> Result<String, Status> {
    let request = EnrolRequest { name: claimed.to_owned(), ..EnrolRequest::default() };
    EnrolmentClient::new(channel).enrol(request).await.map(|reply| reply.into_inner().identity)
}

pub struct World {
    pub ca: Ca,
    pub clock: Clock,
    pub dir: TempDir,
    pub shutdown: Shutdown,
}

/// A running server and how many connections it has accepted.
pub struct Served {
    pub address: SocketAddr,
    pub uri: String,
    pub accepted: Arc<AtomicUsize>,
}

impl Served {
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl World {
    pub fn new(cloud: &str) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::system());
        let ca = Ca::load_or_create(&dir.path().join("ca"), cloud, &clock).unwrap();
        Self { ca, clock, dir, shutdown: Shutdown::new() }
    }

    pub fn identity(&self, role: Role, id: &str) -> Identity {
        Identity::new(self.ca.cloud_id(), role, id).unwrap()
    }

    pub fn store(&self, role: Role, id: &str) -> CredentialStore {
        CredentialStore::new(self.ca.credentials(&self.identity(role, id)).unwrap(), &self.clock)
    }

    /// A server with these credentials and rules, until the world ends.
    pub async fn serve(&self, store: &CredentialStore, auth: ClientAuth, rules: &'static [Rule]) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let incoming = TlsIncoming::new(listener, store.clone(), auth, &self.shutdown).unwrap();
        let counted = incoming.map(move |connection: std::io::Result<TlsConn>| {
            count.fetch_add(1, Ordering::SeqCst);
            connection
        });
        let server = Server::builder().layer(GuardLayer::new(rules)).add_service(EnrolmentServer::new(Mirror));
        tokio::spawn(server.serve_with_incoming(counted));
        Served { address, uri: format!("https://{address}"), accepted }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.stop();
    }
}

/// Why nothing comes of a call: in TLS 1.3 a server's refusal may show only at the first call.
pub async fn refused(uri: &str, store: &CredentialStore, role: Role, name: Option<&str>) -> String {
    match connect(uri, store, role, name).await {
        Err(error) => error.to_string(),
        Ok(channel) => match call(channel, "").await {
            Err(status) => format!("{status:?}"),
            Ok(who) => panic!("let through as {who:?}"),
        },
    }
}
