//! Records of calls of S3 that manage buckets. S3 itself runs in this process, or in a Walrus of its own, which tells what
//! it is about to do and what came of it: what it never tells the end of is recorded as abandoned.

use super::{Call, Said, Trail, draft};
use mallee_app::{Actor, Cloud, RequestFacts};
use mallee_audit::{JournalError, Record, Resource, UserIdentity, parameters};
use mallee_awswire::{ApiError, Code};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// CloudFormation's name of a bucket's kind.
const BUCKET: &str = "AWS::S3::Bucket";
/// Calls of a Walrus of its own under way; more are refused.
const LENT_MAX: usize = 4096;
/// How long one may take, in milliseconds: its body is read before it begins.
pub(super) const LENT_MS_MAX: i64 = 10 * 60 * 1000;

/// One call.
pub(crate) struct S3Call<'a> {
    /// Who; none when nobody signed, or their rights ended meanwhile.
    pub(crate) actor: Option<&'a Actor>,
    /// What else is known of the request.
    pub(crate) facts: &'a RequestFacts,
    /// The id that the reply carries.
    pub(crate) request_id: &'a str,
    /// CloudTrail's name of the operation.
    pub(crate) name: &'a str,
    /// Empty: all of the caller's.
    pub(crate) bucket: &'a str,
    /// Whose bucket it is, as far as it is known.
    pub(crate) owner: Option<&'a str>,
    /// What it asks.
    pub(crate) parameters: Value,
}

/// The record of a call, up to its outcome. It is its caller's; that of somebody unknown is the bucket's owner's.
pub(crate) fn record_of(cloud: &Cloud, call: S3Call<'_>) -> Record {
    let S3Call { actor, facts, request_id, name, bucket, owner, parameters } = call;
    let said = Said::Form(None);
    let mut record = draft(cloud, &Call { service: "s3", action: name, said, actor, facts, request_id });
    record.request_parameters = parameters::shown_as_is(parameters);
    if actor.is_none() {
        record.recipient_account_id = owner.unwrap_or_default().to_owned();
    }
    let mut more = json!({ "x-amz-id-2": request_id });
    if facts.access_key_id.is_none() {
        record.user_identity = UserIdentity {
            kind: "AWSAccount".to_owned(),
            principal_id: Some(String::new()),
            account_id: Some("anonymous".to_owned()),
            ..UserIdentity::default()
        };
    } else {
        more["SignatureVersion"] = Value::from(if facts.sigv2 { "SigV2" } else { "SigV4" });
        more["AuthenticationMethod"] = Value::from(if facts.presigned { "QueryString" } else { "AuthHeader" });
    }
    record.additional_event_data = more;
    if !bucket.is_empty() {
        record.resources = vec![Resource {
            kind: BUCKET.to_owned(),
            name: bucket.to_owned(),
            arn: Some(format!("arn:aws:s3:::{bucket}")),
            account_id: owner.map(str::to_owned),
        }];
    }
    record
}

/// The answer where a call cannot be written down.
pub(crate) fn not_written(error: &JournalError) -> ApiError {
    tracing::error!(%error, "a call of S3 is refused: it cannot be written down");
    Code::ServiceUnavailable.message("The request cannot be recorded now. Please try again.")
}

/// Calls that a Walrus of its own has begun, by request id, and when.
#[derive(Debug, Default)]
pub(super) struct Lent(Mutex<HashMap<String, (Record, i64)>>);

impl Lent {
    fn state(&self) -> MutexGuard<'_, HashMap<String, (Record, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail {
    /// As [`Trail::begin`], for a call that must not be done otherwise.
    ///
    /// # Errors
    /// When it could not be written.
    pub(crate) fn begin_surely(&self, draft: &Record) -> Result<(), JournalError> {
        self.journal.begin(draft)
    }

    /// Notes a call that a Walrus of its own is about to do. Told twice, it is one.
    ///
    /// # Errors
    /// When it could not be written, or too many are under way.
    pub(crate) fn lend(&self, draft: Record) -> Result<(), JournalError> {
        let mut lent = self.lent.state();
        if lent.len() >= LENT_MAX {
            return Err(JournalError::Io(format!("more than {LENT_MAX} calls of S3 are under way")));
        }
        self.journal.begin(&draft)?;
        let begun_ms = draft.event_ms;
        lent.insert(draft.request_id.clone(), (draft, begun_ms));
        Ok(())
    }

    /// What was noted of such a call; none when it has its record already.
    pub(crate) fn take_back(&self, request_id: &str) -> Option<Record> {
        self.lent.state().remove(request_id).map(|(draft, _)| draft)
    }

    /// Records calls whose end was never told.
    ///
    /// # Errors
    /// When a record could not be written.
    pub(super) async fn give_up_lent(&self, now_ms: i64) -> Result<(), JournalError> {
        let late: Vec<Record> = {
            let mut lent = self.lent.state();
            let is_late = |at: i64| now_ms.saturating_sub(at) > LENT_MS_MAX;
            let ids: Vec<String> = lent.iter().filter(|(_, (_, at))| is_late(*at)).map(|(id, _)| id.clone()).collect();
            ids.iter().filter_map(|id| lent.remove(id)).map(|(draft, _)| draft).collect()
        };
        for draft in late {
            tracing::warn!(request_id = draft.request_id, "the end of a call of S3 was never told: the trail says so");
            self.journal.append(&draft.abandoned()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mallee_app::test_support::{cloud, config};
    use mallee_audit::{Position, UNKNOWN_CODE, read};
    use mallee_runtime::Faults;
    use mallee_store::test_support::TestDb;

    #[tokio::test]
    async fn what_walrus_began_has_one_record() {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = cloud(&db, &store, config(), Faults::none());
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).await.unwrap();
        let facts = RequestFacts { access_key_id: Some("AKIA".into()), sigv2: true, ..RequestFacts::default() };
        let draft = |request_id| {
            let parameters = json!({ "bucketName": "b" });
            let (name, bucket, owner) = ("DeleteBucket", "b", Some("000000000001"));
            record_of(&cloud, S3Call { actor: None, facts: &facts, request_id, name, bucket, owner, parameters })
        };
        let later = || cloud.clock().now_ms() + LENT_MS_MAX;
        for id in ["ended", "lost"] {
            trail.lend(draft(id)).unwrap();
        }
        trail.give_up_lent(later()).await.unwrap();
        let ended = trail.take_back("ended").unwrap();
        trail.record(&cloud, ended, Ok("")).await;
        assert_eq!(trail.take_back("ended"), None, "told again");
        trail.give_up_lent(later() + 1).await.unwrap();
        assert_eq!(trail.take_back("lost"), None, "told too late");
        drop(trail);
        // What was given up is closed: the next start has nothing to say of it.
        drop(Trail::open(dir.path()).await.unwrap());
        let (records, _) = read::since(dir.path(), Position::default(), usize::MAX).unwrap();
        let found: Vec<_> = records.iter().map(|r| (r.request_id.as_str(), r.error_code.as_deref())).collect();
        assert_eq!(found, [("ended", None), ("lost", Some(UNKNOWN_CODE))]);
        let record = &records[0];
        assert_eq!((record.event_source.as_str(), record.read_only), ("s3.amazonaws.com", false));
        assert_eq!(record.recipient_account_id, "000000000001");
        assert_eq!(record.resources[0].arn.as_deref(), Some("arn:aws:s3:::b"));
        assert_eq!(record.additional_event_data["SignatureVersion"], "SigV2");
        assert_eq!(record.user_identity.kind, "Unknown");
    }

    #[tokio::test]
    async fn no_more_is_begun_than_can_be_written_down() {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = cloud(&db, &store, config(), Faults::none());
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).await.unwrap();
        let facts = RequestFacts::default();
        let draft = |n: usize| {
            let (request_id, parameters) = (format!("r{n}"), json!({ "policy": "x".repeat(90_000) }));
            let (name, bucket, request_id) = ("PutBucketPolicy", "b", request_id.as_str());
            record_of(&cloud, S3Call { actor: None, facts: &facts, request_id, name, bucket, owner: None, parameters })
        };
        let begun = (0..LENT_MAX).take_while(|n| trail.lend(draft(*n)).is_ok()).count();
        assert!((500..800).contains(&begun), "{begun} notes of 90 kB");
        let error = trail.begin_surely(&draft(begun)).unwrap_err();
        assert_eq!(not_written(&error).code(), Code::ServiceUnavailable);
        drop(trail.take_back("r0"));
        trail.record(&cloud, draft(0), Ok("")).await;
        trail.begin_surely(&draft(begun)).unwrap();
    }

    #[tokio::test]
    async fn who_did_not_sign_is_anonymous() {
        let db = TestDb::sqlite().await;
        let store = db.open().await;
        let cloud = cloud(&db, &store, config(), Faults::none());
        let facts = RequestFacts::default();
        let call = S3Call {
            actor: None,
            facts: &facts,
            request_id: "r",
            name: "GetBucketAcl",
            bucket: "b",
            owner: Some("000000000001"),
            parameters: Value::Null,
        };
        let record = record_of(&cloud, call);
        assert_eq!(record.user_identity.account_id.as_deref(), Some("anonymous"));
        assert!(record.read_only && record.additional_event_data.get("SignatureVersion").is_none());
    }
}
