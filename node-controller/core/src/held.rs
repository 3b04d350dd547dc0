//! The orders this node follows, readable by everyone on it: the metadata service answers from here.

use crate::network::MetadataSource;
use mallee_proto::v1::{Image, InstanceIntent};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Intents by instance id. Each is recorded in the ledger before it appears here.
#[derive(Debug, Default)]
pub struct HeldInstances(RwLock<HashMap<String, Arc<InstanceIntent>>>);

impl HeldInstances {
    /// Holds this one now.
    pub(crate) fn put(&self, intent: Arc<InstanceIntent>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(intent.id.clone(), intent);
    }

    /// Holds it no more.
    pub(crate) fn remove(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The digests of the images that held instances stand on.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let image =
            |intent: &Arc<InstanceIntent>| intent.spec.as_ref()?.image.as_ref().map(|i: &Image| i.digest.clone());
        let digests: BTreeSet<String> = held.values().filter_map(image).collect();
        digests.into_iter().collect()
    }
}

impl MetadataSource for HeldInstances {
    fn instance(&self, id: &str) -> Option<Arc<InstanceIntent>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
