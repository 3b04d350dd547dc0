//! Bringing versions into another Mallee, where they keep their ids, times and entity tags.

use super::super::incoming::{CHANGE, ETAG, LIST, TIME, VERSION, list_text};
use super::super::{Plan, Unreplicated, refused};
use super::said::Source;
use super::{Peer, PeerBody, PeerRequest};
use crate::authz::bucket::has_lists;
use crate::checksum::Hasher;
use crate::ops::put::DEFAULT_CHECKSUM;
use crate::props::lock;
use crate::reply::VERSION_ID;
use crate::service::S3;
use http::{Method, StatusCode};
use mallee_objects::{Marker, Object, REPLICA, VersionId};

/// Objects up to this size are sent without asking whether they are there.
const SENT_UNASKED_BYTES: u64 = 64 * 1024;

fn place(version: VersionId, created_ms: i64) -> Vec<(String, String)> {
    vec![(VERSION.to_owned(), version.to_string()), (TIME.to_owned(), created_ms.to_string())]
}

impl Peer<'_> {
    /// Brings a delete marker.
    pub(super) async fn mark(&self, key: &str, marker: Marker) -> Result<(), Unreplicated> {
        let headers = place(marker.version, marker.created_ms);
        self.write(PeerRequest { headers, ..self.request(Method::DELETE, key) }, marker.version, &[]).await.map(drop)
    }

    /// Brings an object, or what has changed of it.
    pub(super) async fn keep(
        &self,
        s3: &S3,
        plan: &Plan<'_>,
        object: &Object,
        with_tags: bool,
    ) -> Result<(), Unreplicated> {
        let info = &object.info;
        let source = Source::open(s3, object)?;
        let mut headers = place(info.version, info.created_ms);
        headers.push((ETAG.to_owned(), info.etag.clone()));
        let owner = info.properties.owner.as_deref().unwrap_or(&plan.source.account);
        // Without lists nothing is said of them: the other store leaves its own alone.
        if info.properties.acl.is_some() || has_lists(plan.source)? {
            headers.push((LIST.to_owned(), list_text(info.properties.acl.as_deref(), owner)?));
        }
        let said = self.said(plan, info, with_tags, s3.engine().clock().now_ms());
        if said.iter().any(|(name, _)| name == lock::UNTIL) {
            // It was made shorter by somebody who may.
            headers.push((lock::BYPASS.to_owned(), "true".to_owned()));
        }
        headers.extend(said);
        // What is changed of a replica is brought back to where it came from, if it is there still.
        let is_replica = info.properties.replication.as_deref() == Some(REPLICA);
        if is_replica || info.size > SENT_UNASKED_BYTES {
            match self.has(&info.key, info.version).await? {
                true => return self.change(&info.key, info.version, headers).await,
                false if is_replica => return Ok(()),
                false => {}
            }
        }
        let (name, value) = source.checksum().await?;
        headers.push((name.to_owned(), value));
        let body = PeerBody::Stream(info.size, source.read(0, info.size).await?);
        self.write(PeerRequest { headers, body, ..self.request(Method::PUT, &info.key) }, info.version, &[]).await?;
        Ok(())
    }

    async fn has(&self, key: &str, version: VersionId) -> Result<bool, Unreplicated> {
        let query = vec![("versionId", version.to_string())];
        let answer = self.head(PeerRequest { query, ..self.request(Method::HEAD, key) }).await?;
        Ok(answer.status != StatusCode::NOT_FOUND)
    }

    /// Gives the version that is there the tags, list and locks of this one; one that was deleted meanwhile stays so.
    async fn change(
        &self,
        key: &str,
        version: VersionId,
        mut headers: Vec<(String, String)>,
    ) -> Result<(), Unreplicated> {
        headers.push((CHANGE.to_owned(), "only".to_owned()));
        headers.push((DEFAULT_CHECKSUM.header().to_owned(), Hasher::new(DEFAULT_CHECKSUM).finish()));
        self.write(PeerRequest { headers, ..self.request(Method::PUT, key) }, version, &[404]).await
    }

    /// Sends a write, which must be one of that version there.
    async fn write(&self, request: PeerRequest, version: VersionId, known: &[u16]) -> Result<(), Unreplicated> {
        let answer = self.ask(request, known).await?;
        if answer.status.is_success() && answer.header(VERSION_ID) != Some(&version.to_string()) {
            return Err(refused(format!(
                "the object store {} has written another version: it is declared as a Mallee, and is none",
                self.name
            )));
        }
        Ok(())
    }
}
