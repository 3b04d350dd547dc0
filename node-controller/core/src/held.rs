//! The orders this node follows, readable by everyone on it: the metadata service answers from here.

use crate::network::MetadataSource;
use mallee_proto::v1::{Image, InstanceIntent};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;

/// Guests heard that the node has not taken note of yet.
const HEARD_MAX: usize = 256;

/// Intents by instance id. Each is recorded in the ledger before it appears here.
#[derive(Debug)]
pub struct HeldInstances {
    instances: RwLock<HashMap<String, Arc<InstanceIntent>>>,
    /// Guests that were heard in their network, by instance id.
    heard: broadcast::Sender<String>,
}

impl Default for HeldInstances {
    fn default() -> Self {
        Self { instances: RwLock::default(), heard: broadcast::Sender::new(HEARD_MAX) }
    }
}

impl HeldInstances {
    /// The ids of instances whose guest is heard from now on. One that is missed is heard again within half a lease.
    pub(crate) fn subscribe_heard(&self) -> broadcast::Receiver<String> {
        self.heard.subscribe()
    }

    /// Holds this one now.
    pub(crate) fn put(&self, intent: Arc<InstanceIntent>) {
        self.instances.write().unwrap_or_else(PoisonError::into_inner).insert(intent.id.clone(), intent);
    }

    /// Holds it no more.
    pub(crate) fn remove(&self, id: &str) {
        self.instances.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The digests of the images that held instances stand on.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        let held = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        let image =
            |intent: &Arc<InstanceIntent>| intent.spec.as_ref()?.image.as_ref().map(|i: &Image| i.digest.clone());
        let digests: BTreeSet<String> = held.values().filter_map(image).collect();
        digests.into_iter().collect()
    }
}

impl MetadataSource for HeldInstances {
    fn instance(&self, id: &str) -> Option<Arc<InstanceIntent>> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn heard(&self, id: &str) {
        // Nobody listening is no error: the node is only starting.
        drop(self.heard.send(id.to_owned()));
    }
}
