//! The driver itself: one lock per instance, one job per operation, one deadline per call.

use crate::config::LibvirtConfig;
use crate::files::{Base, Files};
use crate::host::{self, Acceleration, Readings};
use crate::link::Link;
use crate::pool::Pool;
use crate::{domain, qcow2};
use async_trait::async_trait;
use mallee_node_core::{
    DomainEvent, DomainRecord, DomainSpec, HostFacts, Hypervisor, HypervisorError, NicSpec, Picture,
};
use mallee_types::limits::CONSOLE_BYTES_MAX;
use mallee_types::{InstanceId, MacAddress};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, broadcast, oneshot};
use virt::connect::Connect;

/// Events kept for a slow listener; one that lags more looks at everything.
const EVENTS_MAX: usize = 1024;
/// How long a question may take.
const ASK: Duration = Duration::from_secs(20);
/// How long a change may take that QEMU does at once.
const CHANGE: Duration = Duration::from_secs(40);
/// How long a start may take (QEMU on a loaded host), and a removal (libvirt waits for a stuck QEMU).
const START: Duration = Duration::from_secs(120);

/// Domains on this host through libvirt.
#[derive(Debug)]
pub struct LibvirtHypervisor {
    config: LibvirtConfig,
    acceleration: Acceleration,
    files: Files,
    link: Link,
    pool: Pool,
    events: broadcast::Sender<DomainEvent>,
    locks: Mutex<HashMap<InstanceId, Arc<AsyncMutex<()>>>>,
}

impl LibvirtHypervisor {
    /// Makes `instances/` in the state directory and connects. Later losses of the connection are mended in the
    /// background; calls meanwhile answer `Unavailable`.
    ///
    /// # Errors
    /// `Refused` for settings that cannot work (a URI that is not local QEMU, KVM demanded where there is none);
    /// `Unavailable` when libvirtd does not answer, with what to do; `Failed` when the directory cannot be made.
    pub async fn connect(config: LibvirtConfig) -> Result<Self, HypervisorError> {
        if !config.uri.starts_with("qemu:///") {
            let uri = &config.uri;
            return Err(HypervisorError::Refused(format!("libvirt URI {uri:?} is not local QEMU; use qemu:///system")));
        }
        if !config.state_dir.is_absolute() {
            let dir = config.state_dir.display();
            return Err(HypervisorError::Refused(format!("state directory {dir} is not absolute; give its full path")));
        }
        let acceleration = host::detect(config.accelerator)?;
        let files = Files::open(&config.state_dir)?;
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let link = Link::open(config.uri.clone(), events.clone()).await?;
        let pool = Pool::start()?;
        Ok(Self { config, acceleration, files, link, pool, events, locks: Mutex::default() })
    }

    /// Whether QEMU's user can reach the state directory. Launches need it; looking at what is there, and removing it, do not.
    ///
    /// # Errors
    /// `Refused` naming the directory that is shut and what to do.
    pub async fn check_reach(&self) -> Result<(), HypervisorError> {
        let reach = |conn: &Connect, files: &Files| crate::reach::check(conn, files.root());
        self.run("find QEMU's user".into(), ASK, None, reach).await
    }

    /// Waits for the instance's lock. The guard goes into the job, so that a call that outlived its caller's deadline
    /// still keeps others away from the instance.
    async fn lock(&self, id: &InstanceId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for are not needed: the map stays as small as what goes on.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(id.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Runs `work` on the pool, on the open connection.
    async fn run<T, F>(
        &self,
        what: String,
        deadline: Duration,
        id: Option<&InstanceId>,
        work: F,
    ) -> Result<T, HypervisorError>
    where
        T: Send + 'static,
        F: FnOnce(&Connect, &Files) -> Result<T, HypervisorError> + Send + 'static,
    {
        let answer = async {
            let guard = match id {
                Some(id) => Some(self.lock(id).await),
                None => None,
            };
            let session = self.link.session()?;
            let files = self.files.clone();
            let (reply, answer) = oneshot::channel();
            self.pool.submit(Box::new(move || {
                let result = work(&session, &files);
                drop(guard);
                // The caller may have given up.
                let _ = reply.send(result);
            }))?;
            answer.await.map_err(|_| HypervisorError::Failed("the driver failed inside; see its log".into()))?
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
            let seconds = deadline.as_secs();
            Err(HypervisorError::Unavailable(format!("libvirtd did not {what} within {seconds} s; look at its log")))
        })
    }

    async fn on<T, F>(&self, verb: &str, deadline: Duration, id: &InstanceId, work: F) -> Result<T, HypervisorError>
    where
        T: Send + 'static,
        F: FnOnce(&Connect, &Files, &InstanceId) -> Result<T, HypervisorError> + Send + 'static,
    {
        let target = id.clone();
        self.run(format!("{verb} {id}"), deadline, Some(id), move |conn, files| work(conn, files, &target)).await
    }

    /// Runs file work off the async workers.
    async fn on_disk<T, F>(&self, work: F) -> Result<T, HypervisorError>
    where
        T: Send + 'static,
        F: FnOnce(&Files) -> Result<T, HypervisorError> + Send + 'static,
    {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || work(&files))
            .await
            .map_err(|_| HypervisorError::Failed("the driver failed inside; see its log".into()))?
    }
}

/// Refuses an image that would make QEMU open other files or that does not fit.
fn check_image(spec: &DomainSpec) -> Result<(), HypervisorError> {
    qcow2::check(&spec.image.path, &spec.image.format, spec.root_disk_bytes)
        .map_err(|fault| HypervisorError::Refused(format!("image {} cannot be run: {fault}", spec.image.digest)))
}

#[async_trait]
impl Hypervisor for LibvirtHypervisor {
    async fn facts(&self) -> Result<HostFacts, HypervisorError> {
        let read = self.run("describe the host".into(), ASK, None, |conn, files| {
            let failed = |error| crate::error::explain("describe the host", &error);
            let node = conn.get_node_info().map_err(failed)?;
            Ok(Readings {
                libvirt: conn.get_lib_version().map_err(failed)?,
                qemu: conn.get_hyp_version().map_err(failed)?,
                cpus: node.cpus,
                memory_kib: node.memory,
                disk_free: host::disk_free(files.root())?,
                disk_ours: files.disk_usage()?,
            })
        });
        Ok(host::facts(&self.config, &self.acceleration, &read.await?))
    }

    async fn domains(&self) -> Result<Vec<DomainRecord>, HypervisorError> {
        self.run("list domains".into(), ASK, None, domain::list).await
    }

    async fn domain(&self, id: &InstanceId) -> Result<Option<DomainRecord>, HypervisorError> {
        let target = id.clone();
        // Without the lock: a look must not wait for a slow start.
        self.run(format!("look at {id}"), ASK, None, move |conn, files| domain::get(conn, files, &target)).await
    }

    async fn prepare_disk(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        let _guard = self.lock(&spec.instance).await;
        let checked = spec.clone();
        self.on_disk(move |_| check_image(&checked)).await?;
        let base = Base { path: &spec.image.path, format: &spec.image.format };
        self.files.make_disk(&spec.instance, &base, spec.root_disk_bytes).await
    }

    async fn start_paused(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        let (kvm, wanted) = (self.acceleration.kvm, spec.clone());
        self.on("start", START, &spec.instance, move |conn, files, _| {
            check_image(&wanted)?;
            domain::start_paused(conn, files, &wanted, kvm)
        })
        .await
    }

    async fn resume(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("resume", CHANGE, id, domain::resume).await
    }

    async fn attach_nic(&self, id: &InstanceId, nic: &NicSpec) -> Result<(), HypervisorError> {
        let nic = nic.clone();
        self.on("attach a network card to", CHANGE, id, move |conn, files, id| {
            domain::attach_nic(conn, files, id, &nic)
        })
        .await
    }

    async fn detach_nic(&self, id: &InstanceId, mac: MacAddress) -> Result<(), HypervisorError> {
        self.on("detach a network card from", CHANGE, id, move |conn, files, id| {
            domain::detach_nic(conn, files, id, mac)
        })
        .await
    }

    async fn shutdown(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("shut down", CHANGE, id, domain::shutdown).await
    }

    async fn power_off(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("power off", START, id, domain::power_off).await
    }

    async fn reboot(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("reboot", CHANGE, id, domain::reboot).await
    }

    async fn reset(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("reset", CHANGE, id, domain::reset).await
    }

    async fn remove(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("remove", START, id, domain::remove).await
    }

    async fn disks(&self) -> Result<Vec<InstanceId>, HypervisorError> {
        self.on_disk(Files::list).await
    }

    async fn console(&self, id: &InstanceId) -> Result<Vec<u8>, HypervisorError> {
        let id = id.clone();
        self.on_disk(move |files| files.console(&id, CONSOLE_BYTES_MAX)).await
    }

    async fn screenshot(&self, id: &InstanceId) -> Result<Picture, HypervisorError> {
        self.on("take a picture of", ASK, id, domain::screenshot).await
    }

    async fn interrupt(&self, id: &InstanceId) -> Result<(), HypervisorError> {
        self.on("interrupt", CHANGE, id, domain::interrupt).await
    }

    fn subscribe(&self) -> broadcast::Receiver<DomainEvent> {
        self.events.subscribe()
    }
}
