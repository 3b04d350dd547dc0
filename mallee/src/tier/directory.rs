//! A daemon's way to the cloud controller's Directory: its own certificate, where the others are, users' signing keys.

use mallee_pki::{CredentialStore, PkiError, Role, connect};
use mallee_proto::v1::directory_client::DirectoryClient;
use mallee_proto::v1::{
    AnnounceRequest, AuthorizeS3Reply, AuthorizeS3Request, DataKeyReply, DataKeyRequest, Endpoint,
    KnowPrincipalsRequest, LocateRequest, ProveFactorRequest, RecordFlowsRequest, RecordS3Request, RenewRequest,
    ResolveKeyReply, ResolveKeyRequest,
};
use mallee_proto::{Kind, WireError};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tonic::Request;
use tonic::transport::Channel;

/// Longest wait for an answer. Short: whoever asks where another tier is has an older answer to go by.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait until objects of flow logs are written.
const FLOWS_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a certificate.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the control port that is made when first needed and mends itself. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CloudLink(Arc<Inner>);

struct Inner {
    uri: String,
    credentials: CredentialStore,
    channel: Mutex<Option<Channel>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudLink").field("uri", &self.uri).finish_non_exhaustive()
    }
}

fn unreachable(error: &PkiError) -> WireError {
    WireError::new(Kind::Unavailable, error.to_string())
}

fn timed<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}

impl CloudLink {
    /// To the control port at `uri`, as whom the credentials say.
    pub fn new(uri: String, credentials: CredentialStore) -> Self {
        Self(Arc::new(Inner { uri, credentials, channel: Mutex::new(None) }))
    }

    async fn client(&self) -> Result<DirectoryClient<Channel>, WireError> {
        let mut held = self.0.channel.lock().await;
        if let Some(channel) = &*held {
            return Ok(DirectoryClient::new(channel.clone()));
        }
        let made = connect(&self.0.uri, &self.0.credentials, Role::Cloud, None).await.map_err(|e| unreachable(&e))?;
        Ok(DirectoryClient::new(held.insert(made).clone()))
    }

    /// A certificate for a request, and its CA, all DER: what a rotator asks for.
    pub async fn renew(&self, csr: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), WireError> {
        let request = timed(RenewRequest { csr }, RENEW_TIMEOUT);
        let reply = self.client().await?.renew(request).await.map_err(WireError::from)?.into_inner();
        Ok((reply.certificate, reply.ca_certificate))
    }

    /// Says where this daemon serves; `zone` is empty but for cluster controllers.
    pub async fn announce(&self, role: &str, zone: &str, uri: &str) -> Result<(), WireError> {
        let endpoint = Endpoint { role: role.to_owned(), zone: zone.to_owned(), uri: uri.to_owned() };
        let request = timed(AnnounceRequest { endpoint: Some(endpoint) }, ANSWER_TIMEOUT);
        self.client().await?.announce(request).await.map_err(WireError::from)?;
        Ok(())
    }

    /// The signing key of a user for a day, region and service.
    pub async fn resolve_key(&self, query: ResolveKeyRequest) -> Result<ResolveKeyReply, WireError> {
        let request = timed(query, ANSWER_TIMEOUT);
        Ok(self.client().await?.resolve_key(request).await.map_err(WireError::from)?.into_inner())
    }

    /// Which of these principals there are.
    pub async fn know_principals(&self, names: KnowPrincipalsRequest) -> Result<Vec<bool>, WireError> {
        let request = timed(names, ANSWER_TIMEOUT);
        Ok(self.client().await?.know_principals(request).await.map_err(WireError::from)?.into_inner().known)
    }

    /// Why a second factor is none; empty: it is one.
    pub async fn prove_factor(&self, factor: ProveFactorRequest) -> Result<String, WireError> {
        let request = timed(factor, ANSWER_TIMEOUT);
        Ok(self.client().await?.prove_factor(request).await.map_err(WireError::from)?.into_inner().refusal)
    }

    /// What policies say of an S3 request.
    pub async fn authorize_s3(&self, query: AuthorizeS3Request) -> Result<AuthorizeS3Reply, WireError> {
        let request = timed(query, ANSWER_TIMEOUT);
        Ok(self.client().await?.authorize_s3(request).await.map_err(WireError::from)?.into_inner())
    }

    /// A call of S3 that manages buckets, for the audit trail.
    pub async fn record_s3(&self, told: RecordS3Request) -> Result<(), WireError> {
        let request = timed(told, ANSWER_TIMEOUT);
        self.client().await?.record_s3(request).await.map_err(WireError::from)?;
        Ok(())
    }

    /// What a node counted for flow logs.
    pub async fn record_flows(&self, batch: RecordFlowsRequest) -> Result<(), WireError> {
        let request = timed(batch, FLOWS_TIMEOUT);
        self.client().await?.record_flows(request).await.map_err(WireError::from)?;
        Ok(())
    }

    /// A data key of KMS.
    pub async fn data_key(&self, query: DataKeyRequest) -> Result<DataKeyReply, WireError> {
        let request = timed(query, ANSWER_TIMEOUT);
        Ok(self.client().await?.data_key(request).await.map_err(WireError::from)?.into_inner())
    }

    async fn locate(&self) -> Result<Vec<Endpoint>, WireError> {
        let request = timed(LocateRequest {}, ANSWER_TIMEOUT);
        Ok(self.client().await?.locate(request).await.map_err(WireError::from)?.into_inner().endpoints)
    }
}

/// Where the tiers are. What was heard last is kept in a file and holds while the cloud controller is away.
#[derive(Debug)]
pub(super) struct Whereabouts {
    link: CloudLink,
    file: PathBuf,
    last: StdMutex<Vec<Endpoint>>,
}

impl Whereabouts {
    /// Asks over `link` and remembers in `file`.
    pub fn new(link: CloudLink, file: PathBuf) -> Self {
        // Only a hint: one that is missing or damaged is asked for again.
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let last = serde_json::from_str::<Vec<(String, String, String)>>(&text).unwrap_or_default();
        let last = last.into_iter().map(|(role, zone, uri)| Endpoint { role, zone, uri }).collect();
        Self { link, file, last: StdMutex::new(last) }
    }

    /// The address of a tier.
    ///
    /// # Errors
    /// When it has not announced itself, or neither the cloud controller nor the file knows.
    pub async fn find(&self, role: Role, zone: &str) -> Result<String, WireError> {
        let asked = match tokio::time::timeout(ANSWER_TIMEOUT, self.link.locate()).await {
            Ok(answer) => answer,
            Err(_) => Err(WireError::new(Kind::Unavailable, "the cloud controller does not answer")),
        };
        let away = match asked {
            Ok(endpoints) => {
                self.keep(endpoints);
                None
            }
            Err(error) => Some(error),
        };
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let found = last.iter().find(|e| e.role == role.name() && (zone.is_empty() || e.zone == zone));
        match (found, away) {
            (Some(endpoint), _) => Ok(endpoint.uri.clone()),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let of = if zone.is_empty() { String::new() } else { format!(" of zone {zone}") };
                Err(WireError::new(Kind::Unavailable, format!("the {}{of} has not announced itself yet", role.name())))
            }
        }
    }

    fn keep(&self, endpoints: Vec<Endpoint>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == endpoints {
            return;
        }
        let rows: Vec<_> = endpoints.iter().map(|e| (&e.role, &e.zone, &e.uri)).collect();
        let fresh = self.file.with_extension("new");
        let written = serde_json::to_vec(&rows)
            .map_err(std::io::Error::other)
            .and_then(|text| std::fs::write(&fresh, text))
            .and_then(|()| std::fs::rename(&fresh, &self.file));
        if let Err(error) = written {
            tracing::warn!(file = %self.file.display(), %error, "where the other tiers are was not written down");
        }
        *last = endpoints;
    }
}
