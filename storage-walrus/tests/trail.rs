//! What the audit trail is told of S3: a call that manages buckets is written down before it changes anything, and its
//! outcome is told, whoever hangs up. Nothing is changed where it cannot be written down.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod inside;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use inside::Inside;
use mallee_awswire::sigv4::{Fault, SignedRequest};
use mallee_awswire::{ApiError, Code};
use mallee_runtime::{FaultAction, Shutdown, TaskScope};
use mallee_walrus::{Authority, Caller, Case, Engine, Event, Identified, Identity, Judgement, SecondFactor};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use time::OffsetDateTime;

const ACCOUNT: &str = "111111111111";
const LONG: Duration = Duration::from_millis(300);

/// Whoever is not nobody is the root of the account; and may everything of what is not kept.
#[derive(Debug, Default)]
struct Told {
    log: Mutex<Vec<String>>,
    /// What was told last.
    last: Mutex<Option<Last>>,
    refuses: AtomicBool,
    /// Nobody signs any more.
    nobody: AtomicBool,
    /// Everything is kept from everybody.
    keeps: AtomicBool,
    judged: AtomicUsize,
    engine: OnceLock<Engine>,
}

#[derive(Debug, PartialEq)]
struct Last {
    owner: Option<String>,
    allowed: bool,
    parameters: Value,
}

#[derive(Debug, Clone, Default)]
struct Everybody(Arc<Told>);

struct Root(Arc<Told>, Option<Caller>);

#[async_trait]
impl Authority for Everybody {
    async fn identify(&self, _: &SignedRequest<'_>, _: OffsetDateTime) -> Result<Option<Identified>, Fault> {
        Ok(None)
    }

    fn nobody(&self) -> Arc<dyn Identity> {
        let caller = Caller { account: ACCOUNT.to_owned(), arn: format!("arn:aws:iam::{ACCOUNT}:root"), root: true };
        Arc::new(Root(self.0.clone(), Some(caller).filter(|_| !self.0.nobody.load(Ordering::Relaxed))))
    }

    async fn principals(&self, names: &[String]) -> Result<Vec<bool>, ApiError> {
        Ok(vec![true; names.len()])
    }

    async fn role(&self, _: &str, _: &str, _: &str) -> Result<Option<Arc<dyn Identity>>, ApiError> {
        Ok(None)
    }
}

#[async_trait]
impl Identity for Root {
    fn caller(&self) -> Option<&Caller> {
        self.1.as_ref()
    }

    async fn judge(&self, case: &Case<'_>) -> Result<Judgement, ApiError> {
        self.0.judged.fetch_add(1, Ordering::Relaxed);
        let refusal = self.0.keeps.load(Ordering::Relaxed).then(|| "Access Denied".to_owned());
        Ok(Judgement { refusals: vec![refusal; case.questions.len()], ..Judgement::default() })
    }

    async fn prove(&self, _: &SecondFactor<'_>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn begin(&self, event: &Event<'_>) -> Result<(), ApiError> {
        if self.0.refuses.load(Ordering::Relaxed) {
            return Err(Code::ServiceUnavailable.error());
        }
        // Its effect is not there yet.
        let bucket = self.0.engine.get().unwrap().bucket(event.bucket).await;
        let rev = bucket.map_or(0, |bucket| bucket.rev);
        self.0.log.lock().unwrap().push(format!("begin {} {rev}", event.name));
        self.0.keep(event);
        Ok(())
    }

    async fn record(&self, event: &Event<'_>, begun: bool, error: Option<&ApiError>) {
        let code = error.map_or("ok", |error| error.code().as_str());
        let how = if begun { "end" } else { "whole" };
        self.0.keep(event);
        self.0.log.lock().unwrap().push(format!("{how} {} {code}", event.name));
    }
}

impl Told {
    fn keep(&self, event: &Event<'_>) {
        let (owner, parameters) = (event.owner.map(str::to_owned), event.parameters.clone());
        *self.last.lock().unwrap() = Some(Last { owner, allowed: event.allowed, parameters });
    }
}

struct World {
    told: Arc<Told>,
    inside: Inside,
    scope: TaskScope,
}

impl World {
    async fn new() -> Self {
        let authority = Everybody::default();
        let told = authority.0.clone();
        let inside = Inside::open(Arc::new(authority)).await;
        told.engine.set(inside.engine().clone()).unwrap();
        let scope = TaskScope::new(&Shutdown::new());
        inside.walrus.s3().run_in(&scope);
        Self { told, inside, scope }
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.log.lock().unwrap())
    }

    /// Whose what the last event was about is, and whether it was allowed.
    fn last(&self) -> (Option<String>, bool) {
        let last = self.told.last.lock().unwrap().take().unwrap();
        (last.owner, last.allowed)
    }

    /// A request whose body never comes.
    fn pending(&self, method: &str, path: &str) -> impl Future<Output = StatusCode> + Send + 'static {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::builder().method(method).uri(path).header("host", "s3.test");
        let request = request.header("content-length", TAGS.len()).body(body).unwrap();
        let s3 = self.inside.walrus.s3().clone();
        async move { s3.handle(request).await.status() }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> StatusCode {
        self.inside.send(method, path, body, &[]).await.0
    }
}

const LIFECYCLE: &str = "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter/><Expiration>\
                         <Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
const BLOCK: &str =
    "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls></PublicAccessBlockConfiguration>";
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111111111111"},
    "Action":"s3:*","Resource":"arn:aws:s3:::bkt"}]}"#;
const ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                          <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
                          </ServerSideEncryptionConfiguration>";
const CORS: &str = "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>\
                    </CORSRule></CORSConfiguration>";
const WEBSITE: &str = "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>";
const LOCK: &str = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
const PAYMENT: &str = "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>";
const VERSIONING: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const OWNERSHIP: &str =
    "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
const TAGS: &str = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
const NOTIFY: &str = "<NotificationConfiguration></NotificationConfiguration>";
const LOGGING: &str = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>bkt</TargetBucket><TargetPrefix>p</TargetPrefix>\
                       </LoggingEnabled></BucketLoggingStatus>";
const ACL: &str = "<AccessControlPolicy><AccessControlList></AccessControlList></AccessControlPolicy>";
const DURABILITY: &str = "<DurabilityConfiguration><Durability>relaxed</Durability></DurabilityConfiguration>";

/// Changes of a bucket, by what CloudTrail calls them. They are made in this order.
const CHANGES: &[(&str, &str, &str, &str)] = &[
    ("PUT", "/bkt", "", "CreateBucket"),
    ("PUT", "/bkt?lifecycle", LIFECYCLE, "PutBucketLifecycle"),
    ("DELETE", "/bkt?lifecycle", "", "DeleteBucketLifecycle"),
    ("PUT", "/bkt?publicAccessBlock", BLOCK, "PutBucketPublicAccessBlock"),
    ("DELETE", "/bkt?publicAccessBlock", "", "DeleteBucketPublicAccessBlock"),
    ("PUT", "/bkt?policy", POLICY, "PutBucketPolicy"),
    ("DELETE", "/bkt?policy", "", "DeleteBucketPolicy"),
    ("PUT", "/bkt?encryption", ENCRYPTION, "PutBucketEncryption"),
    ("DELETE", "/bkt?encryption", "", "DeleteBucketEncryption"),
    ("PUT", "/bkt?cors", CORS, "PutBucketCors"),
    ("DELETE", "/bkt?cors", "", "DeleteBucketCors"),
    ("PUT", "/bkt?website", WEBSITE, "PutBucketWebsite"),
    ("DELETE", "/bkt?website", "", "DeleteBucketWebsite"),
    ("PUT", "/bkt?tagging", TAGS, "PutBucketTagging"),
    ("DELETE", "/bkt?tagging", "", "DeleteBucketTagging"),
    ("PUT", "/bkt?notification", NOTIFY, "PutBucketNotification"),
    ("PUT", "/bkt?logging", LOGGING, "PutBucketLogging"),
    ("PUT", "/bkt?requestPayment", PAYMENT, "PutBucketRequestPayment"),
    ("PUT", "/bkt?ownershipControls", OWNERSHIP, "PutBucketOwnershipControls"),
    ("PUT", "/bkt?acl", ACL, "PutBucketAcl"),
    ("DELETE", "/bkt?ownershipControls", "", "DeleteBucketOwnershipControls"),
    ("PUT", "/bkt?x-mallee-durability", DURABILITY, "PutBucketDurability"),
    ("PUT", "/bkt?versioning", VERSIONING, "PutBucketVersioning"),
    ("PUT", "/bkt?object-lock", LOCK, "PutBucketObjectLockConfiguration"),
    ("DELETE", "/bkt", "", "DeleteBucket"),
];

#[tokio::test]
async fn every_change_is_written_down_before_it_is_made() {
    let world = World::new().await;
    let engine = world.inside.walrus.engine();
    for (method, path, body, name) in CHANGES {
        let before = engine.bucket("bkt").await.map_or(0, |bucket| bucket.rev);
        // Where it cannot be written down it is not done.
        world.told.refuses.store(true, Ordering::Relaxed);
        assert_eq!(world.send(method, path, body).await, StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert_eq!(engine.bucket("bkt").await.map_or(0, |bucket| bucket.rev), before, "{name}");
        assert_eq!(world.log(), [format!("whole {name} ServiceUnavailable")]);
        world.told.refuses.store(false, Ordering::Relaxed);
        let status = world.send(method, path, body).await;
        assert!(status.is_success(), "{name}: {status}");
        assert_eq!(world.log(), [format!("begin {name} {before}"), format!("end {name} ok")]);
        let last = world.told.last.lock().unwrap().take().unwrap();
        assert_eq!((last.owner.as_deref(), last.allowed), (Some(ACCOUNT), true), "{name}");
        assert_eq!(last.parameters["bucketName"], "bkt");
        assert!(last.parameters.get("body").is_none(), "{name}: {}", last.parameters);
        assert_ne!(engine.bucket("bkt").await.map_or(0, |bucket| bucket.rev), before, "{name}");
    }
}

#[tokio::test]
async fn what_only_looks_and_what_is_refused_is_told_once() {
    let world = World::new().await;
    world.send("PUT", "/bkt", "").await;
    drop(world.log());
    for (method, path, body, expected) in [
        ("GET", "/", "", "whole ListBuckets ok"),
        ("GET", "/bkt?location", "", "whole GetBucketLocation ok"),
        ("GET", "/bkt?cors", "", "whole GetBucketCors NoSuchCORSConfiguration"),
        ("PUT", "/none?cors", CORS, "whole PutBucketCors NoSuchBucket"),
    ] {
        world.send(method, path, body).await;
        assert_eq!(world.log(), [expected]);
    }
    // What is wrong is read, and so written down, before it is seen to be wrong.
    world.send("PUT", "/bkt?cors", "<no").await;
    assert_eq!(world.log(), ["begin PutBucketCors 1", "end PutBucketCors MalformedXML"]);
    for (method, path, body) in [
        ("HEAD", "/bkt", ""),
        ("GET", "/bkt", ""),
        ("GET", "/bkt?uploads", ""),
        ("PUT", "/bkt/k", "text"),
        ("GET", "/bkt/k", ""),
        ("PUT", "/bkt/k?tagging", TAGS),
        ("DELETE", "/bkt/k", ""),
    ] {
        assert!(world.send(method, path, body).await.is_success(), "{method} {path}");
        assert_eq!(world.log(), [""; 0], "{method} {path}");
    }
}

#[tokio::test]
async fn who_hangs_up_leaves_no_change_without_its_record() {
    let world = World::new().await;
    world.inside.faults.arm("walrus.managed.begun", FaultAction::Delay(LONG), 1);
    let sent = tokio::time::timeout(LONG / 3, world.send("PUT", "/bkt", ""));
    assert!(sent.await.is_err(), "the caller went away first");
    assert!(world.inside.walrus.engine().bucket("bkt").await.is_err());
    for _ in 0..100 {
        if world.told.log.lock().unwrap().len() == 2 {
            break;
        }
        tokio::time::sleep(LONG / 10).await;
    }
    assert_eq!(world.log(), ["begin CreateBucket 0", "end CreateBucket ok"]);
    assert!(world.inside.walrus.engine().bucket("bkt").await.is_ok());
    world.scope.kill().await;
}

/// More calls than may be under way at once.
const MANY: usize = 5000;

#[tokio::test]
async fn who_does_not_send_keeps_nobody_from_changing_anything() {
    let world = World::new().await;
    world.send("PUT", "/bkt", "").await;
    let before = world.told.judged.load(Ordering::Relaxed);
    let waiting: Vec<_> = (0..MANY).map(|_| tokio::spawn(world.pending("PUT", "/bkt?tagging"))).collect();
    while world.told.judged.load(Ordering::Relaxed) < before + MANY {
        tokio::time::sleep(LONG / 30).await;
    }
    drop(world.log());
    let sent = tokio::time::timeout(LONG * 10, world.send("PUT", "/bkt?tagging", TAGS)).await;
    assert_eq!(sent, Ok(StatusCode::NO_CONTENT), "it waits for those who do not send");
    assert_eq!(world.log(), ["begin PutBucketTagging 1", "end PutBucketTagging ok"]);
    assert!(waiting.iter().all(|call| !call.is_finished()));
    world.scope.kill().await;
}

#[tokio::test]
async fn nobody_makes_a_bucket_and_is_told_so_before_he_sends() {
    let world = World::new().await;
    world.told.nobody.store(true, Ordering::Relaxed);
    let sent = tokio::time::timeout(LONG * 10, world.pending("PUT", "/bkt")).await;
    assert_eq!(sent, Ok(StatusCode::FORBIDDEN));
    assert_eq!(world.log(), ["whole CreateBucket AccessDenied"]);
    assert_eq!(world.last(), (None, false));
}

#[tokio::test]
async fn whose_a_bucket_is_is_told_as_far_as_it_is_known() {
    let world = World::new().await;
    let (other, own) = (Some("222222222222".to_owned()), Some(ACCOUNT.to_owned()));
    let engine = world.inside.walrus.engine();
    engine.create_bucket("theirs", "222222222222", "local").await.unwrap();
    for (method, path, body, refused, expected) in [
        ("GET", "/", "", false, (own.clone(), true)),
        ("PUT", "/theirs?tagging", TAGS, false, (other.clone(), true)),
        ("PUT", "/theirs?tagging", TAGS, true, (other.clone(), false)),
        ("PUT", "/none?tagging", TAGS, false, (None, false)),
        // Whose it is that has the name already was not asked.
        ("PUT", "/theirs", "", false, (None, true)),
        ("PUT", "/ours", "", true, (None, false)),
        ("PUT", "/ours", "", false, (own.clone(), true)),
    ] {
        world.told.keeps.store(refused, Ordering::Relaxed);
        world.send(method, path, body).await;
        assert_eq!(world.last(), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_does_not_pass_for_something_else() {
    let world = World::new().await;
    world.send("PUT", "/bkt", "").await;
    let sent = world.send("PUT", "/bkt?tagging&Host=other", "<bucketName>other</bucketName>").await;
    assert_eq!(sent, StatusCode::BAD_REQUEST);
    let last = world.told.last.lock().unwrap().take().unwrap();
    let expected = json!({ "bucketName": "bkt", "Host": "s3.test", "tagging": "", "body": { "bucketName": "other" } });
    assert_eq!(last.parameters, expected);
}
