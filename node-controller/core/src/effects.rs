//! Executes one effect of an instance's machine through the drivers, with a fault point on either side.

use crate::context::Context;
use crate::hypervisor::{CachedImageRef, DomainSpec, HypervisorError, NicSpec};
use crate::images::{CachedImage, ImageError};
use crate::machine::{Done, Effect, Machine, Record, StepClass, StepError};
use crate::network::NetworkError;
use mallee_proto::v1::{InstanceIntent, PortView};
use mallee_runtime::FaultError;
use mallee_types::{Incarnation, InstanceId, MacAddress};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// An effect with what it needs, cut loose from the machine.
#[derive(Debug)]
pub(crate) struct Job {
    pub effect: Effect,
    workflow: &'static str,
    id: InstanceId,
    record: Record,
    intent: Option<Arc<InstanceIntent>>,
    image: Option<CachedImage>,
    nics: Vec<NicSpec>,
    /// What [`Effect::DetachCards`] takes away.
    extra: Vec<MacAddress>,
    pub ports: Vec<PortView>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub result: Result<Done, StepError>,
    pub slot: Option<OwnedSemaphorePermit>,
    /// What [`Effect::Plug`] plugged.
    pub ports: Vec<PortView>,
}

impl Job {
    pub fn of(machine: &Machine, effect: Effect) -> Self {
        Self {
            effect,
            workflow: machine.workflow(),
            id: machine.id().clone(),
            record: if effect == Effect::Save { machine.to_record() } else { Record::default() },
            intent: machine.intent().cloned(),
            image: machine.image().cloned(),
            nics: if effect == Effect::AttachCards { machine.hot_nics() } else { machine.nics() }.to_vec(),
            extra: machine.extra_cards(),
            ports: match effect {
                Effect::HotTaps => machine.missing_ports(),
                Effect::Plug => machine.present_ports(),
                _ => machine.ready_ports().to_vec(),
            },
        }
    }

    pub async fn run(self, context: Arc<Context>) -> Outcome {
        let point = format!("node.{}.{}", self.workflow, self.effect.name());
        let mut slot = None;
        let result = self.guarded(&context, &point, &mut slot).await;
        if let Err(error) = &result {
            tracing::info!(instance = %self.id, step = point, error = error.message, "step failed");
        }
        Outcome { result, slot, ports: self.ports }
    }

    async fn guarded(
        &self,
        context: &Context,
        point: &str,
        slot: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Done, StepError> {
        context.faults.point(point).await?;
        // What can be dropped may take as long as the launch has: its deadline drops it.
        let limit = if self.effect.cancellable() { Duration::MAX } else { context.settings.step_timeout };
        let late = |_| {
            let text = format!("{}: no answer within {} s", self.effect.name(), limit.as_secs());
            StepError { class: StepClass::Transient, code: INTERNAL, message: text }
        };
        let done = tokio::time::timeout(limit, self.execute(context, slot)).await.map_err(late)??;
        context.faults.point(&format!("{point}.done")).await?;
        Ok(done)
    }

    async fn execute(&self, context: &Context, slot: &mut Option<OwnedSemaphorePermit>) -> Result<Done, StepError> {
        let hypervisor = &context.drivers.hypervisor;
        let network = &context.drivers.network;
        match self.effect {
            Effect::Save => self.save(context).await?,
            Effect::Observe => return Ok(Done::Domain(hypervisor.domain(&self.id).await?)),
            Effect::EnsureImage => return self.ensure_image(context).await.map(Done::Image),
            Effect::AcquireSlot => {
                let permit = Arc::clone(&context.launches).acquire_owned().await;
                *slot = Some(permit.map_err(|_| StepError::transient("the node is stopping"))?);
            }
            Effect::PrepareDisk => hypervisor.prepare_disk(&self.domain_spec()?).await?,
            Effect::CreateTaps | Effect::HotTaps => return self.create_taps(context).await.map(Done::Taps),
            Effect::StartPaused => hypervisor.start_paused(&self.domain_spec()?).await?,
            Effect::Plug => {
                for port in &self.ports {
                    network.plug(port).await?;
                }
            }
            Effect::AttachCards => {
                let mut first = Ok(());
                for nic in &self.nics {
                    first = first.and(hypervisor.attach_nic(&self.id, nic).await);
                }
                first?;
            }
            Effect::DetachCards => {
                // A guest may keep one and let the next go.
                let mut first = Ok(());
                for mac in &self.extra {
                    first = first.and(hypervisor.detach_nic(&self.id, *mac).await);
                }
                first?;
            }
            Effect::Resume => hypervisor.resume(&self.id).await?,
            Effect::Reboot => hypervisor.reboot(&self.id).await?,
            Effect::Reset => hypervisor.reset(&self.id).await?,
            Effect::Shutdown => hypervisor.shutdown(&self.id).await?,
            Effect::PowerOff => hypervisor.power_off(&self.id).await?,
            Effect::Unplug => {
                for port in self.intent.iter().filter_map(|i| i.spec.as_ref()).flat_map(|spec| &spec.ports) {
                    network.unplug(&port.interface_id).await?;
                }
            }
            Effect::Remove => hypervisor.remove(&self.id).await?,
        }
        Ok(Done::Plain)
    }

    async fn save(&self, context: &Context) -> Result<(), StepError> {
        let saved = context.ledger.save_instance(&self.id, self.record.clone()).await;
        saved.map_err(|error| StepError::transient(error.to_string()))?;
        match &self.intent {
            Some(_) if self.record.gone => context.drivers.held.remove(self.id.as_str()),
            Some(intent) => context.drivers.held.put(Arc::clone(intent)),
            None => {}
        }
        Ok(())
    }

    async fn ensure_image(&self, context: &Context) -> Result<CachedImage, StepError> {
        let image = self.intent.as_ref().and_then(|i| i.spec.as_ref()).and_then(|spec| spec.image.as_ref());
        let image = image.ok_or_else(|| StepError::permanent("the order names no image"))?;
        let images = &context.drivers.images;
        match images.ensure(image).await {
            Err(ImageError::Full(_)) => {
                // What no instance of this node stands on can go.
                images.evict(&context.drivers.held.images()).await?;
                Ok(images.ensure(image).await?)
            }
            other => Ok(other?),
        }
    }

    async fn create_taps(&self, context: &Context) -> Result<Vec<NicSpec>, StepError> {
        let network = &context.drivers.network;
        let mut nics = Vec::with_capacity(self.ports.len());
        for port in &self.ports {
            let mac = port.mac.parse().map_err(|e| StepError::permanent(format!("{}: {e}", port.interface_id)))?;
            nics.push(NicSpec { tap: network.create_tap(port).await?, mac, mtu: network.mtu() });
        }
        Ok(nics)
    }

    fn domain_spec(&self) -> Result<DomainSpec, StepError> {
        let missing = |what| StepError::permanent(format!("the order names no {what}"));
        let intent = self.intent.as_ref().ok_or_else(|| missing("instance"))?;
        let spec = intent.spec.as_ref().ok_or_else(|| missing("specification"))?;
        let image = self.image.clone().ok_or_else(|| missing("image"))?;
        Ok(DomainSpec {
            instance: self.id.clone(),
            incarnation: Incarnation(intent.incarnation),
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            image: CachedImageRef { digest: image.digest, path: image.path, format: image.format },
            root_disk_bytes: spec.root_disk_bytes,
            nics: self.nics.clone(),
        })
    }
}

const INTERNAL: &str = "Server.InternalError";
const CAPACITY: &str = "Server.InsufficientInstanceCapacity";

impl StepError {
    fn permanent(message: impl Into<String>) -> Self {
        Self { class: StepClass::Permanent, code: INTERNAL, message: message.into() }
    }

    fn transient(message: impl Into<String>) -> Self {
        Self { class: StepClass::Transient, code: INTERNAL, message: message.into() }
    }
}

impl From<FaultError> for StepError {
    fn from(error: FaultError) -> Self {
        Self::transient(error.to_string())
    }
}

impl From<HypervisorError> for StepError {
    fn from(error: HypervisorError) -> Self {
        let (class, code) = match &error {
            HypervisorError::Refused(_) => (StepClass::Permanent, INTERNAL),
            HypervisorError::Exhausted(_) => (StepClass::Scarce, CAPACITY),
            HypervisorError::Unavailable(_) | HypervisorError::Failed(_) => (StepClass::Transient, INTERNAL),
        };
        Self { class, code, message: error.to_string() }
    }
}

impl From<ImageError> for StepError {
    fn from(error: ImageError) -> Self {
        let (class, code) = match &error {
            ImageError::NotFound(_) => (StepClass::Permanent, "Client.InvalidSnapshot.NotFound"),
            ImageError::Damaged(_) => (StepClass::Scarce, INTERNAL),
            ImageError::Full(_) => (StepClass::Scarce, CAPACITY),
            ImageError::Unavailable(_) => (StepClass::Transient, INTERNAL),
        };
        Self { class, code, message: error.to_string() }
    }
}

impl From<NetworkError> for StepError {
    fn from(error: NetworkError) -> Self {
        let class = match &error {
            NetworkError::Unsupported(_) | NetworkError::Invalid(_) => StepClass::Permanent,
            NetworkError::Failed(_) => StepClass::Transient,
        };
        Self { class, code: INTERNAL, message: error.to_string() }
    }
}
