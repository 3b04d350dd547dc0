//! Replication into a store that is no Mallee, and that answers as the tests bid it.

use super::world::{World, put, served, service, state};
use async_trait::async_trait;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mallee_objects::{COMPLETED, FAILED, PENDING};
use mallee_runtime::Faults;
use mallee_s3::{PeerAnswer, PeerBody, PeerRequest, PeerTraits, Unreplicated};
use mallee_store::test_support::TestDb;
use md5::Digest as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const ENABLED: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const BEGUN: &str = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
const WHOLE: &str = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
const SKEWED: &str = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
const GONE: &str = "<Error><Code>NoSuchUpload</Code></Error>";
/// Stands for an object there that somebody else has written.
const OTHER: &str = "another";
const CAME_FROM: &str = "x-amz-meta-mallee-version";
/// An object that goes in two parts.
const LARGE: usize = (64 << 20) + 1;

/// What it answers, to what, and how often it was asked that before; `None`: as a store does that takes everything.
type Manner = Box<dyn Fn(&str, u32) -> Option<(u16, &'static str)> + Send + Sync>;

/// The store.
struct Bidden {
    manner: Manner,
    /// How often it was asked what.
    asked: Mutex<HashMap<String, u32>>,
    /// Bytes of all parts that it took.
    taken: Mutex<usize>,
    /// The metadata by which it was told what it was given last.
    told: Mutex<Option<HeaderValue>>,
}

impl Bidden {
    fn new(manner: impl Fn(&str, u32) -> Option<(u16, &'static str)> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            manner: Box::new(manner),
            asked: Mutex::default(),
            taken: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn asked(&self, what: &str) -> u32 {
        self.asked.lock().unwrap().get(what).copied().unwrap_or_default()
    }
}

#[async_trait]
impl mallee_s3::Peers for Bidden {
    fn find(&self, _: &str) -> Option<PeerTraits> {
        Some(PeerTraits::default())
    }

    async fn send(&self, _: &str, request: PeerRequest) -> Result<PeerAnswer, Unreplicated> {
        let names: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}{value}")).collect();
        let what = format!("{} {}", request.method, names.first().map_or("", String::as_str));
        let mut size = 0;
        if let PeerBody::Stream(_, mut data) = request.body {
            while let Some(data) = data.next().await {
                size += data.unwrap().len();
            }
        }
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(what.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let usual = match what.as_str() {
            "GET versioning" => (200, ENABLED),
            "HEAD " => (404, ""),
            "POST uploads" => (200, BEGUN),
            "POST uploadIdu" => (200, WHOLE),
            _ => (200, ""),
        };
        let (status, body) = (self.manner)(&what, before).unwrap_or(usual);
        let mut headers = HeaderMap::new();
        if let Some((_, value)) = request.headers.iter().find(|(name, _)| name == CAME_FROM) {
            *self.told.lock().unwrap() = Some(HeaderValue::from_str(value).unwrap());
        }
        if status == 200 && request.method == Method::HEAD && body != OTHER {
            headers.extend(self.told.lock().unwrap().clone().map(|told| (HeaderName::from_static(CAME_FROM), told)));
        }
        if status == 200 {
            *self.taken.lock().unwrap() += size;
            headers.insert("etag", HeaderValue::from_static("\"e\""));
            // A body that begins so stands for an answer without a version.
            if !body.starts_with("<html") && request.method != Method::GET {
                headers.insert(HeaderName::from_static("x-amz-version-id"), HeaderValue::from_static("v"));
            }
        }
        Ok(PeerAnswer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.as_bytes().into() })
    }
}

async fn world(db: TestDb) -> World {
    World::new(db, "arn:aws:s3:far::to").await
}

/// Brings what waits; how it went with an object.
async fn brought(world: &World, store: &Arc<Bidden>, key: &str) -> Option<String> {
    world.db.clock.shift_ms(60_000);
    world.replicator_into(store.clone()).round().await.unwrap();
    world.db.clock.shift_ms(60_000);
    state(&world.engine(Faults::none()), "from", key).await
}

/// Each part is refused once, and the end: the upload goes on, and what has arrived is not sent again.
async fn a_part_that_fails_is_sent_again(db: TestDb) {
    let world = world(db).await;
    put(&world.engine(Faults::none()), "from", "k", &vec![7; LARGE]).await.unwrap();
    let store = Bidden::new(|what, before| match what {
        "PUT partNumber1" | "PUT partNumber2" if before == 0 => Some((503, "")),
        "POST uploadIdu" if before == 0 => Some((200, "<Error><Code>InternalError</Code></Error>")),
        _ => None,
    });
    assert_eq!(brought(&world, &store, "k").await.as_deref(), Some(COMPLETED));
    assert_eq!((store.asked("POST uploads"), store.asked("DELETE uploadIdu")), (1, 0), "one upload");
    for what in ["PUT partNumber1", "PUT partNumber2", "POST uploadIdu"] {
        assert_eq!(store.asked(what), 2, "{what}");
    }
    assert_eq!(*store.taken.lock().unwrap(), LARGE);
}

/// A store that has forgotten an upload is not asked for it again and again: another one is begun.
async fn an_upload_that_is_gone_begins_anew(db: TestDb) {
    let world = world(db).await;
    for (key, gone) in [("part", "PUT partNumber2"), ("end", "POST uploadIdu")] {
        put(&world.engine(Faults::none()), "from", key, &vec![7; LARGE]).await.unwrap();
        let store = Bidden::new(move |what, before| (what == gone && before == 0).then_some((404, GONE)));
        assert_eq!(brought(&world, &store, key).await.as_deref(), Some(PENDING), "{key}");
        assert_eq!((store.asked(gone), store.asked("POST uploads"), store.asked("DELETE uploadIdu")), (1, 1, 1));
        assert_eq!(brought(&world, &store, key).await.as_deref(), Some(COMPLETED), "{key}");
        assert_eq!((store.asked(gone), store.asked("POST uploads"), store.asked("DELETE uploadIdu")), (2, 2, 1));
    }
}

/// What a store says must say that a version was written.
async fn a_success_that_says_nothing_is_none(db: TestDb) {
    let world = world(db).await;
    let engine = world.engine(Faults::none());
    put(&engine, "from", "small", b"1").await.unwrap();
    let store = Bidden::new(|what, _| (what == "PUT ").then_some((200, "<html>Hello</html>")));
    assert_eq!(brought(&world, &store, "small").await.as_deref(), Some(FAILED));
    put(&engine, "from", "large", &vec![7; LARGE]).await.unwrap();
    let store = Bidden::new(|what, _| (what == "POST uploadIdu").then_some((200, "<Hello/>")));
    assert_eq!(brought(&world, &store, "large").await.as_deref(), Some(FAILED));
    assert_eq!(store.asked("DELETE uploadIdu"), 1, "nothing is left behind");
    // Some name the version only when they are asked what is there.
    put(&engine, "from", "later", b"1").await.unwrap();
    let store = Bidden::new(|what, before| match what {
        "PUT " => Some((200, "<html>Hello</html>")),
        "HEAD " if before > 0 => Some((200, "")),
        _ => None,
    });
    assert_eq!(brought(&world, &store, "later").await.as_deref(), Some(COMPLETED));
    // Another object, or what has no versions, is not what was brought.
    for (key, there, ends) in [("other", OTHER, PENDING), ("none", "<html>Hello</html>", FAILED)] {
        put(&engine, "from", key, b"1").await.unwrap();
        let store = Bidden::new(move |what, before| match what {
            "PUT " => Some((200, "<html>Hello</html>")),
            "HEAD " if before > 0 => Some((200, there)),
            _ => None,
        });
        assert_eq!(brought(&world, &store, key).await.as_deref(), Some(ends), "{key}");
    }
}

/// The refusal of a HEAD has no body; the reason is found out.
async fn why_a_head_was_refused(db: TestDb) {
    let world = world(db).await;
    put(&world.engine(Faults::none()), "from", "k", b"1").await.unwrap();
    // The clock jumps behind the first question.
    let store = Bidden::new(|what, before| match what {
        "HEAD " => Some((403, "")),
        "GET versioning" if before > 0 => Some((403, SKEWED)),
        _ => None,
    });
    assert_eq!(brought(&world, &store, "k").await.as_deref(), Some(PENDING));
    let store = Bidden::new(|what, _| (what == "HEAD ").then_some((403, "")));
    assert_eq!(brought(&world, &store, "k").await.as_deref(), Some(FAILED), "it may not be read");
}

fn rules(peers: usize) -> Vec<u8> {
    let rule = |n: usize| {
        format!(
            "<Rule><ID>r{n}</ID><Priority>{n}</Priority><Filter/><Status>Enabled</Status><Destination><Bucket>\
             arn:aws:s3:far::bucket-{n}</Bucket></Destination><DeleteMarkerReplication><Status>Disabled</Status>\
             </DeleteMarkerReplication></Rule>"
        )
    };
    let all: String = (1..=peers).map(rule).collect();
    let role = format!("arn:aws:iam::{}:role/r", super::world::ACCOUNT);
    format!("<ReplicationConfiguration><Role>{role}</Role>{all}</ReplicationConfiguration>").into_bytes()
}

/// Who puts rules has few buckets elsewhere asked, and none without a role.
async fn few_buckets_elsewhere_are_asked(db: TestDb) {
    let world = world(db).await;
    let store = Bidden::new(|_, _| None);
    let s3 = service(&world.engine(Faults::none())).with_peers(store.clone());
    let (scope, here) = served(&world, s3, "mallee").await;
    let put_rules = async |document: Vec<u8>| {
        let md5 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, md5::Md5::digest(&document));
        let headers = vec![("content-md5".to_owned(), md5)];
        let (bucket, query) = ("from".to_owned(), vec![("replication", String::new())]);
        let (body, now_ms) = (PeerBody::Bytes(document.into()), world.db.clock.now_ms());
        let request = PeerRequest { method: Method::PUT, bucket, key: String::new(), query, headers, body, now_ms };
        mallee_s3::Peers::send(&here, "far", request).await.unwrap()
    };
    let many = put_rules(rules(11)).await;
    assert_eq!(many.status, 400, "{many:?}");
    assert!(String::from_utf8_lossy(&many.body).contains("at most 10 buckets"), "{many:?}");
    let other = String::from_utf8(rules(1)).unwrap().replace(super::world::ACCOUNT, "222222222222");
    let other = put_rules(other.into_bytes()).await;
    assert!(other.status.is_client_error(), "{other:?}");
    assert_eq!(store.asked("GET versioning"), 0);
    let ten = put_rules(rules(10)).await;
    assert!(ten.status.is_success(), "{ten:?}");
    assert_eq!(store.asked("GET versioning"), 10);
    scope.stop(std::time::Duration::from_secs(1)).await;
}

mallee_store::store_test_suite!(
    a_part_that_fails_is_sent_again,
    an_upload_that_is_gone_begins_anew,
    a_success_that_says_nothing_is_none,
    why_a_head_was_refused,
    few_buckets_elsewhere_are_asked
);
