//! What a Walrus of its own tells of calls that manage buckets, for the audit trail.

use super::{DirectoryService, NAME_BYTES_MAX, facts, token};
use crate::audit::s3::{S3Call, records_of};
use mallee_app::{Actor, Cloud, RequestFacts};
use mallee_audit::Record;
use mallee_awswire::sigv4::KeyError;
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

    /// Who had these credentials when the call was made: they may have ended since.
    async fn was(&self, key: &str, session_token: &str) -> Result<Option<Actor>, WireError> {
        match self.credentials.holder(key, token(session_token)).await {
            Ok(holder) => Ok(Some(holder.actor)),
            Err(KeyError::Unavailable(why)) => Err(WireError::new(Kind::Unavailable, why)),
            Err(KeyError::Unknown | KeyError::Expired | KeyError::InvalidToken | KeyError::Sigv2Off) => Ok(None),
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
            key => self.was(key, &caller.session_token).await?,
        };
        let call = S3Call {
            actor: actor.as_ref(),
            account: Some(asked.account.as_str()).filter(|account| !account.is_empty()),
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
    use crate::origin;
    use mallee_app::sts::token_hash;
    use mallee_app::test_support::{cloud, config};
    use mallee_audit::{Position, UNKNOWN_CODE, read};
    use mallee_pki::Ca;
    use mallee_runtime::Faults;
    use mallee_store::test_support::TestDb;
    use mallee_store::{
        AccessKeyRow, AccountRow, Json, SessionDoc, SessionKind, SessionRow, UserRow, access_key_delete,
        access_key_insert, account_insert, session_insert, user_insert,
    };
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

    /// Whose the bucket is.
    const OWNER: &str = "000000000001";
    const ACCOUNT: &str = "000000000002";
    const KEY: &str = "AKIAALICE";
    const SESSION: &str = "ASIAALICE";
    /// How long the session is good, in milliseconds.
    const SESSION_MS: i64 = 60_000;

    /// Makes another account than the bucket's, with a user who has a key and a session.
    async fn alice(directory: &DirectoryService) {
        let account_id = ACCOUNT.parse().unwrap();
        let account = AccountRow { id: ACCOUNT.parse().unwrap(), name: "other".to_owned(), created_ms: 1 };
        let user = UserRow {
            id: "AIDAALICE".to_owned(),
            account_id: ACCOUNT.parse().unwrap(),
            name: "alice".to_owned(),
            path: "/".to_owned(),
            created_ms: 1,
            is_admin: false,
        };
        let (id, user_id) = (KEY.to_owned(), user.id.clone());
        let key = AccessKeyRow { id, user_id, account_id, active: true, created_ms: 1 };
        let session = SessionRow {
            id: SESSION.to_owned(),
            account_id: ACCOUNT.parse().unwrap(),
            kind: SessionKind::User,
            principal_id: user.id.clone(),
            name: String::new(),
            token_hash: token_hash("token"),
            issued_ms: 1,
            expires_ms: directory.control.clock.now_ms() + SESSION_MS,
            doc: Json(SessionDoc::default()),
        };
        let mut tx = directory.control.store.write().await.unwrap();
        account_insert(&mut tx, &account).await.unwrap();
        user_insert(&mut tx, &user).await.unwrap();
        access_key_insert(&mut tx, &key, &"secret".into()).await.unwrap();
        session_insert(&mut tx, &session, &"secret".into()).await.unwrap();
        tx.commit().await.unwrap();
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

        // Whoever wrote it down, and was killed before they could say so, is told again after their start.
        drop(other);
        let (other, anew) = (replica(&db, there.path()).await, |stage| RecordS3Request {
            request_id: "ANEW".to_owned(),
            ..told(stage, "")
        });
        other.record(anew(Stage::Begin)).await.unwrap();
        other.record(anew(Stage::End)).await.unwrap();
        drop(other);
        let other = replica(&db, there.path()).await;
        for again in [told(Stage::End, "BucketNotEmpty"), anew(Stage::End)] {
            other.record(again).await.unwrap();
        }
        let ids: Vec<_> = said(there.path()).into_iter().map(|r| (r.request_id, r.addendum.is_some())).collect();
        assert_eq!(ids, [("REQUEST".to_owned(), true), ("ANEW".to_owned(), false)]);
    }

    /// Walrus says whether it was decided that a call may be done.
    #[tokio::test]
    async fn the_owner_is_told_of_what_was_allowed() {
        let (db, dir) = (TestDb::sqlite().await, tempfile::tempdir().unwrap());
        let directory = replica(&db, dir.path()).await;
        alice(&directory).await;
        let refused = (Stage::Whole, "REFUSED", "AccessDenied", false);
        let stages = [(Stage::Begin, "ALLOWED", "", true), (Stage::End, "ALLOWED", "", true), refused];
        for (stage, request_id, error_code, allowed) in stages {
            let caller = AuthorizeS3Request { access_key_id: KEY.to_owned(), ..Default::default() };
            let (request_id, account) = (request_id.to_owned(), ACCOUNT.to_owned());
            let asked =
                RecordS3Request { request_id, account, allowed, caller: Some(caller), ..told(stage, error_code) };
            directory.record(asked).await.unwrap();
        }
        let found = said(dir.path());
        let [theirs, owners, refused] = found.as_slice() else { panic!("{found:?}") };
        let told = [theirs, owners, refused].map(|record| record.recipient_account_id.as_str());
        assert_eq!(told, [ACCOUNT, OWNER, ACCOUNT]);
        assert!(theirs.shared_event_id.is_some() && theirs.shared_event_id == owners.shared_event_id);
        let whose = [theirs, owners, refused].map(|record| record.resources[0].account_id.as_deref());
        assert_eq!(whose, [Some(OWNER), Some(OWNER), None]);
        assert!(refused.shared_event_id.is_none() && !serde_json::to_string(refused).unwrap().contains(OWNER));
    }

    /// Minutes later the front door's word is old, the session has ended and the key is gone: who it was and from where,
    /// is what was so then.
    #[tokio::test]
    async fn an_end_that_is_told_late_says_who_it_was() {
        let (db, dir) = (TestDb::sqlite().await, tempfile::tempdir().unwrap());
        let directory = replica(&db, dir.path()).await;
        alice(&directory).await;
        let store = &directory.control.store;
        let word = origin::seal(store, "192.0.2.7".parse().unwrap(), "digest", db.clock.now_ms()).unwrap();
        let late_ms = 5 * SESSION_MS;
        db.clock.shift_ms(late_ms);
        let mut tx = store.write().await.unwrap();
        access_key_delete(&mut tx, KEY).await.unwrap();
        tx.commit().await.unwrap();
        for (key, session_token) in [(SESSION, "token"), (KEY, "")] {
            let caller = AuthorizeS3Request {
                access_key_id: key.to_owned(),
                session_token: session_token.to_owned(),
                from: word.clone(),
                digest: "digest".to_owned(),
                waited_ms: late_ms,
                ..Default::default()
            };
            let (request_id, account) = (key.to_owned(), ACCOUNT.to_owned());
            let end = RecordS3Request { request_id, account, caller: Some(caller), ..told(Stage::End, "") };
            directory.record(end).await.unwrap();
        }
        let found = said(dir.path());
        let [session, _, key, owners] = found.as_slice() else { panic!("{found:?}") };
        for record in [session, key] {
            assert_eq!(
                (record.recipient_account_id.as_str(), record.source_ip_address.as_str()),
                (ACCOUNT, "192.0.2.7")
            );
            assert_eq!(record.user_identity.account_id.as_deref(), Some(ACCOUNT));
        }
        let who = |record: &Record| (record.user_identity.kind.clone(), record.user_identity.user_name.clone());
        assert_eq!(who(session), ("IAMUser".to_owned(), Some("alice".to_owned())));
        assert_eq!(who(key), ("Unknown".to_owned(), None));
        assert!(owners.recipient_account_id == OWNER && owners.shared_event_id == key.shared_event_id);
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
