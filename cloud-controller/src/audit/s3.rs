//! Records of calls of S3 that manage buckets: the caller's, and where it was allowed to work on another account's bucket,
//! that account's, too (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>,
//! `sharedEventID`). S3 itself runs in this process, or in a Walrus of its own: see [`super::lent`].

use super::{Call, Said, Trail, draft};
use mallee_app::{Actor, Cloud, RequestFacts};
use mallee_audit::{JournalError, Record, Resource, UserIdentity, parameters};
use mallee_awswire::{ApiError, Code};
use serde_json::{Value, json};

/// CloudTrail's name of S3.
pub(super) const SOURCE: &str = "s3.amazonaws.com";
/// CloudFormation's name of a bucket's kind.
const BUCKET: &str = "AWS::S3::Bucket";
/// The kind of a caller of whom no more is known than the account.
const ACCOUNT: &str = "AWSAccount";

/// One call.
pub(crate) struct S3Call<'a> {
    /// Who; none when nobody signed, or their key is gone meanwhile.
    pub(crate) actor: Option<&'a Actor>,
    /// The account of whoever signed, where no more is known of them.
    pub(crate) account: Option<&'a str>,
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
    /// It was decided that it may be done.
    pub(crate) allowed: bool,
    /// What it asks.
    pub(crate) parameters: Value,
}

/// The records of a call, up to its outcome. The first is its caller's; that of somebody unknown is the bucket's owner's.
pub(crate) fn records_of(cloud: &Cloud, call: S3Call<'_>) -> Vec<Record> {
    let S3Call { actor, account, facts, request_id, name, bucket, owner, allowed, parameters } = call;
    let said = Said::Form(None);
    let mut record = draft(cloud, &Call { service: "s3", action: name, said, actor, facts, request_id });
    record.request_parameters = parameters::shown_as_is(parameters);
    if actor.is_none() {
        record.recipient_account_id = account.or(owner).unwrap_or_default().to_owned();
        record.user_identity.account_id = account.map(str::to_owned);
    }
    let mut more = json!({ "x-amz-id-2": request_id });
    if facts.access_key_id.is_none() {
        record.user_identity = UserIdentity {
            kind: ACCOUNT.to_owned(),
            principal_id: Some(String::new()),
            account_id: Some("anonymous".to_owned()),
            ..UserIdentity::default()
        };
    } else {
        more["SignatureVersion"] = Value::from(if facts.sigv2 { "SigV2" } else { "SigV4" });
        more["AuthenticationMethod"] = Value::from(if facts.presigned { "QueryString" } else { "AuthHeader" });
    }
    record.additional_event_data = more;
    let strange = owner.filter(|owner| *owner != record.recipient_account_id);
    if !bucket.is_empty() {
        record.resources = vec![Resource {
            kind: BUCKET.to_owned(),
            name: bucket.to_owned(),
            arn: Some(format!("arn:aws:s3:::{bucket}")),
            // Whose it is is nothing to those who may not do what they ask.
            account_id: owner.filter(|_| allowed || strange.is_none()).map(str::to_owned),
        }];
    }
    let Some(owner) = strange.filter(|_| allowed) else { return vec![record] };
    record.shared_event_id = Some(cloud.rng().uuid());
    let theirs = Record {
        event_id: cloud.rng().uuid(),
        recipient_account_id: owner.to_owned(),
        user_identity: abroad(&record.user_identity),
        ..record.clone()
    };
    vec![record, theirs]
}

/// A caller as other accounts are told of it: not by its name there.
fn abroad(caller: &UserIdentity) -> UserIdentity {
    let UserIdentity { principal_id, account_id, .. } = caller.clone();
    UserIdentity { kind: ACCOUNT.to_owned(), principal_id, account_id, ..UserIdentity::default() }
}

/// The record as it is told: the text of a refusal names the caller, which is nothing to other accounts.
pub(super) fn discreet(mut record: Record) -> Record {
    let caller = record.user_identity.account_id.as_deref();
    let is_theirs = record.shared_event_id.is_some() && caller != Some(record.recipient_account_id.as_str());
    if is_theirs && record.error_code.as_deref() == Some(Code::AccessDenied.as_str()) {
        record.error_message = Some("Access Denied".to_owned());
    }
    record
}

/// The answer where a call cannot be written down.
pub(crate) fn not_written(error: &JournalError) -> ApiError {
    tracing::error!(%error, "a call of S3 is refused: it cannot be written down");
    Code::ServiceUnavailable.message("The request cannot be recorded now. Please try again.")
}

impl Trail {
    /// As [`Trail::begin`], for a call that must not be done otherwise.
    ///
    /// # Errors
    /// When it could not be written.
    pub(crate) fn begin_surely(&self, drafts: &[Record]) -> Result<(), JournalError> {
        self.journal.begin_all(drafts)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mallee_app::OpContext;
    use mallee_app::audit::{LookupQuery, index, lookup};
    use mallee_app::test_support::{cloud, config};
    use mallee_audit::{Position, read};
    use mallee_runtime::Faults;
    use mallee_store::test_support::TestDb;
    use std::path::Path;
    use std::sync::Arc;

    const OWNER: &str = "000000000001";
    const OTHER: &str = "000000000002";

    pub(in crate::audit) struct World {
        pub cloud: Arc<Cloud>,
        pub trail: Trail,
        pub dir: tempfile::TempDir,
        _db: TestDb,
    }

    impl World {
        pub async fn new() -> Self {
            let db = TestDb::sqlite().await;
            let store = db.open().await;
            let cloud = cloud(&db, &store, config(), Faults::none());
            let dir = tempfile::tempdir().unwrap();
            let trail = Trail::open(dir.path()).await.unwrap();
            Self { cloud, trail, dir, _db: db }
        }

        /// Of a DeleteBucket by whoever has a key that is not known, or is known to be somebody of an account.
        pub fn records(&self, request_id: &str, account: Option<&str>, allowed: bool) -> Vec<Record> {
            let facts = RequestFacts { access_key_id: Some("AKIA".into()), sigv2: true, ..RequestFacts::default() };
            let actor = account.map(|account| Actor::root(account.parse().unwrap(), false));
            let call = S3Call {
                actor: actor.as_ref(),
                account: None,
                facts: &facts,
                request_id,
                name: "DeleteBucket",
                bucket: "b",
                owner: Some(OWNER),
                allowed,
                parameters: json!({ "bucketName": "b" }),
            };
            records_of(&self.cloud, call)
        }
    }

    /// All that a trail says.
    pub(in crate::audit) fn said(directory: &Path) -> Vec<Record> {
        read::since(directory, Position::default(), usize::MAX).unwrap().0
    }

    #[tokio::test]
    async fn no_more_is_begun_than_can_be_written_down() {
        let world = World::new().await;
        let draft = |n: usize| {
            let mut drafts = world.records(&format!("r{n}"), Some(OWNER), true);
            drafts[0].request_parameters = json!({ "policy": "x".repeat(90_000) });
            drafts
        };
        let begun = (0..4096).take_while(|n| world.trail.lend(draft(*n)).is_ok()).count();
        assert!((500..800).contains(&begun), "{begun} notes of 90 kB");
        let error = world.trail.begin_surely(&draft(begun)).unwrap_err();
        assert_eq!(not_written(&error).code(), Code::ServiceUnavailable);
        drop(world.trail.take_back("r0"));
        world.trail.record_all(&world.cloud, draft(0), Ok("")).await;
        world.trail.begin_surely(&draft(begun)).unwrap();
    }

    #[tokio::test]
    async fn who_did_not_sign_is_anonymous() {
        let world = World::new().await;
        let facts = RequestFacts::default();
        let call = S3Call {
            actor: None,
            account: None,
            facts: &facts,
            request_id: "r",
            name: "GetBucketAcl",
            bucket: "b",
            owner: Some(OWNER),
            allowed: false,
            parameters: Value::Null,
        };
        let records = records_of(&world.cloud, call);
        let record = &records[0];
        assert_eq!(record.user_identity.account_id.as_deref(), Some("anonymous"));
        assert!(record.read_only && record.additional_event_data.get("SignatureVersion").is_none());
        // It is the owner who is told.
        assert_eq!((records.len(), record.recipient_account_id.as_str()), (1, OWNER));
        assert_eq!(record.resources[0].account_id.as_deref(), Some(OWNER));
    }

    #[tokio::test]
    async fn both_accounts_are_told_of_what_one_does_to_the_others() {
        let world = World::new().await;
        let World { cloud, trail, dir, .. } = &world;
        trail.begin_surely(&world.records("r", Some(OTHER), true)).unwrap();
        trail.record_all(cloud, world.records("r", Some(OTHER), true), Ok("")).await;
        let found = said(dir.path());
        let [theirs, owners] = found.as_slice() else { panic!("{found:?}") };
        let told = [theirs, owners].map(|record| record.recipient_account_id.as_str());
        assert_eq!(told, [OTHER, OWNER]);
        assert!(theirs.shared_event_id.is_some() && theirs.shared_event_id == owners.shared_event_id);
        assert!(theirs.event_id != owners.event_id && theirs.request_id == owners.request_id);
        for record in [theirs, owners] {
            assert_eq!(record.resources[0].account_id.as_deref(), Some(OWNER));
            assert_eq!(record.request_parameters["bucketName"], "b");
        }
        // To others a caller has no name.
        let who = &owners.user_identity;
        assert_eq!((theirs.user_identity.kind.as_str(), who.kind.as_str()), ("Root", "AWSAccount"));
        assert_eq!(
            (who.account_id.as_deref(), who.arn.as_deref(), who.access_key_id.as_deref()),
            (Some(OTHER), None, None)
        );
        index(cloud, dir.path()).await.unwrap();
        for (account, event) in [(OWNER, owners), (OTHER, theirs)] {
            let cx = OpContext::new(Actor::root(account.parse().unwrap(), false), "");
            let all = LookupQuery { attribute: None, from_ms: None, to_ms: None, limit: 10, before: None };
            let page = lookup(cloud, &cx, &all).await.unwrap();
            let ids: Vec<_> = page.events.iter().map(|(row, _)| row.id.as_str()).collect();
            assert_eq!(ids, [event.event_id.as_str()]);
        }
    }

    /// What was allowed, may be refused in the midst of it: by a right that it needs besides.
    #[tokio::test]
    async fn the_text_of_a_refusal_names_its_caller_to_nobody_else() {
        let world = World::new().await;
        let World { cloud, trail, dir, .. } = &world;
        let text = "User: arn:aws:iam::000000000002:user/alice is not authorized to perform: iam:PassRole";
        let error = Code::AccessDenied.message(text);
        trail.record_all(cloud, world.records("r", Some(OTHER), true), Err(&error)).await;
        trail.record_all(cloud, world.records("own", Some(OWNER), true), Err(&error)).await;
        let found = said(dir.path());
        let [theirs, owners, own] = found.as_slice() else { panic!("{found:?}") };
        for (record, account) in [(theirs, OTHER), (own, OWNER)] {
            assert_eq!((record.recipient_account_id.as_str(), record.error_message.as_deref()), (account, Some(text)));
        }
        assert_eq!(owners.recipient_account_id, OWNER);
        assert_eq!(owners.error_code.as_deref(), Some("AccessDenied"));
        assert!(!serde_json::to_string(owners).unwrap().contains("alice"), "{owners:?}");
    }

    #[tokio::test]
    async fn who_is_refused_is_not_told_whose_a_bucket_is() {
        let world = World::new().await;
        let records = world.records("r", Some(OTHER), false);
        assert_eq!((records.len(), records[0].recipient_account_id.as_str()), (1, OTHER));
        assert!(!serde_json::to_string(&records).unwrap().contains(OWNER), "{records:?}");
        // Of its own one it knows.
        let own = world.records("r", Some(OWNER), false);
        assert_eq!((own.len(), own[0].resources[0].account_id.as_deref()), (1, Some(OWNER)));
        assert!(own[0].shared_event_id.is_none());
    }
}
