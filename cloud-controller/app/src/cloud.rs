//! The cloud controller as a value: what every use case works on.

use crate::authorize::Authorizer;
use crate::cluster_link::ClusterConnector;
use crate::fleets::FleetDesk;
use crate::iam::key_uses::KeyUses;
use crate::images::{ImageService, Watched};
use crate::instances::identity::IdentityKey;
use crate::sts::Guesses;
use crate::trails::ObjectService;
use crate::zone::ZoneState;
use ipnet::{Ipv4Net, Ipv6Net};
use mallee_runtime::task::Nudge;
use mallee_runtime::{Clock, Faults, Rng};
use mallee_store::Store;
use mallee_types::ZoneName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// What ids of zones begin with; their number follows.
pub const ZONE_ID_PREFIX: &str = "mal1-az";

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// The region's name.
    pub region: String,
    /// Host and port that clients reach, for DescribeRegions.
    pub endpoint: String,
    /// This replica's name: the same after a restart, different from every other replica's.
    pub replica: String,
    /// The availability zones, in order; the first is the default.
    pub zones: Vec<ZoneName>,
    /// Addresses by which instances are reached from outside.
    pub public_pool: Ipv4Net,
    /// Addresses out of which VPCs get IPv6 blocks; without it no call is given any.
    pub public_pool_v6: Option<Ipv6Net>,
    /// The address from which the host of a single-host cloud reaches its instances. The first account's default
    /// security group lets it in by SSH and ping, by a rule that is shown and can be removed.
    pub host_source: Option<std::net::Ipv4Addr>,
    /// How long a terminated instance stays visible, in seconds.
    pub terminated_visible_seconds: i64,
}

/// The parts a cloud controller is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The wall clock.
    pub clock: Clock,
    /// Ids and tokens.
    pub rng: Rng,
    /// Fault points.
    pub faults: Faults,
    /// How to reach cluster controllers.
    pub connector: Arc<dyn ClusterConnector>,
    /// How to reach Walrus's image service.
    pub images: Arc<dyn ImageService>,
}

/// The cloud controller.
#[derive(Debug)]
pub struct Cloud {
    config: CloudConfig,
    parts: Parts,
    zones: BTreeMap<ZoneName, Arc<ZoneState>>,
    image_nudge: Nudge,
    capacity_nudge: Nudge,
    spot_nudge: Nudge,
    event_nudge: Nudge,
    images_changed: watch::Sender<u64>,
    authorizer: Authorizer,
    key_uses: KeyUses,
    guesses: Guesses,
    oidc: mallee_oidc::Providers,
    started_ms: i64,
    walrus: Watched,
    fleets: FleetDesk,
    sigv2: Arc<AtomicBool>,
    network_limits: AtomicBool,
    identity: IdentityKey,
    objects: std::sync::OnceLock<Arc<dyn ObjectService>>,
}

impl Cloud {
    /// A cloud controller of these parts. Nothing runs yet.
    #[must_use]
    pub fn new(config: CloudConfig, parts: Parts) -> Arc<Self> {
        let zones = config.zones.iter().map(|zone| (zone.clone(), Arc::default())).collect();
        let (started_ms, images_changed) = (parts.clock.now_ms(), watch::Sender::new(0));
        Arc::new(Self {
            config,
            parts,
            zones,
            image_nudge: Nudge::default(),
            capacity_nudge: Nudge::default(),
            spot_nudge: Nudge::default(),
            event_nudge: Nudge::default(),
            images_changed,
            authorizer: Authorizer::default(),
            started_ms,
            walrus: Watched::default(),
            key_uses: KeyUses::default(),
            guesses: Guesses::default(),
            oidc: mallee_oidc::Providers::default(),
            fleets: FleetDesk::default(),
            sigv2: Arc::default(),
            network_limits: AtomicBool::default(),
            identity: IdentityKey::default(),
            objects: std::sync::OnceLock::new(),
        })
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &CloudConfig {
        &self.config
    }

    /// Gives it the object store, to which accounts may have records delivered. Only the first one counts.
    pub fn use_objects(&self, objects: Arc<dyn ObjectService>) {
        drop(self.objects.set(objects));
    }

    /// The object store, if there is one.
    #[must_use]
    pub fn objects(&self) -> Option<&Arc<dyn ObjectService>> {
        self.objects.get()
    }

    /// The id of a zone; `None`: it is none of this cloud's.
    #[must_use]
    pub fn zone_id(&self, zone: &ZoneName) -> Option<String> {
        self.zones().iter().position(|z| z == zone).map(|position| format!("{ZONE_ID_PREFIX}{}", position + 1))
    }

    /// From now on instances get the bandwidth of their type, and no more: when they are launched, or change their type.
    pub fn limit_network(&self) {
        self.network_limits.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cloud::limit_network`] was called.
    pub(crate) fn limits_network(&self) -> bool {
        self.network_limits.load(Ordering::Relaxed)
    }

    /// Has signatures of version 2 accepted.
    pub fn allow_sigv2(&self) {
        self.sigv2.store(true, Ordering::Relaxed);
    }

    /// The switch of signature version 2, for those who verify signatures.
    #[must_use]
    pub const fn sigv2(&self) -> &Arc<AtomicBool> {
        &self.sigv2
    }

    /// The key that signs identity documents of instances.
    #[must_use]
    pub const fn identity_key(&self) -> &IdentityKey {
        &self.identity
    }

    /// The database.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.parts.store
    }

    /// The wall clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    /// Codes of second factors that were tried.
    pub(crate) const fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// Randomness.
    #[must_use]
    pub const fn rng(&self) -> &Rng {
        &self.parts.rng
    }

    /// Fault points.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.parts.faults
    }

    /// When this replica started, in Unix milliseconds.
    #[must_use]
    pub const fn started_ms(&self) -> i64 {
        self.started_ms
    }

    pub(crate) const fn walrus_watched(&self) -> &Watched {
        &self.walrus
    }

    pub(crate) fn connector(&self) -> &dyn ClusterConnector {
        &*self.parts.connector
    }

    pub(crate) fn image_service(&self) -> &dyn ImageService {
        &*self.parts.images
    }

    /// Wakes the image keeper.
    #[must_use]
    pub const fn image_nudge(&self) -> &Nudge {
        &self.image_nudge
    }

    /// Wakes the keeper of reservations and hosts.
    #[must_use]
    pub const fn capacity_nudge(&self) -> &Nudge {
        &self.capacity_nudge
    }

    /// Wakes the spot keeper.
    #[must_use]
    pub const fn spot_nudge(&self) -> &Nudge {
        &self.spot_nudge
    }

    /// Wakes the keeper of scheduled events.
    #[must_use]
    pub const fn event_nudge(&self) -> &Nudge {
        &self.event_nudge
    }

    /// Wakes whenever the image keeper has finished with an image.
    #[must_use]
    pub fn watch_images(&self) -> watch::Receiver<u64> {
        self.images_changed.subscribe()
    }

    pub(crate) fn note_image_change(&self) {
        self.images_changed.send_modify(|n| *n += 1);
    }

    pub(crate) const fn fleets(&self) -> &FleetDesk {
        &self.fleets
    }

    /// Wakes the keeper of fleets.
    #[must_use]
    pub const fn fleet_nudge(&self) -> &Nudge {
        self.fleets.nudge()
    }

    pub(crate) const fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    /// When access keys were last used, as far as it is not written down.
    #[must_use]
    pub const fn key_uses(&self) -> &KeyUses {
        &self.key_uses
    }

    /// The providers of web identities, and what is remembered of them.
    #[must_use]
    pub const fn oidc(&self) -> &mallee_oidc::Providers {
        &self.oidc
    }

    /// The zones, in the configured order.
    #[must_use]
    pub fn zones(&self) -> &[ZoneName] {
        &self.config.zones
    }

    /// The live state of a zone. A zone that is not configured has a state of its own that never connects.
    #[must_use]
    pub fn zone_state(&self, zone: &ZoneName) -> Arc<ZoneState> {
        self.zones.get(zone).cloned().unwrap_or_default()
    }

    /// What keeps a zone from taking instances; `None`: it can.
    #[must_use]
    pub fn zone_trouble(&self, zone: &ZoneName) -> Option<String> {
        self.zone_state(zone).trouble()
    }
}
