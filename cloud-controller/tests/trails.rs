//! Delivery of audit records to buckets: each record once, whatever fails in between and wherever the process ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use async_trait::async_trait;
use mallee_app::test_support::{self, config};
use mallee_app::trails::manage::{self, Settings, Tags};
use mallee_app::trails::objects::NewObject;
use mallee_app::trails::{Deliverer, ObjectService};
use mallee_app::{Actor, Cloud, CloudConfig, OpContext};
use mallee_audit::{EVENT_VERSION, Journal, Record, UserIdentity};
use mallee_proto::{Kind, WireError};
use mallee_runtime::{FaultAction, Faults};
use mallee_store::test_support::TestDb;
use mallee_store::{TrailRow, trail_fetch};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

const BUCKET: &str = "logs";
/// Longer than a record waits for its file.
const LONG_MS: i64 = 6 * 60 * 1000;
const RETRY_MS: i64 = 31 * 1000;

/// Buckets in memory.
#[derive(Debug, Default)]
struct Buckets {
    owners: Mutex<BTreeMap<String, String>>,
    objects: Mutex<BTreeMap<(String, String), NewObject>>,
    writes: Mutex<usize>,
}

#[async_trait]
impl ObjectService for Buckets {
    async fn owner(&self, bucket: &str) -> Result<String, WireError> {
        let owner = self.owners.lock().unwrap().get(bucket).cloned();
        owner.ok_or_else(|| WireError::new(Kind::NotFound, "no such bucket"))
    }

    async fn put(&self, object: NewObject) -> Result<(), WireError> {
        if self.owner(&object.bucket).await? != object.account.as_str() {
            return Err(WireError::new(Kind::Invalid, "another account's"));
        }
        *self.writes.lock().unwrap() += 1;
        self.objects.lock().unwrap().insert((object.bucket.clone(), object.key.clone()), object);
        Ok(())
    }
}

struct World {
    cloud: Arc<Cloud>,
    cx: OpContext,
    faults: Faults,
    buckets: Buckets,
    journal: Journal,
    dir: tempfile::TempDir,
    db: TestDb,
    deliverer: Deliverer,
}

fn unpacked(data: &[u8]) -> serde_json::Value {
    let mut text = String::new();
    flate2::read::GzDecoder::new(data).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

impl World {
    async fn new() -> Self {
        let db = TestDb::sqlite().await;
        let (store, faults) = (db.open().await, Faults::recording());
        let config = CloudConfig {
            region: "local".into(),
            endpoint: "http://localhost".into(),
            zones: vec!["local-1a".parse().unwrap()],
            ..config()
        };
        let cloud = test_support::cloud(&db, &store, config, faults.clone());
        let account = mallee_app::bootstrap::bootstrap(&cloud).await.unwrap().account;
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let buckets = Buckets::default();
        buckets.owners.lock().unwrap().insert(BUCKET.to_owned(), account.to_string());
        let deliverer = Deliverer::new(dir.path().to_owned(), *journal.watch_written().borrow());
        let cx = OpContext::new(Actor::root(account, true), "test");
        Self { cloud, cx, faults, buckets, journal, dir, db, deliverer }
    }

    async fn trail(&self, validation: bool) {
        let settings = Settings { bucket: Some(BUCKET.into()), validation: Some(validation), ..Settings::default() };
        manage::create(&self.cloud, &self.cx, &self.buckets, "main", settings, Tags::new()).await.unwrap();
        manage::start(&self.cloud, &self.cx, "main", self.written()).await.unwrap();
    }

    fn written(&self) -> mallee_audit::Position {
        *self.journal.watch_written().borrow()
    }

    async fn record(&self, name: &str, account: &str) {
        let record = Record {
            event_version: EVENT_VERSION.into(),
            user_identity: UserIdentity { kind: "Root".into(), ..UserIdentity::default() },
            event_time: "2026-11-21T12:00:00Z".into(),
            event_ms: self.cloud.clock().now_ms(),
            event_source: "ec2.amazonaws.com".into(),
            event_name: name.into(),
            aws_region: "local".into(),
            source_ip_address: "127.0.0.1".into(),
            user_agent: "test".into(),
            request_parameters: serde_json::Value::Null,
            response_elements: serde_json::Value::Null,
            additional_event_data: serde_json::Value::Null,
            error_code: None,
            error_message: None,
            request_id: "r".into(),
            event_id: format!("e-{name}"),
            shared_event_id: None,
            read_only: false,
            resources: vec![],
            event_type: "AwsApiCall".into(),
            management_event: true,
            recipient_account_id: account.into(),
            event_category: "Management".into(),
            addendum: None,
        };
        self.journal.append(&record).await.unwrap();
    }

    async fn own(&self, names: std::ops::Range<u32>) {
        for n in names {
            self.record(&format!("Call{n:04}"), self.cx.account().as_str()).await;
            self.record(&format!("Other{n:04}"), "999999999999").await;
        }
    }

    async fn pass(&mut self) -> Result<(), String> {
        let written = self.written();
        self.deliverer.pass(&self.cloud, &self.buckets, written).await.map_err(|error| error.to_string())
    }

    /// As a process that was killed and has started again.
    fn restart(&mut self) {
        self.deliverer = Deliverer::new(self.dir.path().to_owned(), self.written());
    }

    fn shift(&self, ms: i64) {
        self.db.clock.shift_ms(ms);
    }

    fn logs(&self) -> Vec<serde_json::Value> {
        let objects = self.buckets.objects.lock().unwrap();
        objects.iter().filter(|((_, key), _)| key.contains("/CloudTrail/")).map(|(_, o)| unpacked(&o.data)).collect()
    }

    fn digests(&self) -> Vec<serde_json::Value> {
        let objects = self.buckets.objects.lock().unwrap();
        objects.iter().filter(|((_, key), _)| key.contains("-Digest/")).map(|(_, o)| unpacked(&o.data)).collect()
    }

    /// The names of delivered calls, in order.
    fn delivered(&self) -> Vec<String> {
        let logs = self.logs();
        let records = logs.iter().flat_map(|log| log["Records"].as_array().unwrap());
        let mut names: Vec<String> = records.map(|r| r["eventName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    async fn row(&self) -> TrailRow {
        trail_fetch(self.cloud.store(), self.cx.account(), "main").await.unwrap().unwrap()
    }
}

fn calls(names: std::ops::Range<u32>) -> Vec<String> {
    names.map(|n| format!("Call{n:04}")).collect()
}

#[tokio::test]
async fn records_wait_for_their_file_and_only_the_accounts_own_are_in_it() {
    let mut world = World::new().await;
    world.own(0..3).await;
    world.shift(1);
    world.trail(false).await;
    world.own(3..6).await;
    world.pass().await.unwrap();
    assert!(world.logs().is_empty(), "not yet");
    world.shift(LONG_MS);
    world.own(6..7).await;
    world.pass().await.unwrap();
    assert_eq!((world.logs().len(), world.delivered()), (1, calls(3..7)));
    world.pass().await.unwrap();
    assert_eq!(*world.buckets.writes.lock().unwrap(), 1);
    let row = world.row().await;
    assert_eq!((row.delivery_error, row.delivered_ms.is_some()), (None, true));
    // What a trail that stopped has not delivered is delivered at once.
    world.own(7..8).await;
    manage::stop(&world.cloud, &world.cx, "main").await.unwrap();
    world.shift(2500);
    world.own(8..9).await;
    world.pass().await.unwrap();
    world.pass().await.unwrap();
    assert_eq!(world.delivered(), calls(3..8));
    // What is called while it does not log is not delivered later.
    world.shift(10);
    manage::start(&world.cloud, &world.cx, "main", world.written()).await.unwrap();
    world.own(9..10).await;
    world.shift(LONG_MS);
    world.pass().await.unwrap();
    assert_eq!(world.delivered(), [calls(3..8), calls(9..10)].concat());
}

#[tokio::test]
async fn a_kill_at_any_step_neither_loses_nor_doubles_a_record() {
    // The points, from a run of the same course.
    let mut world = World::new().await;
    world.trail(true).await;
    world.own(0..4).await;
    world.shift(LONG_MS * 11);
    world.pass().await.unwrap();
    let points: Vec<String> = world.faults.passed().into_iter().filter(|p| p.starts_with("cloud.trail.")).collect();
    assert!(points.len() >= 6, "{points:?}");
    for point in points {
        let mut world = World::new().await;
        world.trail(true).await;
        world.own(0..4).await;
        world.shift(LONG_MS * 11);
        world.faults.arm(&point, FaultAction::Fail, 1);
        world.pass().await.unwrap_err();
        // More was called meanwhile, and the process is another.
        world.own(4..6).await;
        world.restart();
        world.pass().await.unwrap();
        world.shift(LONG_MS * 11);
        world.pass().await.unwrap();
        world.pass().await.unwrap();
        assert_eq!(world.delivered(), calls(0..6), "{point}");
        let digests = world.digests();
        let named: usize = digests.iter().map(|digest| digest["logFiles"].as_array().unwrap().len()).sum();
        assert_eq!(named, world.logs().len(), "{point}: every file is in one digest");
        let first = digests.iter().filter(|digest| digest["previousDigestSignature"].is_null()).count();
        assert_eq!(first, 1, "{point}: one chain");
    }
}

#[tokio::test]
async fn a_bucket_that_is_away_is_waited_for_in_silence() {
    let mut world = World::new().await;
    world.trail(false).await;
    world.own(0..2).await;
    let owner = world.buckets.owners.lock().unwrap().remove(BUCKET).unwrap();
    world.shift(LONG_MS);
    world.pass().await.unwrap();
    assert_eq!(world.row().await.delivery_error.as_deref(), Some("NoSuchBucket"));
    world.buckets.owners.lock().unwrap().insert(BUCKET.into(), "888888888888".into());
    world.shift(RETRY_MS);
    world.pass().await.unwrap();
    assert_eq!(world.row().await.delivery_error.as_deref(), Some("AccessDenied"));
    world.buckets.owners.lock().unwrap().insert(BUCKET.into(), owner);
    world.own(2..3).await;
    world.pass().await.unwrap();
    assert!(world.logs().is_empty(), "not before its time");
    world.shift(RETRY_MS);
    world.pass().await.unwrap();
    assert_eq!((world.delivered(), world.row().await.delivery_error), (calls(0..2), None));
    world.shift(LONG_MS);
    world.pass().await.unwrap();
    assert_eq!(world.delivered(), calls(0..3));
    // A trail that was pointed at another bucket is not held up by the one that refused.
    world.buckets.owners.lock().unwrap().remove(BUCKET);
    world.own(3..4).await;
    world.shift(LONG_MS);
    world.pass().await.unwrap();
    assert_eq!(world.row().await.delivery_error.as_deref(), Some("NoSuchBucket"));
    let account = world.cx.account().to_string();
    world.buckets.owners.lock().unwrap().insert("others".into(), account);
    let settings = Settings { bucket: Some("others".into()), ..Settings::default() };
    manage::update(&world.cloud, &world.cx, &world.buckets, "main", settings).await.unwrap();
    for _ in 0..2 {
        world.pass().await.unwrap();
    }
    assert_eq!((world.delivered(), world.row().await.delivery_error), (calls(0..4), None));
    // A trail that is deleted leaves what it wrote, and nothing else.
    manage::delete(&world.cloud, &world.cx, "main").await.unwrap();
    world.pass().await.unwrap();
    assert_eq!(world.delivered(), calls(0..4));
}
