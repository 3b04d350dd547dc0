//! What another Mallee, or whoever has its key, may have this one write: requests as they come over HTTP.

use super::peers::Far;
use super::world::put;
use axum::body::Bytes;
use base64::Engine as _;
use futures::StreamExt as _;
use http::Method;
use mallee_objects::{Found, LockMode, Object, Properties, Retention, Tags, VersionId, VersionName};
use mallee_runtime::{FaultAction, Faults};
use mallee_s3::{PeerAnswer, PeerBody, PeerRequest, Peers as _};
use mallee_store::s3_outbox_due;
use mallee_store::test_support::TestDb;
use md5::Digest as _;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;
const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const HOOK: &str = "arn:aws:sns:r:111111111111:hook";
/// A request has been read but for its body, and it was decided that it may be done.
const DECIDED: &str = "walrus.decided";
/// The version that the tests write.
const VERSION: VersionId = VersionId::of_parts(-5, 7);

/// A request that writes that version of a key.
fn replica(far: &Far, method: Method, key: &str, more: &[(&str, &str)]) -> PeerRequest {
    let mut headers: Vec<_> = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    headers.push(("x-mallee-replica-version".to_owned(), VERSION.to_string()));
    headers.push(("x-mallee-replica-time".to_owned(), "5".to_owned()));
    if method == Method::PUT {
        let md5 = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(b"x"));
        headers.push(("content-md5".to_owned(), md5));
    }
    let body = PeerBody::Bytes(Bytes::from_static(if method == Method::PUT { b"x" } else { b"" }));
    let (bucket, now_ms) = ("to".to_owned(), far.world.db.clock.now_ms());
    PeerRequest { method, bucket, key: key.to_owned(), query: vec![], headers, body, now_ms }
}

async fn ask(far: &Far, request: PeerRequest) -> PeerAnswer {
    far.world.peers.send("far", request).await.unwrap()
}

/// Writes it; what is there then.
async fn written(far: &Far, key: &str, more: &[(&str, &str)]) -> Properties {
    let answer = ask(far, replica(far, Method::PUT, key, more)).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let which = Some(VersionName::from(VERSION)).into();
    let found = far.world.engine(Faults::none()).find("to", key, which).await.unwrap();
    let Some(Found::Object(Object { info, .. })) = found else { panic!("{found:?}") };
    info.properties
}

/// A governance retention becomes shorter for who may pass it by, and says so.
async fn retentions(db: TestDb) {
    let far = Far::new(db, "mallee").await;
    let engine = far.world.engine(Faults::none());
    let lock = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
    engine.set_document("to", "object-lock", "", lock, &|_| Ok(())).await.unwrap();
    let now_ms = engine.clock().now_ms() / 1000 * 1000;
    let put = async |hours: i64, bypass: &str| {
        let at = mallee_runtime::clock::from_unix_ms(now_ms + hours * HOUR_MS);
        let until = at.format(&time::format_description::well_known::Rfc3339).unwrap();
        let said = [
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", &until),
            ("x-amz-bypass-governance-retention", bypass),
        ];
        written(&far, "k", &said).await.retention
    };
    let of = |hours: i64| Some(Retention { mode: LockMode::Governance, until_ms: now_ms + hours * HOUR_MS });
    assert_eq!(put(10, "false").await, of(10));
    assert_eq!(put(2, "false").await, of(10), "it stays");
    assert_eq!(put(20, "false").await, of(20), "longer it may be");
    assert_eq!(put(2, "true").await, of(2));
    far.end().await;
}

/// What a request says nothing of stays; and what is public meets the block that was set while it came.
async fn lists(db: TestDb) {
    let far = Far::new(db, "mallee").await;
    let engine = far.world.engine(Faults::none());
    let set = async |kind: &str, text: &str| engine.set_document("to", kind, "", text, &|_| Ok(())).await.unwrap();
    set(
        "ownership-controls",
        "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
    )
    .await;
    set("public-access-block", "<PublicAccessBlockConfiguration/>").await;
    let public = format!("FULL_CONTROL owner,READ {ALL_USERS}");
    let tagged = ("x-amz-tagging", "a=b");
    let shown = written(&far, "k", &[("x-mallee-replica-list", &public), tagged]).await;
    assert!(shown.acl.as_ref().is_some_and(|list| list.contains(ALL_USERS)));
    let tags: Tags = [("a".to_owned(), "b".to_owned())].into_iter().collect();
    let again = written(&far, "k", &[]).await;
    assert_eq!((&again.acl, &again.tags), (&shown.acl, &tags), "nothing was said of them");
    assert_eq!(written(&far, "k", &[("x-mallee-replica-list", "FULL_CONTROL owner")]).await.acl, None);
    // The object's bytes take their time. (The one that is refused so is tried again, and refused for what it is.)
    let (goes_on, go) = tokio::sync::oneshot::channel::<()>();
    let first = futures::stream::once(async { Ok(Bytes::from_static(b"x")) });
    let rest = futures::stream::once(async move {
        drop(go.await);
        Ok(Bytes::from_static(b"y"))
    });
    let mut slow = replica(&far, Method::PUT, "slow", &[("x-mallee-replica-list", &public)]);
    slow.headers.retain(|(name, _)| name != "content-md5");
    slow.body = PeerBody::Stream(2, first.chain(rest).boxed());
    far.faults.arm(DECIDED, FaultAction::Delay(Duration::ZERO), 1);
    let (answer, ()) = tokio::join!(ask(&far, slow), async {
        while !far.faults.hit().iter().any(|point| point == DECIDED) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let block =
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
        set("public-access-block", block).await;
        goes_on.send(()).unwrap();
    });
    assert_eq!(answer.status, 409, "{answer:?}");
    let now = ask(&far, replica(&far, Method::PUT, "slow", &[("x-mallee-replica-list", &public)])).await;
    assert_eq!(now.status, 403, "{now:?}");
    far.end().await;
}

/// Whether a version with its id is written hangs on nothing else; and it is not of the future.
async fn what_is_refused(db: TestDb) {
    let far = Far::new(db, "mallee").await;
    for (method, name, value) in [
        (Method::PUT, "if-none-match", "*"),
        (Method::PUT, "if-match", "\"e\""),
        (Method::DELETE, "if-match", "\"e\""),
        (Method::DELETE, "x-amz-if-match-size", "1"),
    ] {
        let answer = ask(&far, replica(&far, method.clone(), "k", &[(name, value)])).await;
        assert_eq!(answer.status, 501, "{method} {name}: {answer:?}");
    }
    for method in [Method::PUT, Method::DELETE] {
        let mut late = replica(&far, method.clone(), "k", &[]);
        late.headers.retain(|(name, _)| name != "x-mallee-replica-time");
        late.headers.push(("x-mallee-replica-time".to_owned(), i64::MAX.to_string()));
        assert_eq!(ask(&far, late).await.status, 409, "{method}");
    }
    assert!(super::world::versions(&far.world.engine(Faults::none()), "to", "").await.is_empty());
    far.end().await;
}

/// Who is told of what was written is told whose request it was.
async fn whose_request_it_was(db: TestDb) {
    let far = Far::new(db, "mallee").await;
    let engine = far.world.engine(Faults::none());
    let text = format!(
        "<NotificationConfiguration><TopicConfiguration><Topic>{HOOK}</Topic><Event>s3:ObjectCreated:*</Event>\
         <Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>"
    );
    engine.set_document("to", "notification", "", &text, &|_| Ok(())).await.unwrap();
    for (method, key) in [(Method::PUT, "object"), (Method::DELETE, "marker")] {
        let answer = ask(&far, replica(&far, method, key, &[])).await;
        let id = answer.headers["x-amz-request-id"].to_str().unwrap();
        let told = s3_outbox_due(&far.world.store, HOOK, engine.clock().now_ms(), 100).await.unwrap();
        let one = told.iter().find(|row| row.key.0 == key).unwrap_or_else(|| panic!("{told:?}"));
        for said in [id, "\"sourceIPAddress\":\"127.0.0.1\"", "111111111111"] {
            assert!(one.doc.contains(said), "{said}: {}", one.doc);
        }
    }
    // It goes no further for all that.
    put(&engine, "from", "ours", b"1").await.unwrap();
    assert_eq!(far.world.waiting().await, 1);
    far.end().await;
}

mallee_store::store_test_suite!(retentions, lists, what_is_refused, whose_request_it_was);
