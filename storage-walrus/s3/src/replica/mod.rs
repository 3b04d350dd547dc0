//! Bringing a version of one bucket into another, as its replication says, with the rights of the role that it names.
//!
//! Whatever is asked is done as things stand now: a version that is there only gets the tags, list and locks that the
//! source has; one whose source is gone is not brought. So everything may be done twice.

pub(crate) mod incoming;
mod peer;
mod rights;
mod write;

pub(crate) use peer::Peer;
pub use peer::{PeerAnswer, PeerBody, PeerRequest, PeerTraits, Peers};

use crate::auth::S3_SERVICE;
use crate::service::S3;
use mallee_awswire::{ApiError, Code};
use mallee_objects::{Bucket, Error, Found, Origin, REPLICATION, VersionId, VersionName, Versioning};
use mallee_s3_config::{Document as _, Replication, ReplicationRule, kept};
use rights::Role;
use std::sync::Arc;

/// The name of the sessions of roles that replicate.
pub(crate) const SESSION: &str = "s3-replication";

/// A version that is to be brought into a bucket.
#[derive(Debug, Clone, Copy)]
pub struct ToReplicate<'a> {
    /// Its bucket.
    pub bucket: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Which version of the key.
    pub version: VersionId,
    /// The ARN of the bucket that it is brought into.
    pub target: &'a str,
}

/// Why a version was not brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreplicated {
    /// It may not be, or cannot: trying again changes nothing.
    Refused(String),
    /// It could not be, now.
    Later(String),
}

fn refused(why: impl Into<String>) -> Unreplicated {
    Unreplicated::Refused(why.into())
}

impl From<Error> for Unreplicated {
    fn from(error: Error) -> Self {
        match &error {
            // It was there when it was decided about: what is there now is asked for when it is tried again.
            Error::NoBucket => Self::Later("the destination bucket was deleted meanwhile".to_owned()),
            Error::State(_) | Error::Quota { .. } | Error::TooMany(_) => refused(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}

impl From<ApiError> for Unreplicated {
    fn from(error: ApiError) -> Self {
        let text = format!("{}: {}", error.code().as_str(), error.message());
        match error.code() {
            Code::NotImplemented | Code::AccessDenied => Self::Refused(text),
            _ => Self::Later(text),
        }
    }
}

/// What is known before anything is done.
pub(crate) struct Plan<'a> {
    pub(crate) rule: &'a ReplicationRule,
    pub(crate) source: &'a Bucket,
    pub(crate) role: &'a Role,
}

impl S3 {
    /// Brings a version where it is to be. A version that is gone, or a bucket, needs nothing.
    ///
    /// # Errors
    /// [`Unreplicated`].
    pub async fn replicate(&self, work: ToReplicate<'_>) -> Result<(), Unreplicated> {
        let ToReplicate { bucket, key, version, target } = work;
        let source = match self.engine().bucket(bucket).await {
            Ok(source) => source,
            Err(Error::NoBucket) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let which = VersionName::from(version);
        let Some(found) = self.engine().find(bucket, key, Some(which).into()).await? else { return Ok(()) };
        let gone = || refused("no rule of the bucket names the destination any more");
        let rules: Replication = kept(source.docs.get(Replication::KIND).ok_or_else(gone)?)?;
        let tags = match &found {
            Found::Object(object) => Some(&object.info.properties.tags),
            Found::Marker(_) => None,
        };
        let rule = rules.to(target, key, tags).ok_or_else(gone)?;
        let role = self.authority().role(&rules.role, S3_SERVICE, SESSION).await?;
        let role = Role::new(role, self.engine().clock().now_ms()).ok_or_else(|| {
            refused(format!("the role {} does not exist, or does not trust {S3_SERVICE}", rules.role))
        })?;
        let request_id = mallee_awswire::server::request_id(|bytes| self.engine().rng().fill(bytes));
        let origin = Origin { principal: role.caller.arn.clone(), ..Origin::internal(REPLICATION, request_id) };
        let s3 = self.by(Arc::new(origin));
        let plan = Plan { rule, source: &source, role: &role };
        if let Some(name) = &rule.destination.bucket.peer {
            let peer = Peer::of(&s3, name, &rule.destination.bucket.name, &source.account)?;
            let brought = peer.bring(&s3, &plan, key, &found).await;
            if matches!(brought, Err(Unreplicated::Later(_))) {
                // Perhaps its bytes are gone. It is looked up again when it is tried again.
                self.engine().forget(bucket, key);
            }
            return brought;
        }
        let to = match self.engine().bucket(&rule.destination.bucket.name).await {
            Err(Error::NoBucket) => return Err(refused("the destination bucket does not exist")),
            found => found?,
        };
        if to.versioning != Versioning::Enabled {
            return Err(refused("the destination bucket has no versioning enabled"));
        }
        if rule.destination.account.as_ref().is_some_and(|account| *account != to.account) {
            return Err(refused("the destination bucket belongs to another account than the rule says"));
        }
        // Another bucket may take the name of the destination: nothing was decided about that one.
        let s3 = s3.within(std::slice::from_ref(&to));
        match found {
            Found::Marker(marker) => write::marker(&s3, &plan, &to, key, marker).await,
            Found::Object(object) => write::object(&s3, &plan, &to, &object).await,
        }
    }
}
