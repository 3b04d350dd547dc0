//! A Walrus in this process, asked without a network.

use axum::body::{Body, to_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use mallee_runtime::Faults;
use mallee_store::test_support::TestDb;
use mallee_walrus::{Authority, Engine, Walrus, WalrusConfig};
use md5::{Digest as _, Md5};
use std::sync::Arc;

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub struct Inside {
    pub walrus: Walrus,
    pub faults: Faults,
    _dir: tempfile::TempDir,
    _db: TestDb,
}

impl Inside {
    pub async fn open(authority: Arc<dyn Authority>) -> Self {
        let (db, dir, faults) = (TestDb::sqlite().await, tempfile::tempdir().unwrap(), Faults::recording());
        let config = WalrusConfig::new(dir.path(), "local");
        let (clock, rng) = (db.clock.clone(), db.rng.clone());
        let walrus = Walrus::open(config, db.open().await, authority, clock, rng, faults.clone()).await.unwrap();
        Self { walrus, faults, _dir: dir, _db: db }
    }

    pub fn engine(&self) -> &Engine {
        self.walrus.engine()
    }

    /// The status and the body of an answer.
    pub async fn send(&self, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> (StatusCode, String) {
        let md5 = STANDARD.encode(Md5::digest(body));
        let request = Request::builder().method(method).uri(path).header("host", "s3.test").header("content-md5", md5);
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.header("content-length", body.len()).body(Body::from(body.to_owned())).unwrap();
        let reply = self.walrus.s3().handle(request).await;
        let status = reply.status();
        let body = to_bytes(reply.into_body(), ANSWER_BYTES_MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}
