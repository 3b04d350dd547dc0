//! What the tests have in common: a store that survives its processes, and who is told.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::RETRY_AFTER;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mallee_objects::{Condition, Description, Engine, FileBlobs, ListQuery, StoreMetadata, Versioning};
use mallee_runtime::{Faults, Rng};
use mallee_s3_jobs::{Notifier, Targets};
use mallee_store::Store;
use mallee_store::test_support::TestDb;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const HOOK: &str = "arn:aws:sns:r:111111111111:hook";
/// Longer than a lease.
pub(crate) const TAKE_OVER_MS: i64 = 60_000;

/// How a receiver answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// Not 200.
    pub(crate) status: Option<u16>,
    /// That only for messages that name this.
    pub(crate) only: Option<String>,
    /// With a `Retry-After`.
    pub(crate) retry_after: Option<u32>,
    /// Messages that name this it answers only after this time.
    pub(crate) slow: Option<(String, Duration)>,
    /// The bodies of its replies never end.
    pub(crate) endless: bool,
}

/// The body of a reply: empty, or without an end.
pub(crate) struct Rest {
    endless: bool,
}

impl Body for Rest {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.endless { Poll::Pending } else { Poll::Ready(None) }
    }

    fn is_end_stream(&self) -> bool {
        !self.endless
    }
}

/// What a receiver was told, and how it answers.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    pub(crate) heard: Mutex<Vec<String>>,
    pub(crate) manner: Mutex<Manner>,
}

impl Ear {
    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Rest> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        self.heard.lock().unwrap().push(text.clone());
        let manner = self.manner.lock().unwrap().clone();
        if let Some((_, wait)) = manner.slow.filter(|(what, _)| text.contains(what.as_str())) {
            tokio::time::sleep(wait).await;
        }
        let concerned = manner.only.is_none_or(|what| text.contains(&what));
        let mut reply = Response::builder().status(manner.status.filter(|_| concerned).unwrap_or(200));
        if let Some(seconds) = manner.retry_after {
            reply = reply.header(RETRY_AFTER, seconds);
        }
        reply.body(Rest { endless: manner.endless }).unwrap()
    }
}

/// An HTTP server that keeps what it is told.
pub(crate) async fn receiver() -> (u16, Arc<Ear>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ear = Arc::<Ear>::default();
    let kept = ear.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let ear = kept.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let ear = ear.clone();
                async move { Ok::<_, Infallible>(ear.answer(request).await) }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    (port, ear)
}

/// What survives a process.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) db: TestDb,
    pub(crate) store: Store,
    pub(crate) ear: Arc<Ear>,
    pub(crate) targets: Targets,
}

impl World {
    pub(crate) async fn new(db: TestDb, versioning: Versioning) -> Self {
        let store = db.open().await;
        let (port, ear) = receiver().await;
        let targets = Targets::declared(&[format!("hook=http://127.0.0.1:{port}/")], &[], true).unwrap();
        let world = Self { dir: TempDir::new().unwrap(), db, store, ear, targets };
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, "111111111111", "r").await.unwrap();
        engine.set_versioning(BUCKET, versioning).await.unwrap();
        world
    }

    pub(crate) fn engine(&self, faults: Faults) -> Engine {
        let rng = Rng::system();
        let blobs = FileBlobs::open(self.dir.path(), self.db.clock.clone(), rng.clone(), faults.clone()).unwrap();
        let meta = Arc::new(StoreMetadata::new(self.store.clone()));
        Engine::new(meta, Arc::new(blobs), self.db.clock.clone(), rng, faults)
    }

    pub(crate) fn notifier(&self, faults: Faults) -> Notifier {
        Notifier::new(&self.engine(faults), &self.store, self.targets.clone())
    }

    /// Events heard of a key, in their order.
    pub(crate) fn heard(&self, key: &str) -> Vec<String> {
        let all = self.ear.heard.lock().unwrap();
        let records = all.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        let mine = records.filter(|r| r["Records"][0]["s3"]["object"]["key"] == key);
        mine.map(|r| r["Records"][0]["eventName"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn notify(&self) {
        let text = format!(
            "<NotificationConfiguration><TopicConfiguration><Topic>{HOOK}</Topic><Event>s3:ObjectCreated:*</Event>\
             <Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>"
        );
        let engine = self.engine(Faults::none());
        engine.set_document(BUCKET, "notification", "", &text, &|_| Ok(())).await.unwrap();
    }
}

pub(crate) async fn put(engine: &Engine, key: &str) -> Result<String, mallee_objects::Error> {
    put_in(engine, BUCKET, key).await
}

pub(crate) async fn put_in(engine: &Engine, bucket: &str, key: &str) -> Result<String, mallee_objects::Error> {
    let mut sink = engine.sink();
    sink.write(Bytes::from_static(b"abc")).await?;
    let what = Description { bucket: bucket.into(), key: key.into(), ..Description::default() };
    let info = engine.put_object(what, sink.finish().await?, &Condition::None).await?;
    Ok(info.write_id)
}

/// Objects of a bucket.
pub(crate) async fn keys(engine: &Engine, bucket: &str) -> usize {
    engine.list_objects(bucket, &ListQuery { limit: 5000, ..ListQuery::default() }).await.unwrap().items.len()
}

/// Waits until a point was struck.
pub(crate) async fn struck(faults: &Faults) {
    while faults.hit().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
