//! What a Walrus of its own tells of calls that manage buckets, for the audit trail.

use super::{DirectoryService, NAME_BYTES_MAX, facts};
use crate::audit::s3::{S3Call, records_of};
use mallee_app::{Cloud, RequestFacts};
use mallee_audit::Record;
use mallee_awswire::{ApiError, Code};
use mallee_proto::v1::record_s3_request::Stage;
use mallee_proto::v1::{AuthorizeS3Request, RecordS3Request};
use mallee_proto::{Kind, WireError};

impl DirectoryService {
    /// Records a call of S3, or notes that it is about to be done.
    pub(super) async fn record(&self, asked: RecordS3Request) -> Result<(), WireError> {
        let stage = asked.stage();
        let RecordS3Request { request_id, error_code, error_message, caller, event_name, .. } = &asked;
        // A line of the trail's notes has the id in it.
        let is_id = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if request_id.is_empty() || request_id.len() > NAME_BYTES_MAX || !is_id(request_id) || !is_id(event_name) {
            return Err(WireError::new(Kind::Invalid, "a request id or the name of an event is none"));
        }
        let Some(trail) = &self.trail else { return Ok(()) };
        let cloud = self.cloud()?;
        let unavailable = |why: &dyn std::fmt::Display| WireError::new(Kind::Unavailable, why.to_string());
        // A Walrus of an older version says no more of an end than that.
        let told = match caller {
            None if stage == Stage::End => Vec::new(),
            None => return Err(WireError::new(Kind::Invalid, "a call of nobody")),
            Some(caller) => self.told(cloud, caller, &asked).await?,
        };
        let error = (!error_code.is_empty()).then(|| match Code::parse(error_code) {
            Some(code) => code.message(error_message.clone()),
            None => ApiError::internal(error_code),
        });
        match stage {
            Stage::Begin => trail.lend(told).map_err(|error| unavailable(&error)),
            Stage::End => {
                // To its end, though whoever told of it does not wait: it is told once.
                let (trail, cloud, request_id) = (trail.clone(), cloud.clone(), request_id.clone());
                let work = tokio::spawn(async move { trail.end_lent(&cloud, &request_id, told, error.as_ref()).await });
                work.await.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
            }
            Stage::Whole => {
                // Its beginning may have been written, and not heard.
                drop(trail.take_back(request_id));
                trail.record_all(cloud, told, error.as_ref().map_or(Ok(""), Err)).await;
                Ok(())
            }
        }
    }

    /// The records of a call as it is told, up to its outcome.
    async fn told(
        &self,
        cloud: &Cloud,
        caller: &AuthorizeS3Request,
        asked: &RecordS3Request,
    ) -> Result<Vec<Record>, WireError> {
        let facts = RequestFacts { source_ip: self.source(caller).unwrap_or_default(), ..facts(caller) };
        let actor = match caller.access_key_id.as_str() {
            "" => None,
            key => self.present(key, &caller.session_token).await?.ok(),
        };
        let call = S3Call {
            actor: actor.as_ref(),
            facts: &facts,
            request_id: &asked.request_id,
            name: &asked.event_name,
            bucket: &asked.bucket,
            owner: Some(asked.owner.as_str()).filter(|owner| !owner.is_empty()),
            allowed: asked.allowed,
            parameters: serde_json::from_str(&asked.parameters).unwrap_or_default(),
        };
        Ok(records_of(cloud, call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Trail;
    use crate::enrol::ControlPlane;
    use crate::identity::StoreCredentials;
    use mallee_app::test_support::{cloud, config};
    use mallee_audit::{Position, UNKNOWN_CODE, read};
    use mallee_pki::Ca;
    use mallee_runtime::Faults;
    use mallee_store::test_support::TestDb;
    use std::path::Path;
    use std::sync::Arc;

    /// A replica of the cloud controller: its trail is below this directory.
    async fn replica(db: &TestDb, dir: &Path) -> DirectoryService {
        let store = db.open().await;
        let ca = Arc::new(Ca::load_or_create(&dir.join("ca"), "c-1", &db.clock).unwrap());
        let control = ControlPlane::new(store.clone(), db.clock.clone(), ca, Vec::new(), "https://cloud:1".to_owned());
        let cloud = Some(cloud(db, &store, config(), Faults::none()));
        let trail = Some(Arc::new(Trail::open(&dir.join("audit")).await.unwrap()));
        DirectoryService { control, credentials: StoreCredentials::new(store), cloud, trail }
    }

    fn told(stage: Stage, error_code: &str) -> RecordS3Request {
        RecordS3Request {
            stage: stage.into(),
            request_id: "REQUEST".to_owned(),
            error_code: error_code.to_owned(),
            caller: Some(AuthorizeS3Request { access_key_id: "AKIANOBODY".to_owned(), ..Default::default() }),
            event_name: "DeleteBucket".to_owned(),
            bucket: "b".to_owned(),
            owner: "000000000001".to_owned(),
            parameters: r#"{"bucketName":"b"}"#.to_owned(),
            allowed: true,
            ..Default::default()
        }
    }

    fn said(dir: &Path) -> Vec<Record> {
        read::since(&dir.join("audit"), Position::default(), usize::MAX).unwrap().0
    }

    #[tokio::test]
    async fn an_end_is_recorded_by_whomever_it_is_told() {
        let db = TestDb::sqlite().await;
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (replica(&db, here.path()).await, replica(&db, there.path()).await);
        one.record(told(Stage::Begin, "")).await.unwrap();
        for _ in 0..2 {
            other.record(told(Stage::End, "BucketNotEmpty")).await.unwrap();
        }
        let found = said(there.path());
        let [record] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(record.error_code.as_deref(), Some("BucketNotEmpty"));
        assert_eq!((record.request_id.as_str(), record.recipient_account_id.as_str()), ("REQUEST", "000000000001"));
        assert_eq!(record.request_parameters["bucketName"], "b");
        let addendum = record.addendum.as_ref().unwrap();
        assert_eq!((addendum.reason.as_str(), addendum.original_request_id.as_str()), ("UPDATED_DATA", "REQUEST"));

        // So it is by the one that was started meanwhile, whose start said that it is not known.
        drop(one);
        let one = replica(&db, here.path()).await;
        for _ in 0..2 {
            one.record(told(Stage::End, "")).await.unwrap();
        }
        let codes: Vec<_> = said(here.path()).into_iter().map(|r| (r.error_code, r.addendum.is_some())).collect();
        assert_eq!(codes, [(Some(UNKNOWN_CODE.to_owned()), false), (None, true)]);
    }

    #[tokio::test]
    async fn a_walrus_of_an_older_version_says_less() {
        let (db, dir) = (TestDb::sqlite().await, tempfile::tempdir().unwrap());
        let directory = replica(&db, dir.path()).await;
        let end = |request_id: &str| RecordS3Request {
            stage: Stage::End.into(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        directory.record(told(Stage::Begin, "")).await.unwrap();
        directory.record(end("REQUEST")).await.unwrap();
        directory.record(end("UNKNOWN")).await.unwrap();
        let found = said(dir.path());
        let told: Vec<_> = found.iter().map(|r| (r.request_id.as_str(), r.error_code.as_deref())).collect();
        assert_eq!(told, [("REQUEST", None)]);
        assert_eq!(found[0].resources[0].account_id.as_deref(), Some("000000000001"));
    }
}
