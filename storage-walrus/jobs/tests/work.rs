//! The background work over a database: stopped at every point, and taken over by another process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mallee_objects::{
    Condition, Delete, Deleted, Description, Engine, FileBlobs, ListQuery, StoreMetadata, Versioning,
};
use mallee_runtime::{FaultAction, Faults, Rng};
use mallee_s3_jobs::{Day, Expirer, Notifier, Targets};
use mallee_store::test_support::TestDb;
use mallee_store::{Store, s3_outbox_waiting};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;

const BUCKET: &str = "bucket";
const HOOK: &str = "arn:aws:sns:r:111111111111:hook";
/// Longer than a lease.
const TAKE_OVER_MS: i64 = 60_000;

/// What survives a process.
struct World {
    dir: TempDir,
    db: TestDb,
    store: Store,
    heard: Arc<Mutex<Vec<String>>>,
    targets: Targets,
}

/// An HTTP server that keeps what it is told.
async fn receiver() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let kept = kept.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = kept.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    (port, heard)
}

impl World {
    async fn new(db: TestDb, versioning: Versioning) -> Self {
        let store = db.open().await;
        let (port, heard) = receiver().await;
        let targets = Targets::declared(&[format!("hook=http://127.0.0.1:{port}/")], &[], true).unwrap();
        let world = Self { dir: TempDir::new().unwrap(), db, store, heard, targets };
        let engine = world.engine(Faults::none());
        engine.create_bucket(BUCKET, "111111111111", "r").await.unwrap();
        engine.set_versioning(BUCKET, versioning).await.unwrap();
        world
    }

    fn engine(&self, faults: Faults) -> Engine {
        let rng = Rng::system();
        let blobs = FileBlobs::open(self.dir.path(), self.db.clock.clone(), rng.clone(), faults.clone()).unwrap();
        let meta = Arc::new(StoreMetadata::new(self.store.clone()));
        Engine::new(meta, Arc::new(blobs), self.db.clock.clone(), rng, faults)
    }

    fn notifier(&self, faults: Faults) -> Notifier {
        Notifier::new(&self.engine(faults), &self.store, self.targets.clone())
    }

    /// Events heard of a key, in their order.
    fn heard(&self, key: &str) -> Vec<String> {
        let all = self.heard.lock().unwrap();
        let records = all.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        let mine = records.filter(|r| r["Records"][0]["s3"]["object"]["key"] == key);
        mine.map(|r| r["Records"][0]["eventName"].as_str().unwrap().to_owned()).collect()
    }

    async fn notify(&self) {
        let text = format!(
            "<NotificationConfiguration><TopicConfiguration><Topic>{HOOK}</Topic><Event>s3:ObjectCreated:*</Event>\
             <Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>"
        );
        let engine = self.engine(Faults::none());
        engine.set_document(BUCKET, "notification", "", &text, &|_| Ok(())).await.unwrap();
    }
}

async fn put(engine: &Engine, key: &str) -> Result<String, mallee_objects::Error> {
    let mut sink = engine.sink();
    sink.write(Bytes::from_static(b"abc")).await?;
    let what = Description { bucket: BUCKET.into(), key: key.into(), ..Description::default() };
    let info = engine.put_object(what, sink.finish().await?, &Condition::None).await?;
    Ok(info.write_id)
}

async fn keys(engine: &Engine) -> usize {
    engine.list_objects(BUCKET, &ListQuery { limit: 5000, ..ListQuery::default() }).await.unwrap().items.len()
}

/// The process dies at each point: what happened is told, at least once, and nothing else.
async fn every_point(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    world.notify().await;
    let points = [
        "walrus.put.commit",
        "walrus.put.commit.done",
        "walrus.notify.send",
        "walrus.notify.sent",
        "walrus.notify.forget",
        "walrus.notify.forget.done",
    ];
    for (n, point) in points.into_iter().enumerate() {
        let (key, faults) = (format!("key-{n}"), Faults::none());
        let engine = world.engine(faults.clone());
        let notifier = world.notifier(faults.clone());
        faults.arm(point, FaultAction::Fail, 1);
        let put = put(&engine, &key).await;
        let round = notifier.round().await;
        assert!(put.is_err() || round.is_err(), "{point} was not passed");
        // Another process takes over.
        world.db.clock.shift_ms(TAKE_OVER_MS);
        world.notifier(Faults::none()).round().await.unwrap();
        let there = engine.object(BUCKET, &key).await.is_ok();
        let heard = world.heard(&key);
        assert_eq!(there, !heard.is_empty(), "{point}: {heard:?}");
        let twice = usize::from(matches!(point, "walrus.notify.sent" | "walrus.notify.forget"));
        assert_eq!(heard.len(), usize::from(there) + twice, "{point}");
        assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty(), "{point}");
        world.db.clock.shift_ms(TAKE_OVER_MS);
    }
}

/// Of two processes one tells, in order, and the other takes over when the first is gone.
async fn one_tells(db: TestDb) {
    let world = World::new(db, Versioning::Enabled).await;
    world.notify().await;
    let engine = world.engine(Faults::none());
    let (first, second) = (world.notifier(Faults::none()), world.notifier(Faults::none()));
    first.round().await.unwrap();
    put(&engine, "k").await.unwrap();
    engine.delete_objects(BUCKET, vec![Delete::key("k")]).await.unwrap();
    put(&engine, "k").await.unwrap();
    second.round().await.unwrap();
    assert!(world.heard("k").is_empty());
    first.round().await.unwrap();
    let order = ["ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectCreated:Put"];
    assert_eq!(world.heard("k"), order);
    put(&engine, "l").await.unwrap();
    world.db.clock.shift_ms(TAKE_OVER_MS);
    second.round().await.unwrap();
    assert_eq!(world.heard("l").len(), 1);
    // What nobody takes for days is dropped.
    put(&engine, "m").await.unwrap();
    world.db.clock.shift_ms(5 * 24 * 3_600_000);
    second.tidy(world.db.clock.now_ms()).await.unwrap();
    assert!(s3_outbox_waiting(&world.store).await.unwrap().is_empty());
}

/// Many objects expire; the process dies between two pages, and another goes on where it was.
async fn rounds_go_on(db: TestDb) {
    const COUNT: usize = 1200;
    let world = World::new(db, Versioning::Enabled).await;
    let faults = Faults::none();
    let engine = world.engine(faults.clone());
    for n in 0..COUNT {
        put(&engine, &format!("{n:05}")).await.unwrap();
    }
    let text = "<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status><Expiration><Days>1</Days>\
                </Expiration></Rule></LifecycleConfiguration>";
    engine.set_document(BUCKET, "lifecycle", "", text, &|_| Ok(())).await.unwrap();
    let early = Expirer::new(&engine, &world.store, Day::default());
    assert_eq!(early.run().await.unwrap().unwrap().expired, 0);
    assert_eq!(early.run().await.unwrap(), None, "once a day");
    world.db.clock.shift_ms(2 * 86_400_000);
    // The first note of where the round is succeeds, the end of the round does not.
    faults.arm("walrus.delete.commit", FaultAction::Fail, 1);
    let dies = Expirer::new(&engine, &world.store, Day::default());
    dies.run().await.unwrap_err();
    assert_eq!(keys(&engine).await, COUNT);
    faults.arm("walrus.lifecycle.note", FaultAction::Fail, 1);
    dies.run().await.unwrap_err();
    let left = keys(&engine).await;
    assert!(left < COUNT && left > 0, "{left}");
    let other = Expirer::new(&engine, &world.store, Day::default());
    assert_eq!(other.run().await.unwrap(), None, "another one has the lease");
    world.db.clock.shift_ms(TAKE_OVER_MS);
    let outcome = other.run().await.unwrap().unwrap();
    assert_eq!(outcome.expired, left as u64);
    assert_eq!(keys(&engine).await, 0);
}

/// What was written anew since it was looked at does not go.
async fn only_what_was_meant(db: TestDb) {
    let world = World::new(db, Versioning::Off).await;
    let engine = world.engine(Faults::none());
    let old = put(&engine, "k").await.unwrap();
    let new = put(&engine, "k").await.unwrap();
    let delete = |write_id: &str| vec![(Delete::key("k"), write_id.to_owned())];
    assert_eq!(engine.delete_written(BUCKET, delete(&old)).await.unwrap(), [Deleted::Nothing]);
    assert!(engine.object(BUCKET, "k").await.is_ok());
    assert!(matches!(engine.delete_written(BUCKET, delete(&new)).await.unwrap()[..], [Deleted::Removed { .. }]));
    assert!(engine.object(BUCKET, "k").await.is_err());
}

/// Without leave nobody is told at an address that is not public.
async fn no_way_inside(db: TestDb) {
    let mut world = World::new(db, Versioning::Off).await;
    world.notify().await;
    let url = "hook=http://127.0.0.1:1/";
    world.targets = Targets::declared(&[url.to_owned()], &[], false).unwrap();
    world.notifier(Faults::none()).round().await.unwrap();
    assert_eq!(s3_outbox_waiting(&world.store).await.unwrap(), [(HOOK.to_owned(), 1)]);
}

mallee_store::store_test_suite!(every_point, one_tells, rounds_go_on, only_what_was_meant, no_way_inside);
