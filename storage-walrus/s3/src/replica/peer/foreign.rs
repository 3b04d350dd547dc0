//! Bringing what keys stand for into an object store that gives versions ids of its own.
//!
//! The version that an object there came from is in its metadata, so that what is brought twice is written once. Of a key
//! only the newest version goes along: older ones would become the newest there.

use super::super::incoming::PLAIN;
use super::super::{Plan, Unreplicated, refused};
use super::said::Source;
use super::{Peer, PeerAnswer, PeerBody, PeerRequest};
use crate::METADATA_BYTES_MAX;
use crate::headers::META;
use crate::props::lock;
use crate::reply::VERSION_ID;
use crate::service::S3;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, StatusCode};
use mallee_awswire::XmlWriter;
use mallee_objects::{Found, Object, ObjectInfo, REPLICA, Retention, VersionId, Which};
use mallee_runtime::Backoff;
use mallee_s3_config::{Tagging, whole};
use md5::{Digest as _, Md5};
use std::ops::Range;
use std::time::Duration;

/// The version that an object came from, in its metadata.
const CAME_FROM: &str = "mallee-version";
/// Objects above this size go in parts of this size, or of more where they would be too many.
const PART_BYTES: u64 = 64 << 20;
/// Most parts of an upload.
const PARTS_MAX: u64 = 10_000;
/// How often a part of an upload is sent, and its end, before the upload is given up.
const PART_TRIES: u32 = 4;
/// First and longest time between two of these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
const CONTENT_MD5: &str = "content-md5";
/// The version of an object in a bucket without versions.
const NULL: &str = "null";

/// Where the parts of an object of this size are; none: it goes in one.
fn parts(size: u64) -> Vec<Range<u64>> {
    if size <= PART_BYTES {
        return Vec::new();
    }
    let each = size.div_ceil(PARTS_MAX).max(PART_BYTES);
    (0..size.div_ceil(each)).map(|n| n * each..((n + 1) * each).min(size)).collect()
}

fn md5_header(digest: impl AsRef<[u8]>) -> (String, String) {
    (CONTENT_MD5.to_owned(), BASE64.encode(digest))
}

impl Source<'_> {
    /// The header by which the other store sees whether these bytes arrived.
    async fn md5(&self, range: &Range<u64>) -> Result<(String, String), Unreplicated> {
        let mut data = self.read(range.start, range.end - range.start).await?;
        let mut md5 = Md5::new();
        while let Some(data) = data.next().await {
            md5.update(data?);
        }
        Ok(md5_header(md5.finalize()))
    }
}

impl Peer<'_> {
    fn plain(&self, method: Method, key: &str) -> PeerRequest {
        let headers = vec![(PLAIN.to_owned(), "s3".to_owned())];
        PeerRequest { headers, ..self.request(method, key) }
    }

    /// A delete marker there, where one is to be.
    pub(super) async fn delete(
        &self,
        s3: &S3,
        plan: &Plan<'_>,
        key: &str,
        version: VersionId,
    ) -> Result<(), Unreplicated> {
        if !is_newest(s3, plan, key, version).await? {
            return Ok(());
        }
        self.check().await?;
        let there = self.head(self.request(Method::HEAD, key)).await?;
        if there.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        self.ask(self.plain(Method::DELETE, key), &[]).await.map(drop)
    }

    /// The object there, or what has changed of it.
    pub(super) async fn put(
        &self,
        s3: &S3,
        plan: &Plan<'_>,
        object: &Object,
        with_tags: bool,
    ) -> Result<(), Unreplicated> {
        let info = &object.info;
        let is_replica = info.properties.replication.as_deref() == Some(REPLICA);
        if is_replica || !is_newest(s3, plan, &info.key, info.version).await? {
            return Ok(());
        }
        let source = Source::open(s3, object)?;
        self.check().await?;
        let now_ms = s3.engine().clock().now_ms();
        let there = self.head(self.request(Method::HEAD, &info.key)).await?;
        let came_from = format!("{META}{CAME_FROM}");
        if there.header(&came_from) == Some(&info.version.to_string()) {
            return self.redescribe(info, &there, with_tags, now_ms).await;
        }
        let mut headers = self.said(plan, info, with_tags, now_ms);
        // That nothing is held needs no saying, and buckets without object lock would refuse it.
        let says = |(name, value): &(String, String)| *name != came_from && (name != lock::LEGAL_HOLD || value == "ON");
        headers.retain(says);
        let own = CAME_FROM.len() + info.version.to_string().len();
        let others: usize = info.attributes.user.iter().map(|(name, value)| name.len() + value.len()).sum();
        // Without room for it the object is written again when it is brought again.
        let is_told = own + others <= METADATA_BYTES_MAX;
        if is_told {
            headers.push((came_from, info.version.to_string()));
        }
        let answer = match parts(info.size) {
            parts if parts.is_empty() => self.put_whole(&source, info, headers).await?,
            parts => self.put_parts(&source, info, headers, &parts).await?,
        };
        self.has_written(&answer, info, is_told).await
    }

    async fn put_whole(
        &self,
        source: &Source<'_>,
        info: &ObjectInfo,
        headers: Vec<(String, String)>,
    ) -> Result<PeerAnswer, Unreplicated> {
        let mut request = self.plain(Method::PUT, &info.key);
        request.headers.extend(headers);
        // The tag of an object that was written in one is its MD5.
        request.headers.push(match hex::decode(&info.etag) {
            Ok(digest) => md5_header(digest),
            Err(_) => source.md5(&(0..info.size)).await?,
        });
        request.body = PeerBody::Stream(info.size, source.read(0, info.size).await?);
        self.ask(request, &[]).await
    }

    /// Whether the store has written a version: any server may say that all is well. Some say only when they are asked what
    /// is there (Ceph, of uploads in parts). `is_told`: they were told which version the object comes from.
    async fn has_written(&self, answer: &PeerAnswer, info: &ObjectInfo, is_told: bool) -> Result<(), Unreplicated> {
        let is_version = |answer: &PeerAnswer| answer.header(VERSION_ID).map(|id| !id.is_empty() && id != NULL);
        let none = || refused(format!("the object store {} does not say that it has written a version", self.name));
        match is_version(answer) {
            Some(true) => return Ok(()),
            Some(false) => return Err(none()),
            None => {}
        }
        let there = self.head(self.request(Method::HEAD, &info.key)).await?;
        if is_version(&there) != Some(true) {
            return Err(none());
        }
        match !is_told || there.header(&format!("{META}{CAME_FROM}")) == Some(&info.version.to_string()) {
            true => Ok(()),
            // Somebody else has written there meanwhile, perhaps.
            false => Err(Unreplicated::Later(format!("the object store {} has another object there", self.name))),
        }
    }

    async fn put_parts(
        &self,
        source: &Source<'_>,
        info: &ObjectInfo,
        headers: Vec<(String, String)>,
        parts: &[Range<u64>],
    ) -> Result<PeerAnswer, Unreplicated> {
        let mut begin = self.plain(Method::POST, &info.key);
        begin.query.push(("uploads", String::new()));
        begin.headers.extend(headers);
        let begun = self.ask(begin, &[]).await?;
        let id = begun
            .element("UploadId")
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Unreplicated::Later(format!("the object store {} gave an upload no id", self.name)))?;
        let sent = self.send_parts(source, info, &id, parts).await;
        if sent.is_err() {
            let query = vec![("uploadId", id)];
            let abort = PeerRequest { query, ..self.request(Method::DELETE, &info.key) };
            if let Err(error) = self.ask(abort, &[404]).await {
                tracing::info!(store = self.name, key = info.key, ?error, "an upload in another store is left behind");
            }
        }
        sent
    }

    async fn send_parts(
        &self,
        source: &Source<'_>,
        info: &ObjectInfo,
        id: &str,
        parts: &[Range<u64>],
    ) -> Result<PeerAnswer, Unreplicated> {
        let mut w = XmlWriter::default();
        w.open("CompleteMultipartUpload");
        for (number, range) in (1u32..).zip(parts) {
            let len = range.end - range.start;
            let query = vec![("partNumber", number.to_string()), ("uploadId", id.to_owned())];
            let headers = vec![source.md5(range).await?];
            let mut tries = Tries::new(self);
            let taken = loop {
                let (query, headers) = (query.clone(), headers.clone());
                let body = PeerBody::Stream(len, source.read(range.start, len).await?);
                let request = PeerRequest { query, headers, body, ..self.request(Method::PUT, &info.key) };
                match self.ask(request, &[404]).await {
                    // The upload is gone, and stays so: all of it begins anew.
                    Ok(gone) if gone.status == StatusCode::NOT_FOUND => return gone.taken(self.name),
                    Ok(taken) => break taken,
                    Err(failed) => tries.again(failed).await?,
                }
            };
            w.open("Part");
            w.display("PartNumber", number);
            w.text("ETag", taken.header("etag").unwrap_or_default());
            w.close("Part");
        }
        w.close("CompleteMultipartUpload");
        let query = vec![("uploadId", id.to_owned())];
        let document = Bytes::from(w.finish());
        let mut tries = Tries::new(self);
        let whole = loop {
            let (query, body) = (query.clone(), PeerBody::Bytes(document.clone()));
            let request = PeerRequest { query, body, ..self.request(Method::POST, &info.key) };
            match self.ask(request, &[404]).await {
                Ok(gone) if gone.status == StatusCode::NOT_FOUND => return gone.taken(self.name),
                Ok(whole) => break whole,
                Err(failed) => tries.again(failed).await?,
            }
        };
        if whole.root_name().as_deref() != Some("CompleteMultipartUploadResult") {
            return Err(refused(format!("the object store {} does not say that the upload is complete", self.name)));
        }
        Ok(whole)
    }

    /// Gives the object that is there the tags and locks of this one.
    async fn redescribe(
        &self,
        info: &ObjectInfo,
        there: &PeerAnswer,
        with_tags: bool,
        now_ms: i64,
    ) -> Result<(), Unreplicated> {
        let tags = &info.properties.tags;
        if with_tags && !tags.is_empty() {
            self.set(&info.key, "tagging", whole(&Tagging { tags: tags.clone() }).finish()).await?;
        } else if with_tags {
            // How many there are is told only to those who may read them.
            let query = vec![("tagging", String::new())];
            self.ask(PeerRequest { query, ..self.plain(Method::DELETE, &info.key) }, &[]).await?;
        }
        let hold = if info.properties.legal_hold { "ON" } else { "OFF" };
        let said = info.properties.legal_hold || info.properties.hold_known;
        if said && there.header(lock::LEGAL_HOLD) != Some(hold) {
            let mut w = XmlWriter::default();
            w.open("LegalHold");
            w.text("Status", hold);
            w.close("LegalHold");
            self.set(&info.key, "legal-hold", w.finish()).await?;
        }
        let Some(Retention { mode, until_ms }) = info.properties.retention.filter(|kept| !kept.over(now_ms)) else {
            return Ok(());
        };
        let (mode, until) = (lock::mode_name(mode), lock::date(until_ms));
        let same_time = there.header(lock::UNTIL).and_then(lock::until) == lock::until(&until);
        if there.header(lock::MODE) == Some(mode) && same_time {
            return Ok(());
        }
        let mut w = XmlWriter::default();
        w.open("Retention");
        w.text("Mode", mode);
        w.text("RetainUntilDate", &until);
        w.close("Retention");
        self.set(&info.key, "retention", w.finish()).await
    }

    async fn set(&self, key: &str, what: &'static str, document: String) -> Result<(), Unreplicated> {
        let mut request = self.plain(Method::PUT, key);
        request.query.push((what, String::new()));
        request.headers.push(md5_header(Md5::digest(&document)));
        request.body = PeerBody::Bytes(Bytes::from(document));
        self.ask(request, &[]).await.map(drop)
    }
}

/// What of an upload is tried again, rather than all of it.
struct Tries {
    left: u32,
    backoff: Backoff,
}

impl Tries {
    fn new(peer: &Peer<'_>) -> Self {
        Self { left: PART_TRIES - 1, backoff: Backoff::new(PAUSES.0, PAUSES.1, peer.engine.rng().clone()) }
    }

    /// Waits until it is tried again; for what cannot be, that it failed.
    async fn again(&mut self, failed: Unreplicated) -> Result<(), Unreplicated> {
        match failed {
            Unreplicated::Later(why) if self.left > 0 => {
                tracing::debug!(why, "a part of an upload into another store is tried again");
                self.left -= 1;
                self.backoff.wait().await;
                Ok(())
            }
            failed => Err(failed),
        }
    }
}

/// Whether a version is what its key stands for.
async fn is_newest(s3: &S3, plan: &Plan<'_>, key: &str, version: VersionId) -> Result<bool, Unreplicated> {
    Ok(match s3.engine().find(&plan.source.name, key, Which::Latest).await? {
        Some(Found::Object(object)) => object.info.version == version,
        Some(Found::Marker(marker)) => marker.version == version,
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_go_in_parts() {
        assert!(parts(0).is_empty() && parts(PART_BYTES).is_empty());
        assert_eq!(parts(PART_BYTES + 1), [0..PART_BYTES, PART_BYTES..PART_BYTES + 1]);
        for size in [10 * PART_BYTES, (5 << 40) - 1, 5 << 40] {
            let parts = parts(size);
            assert!(parts.len() as u64 <= PARTS_MAX && parts.iter().all(|part| part.end - part.start <= 5 << 30));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "they follow each other");
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, size));
        }
    }
}
