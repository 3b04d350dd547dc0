//! A cloud for tests that nobody else is needed for: over a database of a test, without cluster controllers and without
//! an object store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::cluster_link::ClusterConnector;
use crate::images::ImageService;
use crate::{Cloud, CloudConfig, Parts};
use async_trait::async_trait;
use mallee_proto::v1::ImportImageReply;
use mallee_proto::{Kind, WireError};
use mallee_runtime::Faults;
use mallee_store::Store;
use mallee_store::test_support::TestDb;
use mallee_types::{AccountId, ImageId, ZoneName};
use std::sync::Arc;
use tonic::transport::Channel;

/// Nobody: no cluster controller is reached, no image is read.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

#[async_trait]
impl ClusterConnector for Alone {
    async fn connect(&self, zone: &ZoneName) -> Result<Channel, WireError> {
        Err(WireError::new(Kind::Unavailable, format!("zone {zone} has no cluster controller in this test")))
    }
}

#[async_trait]
impl ImageService for Alone {
    async fn import(&self, _: &AccountId, _: &str, _: &str, _: &ImageId) -> Result<ImportImageReply, WireError> {
        Err(WireError::new(Kind::Unavailable, "no image service in this test"))
    }

    async fn release(&self, _: &str, _: &ImageId) -> Result<(), WireError> {
        Ok(())
    }

    async fn reach(&self) -> Result<(), WireError> {
        Ok(())
    }
}

/// The settings of a cloud of one zone, `zone-a`, in the region `eu-1`.
#[must_use]
pub fn config() -> CloudConfig {
    CloudConfig {
        region: "eu-1".into(),
        endpoint: "http://127.0.0.1:8773".into(),
        replica: "test".into(),
        zones: vec!["zone-a".parse().unwrap()],
        public_pool: "203.0.113.0/24".parse().unwrap(),
        public_pool_v6: None,
        host_source: None,
        terminated_visible_seconds: 3600,
    }
}

/// A cloud with these settings over the open database of a test, before its first start.
#[must_use]
pub fn cloud(db: &TestDb, store: &Store, config: CloudConfig, faults: Faults) -> Arc<Cloud> {
    let parts = Parts {
        store: store.clone(),
        clock: db.clock.clone(),
        rng: db.rng.clone(),
        faults,
        connector: Arc::new(Alone),
        images: Arc::new(Alone),
    };
    Cloud::new(config, parts)
}
