//! The store at rest, between two servers: the shared checker of invariants.

use crate::server::{PACK_BYTES, database, objects};
use mallee_objects::{Engine, FileBlobs, StoreMetadata};
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::{SealKey, Store, StoreConfig};
use mallee_walrus::Offline;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Opens the directory of a server that does not run.
pub struct Rest {
    pub store: Store,
    pub engine: Engine,
}

impl Rest {
    pub async fn open(dir: &Path) -> Self {
        let (clock, rng) = (Clock::system(), Rng::system());
        let url = format!("sqlite:{}", database(dir).display());
        let seal = SealKey::random(&rng).unwrap();
        let store =
            Store::open(StoreConfig::new(url), clock.clone(), rng.clone(), seal).await.expect("the database opens");
        let blobs = FileBlobs::open(&objects(dir), clock.clone(), rng.clone(), Faults::none()).unwrap();
        let blobs = blobs.with_pack_bytes(PACK_BYTES);
        let meta = Arc::new(StoreMetadata::new(store.clone()));
        let engine = Engine::new(meta, Arc::new(blobs), clock, rng, Faults::none());
        Self { store, engine }
    }

    /// Nothing may be wrong or lost. With `swept`, the sweep and the collector run first, and then nothing at all may be
    /// left over.
    pub async fn check(&self, dir: &Path, swept: bool, when: &str) {
        if swept {
            self.engine.recover().await.unwrap();
            self.engine.sweep(Duration::ZERO).await.unwrap();
            self.engine.collect().await.unwrap();
        }
        let offline = Offline::open(&objects(dir), self.store.clone(), true).await.unwrap();
        let report = offline.checker().check().await.unwrap();
        assert!(report.is_sound(), "{when}: {:#?}", report.findings);
        assert!(!swept || report.findings.is_empty(), "{when}, after the sweep: {:#?}", report.findings);
    }
}

/// Runs a check of a directory to its end.
pub fn check(dir: &Path, swept: bool, when: &str) {
    runtime().block_on(async {
        let rest = Rest::open(dir).await;
        rest.check(dir, swept, when).await;
        rest.store.close().await;
    });
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
