//! Bringing a version into another object store: by requests that a client there could send, with headers of our own by
//! which another Mallee keeps its id, time and entity tag, and that tell it that the write goes no further.

mod answer;
mod foreign;
mod mallee;
mod said;

use super::{Plan, Unreplicated, refused};
use crate::service::S3;
pub use answer::PeerAnswer;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::Method;
use mallee_objects::{Engine, Error, Found};

/// A request to another object store.
#[derive(Debug)]
pub struct PeerRequest {
    /// Its method.
    pub method: Method,
    /// The bucket there.
    pub bucket: String,
    /// The key; empty: it is about the bucket.
    pub key: String,
    /// Parameters, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Headers, names in lower case; without those of the connection and the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: PeerBody,
    /// When it is made, in milliseconds since 1970.
    pub now_ms: i64,
}

/// The body of a request.
pub enum PeerBody {
    /// A small one, which the signature covers.
    Bytes(Bytes),
    /// So many bytes as they are read; an error ends them.
    Stream(u64, BoxStream<'static, Result<Bytes, Error>>),
}

impl PeerBody {
    /// How many bytes it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::Bytes(data) => data.len() as u64,
            Self::Stream(size, _) => *size,
        }
    }
}

impl std::fmt::Debug for PeerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerBody").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// What is known of another object store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerTraits {
    /// It is a Mallee: versions keep their ids there.
    pub is_mallee: bool,
    /// How objects are encrypted there is left to its buckets, also of those that are encrypted here.
    pub encrypts_itself: bool,
    /// Accounts whose buckets may be replicated there; empty: all.
    pub accounts: Vec<String>,
}

/// Other object stores that an operator has declared.
#[async_trait::async_trait]
pub trait Peers: Send + Sync {
    /// What is known of the one of this name.
    fn find(&self, name: &str) -> Option<PeerTraits>;
    /// Sends a request to one; what it answered, whatever that is.
    ///
    /// # Errors
    /// [`Unreplicated::Later`] when it does not answer, [`Unreplicated::Refused`] for a request that cannot be made.
    async fn send(&self, name: &str, request: PeerRequest) -> Result<PeerAnswer, Unreplicated>;
}

/// A bucket in another object store.
pub(crate) struct Peer<'a> {
    peers: &'a dyn Peers,
    name: &'a str,
    bucket: &'a str,
    traits: PeerTraits,
    engine: &'a Engine,
}

impl<'a> Peer<'a> {
    /// The bucket of a store that is declared, if those of this account may be replicated there.
    ///
    /// # Errors
    /// [`Unreplicated::Refused`].
    pub(crate) fn of(s3: &'a S3, name: &'a str, bucket: &'a str, account: &str) -> Result<Self, Unreplicated> {
        let found = s3.peers().and_then(|peers| Some((peers, peers.find(name)?)));
        let (peers, traits) = found.ok_or_else(|| refused(format!("the object store {name} is not declared here")))?;
        if !traits.accounts.is_empty() && !traits.accounts.iter().any(|allowed| allowed == account) {
            return Err(refused(format!("buckets of account {account} may not be replicated into {name}")));
        }
        Ok(Self { peers, name, bucket, traits, engine: s3.engine() })
    }

    fn request(&self, method: Method, key: &str) -> PeerRequest {
        let (bucket, key) = (self.bucket.to_owned(), key.to_owned());
        let (body, now_ms) = (PeerBody::Bytes(Bytes::new()), self.engine.clock().now_ms());
        PeerRequest { method, bucket, key, query: vec![], headers: vec![], body, now_ms }
    }

    /// Sends a request; what it answered, if that is no refusal or one that the caller knows.
    async fn ask(&self, request: PeerRequest, known: &[u16]) -> Result<PeerAnswer, Unreplicated> {
        self.engine.faults().point("walrus.peer.ask").await.map_err(Error::from)?;
        let answer = self.peers.send(self.name, request).await?;
        self.engine.faults().point("walrus.peer.asked").await.map_err(Error::from)?;
        match known.contains(&answer.status.as_u16()) {
            true => Ok(answer),
            false => answer.taken(self.name),
        }
    }

    /// What is there of an object, if anything is. A refusal without a body says not why: the bucket is asked, whose answer
    /// does.
    async fn head(&self, request: PeerRequest) -> Result<PeerAnswer, Unreplicated> {
        let answer = self.ask(request, &[404]).await;
        if let Err(Unreplicated::Refused(_)) = &answer {
            self.check().await?;
        }
        answer
    }

    /// Whether the bucket is there and has versions: else writes would destroy what it has.
    ///
    /// # Errors
    /// [`Unreplicated`].
    pub(crate) async fn check(&self) -> Result<(), Unreplicated> {
        let request = PeerRequest { query: vec![("versioning", String::new())], ..self.request(Method::GET, "") };
        let answer = self.ask(request, &[404]).await?;
        if answer.status == http::StatusCode::NOT_FOUND {
            return Err(refused(format!("the destination bucket does not exist in {}", self.name)));
        }
        match answer.element("Status").as_deref() {
            Some("Enabled") => Ok(()),
            _ => Err(refused(format!("the destination bucket in {} has no versioning enabled", self.name))),
        }
    }

    /// Brings a version there, or what has changed of it.
    pub(super) async fn bring(&self, s3: &S3, plan: &Plan<'_>, key: &str, found: &Found) -> Result<(), Unreplicated> {
        match found {
            Found::Marker(_) if !plan.rule.delete_markers => Ok(()),
            Found::Marker(marker) => {
                plan.role.may_send(plan, key, None).await?;
                match self.traits.is_mallee {
                    true => self.mark(key, *marker).await,
                    false => self.delete(s3, plan, key, marker.version).await,
                }
            }
            Found::Object(object) => {
                let with_tags = plan.role.may_send(plan, key, Some(object)).await?;
                match self.traits.is_mallee {
                    true => self.keep(s3, plan, object, with_tags).await,
                    false => self.put(s3, plan, object, with_tags).await,
                }
            }
        }
    }
}
